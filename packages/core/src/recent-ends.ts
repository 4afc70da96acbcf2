/**
 * Which instances may have ended since a moment, as far back as is remembered: whoever starts many and waits for them
 * afterwards reads those that have ended meanwhile, and no others.
 */

/** Ends in each of the two ages. When the younger is full, the elder is forgotten. */
const mostRemembered = 10_000;

interface Age {
  /** The moment at which an instance was last told to have ended. */
  readonly momentOf: Map<string, number>;
  /** What was told after this moment is in it, or in a younger one. */
  readonly since: number;
}

/** See the head of the file. */
export class RecentEnds {
  #moment = 0;
  #younger: Age = { momentOf: new Map(), since: 0 };
  #elder: Age = this.#younger;

  /** Moves on with each note. */
  get moment(): number {
    return this.#moment;
  }

  /** These have ended. Absent: any may have. */
  note(ended: readonly string[] | undefined): void {
    if (ended?.length === 0) return;
    this.#moment++;
    if (ended === undefined) {
      this.#younger = { momentOf: new Map(), since: this.#moment };
      this.#elder = this.#younger;
      return;
    }
    const { momentOf } = this.#younger;
    for (const instanceId of ended) momentOf.set(instanceId, this.#moment);
    if (momentOf.size < mostRemembered) return;
    this.#elder = this.#younger;
    this.#younger = { momentOf: new Map(), since: this.#moment };
  }

  /** Whether an instance may have ended after a moment. */
  mayHaveEnded(instanceId: string, after: number): boolean {
    if (after < this.#elder.since) return true;
    const { momentOf } = this.#younger;
    return (momentOf.get(instanceId) ?? this.#elder.momentOf.get(instanceId) ?? 0) > after;
  }
}
