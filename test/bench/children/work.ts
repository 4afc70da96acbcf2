/** A worker that runs what there is until it is killed. Its activities burn the processor for so many milliseconds. */
import { activity, Runtime } from "@stet/core";
import { chain, storageOf } from "../programs.ts";
import type { Employment } from "../workloads/two-workers.ts";
import { argumentOfChild, say } from "./child.ts";

const { run, burnMs } = argumentOfChild<Employment>();

const noop = activity("noop", (_ctx, n: number) => {
  for (const until = performance.now() + burnMs; performance.now() < until;);
  return n;
});

await Runtime.start({ storage: storageOf(run), orchestrations: [chain], activities: [noop] });
await say("ready");
