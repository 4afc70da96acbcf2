/**
 * Slots for one kind of work, and what waits for them in this worker, in the order of its rank.
 */
import type { Job } from "./job.ts";
import { rankOf } from "./messages.ts";

/** See the head of the file. */
export class Pool {
  readonly slots: number;
  running = 0;
  /** Whether work was left in the store because no slot was free: the next free slot asks for it. */
  leftWork = false;
  readonly #queue: Job[] = [];
  #head = 0;

  constructor(slots: number) {
    this.slots = slots;
  }

  get queued(): number {
    return this.#queue.length - this.#head;
  }
  get free(): number {
    return Math.max(0, this.slots - this.running - this.queued);
  }

  push(job: Job): void {
    const rank = rankOf(job.item);
    let place = this.#queue.length;
    while (place > this.#head && rankOf((this.#queue[place - 1] as Job).item) > rank) place--;
    if (place === this.#queue.length) this.#queue.push(job);
    else this.#queue.splice(place, 0, job);
  }

  shift(): Job | undefined {
    const job = this.#queue[this.#head];
    if (job === undefined) return undefined;
    this.#head++;
    if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    return job;
  }

  /** Everything that waits, which then waits no longer. */
  drain(): Job[] {
    const jobs: Job[] = [];
    for (let job = this.shift(); job !== undefined; job = this.shift()) jobs.push(job);
    return jobs;
  }
}
