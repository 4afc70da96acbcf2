/** Activities a second: many short instances, some longer ones, one wide one. */
import type { Orchestration } from "@stet/core";
import type { Load } from "../bare-journal.ts";
import { journalOf } from "../journals.ts";
import { chain, drive, fanOut, noop, withRuntime } from "../programs.ts";
import { counted } from "../traffic.ts";
import type { Run, Samples, Workload } from "../workload.ts";

interface Shape extends Load {
  readonly callee: Orchestration<number, number>;
}

/** 10,000 instances of 5 sequential activities, started as fast as possible. */
export const chain5x10k: Workload = {
  rows: [{ id: "chain5x10k", unit: "activities/s", better: "higher", floor: 40_000, aim: 100_000 }],
  measure: (run) =>
    throughput(run, "chain5x10k", { callee: chain, instances: run.quick ? 500 : 10_000, activitiesEach: 5 }),
};

/** 100 instances of 100 sequential activities. */
export const chain100x100: Workload = {
  rows: [{ id: "chain100x100", unit: "activities/s", better: "higher", floor: 50_000, aim: 100_000 }],
  measure: (run) =>
    throughput(run, "chain100x100", { callee: chain, instances: 100, activitiesEach: run.quick ? 10 : 100 }),
};

/** One instance that asks for 10,000 activities at once. */
export const fanout10k: Workload = {
  rows: [{ id: "fanout10k", unit: "activities/s", better: "higher", floor: 70_000, aim: 150_000 }],
  measure: (run) =>
    throughput(run, "fanout10k", { callee: fanOut, instances: 1, activitiesEach: run.quick ? 500 : 10_000 }),
};

async function throughput(run: Run, id: string, shape: Shape): Promise<Samples> {
  const { callee, instances, activitiesEach } = shape;
  const activities = instances * activitiesEach;
  const [ms, traffic] = await withRuntime(run, { orchestrations: [callee], activities: [noop] }, (runtime) =>
    counted(run, id, activities, () => drive(runtime, callee, instances, activitiesEach)),
  );
  const journal = journalOf(run);
  const limitMs = await journal.together(await journal.volume(), shape);
  return { [id]: { value: (activities / ms) * 1000, limit: (activities / limitMs) * 1000 }, ...traffic };
}
