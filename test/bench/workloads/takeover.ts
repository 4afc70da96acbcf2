/** A worker with 10,000 instances in flight is killed: the time until another process has all of them running again. */
import { askChild } from "../children/child.ts";
import { journalOf } from "../journals.ts";
import type { Run, Workload } from "../workload.ts";

/** What a worker is told. */
export interface Holding {
  readonly run: Run;
  readonly count: number;
  readonly startThem: boolean;
}

/** See the head of the file. Counted from `Runtime.start`; the limit reads the histories and writes the work rows. */
export const takeover: Workload = {
  rows: [{ id: "takeover", unit: "ms", better: "lower", floor: 5_000, aim: 2_000 }],
  async measure(run) {
    const holding = { run, count: run.quick ? 500 : 10_000 };
    const hold = (startThem: boolean) =>
      askChild<{ ms: number }>("hold.ts", { ...holding, startThem } satisfies Holding);
    await hold(true); // and it is killed
    const { ms } = await hold(false);
    const journal = journalOf(run);
    const rewritten = await journal.volume("work");
    const load = { instances: holding.count, activitiesEach: 1 };
    const rewriting = rewritten.rows > 0 ? await journal.together(rewritten, load) : 0;
    return { takeover: { value: ms, limit: (await journal.read()) + rewriting } };
  },
};
