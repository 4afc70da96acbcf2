/** An instance with 2,000 recorded steps that a new process takes up: the time from its claim to its end. */
import { Client, orchestration } from "@stet/core";
import { askChild } from "../children/child.ts";
import { noop, storageOf, withRuntime } from "../programs.ts";
import type { Run, Workload } from "../workload.ts";

/** What the new process is told. */
export interface Resumption {
  readonly run: Run;
  readonly instanceId: string;
}

let waiting = (): void => undefined;

/** So many steps, a wait, and the end. */
export const resumable = orchestration("resumable", async (ctx, steps: number) => {
  for (let i = 0; i < steps; i++) await ctx.activity(noop, i);
  const go = ctx.waitForEvent("go");
  waiting();
  await go;
  return steps;
});

/** See the head of the file. The limit reads and parses the same rows. */
export const coldResume: Workload = {
  rows: [{ id: "coldResume", unit: "ms", better: "lower", floor: 100, aim: 20 }],
  async measure(run) {
    const instanceId = "resumed";
    await withRuntime(run, { orchestrations: [resumable], activities: [noop] }, async (runtime) => {
      const isWaiting = new Promise<void>((resolve) => (waiting = resolve));
      await runtime.startOrchestration(resumable, run.quick ? 200 : 2_000, { instanceId });
      await isWaiting;
      await runtime.whenIdle();
    });
    const client = await Client.connect({ storage: storageOf(run) });
    await client.instance(instanceId).raiseEvent("go");
    await client.close();

    const told: Resumption = { run, instanceId };
    const { ms, limitMs } = await askChild<{ ms: number; limitMs: number }>("resume.ts", told);
    return { coldResume: { value: ms, limit: limitMs } };
  },
};
