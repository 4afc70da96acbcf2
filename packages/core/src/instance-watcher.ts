/**
 * Reads and watches instances for clients: many askers at once cost one read, and nobody polls where the store can push.
 */
import { Gatherer } from "./gatherer.ts";
import type { Clock } from "./ports.ts";
import { RecentEnds } from "./recent-ends.ts";
import type { InstanceRecord } from "./storage-admin.ts";
import type { StorageChange, StorageProvider } from "./storage.ts";

/** Whoever watches looks again after this long even if the store told of no change. */
const lookAgainMs = 30_000;

/** Why it is time to look again, or no more. */
export type Change = "changed" | "late" | "closed";

/** How to watch. */
export interface WatchOptions {
  /** Ends it. */
  readonly signal?: AbortSignal | undefined;
  /** Tell only of changes by which the instance may have ended. */
  readonly onlyEnd?: boolean;
}

/** See the head of the file. */
export class InstanceWatcher {
  readonly #records: Gatherer<string, InstanceRecord | undefined>;
  readonly #watching = new Map<string, InstanceChanges[]>();
  /** What was just started need not be read to be waited for, unless it has ended since. */
  readonly ends: RecentEnds = new RecentEnds();
  readonly #unsubscribe: () => void;
  readonly #clock: Clock;
  #stopLooking: (() => void) | undefined;
  #closed = false;

  constructor(storage: StorageProvider, clock: Clock) {
    this.#clock = clock;
    this.#records = new Gatherer(async (ids) => {
      const records = await storage.admin.getInstances(ids);
      const byId = new Map(records.map((record) => [record.instanceId, record]));
      return ids.map((id) => byId.get(id));
    });
    this.#unsubscribe = storage.onChange((change) => this.#changed(change));
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** The row of an instance as it is now. */
  read(instanceId: string): Promise<InstanceRecord | undefined> {
    return this.#records.ask(instanceId);
  }

  /** What happens to an instance from now on. */
  watch(instanceId: string, options: WatchOptions = {}): InstanceChanges {
    const stop = (): void => this.#stop(instanceId, changes);
    const changes = new InstanceChanges(this, this.#clock, options, stop);
    const others = this.#watching.get(instanceId);
    if (others === undefined) this.#watching.set(instanceId, [changes]);
    else others.push(changes);
    if (this.#stopLooking === undefined) this.#lookAgain();
    return changes;
  }

  /** Ends watching and wakes all who watch, so that they see it. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    this.#rest();
    this.#changed({ turns: false, work: false });
  }

  #stop(instanceId: string, changes: InstanceChanges): void {
    const left = this.#watching.get(instanceId)?.filter((other) => other !== changes) ?? [];
    if (left.length > 0) this.#watching.set(instanceId, left);
    else this.#watching.delete(instanceId);
    if (this.#watching.size === 0) this.#rest();
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

  #changed({ instances, ended, completed }: StorageChange): void {
    this.ends.note(ended);
    if (instances === undefined) {
      for (const watching of this.#watching.values()) for (const changes of watching) changes.notice(true);
      return;
    }
    const over = ended === undefined ? undefined : new Set(ended);
    for (const id of instances) {
      for (const changes of this.#watching.get(id) ?? []) {
        if (completed?.has(id) === true) changes.completed = { output: completed.get(id) };
        changes.notice(over?.has(id) ?? true);
      }
    }
  }
}

/** The changes of one instance, one after another. Whoever asked for them stops them. */
export class InstanceChanges {
  readonly stop: () => void;
  /** What the instance put out, as it is stored, where it was told that it has completed: then it need not be read. */
  completed: { readonly output: string | undefined } | undefined;
  readonly #watcher: InstanceWatcher;
  readonly #clock: Clock;
  readonly #onlyEnd: boolean;
  readonly #signal: AbortSignal | undefined;
  #changed = false;
  #wake: (() => void) | undefined;

  constructor(watcher: InstanceWatcher, clock: Clock, { signal, onlyEnd = false }: WatchOptions, stop: () => void) {
    this.#watcher = watcher;
    this.#clock = clock;
    this.#onlyEnd = onlyEnd;
    this.#signal = signal;
    this.stop = stop;
    if (signal === undefined) return;
    const notice = () => this.notice(true);
    signal.addEventListener("abort", notice);
    this.stop = () => {
      signal.removeEventListener("abort", notice);
      stop();
    };
  }

  /** Something happened to it. */
  notice(mayHaveEnded: boolean): void {
    if (!mayHaveEnded && this.#onlyEnd) return;
    this.#changed = true;
    this.#wake?.();
  }

  /** Answers when it is time to look again: after a change, at a time, at an abort or at the client's end. */
  async next(until?: number): Promise<Change> {
    const isLate = () => until !== undefined && this.#clock.now() >= until;
    if (!this.#changed && !isLate()) await this.#wakened(until);
    if (this.#watcher.isClosed || this.#signal?.aborted === true) return "closed";
    if (!this.#changed && isLate()) return "late";
    this.#changed = false;
    return "changed";
  }

  #wakened(until: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const cancel = until === undefined ? undefined : this.#clock.setTimer(until, () => this.#wake?.());
      this.#wake = () => {
        this.#wake = undefined;
        cancel?.();
        resolve();
      };
    });
  }
}
