/**
 * An instance that lives for ever: it ends its execution from time to time and begins the next one with a fresh history.
 * Its state, its labels and the events that it has not received yet go with it, so nothing is lost in between.
 *
 * Prints:
 *   total 28, the largest entry was 7
 *   execution 1: OrchestrationStarted(0) ... ContinuedAsNew
 *   execution 2: OrchestrationStarted(6) ... ContinuedAsNew
 *   execution 3: OrchestrationStarted(21) ... OrchestrationCompleted
 */
import { Runtime, orchestration } from "@stet/core";
import { sqlite } from "@stet/sqlite";

const entriesInOneExecution = 3;

const ledger = orchestration("ledger", async (ctx, total: number) => {
  for (let n = 0; n < entriesInOneExecution; n++) {
    const entry = await ctx.waitForEvent<number | "close">("entry");
    if (entry === "close") return `total ${total}, the largest entry was ${ctx.state.get<number>("largest")}`;
    total += entry;
    ctx.state.set("largest", Math.max(entry, ctx.state.get<number>("largest") ?? entry));
  }
  return ctx.continueAsNew(total);
});

const runtime = await Runtime.start({ storage: sqlite(":memory:"), orchestrations: [ledger] });

const book = await runtime.startOrchestration(ledger, 0);
for (const entry of [1, 2, 3, 4, 5, 6, 7]) await book.raiseEvent("entry", entry);
await book.raiseEvent("entry", "close");
console.log(await book.result());

for (const { execution } of await runtime.client.executions(book.instanceId)) {
  const events = await book.history(execution);
  const [first, last] = [events[0], events.at(-1)];
  if (first?.kind === "OrchestrationStarted") {
    console.log(`execution ${execution}: ${first.kind}(${JSON.stringify(first.input)}) ... ${last?.kind}`);
  }
}

await runtime.shutdown();
