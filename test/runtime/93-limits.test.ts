/** Limits of models: no window sees too many calls, and what has to wait waits durably, in its order, for all to see. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LlmError, orchestration, Runtime, type RuntimeOptions, type StorageProvider } from "@stet/core";
import { mock, says } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { type TestEnvironment, VirtualClock } from "@stet/testing";
import { environment, fails, journal } from "./world.ts";

const ask = orchestration("ask", async (ctx, prompt: string) => ctx.generate(prompt));

const rush = orchestration("rush", async (ctx, prompts: { readonly prompt: string; readonly priority: number }[]) =>
  Promise.all(prompts.map(({ prompt, priority }) => ctx.generate(prompt, { priority }))),
);

/** A model that notes when it was asked what. */
function timed(now: () => number, options: { name?: string } = {}) {
  const asked: { readonly at: number; readonly prompt: string }[] = [];
  const llm = mock(options).otherwise(({ messages }) => {
    asked.push({ at: now(), prompt: messages.at(-1)?.content ?? "" });
    return "done";
  });
  return { llm, asked };
}

/** The most calls that any window of this length saw, wherever it begins. */
function busiest(asked: readonly { readonly at: number }[], windowMs: number): number {
  const times = asked.map(({ at }) => at).sort((a, b) => a - b);
  return Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + windowMs).length));
}

/** A store that notes which verbs are called. */
function counted(storage: StorageProvider, called: string[]): StorageProvider {
  return new Proxy(storage, {
    get(target, name) {
      const verb: unknown = Reflect.get(target, name);
      if (typeof verb !== "function") return verb;
      return (...given: unknown[]): unknown => {
        called.push(String(name));
        return Reflect.apply(verb, target, given);
      };
    },
  });
}

async function startMany(env: TestEnvironment, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await env.startOrchestration(ask, `question ${i}`, { instanceId: `ask-${i}` });
}

async function allAnswered(env: TestEnvironment, count: number): Promise<void> {
  for (let i = 0; i < count; i++) assert.equal(await env.result(env.client.instance(`ask-${i}`)), "done");
}

test("20 orchestrations against 5 requests per second: no second sees more, and none is left idle", async (t) => {
  const clock = new VirtualClock();
  const { llm, asked } = timed(() => clock.now());
  const modelLimits = { "mock/mock-1": { requestsPerSecond: 5 } };
  const env = await environment(t, { clock, orchestrations: [ask], llm, modelLimits });
  const startedAt = clock.now();
  await startMany(env, 20);
  await allAnswered(env, 20);
  assert.equal(asked.length, 20);
  assert.equal(busiest(asked, 1_000), 5);
  assert.ok(clock.now() - startedAt <= 3_400, `${clock.now() - startedAt} ms`);
});

test("two runtimes on one store keep the limit together", async (t) => {
  const clock = new VirtualClock();
  const { llm, asked } = timed(() => clock.now());
  const storage = sqlite(":memory:");
  const options = { storage, clock, llm, modelLimits: { "mock-1": { requestsPerSecond: 5 } }, logger: journal() };
  const env = await environment(t, { ...options, orchestrations: [ask] });
  const second = await Runtime.start({ ...options, orchestrations: [ask] });
  t.after(() => second.shutdown({ timeout: 0 }));
  await startMany(env, 20);
  while (asked.length < 20) {
    await env.settle();
    await second.whenIdle(); // time stands still until both have done what they can
    if (env.runtime.isIdle && asked.length < 20) clock.jumpTo(Math.max(clock.now(), clock.nextAt ?? 0));
  }
  await allAnswered(env, 20);
  assert.equal(asked.length, 20);
  assert.equal(busiest(asked, 1_000), 5);
});

test("requests per minute and per second hold together", async (t) => {
  const clock = new VirtualClock();
  const { llm, asked } = timed(() => clock.now());
  const modelLimits = { "mock-1": { requestsPerSecond: 5, requestsPerMinute: 12 } };
  const env = await environment(t, { clock, orchestrations: [ask], llm, modelLimits });
  await startMany(env, 20);
  await allAnswered(env, 20);
  assert.equal(busiest(asked, 1_000), 5);
  assert.equal(busiest(asked, 60_000), 12);
});

test("tokens per minute: a call starts while there are some, and what was used counts", async (t) => {
  const clock = new VirtualClock();
  const at: number[] = [];
  const usage = { inputTokens: 400, outputTokens: 200 };
  const llm = mock().otherwise(() => {
    at.push(clock.now());
    return says("done", { usage });
  });
  const env = await environment(t, {
    clock,
    orchestrations: [ask],
    llm,
    modelLimits: { "mock-1": { tokensPerMinute: 1_000, concurrency: 1 } },
  });
  await startMany(env, 5);
  await allAnswered(env, 5);
  assert.deepEqual(
    at.map((time) => Math.round((time - (at[0] ?? 0)) / 60_000)),
    [0, 0, 1, 1, 2],
  );
});

test("no more calls run at once than the model may have, and other models do not wait for it", async (t) => {
  let running = 0;
  let most = 0;
  const doors: (() => void)[] = [];
  const slow = mock({ name: "slow" }).otherwise(async () => {
    most = Math.max(most, ++running);
    await new Promise<void>((resolve) => doors.push(resolve));
    running--;
    return "done";
  });
  const askFast = orchestration("askFast", async (ctx) => ctx.generate("?", { model: "fast" }));
  const env = await environment(t, {
    orchestrations: [ask, askFast],
    llm: { slow, fast: mock({ name: "fast" }).otherwise("at once") },
    modelLimits: { slow: { concurrency: 2 } },
  });
  await startMany(env, 6);
  await env.until(() => doors.length === 2);
  const fast = await env.startOrchestration(askFast);
  await env.until(async () => (await fast.status()).status === "completed");
  assert.deepEqual((await env.client.stats()).work, { ready: 4, delayed: 0, running: 2 });
  for (let done = 0; done < 6; done++) {
    await env.until(() => doors.length > 0);
    doors.shift()?.();
  }
  await allAnswered(env, 6);
  assert.equal(most, 2);
});

test("what waits says until when, and waiting survives a restart", async (t) => {
  const clock = new VirtualClock();
  const { llm, asked } = timed(() => clock.now());
  const modelLimits = { "mock-1": { requestsPerMinute: 1 } };
  const env = await environment(t, { clock, orchestrations: [ask], llm, modelLimits });
  const startedAt = clock.now();
  await startMany(env, 2);
  await env.settle();
  const [waiting] = (await env.client.instance("ask-1").status()).waitingFor;
  assert.equal(waiting?.kind, "model");
  assert.equal(waiting.capacityAt, startedAt + 60_100);
  assert.equal(env.runtime.stats().runningWork + env.runtime.stats().queuedWork, 0);
  await env.crash();
  await env.restart();
  await env.settle();
  assert.equal(asked.length, 1);
  await allAnswered(env, 2);
  assert.deepEqual(
    asked.map(({ at }) => at - startedAt),
    [0, 60_100],
  );
});

test("limits that are taken away hold nobody up", async (t) => {
  const { llm, asked } = timed(() => 0);
  const env = await environment(t, {
    orchestrations: [ask],
    llm,
    modelLimits: { "mock-1": { requestsPerMinute: 1 } },
  });
  await startMany(env, 5);
  await env.settle();
  assert.equal(asked.length, 1);
  await env.restart({ modelLimits: {} });
  await env.settle();
  assert.equal(asked.length, 5);
});

test("retry-after closes the model for all calls, in all processes that keep its limits", async (t) => {
  const clock = new VirtualClock();
  const at: number[] = [];
  const llm = mock().otherwise(() => {
    at.push(clock.now());
    return at.length === 1 ? new LlmError("rate_limited", "slow down", { retryAfterMs: 90_000 }) : "done";
  });
  const options = { storage: sqlite(":memory:"), clock, llm, modelLimits: { "mock-1": { concurrency: 1 } } };
  const env = await environment(t, { ...options, orchestrations: [ask] });
  await startMany(env, 3);
  await env.settle();
  const second = await Runtime.start({ ...options, orchestrations: [ask], logger: journal() });
  t.after(() => second.shutdown({ timeout: 0 }));
  await env.startOrchestration(ask, "one more", { instanceId: "ask-3" });
  await env.advance("80s");
  assert.equal(at.length, 1);
  const [waiting] = (await env.client.instance("ask-3").status()).waitingFor;
  assert.equal(waiting?.kind === "model" && waiting.capacityAt, (at[0] ?? 0) + 90_000);
  await allAnswered(env, 4);
  assert.equal((at[1] ?? 0) - (at[0] ?? 0), 90_000);
});

test("1,000 waiting calls are claimed by rank, each once, and none to be put back", async (t) => {
  const clock = new VirtualClock();
  const { llm, asked } = timed(() => clock.now());
  const calls: string[] = [];
  const env = await environment(t, {
    clock,
    orchestrations: [rush],
    llm,
    modelLimits: { "mock-1": { requestsPerSecond: 100 } },
    concurrency: { models: 200 },
    wire: (storage) => counted(storage, calls),
  });
  const prompts = Array.from({ length: 1_000 }, (_, i) => ({ prompt: `${i % 5} ${i}`, priority: i % 5 }));
  const run = await env.startOrchestration(rush, prompts);
  await env.result(run);
  const order = asked.map(({ prompt }) => Number(prompt.split(" ")[0]));
  assert.deepEqual(
    order,
    [...order].sort((a, b) => b - a),
  );
  assert.equal(asked.length, 1_000);
  assert.equal(busiest(asked, 1_000), 100);
  const count = (verb: string) => calls.filter((called) => called === verb).length;
  assert.deepEqual([count("retryWork"), count("abandonWork")], [0, 0]);
  assert.ok(count("claimCalls") < 100, `${count("claimCalls")} claims of calls`);
  assert.ok(count("claimWork") < 200, `${count("claimWork")} claims of work`);
});

test("age makes up for priority: half a minute for each step", async (t) => {
  const clock = new VirtualClock();
  const { llm, asked } = timed(() => clock.now());
  const env = await environment(t, {
    clock,
    orchestrations: [rush],
    llm,
    modelLimits: { "mock-1": { requestsPerMinute: 1 } },
  });
  const start = (prompt: string, priority: number) => env.startOrchestration(rush, [{ prompt, priority }]);
  await start("first", 0);
  await start("old", 0);
  await env.advance("20s");
  await start("younger", 0);
  await start("young and urgent", 1);
  await env.advance("15s");
  const last = await start("too young", 1);
  await start("unhurried", -1);
  await env.result(last);
  await env.advance("10m");
  assert.deepEqual(
    asked.map(({ prompt }) => prompt),
    ["first", "young and urgent", "old", "too young", "younger", "unhurried"],
  );
});

test("priority counts among the calls that wait for a slot, too", async (t) => {
  const { llm, asked } = timed(() => 0);
  const env = await environment(t, { orchestrations: [rush], llm, concurrency: { models: 1 } });
  const prompts = [0, 0, 1, 2].map((priority, i) => ({ prompt: `${i}`, priority }));
  await env.result(await env.startOrchestration(rush, prompts));
  assert.deepEqual(
    asked.map(({ prompt }) => prompt),
    ["0", "3", "2", "1"],
  );
});

test("a model without limits and without trouble is asked without a row", async (t) => {
  const verbs: string[] = [];
  const env = await environment(t, {
    orchestrations: [ask],
    llm: { default: ["mock-1"], "mock-1": mock().otherwise("done"), limited: mock({ name: "limited" }) },
    modelLimits: { limited: { concurrency: 1 } },
    wire: (storage) => counted(storage, verbs),
  });
  await env.settle();
  verbs.length = 0;
  await startMany(env, 3);
  await allAnswered(env, 3);
  assert.deepEqual(
    verbs.filter((verb) => verb === "saveWork" || verb === "completeWork"),
    [],
  );
});

const wrong: readonly (readonly [options: Partial<RuntimeOptions>, message: RegExp])[] = [
  [
    { modelLimits: { nobody: { concurrency: 0 } } },
    /Expected concurrency in modelLimits of nobody to be a whole number/,
  ],
  [{ modelLimits: { fast: { requestsPerSecond: 0.5 } } }, /Expected requestsPerSecond in modelLimits of fast/],
  [{ modelLimits: { fast: { perSecond: 1 } as never } }, /Expected options of modelLimits of fast to be among/],
  [{ modelLimits: { chain: { concurrency: 1 } } }, /Expected modelLimits of chain to be of one model, got a chain/],
  [{ modelLimits: { fast: {}, "mock/mock-1": {} } }, /to name mock\/mock-1 once, got it again as mock\/mock-1/],
  [
    { modelLimits: { "other/gpt": {} } },
    /Expected modelLimits to name models of the llm table or "provider\/model", got "other\/gpt"/,
  ],
  [{ modelLimits: [] as never }, /Expected modelLimits of Runtime.start to be limits by model/],
  [{ llm: undefined as never, modelLimits: {} }, /to come with llm, got limits and no models/],
];

for (const [options, message] of wrong) {
  test(`wrong limits are refused at the door: ${message.source.slice(0, 60)}`, async () => {
    const llm = { fast: mock(), other1: mock({ name: "second" }), chain: ["fast", "other1"] };
    const { llm: given = llm, ...rest } = options;
    const all = { storage: sqlite(":memory:"), ...("llm" in options ? {} : { llm: given }), ...rest };
    await assert.rejects(Runtime.start(all), fails("configuration_invalid", message));
  });
}

test("priority must be a whole number", async (t) => {
  const half = orchestration("half", async (ctx) => ctx.generate("?", { priority: 0.5 }));
  const env = await environment(t, { orchestrations: [half], llm: mock() });
  const run = await env.startOrchestration(half);
  await assert.rejects(env.result(run), (error: Error) =>
    /priority of ctx.generate to be a whole number, got 0.5/.test(String(error.cause)),
  );
});
