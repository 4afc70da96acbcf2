/** 10,000 instances that wait for an event: the memory of each, cached and evicted, and the time to wake them all. */
import { setTimeout as sleep } from "node:timers/promises";
import { orchestration, type Runtime } from "@stet/core";
import { journalOf } from "../journals.ts";
import { withRuntime } from "../programs.ts";
import { beside } from "../scratch.ts";
import type { Run, Workload } from "../workload.ts";

/** See the head of the file. */
export const idleMemory: Workload = {
  rows: [
    { id: "idleMemory.kb", unit: "KB each, cached", better: "lower", floor: 6, aim: 3 },
    { id: "idleMemory.evictedKb", unit: "KB each, evicted", better: "lower" },
    { id: "idleMemory.wakeMs", unit: "ms, cached", better: "lower", floor: 1000, aim: 300 },
    { id: "idleMemory.wakeEvictedMs", unit: "ms, evicted", better: "lower", floor: 1000, aim: 300 },
  ],
  async measure(run) {
    const count = run.quick ? 500 : 10_000;
    const cached = await waitAndWake(run, count, "cached");
    const evicted = await beside(run, (other) => waitAndWake(other, count, "evicted"));
    return {
      "idleMemory.kb": { value: cached.kb },
      "idleMemory.evictedKb": { value: evicted.kb },
      "idleMemory.wakeMs": { value: cached.wakeMs, limit: cached.limitMs },
      "idleMemory.wakeEvictedMs": { value: evicted.wakeMs, limit: evicted.limitMs },
    };
  },
};

interface Outcome {
  readonly kb: number;
  readonly wakeMs: number;
  readonly limitMs: number;
}

async function waitAndWake(run: Run, count: number, state: "cached" | "evicted"): Promise<Outcome> {
  let begun = 0;
  const waiter = orchestration("waiter", async (ctx) => {
    begun++;
    return ctx.waitForEvent<number>("go");
  });
  const ids = Array.from({ length: count }, (_, i) => `waiter-${i}`);
  const { kb, wakeMs } = await withRuntime(run, { orchestrations: [waiter] }, async (runtime) => {
    const before = await memory();
    await Promise.all(ids.map((instanceId) => runtime.startOrchestration(waiter, undefined, { instanceId })));
    while (begun < count) await sleep(5);
    await runtime.whenIdle();
    if (state === "evicted") await runtime.evictCache();
    assertCached(runtime, state === "evicted" ? 0 : count);
    const after = await memory();
    return { kb: (after - before) / count / 1024, wakeMs: await wake(runtime, ids) };
  });
  const journal = journalOf(run);
  const { rows, bytes } = await journal.volume();
  // Half of the history was there before the wake-up.
  const limitMs = await journal.together({ rows: rows / 2, bytes: bytes / 2 }, { instances: count, activitiesEach: 1 });
  return { kb, wakeMs, limitMs };
}

async function wake(runtime: Runtime, ids: readonly string[]): Promise<number> {
  const start = performance.now();
  await Promise.all(
    ids.map(async (id) => {
      const handle = runtime.instance<number>(id);
      await handle.raiseEvent("go", 1);
      await handle.result();
    }),
  );
  return performance.now() - start;
}

function assertCached(runtime: Runtime, expected: number): void {
  const { cachedExecutions } = runtime.stats();
  if (cachedExecutions !== expected) {
    throw new Error(`Expected ${expected} executions in the cache, got ${cachedExecutions}`);
  }
}

/** Bytes that cannot be collected. */
async function memory(): Promise<number> {
  if (globalThis.gc === undefined) throw new Error("Expected node to be started with --expose-gc");
  for (let i = 0; i < 3; i++) {
    await sleep(20);
    globalThis.gc();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
