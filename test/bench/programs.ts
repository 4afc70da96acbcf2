/** The orchestrations that are measured, and how they are run. */
import { join } from "node:path";
import { activity, type Orchestration, orchestration, Runtime, type RuntimeOptions } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import type { Run } from "./workload.ts";

/** Does nothing. */
export const noop = activity("noop", (_ctx, n: number) => n);

/** So many activities, one after the other. */
export const chain = orchestration("chain", async (ctx, steps: number) => {
  let last = 0;
  for (let i = 0; i < steps; i++) last = await ctx.activity(noop, i);
  return last;
});

/** So many activities at once. */
export const fanOut = orchestration("fanOut", async (ctx, width: number) => {
  const answers = await Promise.all(Array.from({ length: width }, (_, i) => ctx.activity(noop, i)));
  return answers.length;
});

/** The file of a run's store. */
export function storeFile(run: Pick<Run, "folder">): string {
  return join(run.folder, "store.db");
}

/** Runs `body` with a runtime on the run's own file, and closes it. */
export async function withRuntime<Result>(
  run: Run,
  options: Omit<RuntimeOptions, "storage">,
  body: (runtime: Runtime) => Promise<Result>,
): Promise<Result> {
  const storage = sqlite(storeFile(run), { synchronous: run.synchronous });
  const runtime = await Runtime.start({ storage, ...options });
  try {
    return await body(runtime);
  } finally {
    await runtime.shutdown({ timeout: 0 });
  }
}

/** Starts that many instances as fast as possible and waits for all their results. Answers milliseconds. */
export async function drive(
  runtime: Runtime,
  callee: Orchestration<number, number>,
  instances: number,
  input: number,
): Promise<number> {
  const start = performance.now();
  const handles = await Promise.all(Array.from({ length: instances }, () => runtime.startOrchestration(callee, input)));
  await Promise.all(handles.map((handle) => handle.result()));
  return performance.now() - start;
}
