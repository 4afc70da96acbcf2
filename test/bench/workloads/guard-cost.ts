/** What the guarded globals cost: the same work with and without them, in turn, so that both see the same machine. */
import { chain, drive, noop, storeFile, withRuntime } from "../programs.ts";
import { median } from "../statistics.ts";
import { rmSync } from "node:fs";
import type { Run, Workload } from "../workload.ts";

/** See the head of the file. */
export const guardCost: Workload = {
  rows: [{ id: "guardCost", unit: "time guarded / off", better: "lower" }],
  async measure(run) {
    const ratios: number[] = [];
    for (let pair = 0; pair < (run.quick ? 1 : 5); pair++) {
      // The second of a pair finds a warmer machine: each is the second every other time.
      const guardedFirst = pair % 2 === 0;
      const first = await chainMs(run, guardedFirst ? "guarded" : "off");
      const second = await chainMs(run, guardedFirst ? "off" : "guarded");
      ratios.push(guardedFirst ? first / second : second / first);
    }
    return { guardCost: { value: median(ratios) } };
  },
};

async function chainMs(run: Run, determinism: "guarded" | "off"): Promise<number> {
  const options = { orchestrations: [chain], activities: [noop], determinism };
  const ms = await withRuntime(run, options, (runtime) => drive(runtime, chain, 100, run.quick ? 10 : 100));
  rmSync(storeFile(run));
  return ms;
}
