/** The orchestrations that are measured, and how they are run. */
import { join } from "node:path";
import {
  activity,
  type Orchestration,
  orchestration,
  Runtime,
  type RuntimeOptions,
  type StorageProvider,
} from "@stet/core";
import { postgres } from "@stet/postgres";
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

/** The store of a run, opened anew. */
export function storageOf(run: Run): StorageProvider {
  if (run.postgres !== undefined) return postgres(run.postgres);
  return sqlite(storeFile(run), { synchronous: run.synchronous });
}

/** Runs `body` with a runtime on the run's own store, and closes it. */
export async function withRuntime<Result>(
  run: Run,
  options: Omit<RuntimeOptions, "storage">,
  body: (runtime: Runtime) => Promise<Result>,
): Promise<Result> {
  const runtime = await Runtime.start({ storage: storageOf(run), ...options });
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
