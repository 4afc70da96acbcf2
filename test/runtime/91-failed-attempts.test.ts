/** What attempts use that come to nothing is recorded where the provider was told, priced, summed, and drawn from budgets. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { type TestContext, test } from "node:test";
import {
  aesGcm,
  Client,
  type HistoryEvent,
  LlmError,
  type LlmErrorKind,
  type LlmUsage,
  orchestration,
  type Prices,
} from "@stet/core";
import { mock, type MockLlm, says } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { VirtualClock } from "@stet/testing";
import { environment, ofKind } from "./world.ts";

const usage: LlmUsage = { inputTokens: 100, outputTokens: 50 };
const lost: LlmUsage = { inputTokens: 100, outputTokens: 7, cachedTokens: 60 };

/** A cent for a thousand tokens. */
const prices: Prices = ({ usage: { inputTokens, outputTokens } }) => (inputTokens + outputTokens) / 100_000;
const lostUsd = 0.00107;

const ask = orchestration("ask", async (ctx) => ctx.generate("?", { label: "letter" }));
const twice = orchestration("twice", async (ctx) => Promise.all([ctx.generate("one"), ctx.generate("two")]));
const tell = orchestration("tell", async (ctx) =>
  ctx.generate("?").catch((error: unknown) => (error as LlmError).usage?.outputTokens),
);

const failed = (kind: LlmErrorKind, more: ConstructorParameters<typeof LlmError>[2] = {}) =>
  new LlmError(kind, "that was nothing", { usage: lost, ...more });

function named(name: string): MockLlm {
  return mock({ name, model: name });
}

/** What was recorded to be wasted, in short. */
function wastedIn(
  events: readonly HistoryEvent[],
): (readonly [attempt: number, model: string, usd: number | undefined])[] {
  return [...ofKind(events, "LlmCompleted"), ...ofKind(events, "LlmFailed")]
    .flatMap(({ wasted = [] }) => wasted)
    .map(({ attempt, model, costUsd }) => [attempt, model, costUsd]);
}

test("attempts that came to nothing stand on the answer, and in the sums beside it", async (t) => {
  const llm = mock().reply(
    failed("malformed"),
    new LlmError("unavailable", "not even begun"),
    says("Once upon", { thenFails: failed("connection") }),
    says("ok", { usage }),
  );
  const env = await environment(t, { orchestrations: [ask], llm, prices });
  const run = await env.startOrchestration(ask, undefined);
  assert.equal(await env.result(run), "ok");

  const [completed] = ofKind(await run.history(), "LlmCompleted");
  const wasted = { model: "mock-1", usage: lost, costUsd: lostUsd };
  assert.deepEqual(completed?.wasted, [
    { attempt: 1, ...wasted },
    { attempt: 3, ...wasted },
  ]);
  assert.deepEqual([completed?.usage, completed?.costUsd, completed?.attempts], [usage, 0.0015, 4]);
  const { instance } = await env.client.usage(run.instanceId);
  const sums = {
    calls: 1,
    cacheHits: 0,
    failedAttempts: 2,
    inputTokens: 300,
    outputTokens: 64,
    cachedTokens: 120,
    reasoningTokens: 0,
    usd: 0.00364,
    unpriced: 0,
    estimated: 0,
  };
  assert.deepEqual(instance, { ...sums, byModel: { "mock-1": sums }, byLabel: { letter: sums } });
});

test("a call without such attempts says nothing of them", async (t) => {
  const llm = mock().reply(new LlmError("unavailable", "away"), says("ok", { usage }));
  const env = await environment(t, { orchestrations: [ask], llm, prices });
  const run = await env.startOrchestration(ask, undefined);
  await env.result(run);
  assert.ok(!("wasted" in (ofKind(await run.history(), "LlmCompleted")[0] ?? {})));
});

for (const [kind, attempts] of [
  ["refused", 1],
  ["content_filter", 1],
  ["malformed", 4],
] as const) {
  test(`a call that is ${kind} for good has used what its ${attempts} attempts used, and the error says what the last did`, async (t) => {
    const env = await environment(t, { orchestrations: [tell], llm: mock().otherwise(failed(kind)), prices });
    const run = await env.startOrchestration(tell, undefined);
    assert.equal(await env.result(run), 7);
    assert.equal(wastedIn(await run.history()).length, attempts);
    const { instance } = await env.client.usage(run.instanceId);
    assert.deepEqual([instance.calls, instance.failedAttempts, instance.inputTokens], [0, attempts, 100 * attempts]);
  });
}

test("each attempt is priced as the model that was asked; without a price it is unpriced", async (t) => {
  const first = named("first").otherwise(failed("unavailable"));
  const second = named("second").otherwise(says("ok", { usage }));
  const env = await environment(t, {
    orchestrations: [ask],
    llm: { default: ["first", "second/big"], first, second },
    prices: (asked) => (asked.model === "first" ? undefined : prices(asked)),
  });
  const run = await env.startOrchestration(ask, undefined);
  await env.result(run);
  assert.deepEqual(wastedIn(await run.history()), [[1, "first", undefined]]);
  const { byModel, unpriced, usd } = (await env.client.usage(run.instanceId)).instance;
  assert.deepEqual([unpriced, usd, byModel["first"]?.failedAttempts, byModel["big"]?.calls], [1, 0.0015, 1, 1]);
});

test("what was used in vain is known to whoever tries again: after a restart, under a limit, down a chain", async (t) => {
  const first = named("first").otherwise(failed("unavailable"));
  const second = named("second").reply(failed("rate_limited", { retryAfterMs: 60_000 }), says("ok", { usage }));
  const codec = aesGcm({ key: { id: "1", secret: randomBytes(32) } });
  const storage = sqlite(":memory:");
  const env = await environment(t, {
    storage,
    orchestrations: [ask],
    llm: { default: ["first", "second"], first, second },
    modelLimits: { second: { requestsPerMinute: 100 } },
    prices,
    codec,
  });
  const run = await env.startOrchestration(ask, undefined);
  await env.until(() => second.calls.length === 1);
  await env.settle();
  await env.restart({ llm: { default: ["second"], first, second } });
  assert.equal(await env.result(run), "ok");
  assert.deepEqual(wastedIn(await run.history()), [
    [1, "first", lostUsd],
    [2, "second", lostUsd],
  ]);
  const keyless = await Client.connect({ storage });
  assert.equal((await keyless.usage(run.instanceId)).instance.failedAttempts, 2, "it is sealed for nobody");
});

test("a call that goes on under a row takes along what it has used", async (t) => {
  const first = named("first").otherwise((_request, { order }) => (order === 1 ? failed("unavailable") : "not again"));
  let hang = true;
  const second = named("second").otherwise(() => (hang ? new Promise<never>(() => undefined) : says("ok", { usage })));
  const env = await environment(t, {
    orchestrations: [twice],
    llm: { default: ["first", "second"], first, second },
    prices,
  });
  const run = await env.startOrchestration(twice, undefined, { instanceId: "t", budget: { calls: 1 } });
  await env.until(async () => second.calls.length === 1 && (await run.status()).status === "blocked");
  hang = false; // the instance is suspended, so its running call has got a row
  await env.restart();
  await env.client.topUp("t", { calls: 1 });
  await env.result(run);
  assert.deepEqual(wastedIn(await run.history()), [[1, "first", lostUsd]]);
});

test("an answer from the cache costs nothing, but what was used before it was found does", async (t) => {
  const cached = orchestration("cached", async (ctx) => ctx.generate("?", { cache: { scope: "global", ttl: "1h" } }));
  const llm = mock().reply(failed("unavailable"), says("ok", { usage }));
  const env = await environment(t, { orchestrations: [cached], llm, prices });
  const [one, two] = [await env.startOrchestration(cached, undefined), await env.startOrchestration(cached, undefined)];
  await Promise.all([env.result(one), env.result(two)]);
  const [first, second] = await Promise.all([one, two].map(({ instanceId }) => env.client.usage(instanceId)));
  const sumOf = (member: "failedAttempts" | "calls" | "cacheHits") =>
    (first?.instance[member] ?? 0) + (second?.instance[member] ?? 0);
  assert.deepEqual([sumOf("calls"), sumOf("cacheHits")], [1, 1]);
  assert.equal(sumOf("failedAttempts"), 1, "whoever shares a failure has not paid for it");
});

test("budgets are settled with what all attempts used; a refusal is no gift", async (t) => {
  for (const [script, spent] of [
    [mock().reply(failed("malformed"), failed("malformed"), says("ok", { usage })), { tokens: 364, usd: 0.00364 }],
    [mock().reply(failed("refused")), { tokens: 107, usd: 0.00107 }],
  ] as const) {
    const env = await environment(t, { orchestrations: [tell], llm: script, prices });
    const run = await env.startOrchestration(tell, undefined, { instanceId: "b", budget: { tokens: 100_000 } });
    await env.result(run);
    const report = await env.client.budget("b");
    assert.deepEqual(report?.spent, { ...spent, calls: 1, timeMs: report?.spent.timeMs });
    assert.deepEqual(report?.reserved, { tokens: 0, usd: 0, calls: 0 });
  }
});

test("a failed attempt without a price draws as much money as was reserved", async (t) => {
  let asked = 0;
  const llm = mock().reply(failed("malformed"), says("ok", { usage, model: "of-a-price" }));
  const env = await environment(t, {
    orchestrations: [ask],
    llm,
    prices: (call) => (call.model === "mock-1" && asked++ > 0 ? undefined : prices(call)),
  });
  const run = await env.startOrchestration(ask, undefined, { instanceId: "b", budget: { usd: 1 } });
  await env.result(run);
  assert.ok(((await env.client.budget("b"))?.spent.usd ?? 0) > 0.04, "4,096 tokens were reserved");
});

test("tokens per minute count what failed attempts used", async (t) => {
  const clock = new VirtualClock();
  const at: number[] = [];
  const llm = mock().otherwise((_request, { order }) => {
    at.push(clock.now());
    return order === 1 ? failed("refused", { usage: { inputTokens: 1_000, outputTokens: 0 } }) : says("ok", { usage });
  });
  const env = await environment(t, {
    clock,
    orchestrations: [tell],
    llm,
    modelLimits: { "mock-1": { tokensPerMinute: 1_000, concurrency: 1 } },
  });
  const runs = [await env.startOrchestration(tell, undefined), await env.startOrchestration(tell, undefined)];
  for (const run of runs) await env.result(run);
  assert.equal(Math.round(((at[1] ?? 0) - (at[0] ?? 0)) / 60_000), 1);
});

test("the sums go on through executions, and diagnostics tell of each attempt", async (t) => {
  const again = orchestration("again", async (ctx, left: number): Promise<void> => {
    await ctx.generate("?");
    if (left > 0) return ctx.continueAsNew(left - 1);
  });
  const heard: unknown[] = [];
  listen(t, (message) => heard.push((message as { usage?: LlmUsage }).usage?.outputTokens));
  const llm = mock().reply(failed("malformed"), says("1", { usage }), failed("malformed"), says("2", { usage }));
  const env = await environment(t, { orchestrations: [again], llm, prices });
  const run = await env.startOrchestration(again, 1, { instanceId: "a" });
  await env.result(run);
  assert.equal((await env.client.usage("a")).instance.failedAttempts, 2);
  assert.deepEqual(heard, [7, 50, 7, 50]);
});

/** Hears what `stet:work` says as long as the test lasts. */
function listen(t: TestContext, heard: (message: unknown) => void): void {
  subscribe("stet:work", heard);
  t.after(() => unsubscribe("stet:work", heard));
}
