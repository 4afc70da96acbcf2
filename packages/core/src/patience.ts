/**
 * Patience with the store: trouble with it never becomes the trouble of an instance. What must be done is tried again,
 * with growing pauses, until it works or the worker stops.
 */
import { storageDiagnostics } from "./diagnostics.ts";
import { isStetError } from "./errors.ts";
import type { Clock, Logger } from "./ports.ts";

const firstPauseMs = 20;
const longestPauseMs = 1_000;

/** See the head of the file. */
export class Patience {
  readonly #clock: Clock;
  readonly #logger: Logger;
  #stopped = false;
  readonly #pauses = new Set<() => void>();

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** The result of `attempt`, however long it takes; `undefined` when the worker stops first. */
  async until<Result>(what: string, attempt: () => Promise<Result>): Promise<Result | undefined> {
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
      try {
        return await attempt();
      } catch (error) {
        this.#logger.warn(`The store failed to ${what}; trying again`, { error: String(error), pauseMs });
        storageDiagnostics.publish(() => ({ what, error: String(error), pauseMs }));
      }
      if (this.#stopped) return undefined;
      await this.#pause(pauseMs);
      if (this.#stopped) return undefined;
    }
  }

  /** The same for taking, where a failed attempt may have taken something that nobody knows of: `again` tells so. */
  claim<Result>(what: string, attempt: (again: boolean) => Promise<Result>): Promise<Result | undefined> {
    let again = false;
    return this.until(what, () => {
      const answer = attempt(again);
      again = true;
      return answer;
    });
  }

  /** The same for reading, where trouble that stays is for the caller to report. */
  read<Result>(what: string, attempt: () => Promise<Result>): Promise<Result | undefined> {
    let staying: unknown;
    const tolerant = async () => {
      try {
        return { result: await attempt() };
      } catch (error) {
        if (isStetError(error, "storage_failed") && error.retryable) throw error;
        staying = error;
        return undefined;
      }
    };
    return this.until(what, tolerant).then((read) => {
      if (read !== undefined) return read.result;
      if (staying !== undefined) throw staying;
      return undefined;
    });
  }

  /** Whether waiting has ended: then what was not done may still be possible for others. */
  get isStopped(): boolean {
    return this.#stopped;
  }

  /** Ends all waiting. */
  stop(): void {
    this.#stopped = true;
    for (const end of this.#pauses) end();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        cancel();
        this.#pauses.delete(end);
        resolve();
      };
      const cancel = this.#clock.setTimer(this.#clock.now() + ms, end);
      this.#pauses.add(end);
    });
  }
}
