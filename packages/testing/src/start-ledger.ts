/**
 * Who started what how often. A second start of the same call needs a reason: the one before threw, was given up, or its
 * process died. What is irreversible has none.
 */
import type { ActivityContext, AnyActivity } from "@stet/core";

/** One start of an activity. */
interface Start {
  readonly activity: string;
  /** Its process, by what only that process has. */
  readonly life: object;
  readonly signal: AbortSignal;
  threw: boolean;
}

/** See the head of the file. */
export class StartLedger {
  /** What was started without a reason. */
  readonly violations: string[] = [];
  readonly #starts = new Map<string, Start[]>();

  /** Writes a start down and runs it. */
  async run(definition: AnyActivity, ctx: ActivityContext, run: () => unknown): Promise<unknown> {
    const { idempotencyKey: key, client: life, signal } = ctx;
    const start: Start = { activity: definition.name, life, signal, threw: false };
    const earlier = this.#starts.get(key) ?? [];
    const last = earlier.at(-1);
    this.#starts.set(key, [...earlier, start]);
    if (last !== undefined && definition.options.effect === "irreversible") {
      this.violations.push(
        `Expected the irreversible activity ${definition.name} (${key}) to be started once, got ${earlier.length + 1} starts`,
      );
    } else if (last?.life === life && !last.threw && !last.signal.aborted) {
      this.violations.push(
        `Expected activity ${definition.name} (${key}) to be started again only after a failure or a crash, got start ${earlier.length + 1} while start ${earlier.length} stood`,
      );
    }
    try {
      return await run();
    } catch (error) {
      start.threw = true;
      throw error;
    }
  }

  /** How often each call was started, by idempotency key. */
  get starts(): ReadonlyMap<string, { readonly activity: string; readonly times: number }> {
    return new Map(
      [...this.#starts].map(([key, starts]) => [key, { activity: starts[0]?.activity ?? "", times: starts.length }]),
    );
  }

  /** How often each activity was started. */
  get startsByActivity(): ReadonlyMap<string, number> {
    const totals = new Map<string, number>();
    for (const { activity, times } of this.starts.values()) totals.set(activity, (totals.get(activity) ?? 0) + times);
    return totals;
  }
}
