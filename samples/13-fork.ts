/**
 * What if the model had said no? A fork is a new instance with the history of another up to an event. It goes on from
 * there with the code of today, and one recorded result may be exchanged. Nothing before the fork is paid for again, and
 * the origin does not notice.
 *
 * A capsule is an instance as one JSON text: here both move into another store, where they can be looked at and forked.
 *
 * Prints:
 *   origin: refunded T-17 (key T-17/1/6)
 *   events: 3 ActivityCompleted, 5 LlmCompleted, 7 ActivityCompleted
 *   fork: wrote to T-17: we are sorry, but no
 *   the ticket was looked up 1 time, the model was asked 1 time
 *   elsewhere: refunded T-17 (key T-17/1/6) | wrote to T-17: we are sorry, but no
 *   forked there: refunded T-17 (key T-17-again/1/6)
 */
import { Runtime, activity, orchestration } from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";

let lookedUp = 0;
const lookUp = activity("lookUp", async (_ctx, id: string) => {
  lookedUp++;
  return `${id}: I was charged twice, and my patience is at an end.`;
});
const refund = activity("refund", async (ctx, id: string) => `refunded ${id} (key ${ctx.idempotencyKey})`);
const write = activity("write", async (_ctx, { id, text }: { id: string; text: string }) => `wrote to ${id}: ${text}`);

const handleTicket = orchestration("handleTicket", async (ctx, id: string) => {
  const ticket = await ctx.activity(lookUp, id);
  const entitled = await ctx.ifTrue("Is the customer entitled to a refund?", { about: ticket });
  if (entitled) return ctx.activity(refund, id);
  return ctx.activity(write, { id, text: "we are sorry, but no" });
});

const llm = mock().on("ifTrue", true);
const code = { llm, orchestrations: [handleTicket], activities: [lookUp, refund, write] };
const runtime = await Runtime.start({ storage: sqlite(":memory:"), ...code });
const { client } = runtime;

const origin = await runtime.startOrchestration(handleTicket, "T-17", { instanceId: "T-17" });
console.log("origin:", await origin.result());
const history = await origin.history();
const answers = history.filter(({ kind }) => kind.endsWith("Completed") && kind !== "OrchestrationCompleted");
console.log("events:", answers.map(({ id, kind }) => `${id} ${kind}`).join(", "));

// The model's answer is event 5. In the fork it is another one.

const fork = await client.fork("T-17", {
  atEvent: 5,
  newInstanceId: "T-17-refused",
  replaceResult: { eventId: 5, result: false },
});
console.log("fork:", await fork.result());
console.log(`the ticket was looked up ${lookedUp} time, the model was asked ${llm.calls.length} time`);

// Both move into another store.

const capsules = await Promise.all(["T-17", "T-17-refused"].map(async (id) => JSON.stringify(await client.export(id))));
await runtime.shutdown();

const desk = await Runtime.start({ storage: sqlite(":memory:"), ...code });
const results: unknown[] = [];
for (const capsule of capsules) results.push(await (await desk.client.import(capsule)).result());
console.log("elsewhere:", results.join(" | "));
const again = await desk.client.fork("T-17", { atEvent: 5, newInstanceId: "T-17-again" });
console.log("forked there:", await again.result());
await desk.shutdown();
