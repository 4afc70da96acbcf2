/**
 * The hop to the next macrotask, after which all orchestration code waits, under the eyes of the watchdog.
 */
import { DeterminismError, type StetError } from "./errors.ts";
import type { Watchdog } from "./watchdog.ts";

/** The engine's own timer, taken before any guard wraps it. */
export const nextMacrotask: (run: () => void) => void = setImmediate;

/** A hop that nobody watches. */
export const hop = (): Promise<void> => new Promise((resolve) => nextMacrotask(resolve));

/** See the head of the file. */
export class WatchedHop {
  /** Who is running, for the watchdog to name. */
  running = "";
  readonly #watchdog: Watchdog | undefined;
  #brokenOff = false;

  constructor(watchdog: Watchdog | undefined) {
    this.#watchdog = watchdog;
  }

  /** Lets all code run until it waits. */
  readonly hop = async (): Promise<void> => {
    if (this.#watchdog === undefined) return hop();
    this.#watchdog.begin(this.running);
    await hop();
    if (this.#watchdog.end()) this.#brokenOff = true;
  };

  /** Whether code was broken off since this was asked last: then no execution that ran meanwhile can be trusted. */
  wasBrokenOff(): boolean {
    const brokenOff = this.#brokenOff;
    this.#brokenOff = false;
    return brokenOff;
  }
}

/** Why code that was broken off is not run again. */
export function holdsTheLoop({ instanceId }: { readonly instanceId: string }): StetError {
  return new DeterminismError(
    `Expected the code of instance ${instanceId} to wait for a durable promise, got code that held the event loop until it was broken off: it loops without waiting, or computes for too long. Move long computations into an activity`,
  );
}
