/**
 * A person decides: the orchestration waits for an external event, for days if need be, and holds no process while it
 * does. What it waits for, and why, can be listed from anywhere; the answer is checked by a schema; and after a time
 * nobody's answer is an answer too.
 *
 * Prints:
 *   waiting: approval of {"item":"a desk","cost":900}
 *   desk: ordered, said Grace
 *   yacht: nobody answered in time
 */
import { Runtime, activity, isStetError, orchestration } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { z } from "zod";

const Purchase = z.object({ item: z.string(), cost: z.number() });
const Answer = z.object({ approved: z.boolean(), by: z.string() });

const order = activity("order", { effect: "irreversible" }, async (_ctx, item: string) => `ordered ${item}`);

const buy = orchestration("buy", { input: Purchase }, async (ctx, purchase) => {
  ctx.setStatus("waiting for approval");
  try {
    const answer = await ctx.waitForEvent("approval", { schema: Answer, details: purchase, timeout: "300ms" });
    if (!answer.approved) return `refused, said ${answer.by}`;
    await ctx.activity(order, purchase.item);
    return `ordered, said ${answer.by}`;
  } catch (error) {
    if (!isStetError(error, "timeout")) throw error;
    return "nobody answered in time";
  }
});

const runtime = await Runtime.start({ storage: sqlite(":memory:"), orchestrations: [buy], activities: [order] });

const desk = await runtime.startOrchestration(buy, { item: "a desk", cost: 900 });
for await (const { customStatus } of desk.changes()) if (customStatus === "waiting for approval") break;

// What a page for approvers would show, and what its button would do. A second click with the same key is dropped.
const { waits } = await runtime.client.pendingWaits({ name: "approval" });
for (const { name, details } of waits) console.log(`waiting: ${name} of ${JSON.stringify(details)}`);
await desk.raiseEvent("approval", { approved: true, by: "Grace" }, { idempotencyKey: "click-1" });
console.log("desk:", await desk.result());

const yacht = await runtime.startOrchestration(buy, { item: "a yacht", cost: 900_000 });
console.log("yacht:", await yacht.result());

await runtime.shutdown();
