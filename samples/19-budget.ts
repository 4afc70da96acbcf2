/**
 * Ten reports are to be summarized for four calls at most. The four are made, however many were asked for at once; then
 * the instance is suspended, and shows why. A top-up lets it go on where it stood: nothing is asked twice.
 *
 * A second orchestration catches what it is refused, and does with less.
 *
 * Prints:
 *   suspended: 1 more of calls wanted, of 4 nothing is left
 *   topped up: 10 summaries, 10 asked
 *   spent: 10 calls, $0.0015
 *   with less: Report 1 in short. | Report 2 in short. | (not summarized) | (not summarized)
 */
import { type BudgetExceededError, isStetError, Runtime, orchestration } from "@stet/core";
import { mock, says } from "@stet/mock";
import { sqlite } from "@stet/sqlite";

const reports = Array.from({ length: 10 }, (_, i) => `Report ${i + 1}`);

const summarizeAll = orchestration("summarizeAll", async (ctx, texts: string[]) =>
  Promise.all(texts.map((text) => ctx.summarize(text, { maxWords: 10 }))),
);

const summarizeSome = orchestration("summarizeSome", { budget: { calls: 2 } }, async (ctx, texts: string[]) => {
  const summaries = texts.map((text) =>
    ctx.summarize(text, { maxWords: 10 }).catch((error: unknown) => {
      if (isStetError(error, "budget_exceeded")) return "(not summarized)";
      throw error;
    }),
  );
  return (await Promise.all(summaries)).join(" | ");
});

const usage = { inputTokens: 100, outputTokens: 50 };
const llm = mock().on("summarize", ({ messages }) => {
  const [report] = /Report \d+/.exec(messages.at(-1)?.content ?? "") ?? [];
  return says(`${report} in short.`, { usage });
});
const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  llm,
  prices: ({ usage: { inputTokens, outputTokens } }) => (inputTokens + outputTokens) / 1_000_000,
  orchestrations: [summarizeAll, summarizeSome],
  logger: { debug() {}, info() {}, warn() {}, error() {} }, // it would tell that the instance is suspended
});
const { client } = runtime;

const run = await runtime.startOrchestration(summarizeAll, reports, { instanceId: "all", budget: { calls: 4 } });
for await (const { status, error } of run.changes()) {
  if (status !== "blocked") continue;
  const { shortage } = error as BudgetExceededError;
  console.log(
    `suspended: ${shortage?.wanted} more of ${shortage?.member} wanted, of ${shortage?.limit} nothing is left`,
  );
  break;
}

await client.topUp("all", { calls: 6 });
const summaries = await run.result();
console.log(`topped up: ${summaries.length} summaries, ${llm.calls.length} asked`);
const budget = await client.budget("all");
console.log(`spent: ${budget?.spent.calls} calls, $${budget?.spent.usd}`);

const some = await runtime.startOrchestration(summarizeSome, reports.slice(0, 4));
console.log("with less:", await some.result());
await runtime.shutdown();
