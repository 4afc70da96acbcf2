/**
 * Who is told that the store has changed. Changes of this connection are gathered while a verb runs and told in a
 * microtask after it, many as one; changes of others are seen by `PRAGMA data_version`, which costs next to nothing and
 * is asked only while somebody listens.
 */
import { clearInterval, setInterval } from "node:timers";
import type { StorageChange } from "@stet/core";
import type { Database } from "./database.ts";

const pollMs = 50;

/** What one verb changed, filled in while its transaction runs. */
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
  #pending: ChangeSet | undefined;
  #version: (() => unknown) | undefined;
  #seen: unknown;
  #timer: NodeJS.Timeout | undefined;

  /** Whether anybody would hear of a change. */
  get heard(): boolean {
    return this.#listeners.size > 0;
  }

  listen(listener: (change: StorageChange) => void): () => void {
    const own = (change: StorageChange): void => listener(change); // the same function may listen twice
    this.#listeners.add(own);
    this.#poll();
    return () => {
      this.#listeners.delete(own);
      if (!this.heard) this.#stop();
    };
  }

  /** Tells what a verb changed. Called after its transaction, never inside. */
  publish(change: ChangeSet): void {
    if (!this.heard || (!change.turns && !change.work && change.instances.length === 0)) return;
    if (this.#pending === undefined) {
      this.#pending = noChange();
      queueMicrotask(() => this.#tell());
    }
    this.#pending.turns ||= change.turns;
    this.#pending.work ||= change.work;
    for (const id of change.instances) this.#pending.instances.push(id);
    for (const id of change.ended) this.#pending.ended.push(id);
    if (change.completed === undefined) return;
    this.#pending.completed ??= new Map();
    for (const [id, output] of change.completed) this.#pending.completed.set(id, output);
  }

  /** Watches what others commit to the file of this connection. */
  watch(db: Database): void {
    const statement = db.prepare("PRAGMA data_version").pluck();
    this.#version = () => statement.get();
    this.#poll();
  }

  unwatch(): void {
    this.#version = undefined;
    this.#stop();
  }

  #poll(): void {
    if (this.#timer !== undefined || this.#version === undefined || !this.heard) return;
    this.#seen = this.#version();
    this.#timer = setInterval(() => this.#look(), pollMs).unref();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    let version: unknown;
    try {
      version = this.#version?.();
    } catch {
      return; // a busy or failing file shows itself to the verbs; the next look may see more
    }
    if (version === this.#seen) return;
    this.#seen = version;
    this.#send({ turns: true, work: true });
  }

  #tell(): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending !== undefined) this.#send({ ...pending, instances: [...new Set(pending.instances)] });
  }

  /** Each in a microtask of its own, so that one that throws keeps nothing from the others. */
  #send(change: StorageChange): void {
    for (const listener of this.#listeners) queueMicrotask(() => listener(change));
  }
}
