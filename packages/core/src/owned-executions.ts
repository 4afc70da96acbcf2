/**
 * The instances that this worker owns, with their live executions, and the answers that were found here and that no turn
 * has taken yet. An answer never gets lost: what is forgotten hands its answers over.
 */
import type { OrchestrationStarted, Recorded } from "./events.ts";
import type { Execution } from "./execution.ts";
import type { AnswerBody } from "./messages.ts";
import type { InstanceKey } from "./storage.ts";
import type { Transcripts } from "./transcripts.ts";

/** An instance that this worker owns. */
export interface Owned {
  readonly key: InstanceKey;
  readonly instanceId: string;
  readonly rootId: string;
  execution: Execution;
  lastEventId: number;
  /** The recorded start of an execution whose code has not run yet. */
  unrun: (Recorded & OrchestrationStarted) | undefined;
  /** The lists of messages that it has in the store. */
  readonly transcripts: Transcripts;
  /** Requests whose work runs here without a row. */
  readonly held: Set<number>;
  /** Answers found here that no turn has taken yet. */
  readonly arrived: AnswerBody[];
}

/** See the head of the file. */
export class OwnedExecutions {
  /** In the order of their last turn, oldest first. */
  readonly #byId = new Map<string, Owned>();
  readonly #ready = new Set<Owned>();
  readonly #handOver: (instanceId: string, execution: number, answers: readonly AnswerBody[]) => void;

  /** @param handOver - Takes the answers of an instance that is not owned here, or no longer. */
  constructor(handOver: (instanceId: string, execution: number, answers: readonly AnswerBody[]) => void) {
    this.#handOver = handOver;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Those that have answers or code to run. */
  get ready(): ReadonlySet<Owned> {
    return this.#ready;
  }

  get(instanceId: string): Owned | undefined {
    return this.#byId.get(instanceId);
  }

  /** Takes one in, in the place of an earlier one of the same instance. */
  add(owned: Owned): void {
    const before = this.#byId.get(owned.instanceId);
    if (before !== undefined) this.forget(before);
    this.#byId.set(owned.instanceId, owned);
  }

  /** Its turn was the last. */
  touch(owned: Owned): void {
    this.#byId.delete(owned.instanceId);
    this.#byId.set(owned.instanceId, owned);
  }

  /** It has code to run without a message. */
  makeReady(owned: Owned): void {
    this.#ready.add(owned);
  }

  /** Brings an answer home. Answers whether a turn can take it here. */
  deliver(instanceId: string, execution: number, answer: AnswerBody): boolean {
    const owned = this.#byId.get(instanceId);
    if (owned?.execution.execution === execution && owned.held.has(answer.source)) {
      owned.arrived.push(answer);
      this.#ready.add(owned);
      return true;
    }
    this.#handOver(instanceId, execution, [answer]);
    return false;
  }

  /** Up to `most` of its answers, for a turn. When none is left it is no longer ready. */
  takeArrived(owned: Owned, most: number): AnswerBody[] {
    const taken = owned.arrived.splice(0, most);
    if (owned.arrived.length === 0) this.#ready.delete(owned);
    return taken;
  }

  /** A request that was held here has a row now. */
  release(instanceId: string, execution: number, eventId: number): void {
    const owned = this.#byId.get(instanceId);
    if (owned?.execution.execution === execution) owned.held.delete(eventId);
  }

  /** It has ended, or is not this worker's any more and has no answers. */
  remove({ instanceId }: Owned): void {
    this.#byId.delete(instanceId);
  }

  /** It cannot be gone on with here. */
  forget(owned: Owned): void {
    const { instanceId, execution, arrived } = owned;
    if (this.#byId.get(instanceId) === owned) this.#byId.delete(instanceId);
    this.#ready.delete(owned);
    if (arrived.length > 0) this.#handOver(instanceId, execution.execution, arrived);
  }

  /** None can be gone on with here. */
  forgetAll(): void {
    for (const owned of [...this.#byId.values()]) this.forget(owned);
  }

  /** Takes out those without anything to do here whose last turn is longest ago, until no more than `size` are left. */
  takeIdle(size: number): Owned[] {
    const idle: Owned[] = [];
    for (const owned of this.#byId.values()) {
      if (this.#byId.size - idle.length <= size) break;
      if (owned.held.size === 0 && owned.arrived.length === 0 && owned.unrun === undefined) idle.push(owned);
    }
    for (const owned of idle) this.remove(owned);
    return idle;
  }
}
