/**
 * The instances that this worker owns, with their live executions, and the answers that were found here and that no turn
 * has taken yet. An answer never gets lost: what is forgotten hands its answers over.
 */
import type { DeliveryBody, Recorded } from "./events.ts";
import type { Execution } from "./execution.ts";
import type { Job } from "./job.ts";
import type { Concession } from "./load.ts";
import type { AnswerBody, WorkItem } from "./messages.ts";
import { SmallMap } from "./small-map.ts";
import type { InstanceKey } from "./storage.ts";
import { Transcripts } from "./transcripts.ts";

/** An answer that was found in this worker, as a turn takes it. */
export interface LocalAnswer {
  readonly message: AnswerBody;
}

/** An instance that this worker owns. */
export interface Owned {
  readonly key: InstanceKey;
  readonly instanceId: string;
  readonly rootId: string;
  execution: Execution;
  lastEventId: number;
  /** The recorded delivery that its code has not seen yet. */
  unrun: (Recorded & DeliveryBody) | undefined;
  /** The lists of messages that it has in the store. */
  readonly transcripts: Transcripts;
  /** Work that runs here without a row, by the event that asked for it. */
  readonly held: SmallMap<number, WorkItem>;
  /** Answers found here that no turn has taken yet. */
  arrived: LocalAnswer[];
  /** Its last turn is under way to the store: it takes nothing until that is settled. */
  isCommitting: boolean;
  /** Counts the turns of this worker: which of two was used longer ago. */
  usedAt: number;
}

/** An instance as it was loaded. */
type Loaded = Pick<Owned, "key" | "instanceId" | "rootId" | "execution" | "lastEventId" | "unrun">;

/** To whom an answer belongs. The key tells an instance from a later one that was made anew under its id. */
export interface Addressee {
  readonly key: InstanceKey;
  readonly instanceId: string;
  readonly execution: number;
}

/** Given away at once are no more than these: others look what there is for them in between. */
const mostGiven = 1_000;

type HandOver = (to: Addressee, answers: readonly AnswerBody[]) => Promise<void>;

/** See the head of the file. */
export class OwnedExecutions {
  readonly #byKey = new Map<InstanceKey, Owned>();
  readonly #ready = new Set<Owned>();
  readonly #handOver: HandOver;
  #concession: Concession | undefined;
  #uses = 0;

  /** @param handOver - Takes the answers of an instance that is not owned here, or no longer. */
  constructor(handOver: HandOver) {
    this.#handOver = handOver;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get keys(): InstanceKey[] {
    return [...this.#byKey.keys()];
  }

  /** Those that have answers or code to run. */
  get ready(): ReadonlySet<Owned> {
    return this.#ready;
  }

  get(key: InstanceKey): Owned | undefined {
    return this.#byKey.get(key);
  }

  /** Takes one in, in the place of an earlier one of the same instance. */
  add(loaded: Loaded): Owned {
    const { key, instanceId, rootId, execution, lastEventId, unrun } = loaded;
    const inHand = {
      transcripts: new Transcripts(),
      held: new SmallMap<number, WorkItem>(),
      arrived: [],
      isCommitting: false,
      usedAt: 0,
    };
    const owned: Owned = { key, instanceId, rootId, execution, lastEventId, unrun, ...inHand };
    const before = this.#byKey.get(key);
    if (before !== undefined) this.forget(before);
    this.#byKey.set(key, owned);
    return owned;
  }

  /** It has code to run without a message. */
  makeReady(owned: Owned): void {
    this.#ready.add(owned);
  }

  /** Its turn is on its way to the store. */
  beginCommit(owned: Owned): void {
    owned.isCommitting = true;
    this.#ready.delete(owned);
  }

  /** Its turn is over. What arrived meanwhile is for the next one. */
  endCommit(owned: Owned): void {
    owned.isCommitting = false;
    if (owned.arrived.length > 0 && this.#byKey.get(owned.key) === owned) this.#ready.add(owned);
  }

  /** Brings an answer home. Answers whether a turn can take it now. */
  deliver({ item, instance }: Job, answer: AnswerBody): boolean {
    const { instanceId, execution } = item;
    const owned = this.#byKey.get(instance);
    if (owned?.execution.execution === execution && owned.held.has(answer.source)) {
      const arrived = { message: answer };
      if (owned.arrived.length === 0) owned.arrived = [arrived];
      else owned.arrived.push(arrived);
      if (!owned.isCommitting) this.#ready.add(owned);
      return !owned.isCommitting;
    }
    void this.#handOver({ key: instance, instanceId, execution }, [answer]);
    return false;
  }

  /** Up to `most` of its answers, for a turn. When none is left it is no longer ready. */
  takeArrived(owned: Owned, most: number): LocalAnswer[] {
    owned.usedAt = ++this.#uses;
    const { arrived } = owned;
    if (arrived.length > most) return arrived.splice(0, most);
    owned.arrived = [];
    this.#ready.delete(owned);
    return arrived;
  }

  /** A request that was held here has a row now. */
  release({ item, instance }: Job): void {
    const owned = this.#byKey.get(instance);
    if (owned?.execution.execution === item.execution) owned.held.delete(item.eventId);
  }

  /** It has ended, or is not this worker's any more and has no answers. */
  remove(owned: Owned): void {
    this.#byKey.delete(owned.key);
    this.#ready.delete(owned);
  }

  /** It cannot be gone on with here. */
  forget(owned: Owned): void {
    if (this.#byKey.get(owned.key) === owned) this.#byKey.delete(owned.key);
    this.#ready.delete(owned);
    void this.handOver(owned);
  }

  /** Gives away its answers that no turn has taken. Resolves when they are there. */
  async handOver(owned: Owned): Promise<void> {
    const { key, instanceId, execution, arrived } = owned;
    if (arrived.length === 0) return;
    owned.arrived = [];
    const answers = arrived.map(({ message }) => message);
    await this.#handOver({ key, instanceId, execution: execution.execution }, answers);
  }

  /** None can be gone on with here. */
  forgetAll(): void {
    for (const owned of [...this.#byKey.values()]) this.forget(owned);
  }

  /** A part of what is idle here goes to workers that have time. */
  giveAway(concession: Concession | undefined): void {
    this.#concession = concession;
  }

  /** Takes out what is not to stay: what is given away, or else what there is no room for. */
  takeSurplus(cacheSize: number): Owned[] {
    const { part = 0, orchestrations = [] } = this.#concession ?? {};
    this.#concession = undefined;
    if (part > 0) {
      const wanted = new Set(orchestrations);
      const most = Math.min(mostGiven, Math.floor(part * this.size));
      return this.takeIdle(most, ({ execution: { name, version } }) => wanted.has(`${name}@${version}`));
    }
    // More than has to be, so that not every batch looks for what is idle.
    return this.size > cacheSize ? this.takeIdle(this.size - Math.floor(cacheSize * 0.9)) : [];
  }

  /** Takes out those without anything to do here whose last turn is longest ago, up to `most`. */
  takeIdle(most: number, isWanted: (owned: Owned) => boolean = () => true): Owned[] {
    const idle = [...this.#byKey.values()].filter(
      (owned) =>
        owned.held.size === 0 &&
        owned.arrived.length === 0 &&
        owned.unrun === undefined &&
        !owned.isCommitting &&
        isWanted(owned),
    );
    const taken = idle.sort((a, b) => a.usedAt - b.usedAt).slice(0, most);
    for (const owned of taken) this.remove(owned);
    return taken;
  }
}
