/** The seam to the store, on budgets: what is limited, how it stands, and what a turn changes. */
import type { OutgoingWork } from "./storage-work.ts";

/** What model calls use up, in whole numbers, so that sums are exact: money in billionths of a US dollar. */
export interface Amounts {
  readonly tokens: number;
  readonly nanoUsd: number;
  readonly calls: number;
}

/** Limits of what an instance and all below it may use up. Time runs from when the budget was opened. */
export interface BudgetLimits extends Partial<Amounts> {
  readonly timeMs?: number;
}

/** A budget as it stands. */
export interface BudgetRecord {
  readonly limits: BudgetLimits;
  readonly spent: Amounts;
  /** For bookings that are not settled. */
  readonly reserved: Amounts;
  readonly openedAt: number;
}

/** The end of a booking. A request without one, or whose refusal is taken, changes no sum. */
export interface Settlement {
  /** The request, in the execution that the turn belongs to. */
  readonly eventId: number;
  /** What was used. Absent members: as much as was reserved. */
  readonly used: Partial<Amounts>;
}

/** The first limit that a booking would have broken: of the nearest budget, in the order tokens, money, calls, time. */
export interface Shortage {
  /** Whose budget. */
  readonly instanceId: string;
  readonly member: keyof BudgetLimits;
  readonly limit: number;
  /** Of time: what has passed. */
  readonly spent: number;
  readonly reserved: number;
  readonly wanted: number;
}

/** Whether there would be room if nothing were reserved: then there may be some when bookings are settled for less. */
export function mayPass({ member, limit, spent, wanted }: Shortage): boolean {
  return member !== "timeMs" && spent + wanted <= limit;
}

/**
 * What a turn changes in budgets: in that of its instance and in those of all instances above it, as far as they have
 * one. Done in this order. When the instance ends, or goes on to the next execution, what is left of its bookings is
 * released.
 */
export interface BudgetChanges {
  /** Gives the instance a budget of its own, unless it has one. */
  readonly opened?: BudgetLimits;
  readonly settled: readonly Settlement[];
  readonly bookings: readonly Booking[];
}

/**
 * Asks for room in all budgets concerned. There is room where each limited sum of spent, reserved and this stays within
 * its limit, and no limit of time has passed at `at` of the commit. A request that is booked already stays booked as it is.
 *
 * Where the shortage is of room that others have reserved and may give back ({@link mayPass}), the refusal stands until a booking in the
 * tree is settled, as it stands until a top-up: whoever is suspended for it, or will be, asks again.
 */
export interface Booking {
  readonly eventId: number;
  /** Absent when nobody can tell: then it is refused. */
  readonly amounts?: Amounts;
  /** The row of the request, written when it is booked: as never started when it was not booked before. */
  readonly work?: OutgoingWork;
  /** The answer that is sent in the place of the work when there is no room. */
  readonly refusal: (shortage: Shortage | undefined) => string;
}
