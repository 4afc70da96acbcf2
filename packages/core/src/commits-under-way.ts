/**
 * Batches of turns that are on their way to the store. As many are at once as it takes with gain: while one is written,
 * code of the next can run.
 */

/** See the head of the file. */
export class CommitsUnderWay {
  readonly #most: number;
  readonly #onSettled: () => void;
  readonly #batches = new Set<Promise<void>>();

  /**
   * @param most - How many batches may be under way.
   * @param onSettled - Called after each.
   */
  constructor(most: number, onSettled: () => void) {
    this.#most = most;
    this.#onSettled = onSettled;
  }

  get size(): number {
    return this.#batches.size;
  }

  /** Takes a batch that is being written. Resolves when there is room for another. */
  async add(written: Promise<void>): Promise<void> {
    const batch = written.finally(() => {
      this.#batches.delete(batch);
      this.#onSettled();
    });
    this.#batches.add(batch);
    if (this.#batches.size >= this.#most) await Promise.race(this.#batches);
  }

  /** Resolves when those have settled that are under way now. */
  async all(): Promise<void> {
    await Promise.all(this.#batches);
  }
}
