/**
 * Fan out and fan in with the promises of the language: `Promise.all` for answers that are all needed, and
 * `Promise.allSettled` where some may fail. Nothing else is needed to replay them exactly: answers are delivered to the
 * code one at a time, in the order in which they were recorded.
 *
 * Prints:
 *   all of them: apples 30, bread 40, cheese 90
 *   together: 160
 *   those that are sold: apples, cheese
 *   not sold: the market has no truffles
 */
import { NonRetryableError, Runtime, activity, isStetError, orchestration } from "@stet/core";
import { sqlite } from "@stet/sqlite";

const prices = new Map([
  ["apples", 30],
  ["bread", 40],
  ["cheese", 90],
]);

const priceOf = activity("priceOf", async (_ctx, goods: string) => {
  const price = prices.get(goods);
  if (price === undefined) throw new NonRetryableError(`the market has no ${goods}`);
  return { goods, price };
});

const askForAll = orchestration("askForAll", async (ctx, list: string[]) => {
  return Promise.all(list.map((goods) => ctx.activity(priceOf, goods)));
});

const askForSome = orchestration("askForSome", async (ctx, list: string[]) => {
  const asked = list.map((goods) => ctx.activity(priceOf, goods));
  const answers = await Promise.allSettled(asked);
  return {
    sold: answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value.goods] : [])),
    notSold: answers.flatMap((answer) => (answer.status === "rejected" ? [causeOf(answer.reason)] : [])),
  };
});

/** A failed activity rejects with an `ActivityError`, whose cause is what the activity threw. */
function causeOf(error: unknown): string {
  return isStetError(error, "activity_failed") && error.cause instanceof Error ? error.cause.message : String(error);
}

const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  orchestrations: [askForAll, askForSome],
  activities: [priceOf],
});

const all = await runtime.startOrchestration(askForAll, ["apples", "bread", "cheese"]);
const found = await all.result();
console.log("all of them:", found.map(({ goods, price }) => `${goods} ${price}`).join(", "));
console.log(
  "together:",
  found.reduce((sum, { price }) => sum + price, 0),
);

const some = await runtime.startOrchestration(askForSome, ["apples", "truffles", "cheese"]);
const { sold, notSold } = await some.result();
console.log("those that are sold:", sold.join(", "));
console.log("not sold:", notSold.join(", "));

await runtime.shutdown();
