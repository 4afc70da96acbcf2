/**
 * A worker that has one endless activity of each of many instances running. It starts the instances or, after the death
 * of such a worker, takes them over, and says how many milliseconds passed until all were running. Then it is killed.
 */
import { activity, type Logger, orchestration, Runtime } from "@stet/core";
import { storageOf } from "../programs.ts";
import type { Holding } from "../workloads/takeover.ts";
import { argumentOfChild, say } from "./child.ts";

const { run, count, startThem } = argumentOfChild<Holding>();
const running = new Set<string>();
let allRunning = (): void => undefined;
const ready = new Promise<void>((resolve) => (allRunning = resolve));

const endless = activity("endless", (ctx) => {
  running.add(ctx.instanceId);
  if (running.size === count) allRunning();
  return new Promise<void>(() => undefined);
});
const holder = orchestration("holder", (ctx) => ctx.activity(endless));
const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

const start = performance.now();
const runtime = await Runtime.start({
  storage: storageOf(run),
  orchestrations: [holder],
  activities: [endless],
  concurrency: { activities: count },
  logger: silent, // it warns of the dead worker
});
if (startThem) await Promise.all(Array.from({ length: count }, () => runtime.startOrchestration(holder)));
await ready;
await say({ ms: performance.now() - start });
