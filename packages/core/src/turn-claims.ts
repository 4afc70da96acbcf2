/**
 * When this worker asks the store for turns, for how many, and what it leaves to others. Whoever gives an instance away
 * would be the first to take it back when something comes for it. So it leaves what is nobody's to those who have more
 * time, and now and then takes a little of it all the same: something may keep them from it.
 */
import type { Concession } from "./load.ts";
import type { OwnedExecutions } from "./owned-executions.ts";
import type { Patience } from "./patience.ts";
import type { Clock } from "./ports.ts";
import type { Registry } from "./registry.ts";
import type { WorkerKey } from "./storage-work.ts";
import type { ClaimedTurn, StorageProvider, TurnClaim } from "./storage.ts";

/** Most messages in one claim. */
const mostMessages = 512;

/** Where others live that can run the same: of what comes at once each is to have a part. */
const mostAmongPeers = 64;

/** The first claim of a worker; the next ones double. If it dies early, it had few others in its hands. */
const firstMessages = 16;

/** So many instances that can go on are enough to do. */
const enough = 256;

/** Batches of instances under way before others are looked for in any case. */
const mostRoundsWithoutClaim = 8;

/** What claiming needs. */
export interface ClaimEnvironment {
  readonly storage: StorageProvider;
  readonly worker: () => WorkerKey;
  readonly clock: Clock;
  readonly registry: Registry;
  readonly buildId: string;
  readonly patience: Patience;
}

/** See the head of the file. */
export class TurnClaims {
  readonly #environment: ClaimEnvironment;
  readonly #owned: OwnedExecutions;
  #signalled = false;
  #roundsWithoutClaim = 0;
  #max = firstMessages;
  #hasPeers = false;
  #concession: Concession | undefined;
  #takesAll = false;

  constructor(environment: ClaimEnvironment, owned: OwnedExecutions) {
    this.#environment = environment;
    this.#owned = owned;
  }

  /** There may be something to claim. */
  signal(): void {
    this.#signalled = this.#environment.registry.handlers.length > 0; // without any, this worker runs work only
  }

  get isSignalled(): boolean {
    return this.#signalled;
  }

  /** What is under way goes first, so that few instances are half done at a time; but it may not starve the others. */
  isTime(): boolean {
    if (!this.#signalled) return false;
    const isTime = this.#owned.ready.size < enough || ++this.#roundsWithoutClaim > mostRoundsWithoutClaim;
    if (isTime) this.#roundsWithoutClaim = 0;
    return isTime;
  }

  async claim(): Promise<ClaimedTurn[]> {
    this.#signalled = false;
    const { storage, worker, clock, registry, buildId, patience } = this.#environment;
    const appetite = this.#appetite();
    const claim = { now: clock.now(), ...appetite, orchestrations: registry.handlers, buildId };
    const claimed = await patience.claim("claim turns", (again) =>
      storage.claimTurns({ ...claim, worker: worker(), ...(again && { held: this.#owned.keys }) }),
    );
    if (claimed === undefined) return [];
    const messages = claimed.reduce((sum, turn) => sum + Math.max(1, turn.messages.length), 0);
    if (messages >= appetite.max / 2) this.#signalled = true; // the claim may have been cut off
    return claimed;
  }

  /** Whether others live that can run the same: then nobody takes all of what comes at once. */
  set hasPeers(hasPeers: boolean) {
    this.#hasPeers = hasPeers;
  }

  /** Begins small again: one of those that were claimed may take this worker down with it. */
  startSmall(): void {
    this.#max = firstMessages;
  }

  /** What is left to others from now on. Answers whether there may be something that was left and is not any more. */
  concede(concession: Concession | undefined): boolean {
    this.#takesAll = concession !== undefined;
    const changes = this.#takesAll || this.#concession !== undefined;
    this.#concession = concession;
    return changes;
  }

  #appetite(): Pick<TurnClaim, "max" | "leave"> {
    if (this.#takesAll) {
      this.#takesAll = false;
      return { max: firstMessages };
    }
    const max = this.#hasPeers ? Math.min(this.#max, mostAmongPeers) : this.#max;
    this.#max = Math.min(mostMessages, 2 * max);
    return { max, ...(this.#concession !== undefined && { leave: this.#concession.orchestrations }) };
  }
}
