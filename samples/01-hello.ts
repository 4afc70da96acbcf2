/**
 * Hello: an orchestration that runs one activity, and the history it leaves behind.
 *
 * Prints:
 *   Hello, Ada!
 *   1 OrchestrationStarted
 *   2 ActivityScheduled
 *   3 ActivityCompleted
 *   4 OrchestrationCompleted
 */
import { Runtime, activity, orchestration } from "@stet/core";
import { sqlite } from "@stet/sqlite";

const greet = activity("greet", async (_ctx, name: string) => `Hello, ${name}!`);

const hello = orchestration("hello", async (ctx, name: string) => ctx.activity(greet, name));

const runtime = await Runtime.start({ storage: sqlite(":memory:"), orchestrations: [hello], activities: [greet] });

const handle = await runtime.startOrchestration(hello, "Ada");
console.log(await handle.result());
for (const { id, kind } of await handle.history()) console.log(id, kind);

await runtime.shutdown();
