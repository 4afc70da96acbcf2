/**
 * The gate before one model: how many calls may start in this process at this moment. It knows the limits that were set,
 * and what the model itself has shown: a time before which it does not want to be asked, how much at once is too much for
 * it, and that it is down.
 *
 * Without limits and without trouble the gate is free: then nobody asks it anything but to count.
 */
import type { Failure, LlmErrorKind } from "../errors.ts";
import type { CapacityWindow } from "../storage.ts";
import { Breaker } from "./breaker.ts";
import { type ModelLimits, windowsOf } from "./model-limits.ts";
import type { Route } from "./model-table.ts";

/** A model that pushed back without saying for how long is left alone for so long. */
const pauseMs = 250;

/** After so many refusals on end the pause grows. */
const quickRefusals = 4;

const longestPauseMs = 8_000;

/** Kinds of failure that say that the model cannot be reached or does not work. */
const outages: ReadonlySet<unknown> = new Set<LlmErrorKind>(["unavailable", "timeout", "connection"]);

/** A call under way: after how many cuts, of the concurrency or by the breaker, it began. */
type Begun = number;

/** What a call holds from its admission to its end. */
export interface Asking {
  readonly gate: ModelGate;
  readonly begun: Begun;
  /** `now` of the claim that took capacity for it, if one did. */
  readonly claimedAt?: number;
}

/** What is known of a call that failed. */
interface Facts {
  readonly kind?: LlmErrorKind;
  readonly status?: number;
  readonly retryAfterMs?: number;
}

/** See the head of the file. */
export class ModelGate {
  readonly route: Route;
  readonly windows: readonly CapacityWindow[];
  readonly #isLimited: boolean;
  readonly #most: number;
  readonly #breaker = new Breaker();
  #running = 0;
  #closedUntil = 0;
  /** Calls at once that the model seems to bear. Absent while it has not complained. */
  #bearable: number | undefined;
  #cuts = 0;
  #refusals = 0;
  #successes = 0;

  /** @param slots - Most calls at once where nothing is said of the model. */
  constructor(route: Route, limits: ModelLimits | undefined, slots: number) {
    this.route = route;
    this.#isLimited = limits !== undefined;
    this.#most = Math.min(slots, limits?.concurrency ?? slots);
    this.windows = limits === undefined ? [] : windowsOf(limits);
  }

  get name(): string {
    return this.route.name;
  }

  /** Whether calls must wait in line and be claimed: then none starts without capacity. */
  isGuarded(now: number): boolean {
    return this.#isLimited || this.#bearable !== undefined || this.#breaker.isOpen || this.#closedUntil > now;
  }

  get countsTokens(): boolean {
    return this.windows.some(({ tokens }) => tokens !== undefined);
  }

  /** Before when no call may start. */
  get closedUntil(): number {
    return this.#closedUntil;
  }

  /** How many calls may start, as far as this process is concerned. */
  free(now: number): number {
    if (this.#closedUntil > now) return 0;
    const most = this.#breaker.isOpen ? 1 : (this.#bearable ?? this.#most);
    return Math.max(0, most - this.#running);
  }

  begin(): Begun {
    this.#running++;
    return this.#cuts;
  }

  /** The call was given up before it said anything about the model. */
  dropped(): void {
    this.#running--;
  }

  succeeded(): void {
    this.#running--;
    this.#breaker.succeeded();
    this.#refusals = 0;
    if (this.#bearable === undefined || ++this.#successes < this.#bearable) return;
    this.#successes = 0;
    this.#bearable = this.#bearable + 1 < this.#most ? this.#bearable + 1 : undefined;
  }

  /** Answers until when the model is closed, when it or the breaker says so: others should know. */
  failed(begun: Begun, failure: Failure, now: number): number | undefined {
    this.#running--;
    const { kind, status, retryAfterMs } = (failure.details ?? {}) as Facts;
    if (retryAfterMs !== undefined) {
      this.#cut(begun);
      return this.#close(now + retryAfterMs);
    }
    if (kind === "rate_limited" || status === 529) this.#refused(begun, now);
    if (!outages.has(kind) || (this.#breaker.isOpen && begun < this.#cuts)) return undefined; // that is known
    const pause = this.#breaker.failed();
    if (pause === undefined) return undefined;
    this.#cuts++;
    return this.#close(now + pause);
  }

  /** Refused calls that began together count as one refusal. */
  #refused(begun: Begun, now: number): void {
    if (begun < this.#cuts) return;
    this.#cut(begun);
    this.#refusals++;
    this.#close(now + Math.min(longestPauseMs, pauseMs * 2 ** Math.max(0, this.#refusals - quickRefusals)));
  }

  #cut(begun: Begun): void {
    if (begun < this.#cuts) return;
    this.#cuts++;
    this.#successes = 0;
    this.#bearable = Math.max(1, Math.floor(Math.min(this.#bearable ?? this.#most, this.#running + 1) / 2));
  }

  #close(until: number): number | undefined {
    if (until <= this.#closedUntil) return undefined;
    this.#closedUntil = until;
    return until;
  }
}
