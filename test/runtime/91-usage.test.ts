/** Usage and cost: recorded with each answer, summed by instance, tree, model and label, and never counted twice. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import {
  aesGcm,
  Client,
  type LlmUsage,
  orchestration,
  packagedPrices,
  type Prices,
  type UsageTotals,
} from "@stet/core";
import { mock, says } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { environment, fails, ofKind } from "./world.ts";

const usage: LlmUsage = { inputTokens: 1_000, outputTokens: 500 };

const none: UsageTotals = {
  calls: 0,
  cacheHits: 0,
  failedAttempts: 0,
  inputTokens: 0,
  outputTokens: 0,
  cachedTokens: 0,
  reasoningTokens: 0,
  usd: 0,
  unpriced: 0,
  estimated: 0,
};

/** A cent for a thousand tokens, of priced models only. */
const prices: Prices = ({ model, usage: { inputTokens, outputTokens } }) =>
  model === "free-of-table" ? undefined : (inputTokens + outputTokens) / 100_000;

const ask = orchestration("ask", async (ctx, label: string | undefined) =>
  ctx.generate("?", label === undefined ? {} : { label }),
);

test("the packaged prices know the models of the large vendors, offline, and say nothing of others", async () => {
  const packaged = await packagedPrices();
  const price = (provider: string, model: string, more: Partial<LlmUsage> = {}) =>
    packaged({ provider, model, usage: { ...usage, ...more }, at: Date.UTC(2026, 0, 1) });

  assert.equal(price("openai", "gpt-4o"), 0.0075);
  assert.equal(price("openai", "gpt-4o", { cachedTokens: 1_000 }), 0.00625);
  assert.equal(price("azure-openai", "gpt-4o"), 0.0075);
  assert.ok(Math.abs((price("anthropic", "claude-sonnet-4-5") ?? 0) - 0.0105) < 1e-9);
  assert.equal(price("openai", "text-embedding-3-small", { outputTokens: 0 }), 0.00002);
  assert.equal(price("mock", "mock-1"), undefined);
  assert.equal(price("openai", "no-such-model"), undefined);
});

test("an answer is recorded with its price, by the packaged prices when no others are given", async (t) => {
  const llm = mock({ name: "openai" }).otherwise(says("ok", { usage, model: "gpt-4o-2024-08-06" }));
  const env = await environment(t, { orchestrations: [ask], llm });
  const run = await env.startOrchestration(ask, undefined);
  await env.result(run);
  assert.equal(ofKind(await run.history(), "LlmCompleted")[0]?.costUsd, 0.0075);
  assert.equal((await env.client.usage(run.instanceId)).instance.usd, 0.0075);
});

test("a model without a price is unpriced, not free", async (t) => {
  const llm = mock().otherwise(says("ok", { usage }));
  const env = await environment(t, { orchestrations: [ask], llm });
  const run = await env.startOrchestration(ask, undefined);
  await env.result(run);
  assert.equal(ofKind(await run.history(), "LlmCompleted")[0]?.costUsd, undefined);
  const { instance } = await env.client.usage(run.instanceId);
  assert.deepEqual([instance.usd, instance.unpriced, instance.calls], [0, 1, 1]);
});

for (const [name, wrong] of [
  ["throw", () => assert.fail("no price today")],
  ["answer NaN", () => Number.NaN],
  ["answer less than nothing", () => -1],
] as const) {
  test(`prices that ${name} fail no call that has been paid for`, async (t) => {
    const llm = mock(["ok"]);
    const env = await environment(t, { orchestrations: [ask], llm, prices: wrong });
    const run = await env.startOrchestration(ask, undefined);
    assert.equal(await env.result(run), "ok");
    assert.deepEqual((await env.client.usage(run.instanceId)).instance.unpriced, 1);
  });
}

/** Asks twice, has two children that ask once each, one of them under a label. */
const family = orchestration("family", async (ctx) => {
  await ctx.generate("one", { label: "own" });
  await ctx.generate("two");
  await ctx.subOrchestration(ask, "child", { instanceId: `${ctx.instanceId}-1` });
  await ctx.subOrchestration(ask, undefined, { instanceId: `${ctx.instanceId}-2` });
});

/** The second question is answered by a model without a price, the third from a cache of the vendor's. */
function script() {
  return mock().reply(
    says("1", { usage }),
    says("2", { usage: { ...usage, estimated: true }, model: "free-of-table" }),
    says("3", { usage: { ...usage, cachedTokens: 600, reasoningTokens: 100 } }),
    says("4", { usage }),
  );
}

const once: UsageTotals = { ...none, calls: 1, inputTokens: 1_000, outputTokens: 500, usd: 0.015 };
const unpriced: UsageTotals = { ...once, usd: 0, unpriced: 1, estimated: 1 };

test("usage is summed for the instance and its tree, by model and by label", async (t) => {
  const env = await environment(t, { orchestrations: [family, ask], llm: script(), prices });
  const run = await env.startOrchestration(family, undefined, { instanceId: "f" });
  await env.result(run);

  const { instance, tree } = await env.client.usage("f");

  const own = { ...none, calls: 2, inputTokens: 2_000, outputTokens: 1_000, usd: 0.015, unpriced: 1, estimated: 1 };
  assert.deepEqual(instance, {
    ...own,
    byModel: { "mock-1": once, "free-of-table": unpriced },
    byLabel: { own: once },
  });
  const child: UsageTotals = { ...once, cachedTokens: 600, reasoningTokens: 100 };
  assert.deepEqual(tree, {
    ...own,
    calls: 4,
    inputTokens: 4_000,
    outputTokens: 2_000,
    cachedTokens: 600,
    reasoningTokens: 100,
    usd: 0.045,
    byModel: {
      "mock-1": { ...child, calls: 3, inputTokens: 3_000, outputTokens: 1_500, usd: 0.045 },
      "free-of-table": unpriced,
    },
    byLabel: { own: once, child },
  });
  assert.deepEqual((await env.client.usage("f-1")).tree.byLabel, { child });
  await assert.rejects(env.client.usage("nobody"), fails("instance_not_found"));
});

test("usage in total counts each instance once, by the labels of instances or whatever else finds them", async (t) => {
  const env = await environment(t, {
    orchestrations: [family, ask],
    llm: script().otherwise(says("5", { usage })),
    prices,
  });
  await env.result(await env.startOrchestration(family, undefined, { instanceId: "f", labels: { customer: "ada" } }));
  await env.result(await env.startOrchestration(ask, "x", { instanceId: "g", labels: { customer: "bo" } }));

  assert.equal((await env.client.totalUsage()).calls, 5);
  assert.equal((await env.client.totalUsage({ labels: { customer: "ada" } })).calls, 4);
  assert.equal((await env.client.totalUsage({ name: "ask" })).calls, 3);
  assert.deepEqual(await env.client.totalUsage({ labels: { customer: "bo" } }), {
    ...once,
    byModel: { "mock-1": once },
    byLabel: { x: once },
  });
  assert.deepEqual(await env.client.totalUsage({ labels: { customer: "cy" } }), { ...none, byModel: {}, byLabel: {} });
});

const again = orchestration("again", async (ctx, left: number): Promise<string> => {
  await ctx.generate("?", { label: "round" });
  return left === 0 ? ctx.generate("last") : ctx.continueAsNew(left - 1);
});

test("usage of executions before is carried, also when their histories are pruned, and grows by no round", async (t) => {
  const llm = mock().otherwise(says("ok", { usage }));
  const env = await environment(t, { orchestrations: [again], llm, prices });
  const run = await env.startOrchestration(again, 3, { instanceId: "a" });
  await env.result(run);
  const before = await env.client.usage("a");

  await env.client.prune({ keepExecutions: 1 });

  assert.deepEqual([before.instance.calls, before.instance.byLabel["round"]?.calls], [5, 4]);
  assert.deepEqual(await env.client.usage("a"), before);
  const [started] = ofKind(await run.history(), "OrchestrationStarted");
  assert.equal(started?.usage?.length, 1, "one row a model and label, however many executions");
});

test("replays, restarts and crashes count nothing twice; an instance that is tried again goes on counting", async (t) => {
  const flaky = orchestration("flaky", async (ctx) => {
    await ctx.generate("?");
    await ctx.timer("1s");
    throw new Error("no");
  });
  const llm = mock().otherwise(says("ok", { usage }));
  const env = await environment(t, { orchestrations: [flaky], llm, prices });
  const run = await env.startOrchestration(flaky, undefined, { instanceId: "r" });
  await env.settle();
  await env.crash();
  await env.restart();
  await assert.rejects(env.result(run));
  assert.equal((await env.client.usage("r")).instance.calls, 1);

  await env.client.retry("r");
  assert.equal((await env.client.usage("r")).instance.calls, 1, "also before its first turn");
  await assert.rejects(env.result(run));
  assert.equal((await env.client.usage("r")).instance.calls, 2);
});

test("a fork does not count what its origin has paid for", async (t) => {
  const pair = orchestration("pair", async (ctx) => [await ctx.generate("one"), await ctx.generate("two")]);
  const llm = mock().otherwise(says("ok", { usage }));
  const env = await environment(t, { orchestrations: [pair], llm, prices });
  await env.result(await env.startOrchestration(pair, undefined, { instanceId: "origin" }));
  const fork = await env.client.fork("origin", { atEvent: 3, newInstanceId: "fork" });
  await env.result(fork);
  assert.equal((await env.client.usage("origin")).instance.calls, 2);
  assert.equal((await env.client.usage("fork")).instance.calls, 1);
});

test("a client without the key reads usage of sealed histories: it holds no user data", async (t) => {
  const llm = mock().otherwise(says("ok", { usage }));
  const codec = aesGcm({ key: { id: "1", secret: randomBytes(32) } });
  const storage = sqlite(":memory:");
  const env = await environment(t, { storage, orchestrations: [again], llm, prices, codec });
  const run = await env.startOrchestration(again, 1, { instanceId: "s" });
  await env.result(run);
  const keyless = await Client.connect({ storage });
  await assert.rejects(keyless.instance("s").history(), fails("history_corrupt"));
  assert.equal((await keyless.usage("s")).instance.calls, 3);
  await keyless.close();
});
