/**
 * The machine's own clock and a quiet logger: what a runtime uses unless it is given others.
 */
import { performance } from "node:perf_hooks";
import type { Clock, LogFields, Logger } from "./ports.ts";

/** The longest delay a Node timer takes. */
const longestDelayMs = 2 ** 31 - 1;

const { setTimeout: set, clearTimeout: clear } = globalThis;

/** The system's time. Its timers do not keep the process alive by themselves: the runtime does that while it runs. */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimer(at, fire) {
    let timer: NodeJS.Timeout;
    const arm = () => {
      const delay = at - Date.now();
      timer = set(delay > longestDelayMs ? arm : fire, Math.min(Math.max(0, delay), longestDelayMs));
    };
    arm();
    return () => clear(timer);
  },
  busyMs: () => performance.eventLoopUtilization().active,
};

/** Warnings and errors to standard error, as one JSON line each; nothing else. */
export const warningLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message, fields) => write("warn", message, fields),
  error: (message, fields) => write("error", message, fields),
};

function write(level: string, message: string, fields: LogFields = {}): void {
  process.stderr.write(`${JSON.stringify({ level, message, ...fields })}\n`);
}
