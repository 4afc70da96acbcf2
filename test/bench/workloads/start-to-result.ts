/** One instance at a time, without an activity: from the call that starts it to its result in the caller's hands. */
import { orchestration } from "@stet/core";
import { journalOf } from "../journals.ts";
import { withRuntime } from "../programs.ts";
import { percentile } from "../statistics.ts";
import { counted } from "../traffic.ts";
import type { Workload } from "../workload.ts";

const nothing = orchestration("nothing", () => 1);

/** See the head of the file. The value is the median. */
export const startToResult: Workload = {
  rows: [
    { id: "startToResult", unit: "ms", better: "lower", floor: 0.5, aim: 0.1 },
    { id: "startToResult.p99", unit: "ms", better: "lower", floor: 3 },
  ],
  async measure(run) {
    const times: number[] = [];
    const count = run.quick ? 100 : 2_000;
    const [, traffic] = await withRuntime(run, { orchestrations: [nothing] }, (runtime) =>
      counted(run, "startToResult", count, async () => {
        for (let i = 0; i < count; i++) {
          const start = performance.now();
          const handle = await runtime.startOrchestration(nothing);
          await handle.result();
          times.push(performance.now() - start);
        }
      }),
    );
    const journal = journalOf(run);
    const commits = await journal.oneByOne(await journal.volume());
    const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
    return {
      startToResult: { value: p50, limit: percentile(commits, 0.5), p50, p99 },
      "startToResult.p99": { value: p99, limit: percentile(commits, 0.99) },
      ...traffic,
    };
  },
};
