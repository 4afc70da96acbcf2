/**
 * How much a worker claims, and what it leaves to others. Whoever gives an instance away would be the first to take it
 * back when something comes for it. So it leaves what is nobody's to those who have more time, and now and then takes a
 * little of it all the same: something may keep them from it.
 */
import type { Concession } from "./load.ts";
import type { TurnClaim } from "./storage.ts";

/** Most messages in one claim. */
const mostMessages = 512;

/** The first claim of a worker; the next ones double. If it dies early, it had few others in its hands. */
const firstMessages = 16;

/** See the head of the file. */
export class Appetite {
  #max = firstMessages;
  #concession: Concession | undefined;
  #takesAll = false;

  /** What the next claim is about. */
  take(): Pick<TurnClaim, "max" | "leave"> {
    if (this.#takesAll) {
      this.#takesAll = false;
      return { max: firstMessages };
    }
    const max = this.#max;
    this.#max = Math.min(mostMessages, 2 * max);
    return { max, ...(this.#concession !== undefined && { leave: this.#concession.orchestrations }) };
  }

  /** Begins small again. */
  shrink(): void {
    this.#max = firstMessages;
  }

  /** What is left to others from now on. Answers whether there may be something that was left and is not any more. */
  concede(concession: Concession | undefined): boolean {
    this.#takesAll = concession !== undefined;
    const changes = this.#takesAll || this.#concession !== undefined;
    this.#concession = concession;
    return changes;
  }
}
