/** What stays in the store: the bytes of an activity, of an instance that has ended, and of one that waits. */
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { orchestration, type Runtime } from "@stet/core";
import { chain, drive, noop, storeFile, withRuntime } from "../programs.ts";
import { schemaSize } from "../postgres-site.ts";
import { beside } from "../scratch.ts";
import type { Run, Workload } from "../workload.ts";

const [few, many] = [1, 11];

/** See the head of the file. Inputs and results are numbers; indexes, and what updates leave behind, are counted. */
export const disk: Workload = {
  rows: [
    { id: "disk.activity", unit: "bytes each", better: "lower" },
    { id: "disk.instance", unit: "bytes each", better: "lower" },
    { id: "disk.waiting", unit: "bytes each", better: "lower" },
  ],
  async measure(run) {
    const count = run.quick ? 100 : 5_000;
    const empty = await bytesAfter(run, async () => {});
    const ended = (activities: number) =>
      bytesAfter(run, async (runtime) => void (await drive(runtime, chain, count, activities)));
    const [short, long] = [await ended(few), await ended(many)];
    const waiting = await bytesAfter(run, (runtime) => startWaiters(runtime, count));
    const activity = (long - short) / count / (many - few);
    return {
      "disk.activity": { value: activity },
      "disk.instance": { value: (short - empty) / count - few * activity },
      "disk.waiting": { value: (waiting - empty) / count },
    };
  },
};

let begun = 0;
const waiter = orchestration("waiter", async (ctx) => {
  begun++;
  return ctx.waitForEvent<number>("go");
});

async function startWaiters(runtime: Runtime, count: number): Promise<void> {
  begun = 0;
  await Promise.all(Array.from({ length: count }, () => runtime.startOrchestration(waiter)));
  while (begun < count) await sleep(5);
  await runtime.whenIdle();
}

/** The size of a store of its own after all that. */
function bytesAfter(run: Run, body: (runtime: Runtime) => Promise<void>): Promise<number> {
  return beside(run, async (other) => {
    await withRuntime(other, { orchestrations: [chain, waiter], activities: [noop] }, body);
    return other.postgres === undefined ? statSync(storeFile(other)).size : schemaSize(other.postgres);
  });
}
