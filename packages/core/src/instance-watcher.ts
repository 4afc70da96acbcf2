/**
 * Reads and watches instances for clients: many askers at once cost one read, and nobody polls where the store can push.
 */
import type { InstanceRecord } from "./storage-admin.ts";
import type { StorageChange, StorageProvider } from "./storage.ts";

/** See the head of the file. */
export class InstanceWatcher {
  readonly #storage: StorageProvider;
  readonly #listeners = new Map<string, Set<(mayHaveEnded: boolean) => void>>();
  readonly #unsubscribe: () => void;
  #asked: Map<string, ((record: InstanceRecord | undefined) => void)[]> | undefined;
  #failing: ((error: unknown) => void)[] = [];

  constructor(storage: StorageProvider) {
    this.#storage = storage;
    this.#unsubscribe = storage.onChange((change) => this.#changed(change));
  }

  /** The row of an instance as it is now. */
  read(instanceId: string): Promise<InstanceRecord | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#asked === undefined) {
        this.#asked = new Map();
        queueMicrotask(() => void this.#readAsked());
      }
      const askers = this.#asked.get(instanceId);
      if (askers === undefined) this.#asked.set(instanceId, [resolve]);
      else askers.push(resolve);
      this.#failing.push(reject);
    });
  }

  /**
   * Calls back when the instance may have changed, and says whether it may have ended by that. Returns what ends it.
   */
  watch(instanceId: string, listener: (mayHaveEnded: boolean) => void): () => void {
    const listeners = this.#listeners.get(instanceId) ?? new Set();
    this.#listeners.set(instanceId, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(instanceId) === listeners) this.#listeners.delete(instanceId);
    };
  }

  /** Ends watching and wakes all who watch, so that they see it. */
  close(): void {
    this.#unsubscribe();
    this.#changed({ turns: false, work: false });
  }

  #changed({ instances, ended = instances }: StorageChange): void {
    const over = ended === undefined ? undefined : new Set(ended);
    for (const id of instances ?? this.#listeners.keys()) {
      for (const listener of [...(this.#listeners.get(id) ?? [])]) listener(over?.has(id) ?? true);
    }
  }

  async #readAsked(): Promise<void> {
    const asked = this.#asked ?? new Map<string, ((record: InstanceRecord | undefined) => void)[]>();
    const failing = this.#failing;
    this.#asked = undefined;
    this.#failing = [];
    try {
      const records = new Map<string, InstanceRecord>();
      for (const record of await this.#storage.admin.getInstances([...asked.keys()]))
        records.set(record.instanceId, record);
      for (const [id, askers] of asked) for (const resolve of askers) resolve(records.get(id));
    } catch (error) {
      for (const reject of failing) reject(error);
    }
  }
}
