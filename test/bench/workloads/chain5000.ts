/** One instance of 5,000 sequential activities: what a step costs when nothing shares its commit, and whether it grows. */
import { activity, orchestration } from "@stet/core";
import { journalOf } from "../journals.ts";
import { drive, withRuntime } from "../programs.ts";
import { counted } from "../traffic.ts";
import type { Workload } from "../workload.ts";

/** See the head of the file. */
export const chain5000: Workload = {
  rows: [
    { id: "chain5000", unit: "µs a step", better: "lower", floor: 70, aim: 40 },
    { id: "chain5000.growth", unit: "last 500 / first 500", better: "lower", floor: 1.2 },
  ],
  async measure(run) {
    const steps = run.quick ? 500 : 5_000;
    const part = steps / 10;
    const times: number[] = [];
    const tick = activity("tick", (_ctx, n: number) => {
      times.push(performance.now());
      return n;
    });
    const ticks = orchestration("ticks", async (ctx, count: number) => {
      for (let i = 0; i < count; i++) await ctx.activity(tick, i);
      return count;
    });

    const [ms, traffic] = await withRuntime(run, { orchestrations: [ticks], activities: [tick] }, (runtime) =>
      counted(run, "chain5000", steps, () => drive(runtime, ticks, 1, steps)),
    );

    const journal = journalOf(run);
    const commits = await journal.oneByOne(await journal.volume());
    const limitMs = commits.reduce((sum, commit) => sum + commit, 0);
    const at = (index: number): number => times[index] ?? NaN;
    const growth = (at(steps - 1) - at(steps - 1 - part)) / (at(part) - at(0));
    return {
      chain5000: { value: (ms * 1000) / steps, limit: (limitMs * 1000) / steps },
      "chain5000.growth": { value: growth },
      ...traffic,
    };
  },
};
