/**
 * Time that tests own. It stands still until it is moved, and then moves at once: a timer of thirty days costs nothing.
 */
import type { Clock } from "@stet/core";

interface Timer {
  at: number;
  readonly order: number;
  readonly fire: () => void;
  readonly housekeeping: boolean;
}

/** A clock that stands still until it is moved. */
export class VirtualClock implements Clock {
  #now: number;
  #order = 0;
  readonly #timers = new Set<Timer>();

  /** @param startAt - Epoch milliseconds, or anything `Date` understands. */
  constructor(startAt: number | string | Date = "2026-01-01T00:00:00Z") {
    this.#now = new Date(startAt).getTime();
  }

  now(): number {
    return this.#now;
  }

  setTimer(at: number, fire: () => void, housekeeping = false): () => void {
    const timer: Timer = { at, fire, housekeeping, order: this.#order++ };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** When the next timer that somebody waits for is due. Housekeeping such as heartbeats is not waited for. */
  get nextAt(): number | undefined {
    let next: number | undefined;
    for (const { at, housekeeping } of this.#timers) {
      if (!housekeeping && (next === undefined || at < next)) next = at;
    }
    return next;
  }

  /** Jumps to an instant, also back, and fires what is due, oldest first. */
  jumpTo(at: number): void {
    this.#now = at;
    const due = [...this.#timers].filter((timer) => timer.at <= at).sort((a, b) => a.at - b.at || a.order - b.order);
    for (const timer of due) if (this.#timers.delete(timer)) timer.fire();
  }

  /**
   * Sets the clock without time passing, as people and time servers do: it shows another time, and what is under way takes
   * as long as it would have taken.
   */
  setTo(at: number): void {
    for (const timer of this.#timers) timer.at += at - this.#now;
    this.#now = at;
  }
}
