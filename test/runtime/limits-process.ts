/**
 * A worker of its own, for `94-limits-processes.test.ts`. It says when it takes capacity and when its model is asked; the
 * model answers nothing before it is told to.
 */
import { once } from "node:events";
import { type CallClaim, LlmError, orchestration, Runtime } from "@stet/core";
import { mock } from "@stet/mock";
import { storeAt } from "../chaos/stores.ts";

/** What it says. */
export type Said =
  | { readonly what: "asked" | "looked" }
  /** It took capacity for a call, between these instants. */
  | { readonly what: "took"; readonly from: number; readonly to: number };

const [address = "", answer = ""] = process.argv.slice(2);
const say = (said: Said): void => void process.send?.(said);
process.on("disconnect", () => process.exit());

const storage = storeAt(address);
const claimCalls = storage.claimCalls.bind(storage);
storage.claimCalls = async (claim: CallClaim) => {
  const from = Date.now();
  const claimed = await claimCalls(claim);
  say({ what: "looked" });
  for (const _call of claimed.calls) say({ what: "took", from, to: Date.now() });
  return claimed;
};

const mayAnswer = once(process, "message");
const ask = orchestration("ask", async (ctx, prompt: string) => ctx.generate(prompt));
await Runtime.start({
  storage,
  orchestrations: [ask],
  llm: mock().otherwise(async () => {
    say({ what: "asked" });
    await mayAnswer;
    return answer === "done" ? answer : new LlmError("rate_limited", "slow down", { retryAfterMs: 20 * 60_000 });
  }),
  concurrency: { models: 1 },
  modelLimits: { "mock-1": { requestsPerSecond: 5 } },
});
