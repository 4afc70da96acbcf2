/**
 * Whose clock says what is due and who is silent. By the database's, workers on many hosts agree, whatever their own
 * clocks show: a time that a worker asks for is kept as far ahead by the clock of the database as it was by its own. By
 * the runtime's, time is what the verbs say, which is how tests own it.
 */
import { performance } from "node:perf_hooks";
import type { WorkerKey } from "@stet/core";

/** A question that took longer tells little about what time it is. */
const slowMs = 200;

/** See the head of the file. */
export class Clocks {
  readonly #byDatabase: boolean;
  /** How far the database's clock is ahead of a worker's. */
  readonly #ahead = new Map<WorkerKey, number>();
  #lastAhead = 0;

  constructor(clock: "database" | "runtime") {
    this.#byDatabase = clock === "database";
  }

  /** `now` as functions take it: without one they ask the database's clock. */
  now(now: number): number | null {
    return this.#byDatabase ? null : now;
  }

  /** A time of a worker by the clock of the store. */
  toStore(worker: WorkerKey, at: number): number {
    return at + (this.#ahead.get(worker) ?? 0);
  }

  /** A time of this process, which nobody in particular tells, by the clock of the store. */
  toStoreOfAny(at: number): number {
    return at + this.#lastAhead;
  }

  /** Asks something whose answer tells the time of the store, and learns from it how the worker's clock stands. */
  async learn<Answer extends { readonly store_now: number }>(
    now: number,
    ask: () => Promise<Answer>,
    workerOf: (answer: Answer) => WorkerKey,
  ): Promise<Answer> {
    const askedAt = performance.now();
    const answer = await ask();
    const tookMs = performance.now() - askedAt;
    const worker = workerOf(answer);
    if (this.#byDatabase && (tookMs < slowMs || !this.#ahead.has(worker))) {
      // At most: what is asked for may come late by as long as this took, and never early.
      this.#lastAhead = answer.store_now + 1 - now;
      this.#ahead.set(worker, this.#lastAhead);
    }
    return answer;
  }

  forget(worker: WorkerKey): void {
    this.#ahead.delete(worker);
  }
}
