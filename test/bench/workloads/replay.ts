/** Events a second of a replay that nothing is read for: a history of 10,000 events against its code. */
import { replayHistory } from "@stet/testing";
import { chain, noop, withRuntime } from "../programs.ts";
import type { Workload } from "../workload.ts";

/** See the head of the file. */
export const replay: Workload = {
  rows: [{ id: "replay.eventsPerSecond", unit: "events/s", better: "higher" }],
  async measure(run) {
    const steps = run.quick ? 499 : 4_999; // two events each, one to start and one to end
    const history = await withRuntime(run, { orchestrations: [chain], activities: [noop] }, async (runtime) => {
      const handle = await runtime.startOrchestration(chain, steps);
      await handle.result();
      return handle.history();
    });
    const start = performance.now();
    const report = await replayHistory(chain, history);
    const ms = performance.now() - start;
    if (!report.ok) throw report.failure ?? new Error("Expected the history to replay");
    return { "replay.eventsPerSecond": { value: (history.length / ms) * 1000 } };
  },
};
