/**
 * Who in this process is told that the store has changed. Changes of this process are told in a microtask after their
 * verb, many as one, and handed on for other processes; changes of those come in through {@link Changes.tell}.
 */
import type { StorageChange } from "@stet/core";

/** What one verb changed, filled in by it. */
export interface ChangeSet {
  turns: boolean;
  work: boolean;
  readonly instances: string[];
  readonly ended: string[];
  completed?: Map<string, string | undefined>;
}

/** An empty {@link ChangeSet}. */
export function noChange(): ChangeSet {
  return { turns: false, work: false, instances: [], ended: [] };
}

/** The listeners of one provider, through opens and closes. */
export class Changes {
  readonly #listeners = new Set<(change: StorageChange) => void>();
  readonly #handOn: (change: StorageChange) => void;
  #pending: ChangeSet | undefined;

  /** @param handOn - Takes what this process has changed, for others. */
  constructor(handOn: (change: StorageChange) => void) {
    this.#handOn = handOn;
  }

  listen(listener: (change: StorageChange) => void): () => void {
    const own = (change: StorageChange): void => listener(change); // the same function may listen twice
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** Tells what a verb changed. Called after its transaction, never inside. */
  publish(change: ChangeSet): void {
    if (!change.turns && !change.work && change.instances.length === 0) return;
    if (this.#pending === undefined) {
      this.#pending = noChange();
      queueMicrotask(() => this.#tellPending());
    }
    this.#pending.turns ||= change.turns;
    this.#pending.work ||= change.work;
    for (const id of change.instances) this.#pending.instances.push(id);
    for (const id of change.ended) this.#pending.ended.push(id);
    if (change.completed === undefined) return;
    this.#pending.completed ??= new Map();
    for (const [id, output] of change.completed) this.#pending.completed.set(id, output);
  }

  /** Tells all listeners, each in a microtask of its own, so that one that throws keeps nothing from the others. */
  tell(change: StorageChange): void {
    for (const listener of this.#listeners) queueMicrotask(() => listener(change));
  }

  #tellPending(): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending === undefined) return;
    const change = { ...pending, instances: [...new Set(pending.instances)] };
    this.tell(change);
    this.#handOn(change);
  }
}
