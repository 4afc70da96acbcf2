/**
 * The promise that orchestration code holds for something the world still owes it. It is an ordinary native promise (so
 * `await`, `Promise.all` and the rest treat it at full speed) with one more verb.
 */

/** A promise whose outcome is recorded in history. */
export interface DurablePromise<Value> extends Promise<Value> {
  /**
   * Gives it up, durably: it rejects with `CancelledError` now, a running activity sees its signal abort, a timer never
   * fires, a sub-orchestration is cancelled. Does nothing once it has settled.
   */
  cancel(reason?: string): void;
}

/** Which of the named promises won, with its value. */
export type Winner<Promises> = {
  readonly [Key in keyof Promises]: { readonly winner: Key; readonly value: Awaited<Promises[Key]> };
}[keyof Promises];
