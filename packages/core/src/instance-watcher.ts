/**
 * Reads and watches instances for clients: many askers at once cost one read, and nobody polls where the store can push.
 */
import type { Clock } from "./ports.ts";
import type { InstanceRecord } from "./storage-admin.ts";
import type { StorageChange, StorageProvider } from "./storage.ts";

/** Whoever watches looks again after this long even if the store told of no change. */
const lookAgainMs = 30_000;

/** See the head of the file. */
export class InstanceWatcher {
  readonly #storage: StorageProvider;
  readonly #listeners = new Map<string, Set<(mayHaveEnded: boolean) => void>>();
  readonly #unsubscribe: () => void;
  #asked: Map<string, ((record: InstanceRecord | undefined) => void)[]> | undefined;
  #failing: ((error: unknown) => void)[] = [];
  readonly #clock: Clock;
  #stopLooking: (() => void) | undefined;

  constructor(storage: StorageProvider, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
    this.#unsubscribe = storage.onChange((change) => this.#changed(change));
  }

  /** The row of an instance as it is now. */
  read(instanceId: string): Promise<InstanceRecord | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#asked === undefined) {
        this.#asked = new Map();
        void Promise.resolve().then(() => this.#readAsked());
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
    if (this.#stopLooking === undefined) this.#lookAgain();
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(instanceId) === listeners) this.#listeners.delete(instanceId);
      if (this.#listeners.size === 0) this.#rest();
    };
  }

  /** Ends watching and wakes all who watch, so that they see it. */
  close(): void {
    this.#unsubscribe();
    this.#rest();
    this.#changed({ turns: false, work: false });
  }

  /** The timer also keeps the process alive: whoever waits must not be left by it. */
  #lookAgain(): void {
    const look = () => {
      this.#lookAgain();
      this.#changed({ turns: false, work: false });
    };
    this.#stopLooking = this.#clock.setTimer(this.#clock.now() + lookAgainMs, look, true);
  }

  #rest(): void {
    this.#stopLooking?.();
    this.#stopLooking = undefined;
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
