/** A new process that finds one instance to go on with: milliseconds from its claim to its result. */
import { Runtime } from "@stet/core";
import { journalOf } from "../journals.ts";
import { noop, storageOf } from "../programs.ts";
import { type Resumption, resumable } from "../workloads/cold-resume.ts";
import { argumentOfChild, say } from "./child.ts";

const { run, instanceId } = argumentOfChild<Resumption>();
const store = storageOf(run);
let claimedAt: number | undefined;
const storage: typeof store = {
  ...store,
  async claimTurns(claim) {
    const start = performance.now();
    const turns = await store.claimTurns(claim);
    if (turns.length > 0) claimedAt ??= start;
    return turns;
  },
};
const runtime = await Runtime.start({ storage, orchestrations: [resumable], activities: [noop] });
await runtime.instance(instanceId).result();
const ms = performance.now() - (claimedAt ?? NaN);
await runtime.shutdown();
await say({ ms, limitMs: await journalOf(run).read() });
process.disconnect();
