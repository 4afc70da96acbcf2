/**
 * Claims that are late. A client that gave a claim up makes it again and hears what the first has taken; but that one may
 * still be on its way, and what it took then nobody would ever know of. So claims go in rounds: the one that is made again
 * waits for those of the worker that are at work, and begins a round in which none of an earlier one takes anything.
 */
import type { WorkerKey } from "@stet/core";
import type { Routine } from "./routines.ts";

/** Begins a round. */
export const beginRound: Routine = {
  name: "begin_round",
  signature: "(p_worker bigint, p_round integer) RETURNS void",
  body: `BEGIN
    PERFORM 1 FROM workers WHERE key = p_worker FOR UPDATE;
    UPDATE workers SET claim_round = p_round WHERE key = p_worker AND claim_round < p_round;
  END`,
};

/** The worker as whoever takes something for it holds it, if it is there and the round is not over. */
export const holdClaimer = "PERFORM 1 FROM workers WHERE key = p_worker AND claim_round <= p_round FOR KEY SHARE";

/** The rounds of the workers of a provider. */
export class ClaimRounds {
  readonly #rounds = new Map<WorkerKey, number>();

  /** The round of a claim. */
  of(worker: WorkerKey, isMadeAgain: boolean): number {
    const round = this.#rounds.get(worker) ?? 0;
    if (!isMadeAgain) return round;
    this.#rounds.set(worker, round + 1);
    return round + 1;
  }
}
