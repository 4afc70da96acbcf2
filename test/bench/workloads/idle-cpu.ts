/** What a runtime costs that has nothing to do: 10,000 timers that fire tomorrow. */
import { setTimeout as sleep } from "node:timers/promises";
import { orchestration } from "@stet/core";
import { withRuntime } from "../programs.ts";
import type { Workload } from "../workload.ts";

const sleeper = orchestration("sleeper", (ctx) => ctx.timer("1d"));

/** See the head of the file. */
export const idleCpu: Workload = {
  rows: [{ id: "idleCpu", unit: "% of a core", better: "lower", floor: 1, aim: 0.2 }],
  async measure(run) {
    const count = run.quick ? 500 : 10_000;
    return withRuntime(run, { orchestrations: [sleeper] }, async (runtime) => {
      await Promise.all(Array.from({ length: count }, () => runtime.startOrchestration(sleeper)));
      while (runtime.stats().cachedExecutions < count) await sleep(5);
      await runtime.whenIdle();
      globalThis.gc?.();
      await sleep(run.quick ? 200 : 2_000); // what the start left behind is done with

      const [cpu, start] = [process.cpuUsage(), performance.now()];
      await sleep(run.quick ? 500 : 8_000); // four heartbeats
      const { user, system } = process.cpuUsage(cpu);
      const ms = performance.now() - start;
      return { idleCpu: { value: ((user + system) / 1000 / ms) * 100 } };
    });
  },
};
