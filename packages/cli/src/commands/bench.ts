import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { Command } from "@commander-js/extra-typings";
import { activity, orchestration, Runtime, type StorageProvider } from "@stet/core";
import type { CommandFile } from "../command.ts";
import { table } from "../table.ts";
import { count } from "../values.ts";

/** `stet bench`: how fast this machine and a store are together. */
export const bench: CommandFile = (session) =>
  new Command("bench")
    .description("measure this machine with a new SQLite file, or with the store that --storage names")
    .option("--instances <count>", "how many instances run at once", count, 500)
    .option("--steps <count>", "activities of each, one after the other", count, 20)
    .action(async ({ instances, steps }) => {
      const folder = await mkdtemp(join(tmpdir(), "stet-bench-"));
      try {
        const { storage, name } = await session.storageByFlag(`sqlite:${join(folder, "bench.db")}`);
        session.out.note(`${instances} instances of ${steps} steps on ${name}`);
        const measured = { store: name, instances, steps, ...(await measure(storage, instances, steps)) };
        session.out.result(measured, (look) =>
          table(
            ["MEASURED", "A SECOND"],
            [
              ["durable steps", Math.round(measured.stepsPerSecond).toString()],
              ["instances, from start to result", Math.round(measured.instancesPerSecond).toString()],
              ["steps of one instance alone", Math.round(measured.stepsAlonePerSecond).toString()],
            ],
            look,
          ),
        );
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });

const nothing = activity("stet.bench.nothing", async (_ctx, step: number) => step);

const walk = orchestration("stet.bench.walk", async (ctx, steps: number) => {
  for (let step = 0; step < steps; step++) await ctx.activity(nothing, step);
});

interface Speeds {
  readonly stepsPerSecond: number;
  readonly instancesPerSecond: number;
  readonly stepsAlonePerSecond: number;
}

/** Leaves the store as it was. */
async function measure(storage: StorageProvider, instances: number, steps: number): Promise<Speeds> {
  const runtime = await Runtime.start({ storage, orchestrations: [walk], activities: [nothing] });
  const started: string[] = [];
  const run = async (stepsOfIt: number): Promise<void> => {
    const handle = await runtime.startOrchestration(walk, stepsOfIt);
    started.push(handle.instanceId);
    await handle.result();
  };
  try {
    await run(steps); // the first is slower than all others
    const alone = await secondsOf(() => run(instances));
    const together = await secondsOf(() => Promise.all(Array.from({ length: instances }, () => run(steps))));
    return {
      stepsPerSecond: (instances * steps) / together,
      instancesPerSecond: instances / together,
      stepsAlonePerSecond: instances / alone,
    };
  } finally {
    for (const instanceId of started) await runtime.client.delete(instanceId, { force: true });
    await runtime.shutdown();
  }
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}
