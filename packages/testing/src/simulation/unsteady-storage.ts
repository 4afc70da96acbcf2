/**
 * A store as one worker sees it in a simulation: calls take their time, fail before or after they were carried out, and
 * the wire is cut at a call that was chosen beforehand.
 */
import { type InstanceKey, StorageError, type StorageProvider, type WorkerKey } from "@stet/core";

/** See the head of the file. */
export class UnsteadyStorage {
  readonly storage: StorageProvider;
  /** Calls on their way, and calls so far. */
  inFlight = 0;
  calls = 0;
  /** Under which registration the worker is known. */
  worker: WorkerKey | undefined;
  readonly #keys: Map<string, InstanceKey>;
  readonly #random: () => number;
  readonly #commitsAtOnce: number;
  readonly #buried = new Set<(error: Error) => void>();
  #cutAfter = Infinity;
  #cutAnswered = false;
  #failing = 0;
  readonly #failed = new Set<string>();
  #state: "whole" | "cut" | "buried" = "whole";

  /** @param keys - Filled with the store's keys of the instances that are handed out. */
  constructor(store: StorageProvider, random: () => number, keys: Map<string, InstanceKey>) {
    this.#keys = keys;
    this.#random = random;
    this.#commitsAtOnce = 1 + Math.floor(random() * 3);
    this.storage = this.#wire(store);
  }

  /** Whether a verb failed and has not been tried again since. */
  get isInTrouble(): boolean {
    return this.#failed.size > 0;
  }

  get isCut(): boolean {
    return this.#state !== "whole";
  }

  /** Cuts the wire at the call that comes after so many others: before it is carried out, or before it is answered. */
  cutAfter(calls: number, answered: boolean): void {
    this.#cutAfter = this.calls + calls;
    this.#cutAnswered = answered;
  }

  cut(): void {
    if (this.#state === "whole") this.#state = "cut";
  }

  /** The next calls fail. */
  fail(calls: number): void {
    this.#failing = calls;
  }

  /** From now on nothing goes wrong any more. */
  calmDown(): void {
    this.#cutAfter = Infinity;
    this.#failing = 0;
  }

  /** Nobody waits for an answer any more: what was never answered fails, so that the runtime behind it can be closed. */
  bury(): void {
    this.#state = "buried";
    for (const reject of this.#buried) reject(buried());
    this.#buried.clear();
  }

  #wire<Verbs extends object>(verbs: Verbs): Verbs {
    return new Proxy(verbs, {
      get: (target, name) => {
        const verb: unknown = Reflect.get(target, name);
        if (name === "admin") return this.#wire(verb as object);
        if (name === "commitsAtOnce") return this.#commitsAtOnce;
        if (name === "onChange") return (listener: (change: never) => void) => this.#onChange(target, listener);
        if (typeof verb !== "function" || name === "open" || name === "close") return verb;
        return (...given: unknown[]) =>
          this.#call(String(name), () => Reflect.apply(verb, target, given) as Promise<unknown>);
      },
    });
  }

  #onChange(store: object, listener: (change: never) => void): () => void {
    return (store as StorageProvider).onChange((change) => {
      if (this.#state === "whole") listener(change as never);
    });
  }

  async #call(verb: string, carryOut: () => Promise<unknown>): Promise<unknown> {
    const isLast = this.calls++ === this.#cutAfter;
    const fails = this.#failing > 0 && this.#failing-- > 0 ? this.#random() : 1;
    this.inFlight++;
    try {
      await this.#pass();
      if (isLast && !this.#cutAnswered) this.cut();
      if (this.isCut) return await this.#silence();
      if (fails < 0.5) this.#fail(verb, "failed to");
      const answer = await carryOut();
      this.#notice(verb, answer);
      await this.#pass();
      if (isLast) this.cut();
      if (this.isCut) return await this.#silence();
      if (fails < 1) this.#fail(verb, "lost the answer to");
      this.#failed.delete(verb);
      return answer;
    } finally {
      this.inFlight--;
    }
  }

  #fail(verb: string, what: string): never {
    this.#failed.add(verb);
    throw new StorageError(`The simulated store ${what} ${verb}`, true);
  }

  #notice(verb: string, answer: unknown): void {
    if (verb === "registerWorker") this.worker = answer as WorkerKey;
    if (verb !== "claimTurns") return;
    for (const { instanceId, key } of answer as { instanceId: string; key: InstanceKey }[])
      this.#keys.set(instanceId, key);
  }

  /** Most calls are quick, some are overtaken by others. */
  async #pass(): Promise<void> {
    const chance = this.#random();
    const hops = chance < 0.6 ? 0 : chance < 0.9 ? 1 : chance < 0.97 ? 4 : 12;
    for (let i = 0; i < hops; i++) await hop();
  }

  #silence(): Promise<never> {
    return new Promise((_, reject) => {
      if (this.#state === "buried") reject(buried());
      else this.#buried.add(reject);
    });
  }
}

/** The next macrotask. */
export function hop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function buried(): StorageError {
  return new StorageError("The simulated process is dead", true);
}
