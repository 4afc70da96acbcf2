/**
 * Recorded model calls. `llmOverhead` is what recording adds to one: the time from one request to the next when an
 * orchestration asks through `@stet/openai`, less that of a loop that asks the SDK itself, with a wire that answers at once.
 * `llmCalls` are calls of the scripted model from many instances.
 */
import { performance } from "node:perf_hooks";
import { orchestration } from "@stet/core";
import { mock } from "@stet/mock";
import { openai } from "@stet/openai";
import OpenAI from "openai";
import { journalOf } from "../journals.ts";
import { drive, withRuntime } from "../programs.ts";
import { percentile } from "../statistics.ts";
import type { Run, Workload } from "../workload.ts";

const question = "Is this a refund, a bug or something else?";

const askAgain = orchestration("askAgain", async (ctx, calls: number) => {
  for (let i = 0; i < calls; i++) await ctx.generate(question);
  return calls;
});

const wire = { model: "gpt-5", apiKey: "no-key-at-all", baseURL: "http://localhost/v1" };

/** A wire that answers at once and notes when it was asked. */
function instant(): { readonly fetch: typeof globalThis.fetch; readonly askedAt: number[] } {
  const askedAt: number[] = [];
  const body = JSON.stringify({
    id: "1",
    object: "chat.completion",
    created: 1,
    model: wire.model,
    choices: [{ index: 0, message: { role: "assistant", content: "refund" }, finish_reason: "stop" }],
    usage: { prompt_tokens: 12, completion_tokens: 1, total_tokens: 13 },
  });
  const fetch: typeof globalThis.fetch = () => {
    askedAt.push(performance.now());
    return Promise.resolve(new Response(body, { headers: { "content-type": "application/json" } }));
  };
  return { fetch, askedAt };
}

async function bareCycles(calls: number): Promise<number[]> {
  const { fetch, askedAt } = instant();
  const { model, apiKey, baseURL } = wire;
  const sdk = new OpenAI({ apiKey, baseURL, fetch, maxRetries: 0 });
  for (let i = 0; i < calls; i++) {
    await sdk.chat.completions.create({ model, messages: [{ role: "user", content: question }] });
  }
  return cycles(askedAt);
}

async function recordedCycles(run: Run, calls: number): Promise<number[]> {
  const { fetch, askedAt } = instant();
  await withRuntime(run, { llm: openai({ ...wire, fetch }), orchestrations: [askAgain] }, async (runtime) => {
    await (await runtime.startOrchestration(askAgain, calls)).result();
  });
  return cycles(askedAt);
}

/** From each request to the next, once everything is warm. */
function cycles(askedAt: readonly number[]): number[] {
  return askedAt
    .slice(1)
    .map((at, i) => at - (askedAt[i] ?? 0))
    .slice(Math.floor(askedAt.length / 10));
}

/** See the head of the file. */
export const llmOverhead: Workload = {
  rows: [{ id: "llmOverhead", unit: "ms over the SDK", better: "lower", floor: 0.5 }],
  async measure(run) {
    const calls = run.quick ? 50 : 2_000;
    const bare = percentile(await bareCycles(calls), 0.5);
    const recorded = await recordedCycles(run, calls);
    const over = (share: number) => percentile(recorded, share) - bare;
    return { llmOverhead: { value: over(0.5), p50: over(0.5), p99: over(0.99) } };
  },
};

/** See the head of the file. `bytes` are those of the history. */
export const llmCalls: Workload = {
  rows: [
    { id: "llmCalls", unit: "calls/s", better: "higher", floor: 2_000 },
    { id: "llmCalls.bytes", unit: "bytes a call", better: "lower" },
  ],
  async measure(run) {
    const [instances, calls] = run.quick ? ([5, 10] as const) : ([100, 100] as const);
    const llm = mock().otherwise("refund");
    const ms = await withRuntime(run, { llm, orchestrations: [askAgain] }, (runtime) =>
      drive(runtime, askAgain, instances, calls),
    );
    const all = instances * calls;
    const journal = journalOf(run);
    const volume = await journal.volume();
    const limitMs = await journal.together(volume, { instances, activitiesEach: calls });
    return {
      llmCalls: { value: all / (ms / 1_000), limit: all / (limitMs / 1_000) },
      "llmCalls.bytes": { value: volume.bytes / all },
    };
  },
};
