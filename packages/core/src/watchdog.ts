/**
 * The watchdog: a thread that notices when orchestration code does not let go of the event loop, names the instance, and
 * where Node allows it breaks the code off.
 *
 * A loop of microtasks or a loop without end never reaches the next macrotask, so nothing on the main thread can stop it.
 * The thread asks V8 to end the running script through an inspector session to the main thread; the process goes on. That
 * needs Node 24, where `AsyncLocalStorage` no longer rests on promise hooks: on older lines the hooks would be left
 * unbalanced and Node would abort. There the loop is only named, again and again; once the process is ended, the instance
 * is blocked when it has done so too often. A process that somebody is debugging is left alone.
 *
 * The main thread counts up in shared memory when it begins to run orchestration code and again when that code has let
 * go: an odd number that stays the same is a loop.
 */
import { Worker } from "node:worker_threads";
import { url as debuggerUrl } from "node:inspector";
import type { Logger } from "./ports.ts";

/** Code that holds the event loop this long is named in the log, and after twice as long it is broken off. */
const patienceMs = 5_000;

/** Whether `AsyncLocalStorage` survives that a script is ended: it does on async context frames. */
const mayBreakOff =
  Number(process.versions.node.split(".")[0]) >= 24 && !process.execArgv.includes("--no-async-context-frame");

const counter = 0;
const brokenOff = 1;
const nameLength = 2;
const headBytes = 12;
const nameBytes = 1_024;

/** One thread watches for all runtimes of the process. */
let thread:
  { users: number; readonly worker: Worker; readonly head: Int32Array; readonly name: Uint8Array } | undefined;

/** See the head of the file. */
export class Watchdog {
  readonly #head: Int32Array;
  readonly #name: Uint8Array;
  #stopped = false;

  /** @param limitMs - How long code may hold the event loop before it is named. */
  constructor(logger: Logger, limitMs: number = patienceMs) {
    thread ??= { users: 0, ...launch(limitMs, logger) };
    thread.users++;
    this.#head = thread.head;
    this.#name = thread.name;
  }

  /** Orchestration code begins to run, that of `who` among it. */
  begin(who: string): void {
    const { written } = encoder.encodeInto(who, this.#name);
    Atomics.store(this.#head, nameLength, written);
    Atomics.add(this.#head, counter, 1);
  }

  /** It has let go. Answers whether it had to be broken off. */
  end(): boolean {
    Atomics.add(this.#head, counter, 1);
    return Atomics.exchange(this.#head, brokenOff, 0) === 1;
  }

  stop(): void {
    if (this.#stopped || thread === undefined) return;
    this.#stopped = true;
    if (--thread.users > 0) return;
    void thread.worker.terminate();
    thread = undefined;
  }
}

const encoder = new TextEncoder();

function launch(limitMs: number, logger: Logger): { worker: Worker; head: Int32Array; name: Uint8Array } {
  const memory = new SharedArrayBuffer(headBytes + nameBytes);
  const worker = new Worker(watch, {
    eval: true,
    workerData: { memory, limitMs, headBytes, mayBreakOff: mayBreakOff && debuggerUrl() === undefined },
    stderr: false,
  });
  worker.on("error", (error) => logger.warn("The watchdog has stopped", { error: String(error) }));
  worker.unref();
  return { worker, head: new Int32Array(memory, 0, headBytes / 4), name: new Uint8Array(memory, headBytes) };
}

/** The thread, as plain JavaScript: a worker cannot load TypeScript on every Node line. */
const watch = `
const { workerData } = require("node:worker_threads");
const { Session } = require("node:inspector");
const { memory, limitMs, headBytes, mayBreakOff } = workerData;
const head = new Int32Array(memory, 0, headBytes / 4);
const name = new Uint8Array(memory, headBytes);
const say = (message) => {
  const instance = new TextDecoder().decode(name.slice(0, Atomics.load(head, 2)));
  process._rawDebug(JSON.stringify({ level: "error", message, instance, heldForMs }));
};
const breakOff = () => {
  const session = new Session();
  session.connectToMainThread();
  if (Atomics.load(head, 0) !== last) return session.disconnect();
  Atomics.store(head, 1, 1);
  session.post("Runtime.terminateExecution", () => session.disconnect());
};
let last = 0;
let heldForMs = 0;
const stepMs = Math.max(10, limitMs / 5);
setInterval(() => {
  const now = Atomics.load(head, 0);
  heldForMs = now === last && now % 2 === 1 ? heldForMs + stepMs : 0;
  last = now;
  if (heldForMs >= limitMs && heldForMs % limitMs < stepMs) {
    say("Orchestration code has not let go of the event loop: it loops without waiting, or computes for too long");
  }
  if (heldForMs >= 2 * limitMs && heldForMs < 2 * limitMs + stepMs && mayBreakOff) {
    say("Orchestration code is broken off");
    breakOff();
  }
}, stepMs);
`;
