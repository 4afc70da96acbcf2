/** Models that fail: which failures go down the chain, when a model is left alone, and when it is asked again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStetError, LlmError, type LlmErrorKind, type LlmTable, orchestration, Runtime } from "@stet/core";
import { mock, type MockLlm } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { exploreCrashes, VirtualClock } from "@stet/testing";
import { environment, fails, journal, ofKind } from "./world.ts";

const ask = orchestration("ask", async (ctx, prompt: string) => ctx.generate(prompt));

/** Answers the kind of what a call fails with. */
const tell = orchestration("tell", async (ctx, prompt: string) => {
  try {
    return await ctx.generate(prompt);
  } catch (error) {
    assert.ok(isStetError(error));
    return (error as LlmError).kind;
  }
});

/** A model with a name of its own that says whether it works. */
function model(name: string, trouble: () => LlmError | undefined = () => undefined): MockLlm {
  return mock({ name, model: name }).otherwise(() => trouble() ?? `${name} says so`);
}

const down: readonly LlmErrorKind[] = [
  "rate_limited",
  "quota_exceeded",
  "unavailable",
  "timeout",
  "connection",
  "auth",
  "not_found",
];
const final: readonly LlmErrorKind[] = ["bad_request", "content_filter", "refused", "truncated"];

for (const kind of down) {
  test(`${kind} is asked of the next model of the chain at once, and the answer says whose it is`, async (t) => {
    const first = model("first", () => new LlmError(kind, "not here"));
    const second = model("second");
    const llm = { default: ["first", "second/big"], first, second };
    const env = await environment(t, { orchestrations: [ask], llm });
    const startedAt = env.clock.now();
    const run = await env.startOrchestration(ask, "?");
    assert.equal(await env.result(run), "second says so");
    assert.equal(env.clock.now(), startedAt);
    const [completed] = ofKind(await run.history(), "LlmCompleted");
    assert.deepEqual([completed?.model, completed?.attempts], ["big", 2]);
    assert.deepEqual([first.calls.length, second.calls.length], [1, 1]);
    assert.equal(second.calls[0]?.request.model, "big");
  });
}

for (const kind of final) {
  test(`${kind} ends the chain`, async (t) => {
    const second = model("second");
    const llm = { default: ["first", "second"], first: model("first", () => new LlmError(kind, "no")), second };
    const env = await environment(t, { orchestrations: [tell], llm });
    assert.equal(await env.result(await env.startOrchestration(tell, "?")), kind);
    assert.equal(second.calls.length, 0);
  });
}

test("malformed answers are asked again of the same model, not of the next", async (t) => {
  let asked = 0;
  const first = model("first", () => (++asked === 1 ? new LlmError("malformed", "no JSON") : undefined));
  const second = model("second");
  const env = await environment(t, { orchestrations: [ask], llm: { default: ["first", "second"], first, second } });
  assert.equal(await env.result(await env.startOrchestration(ask, "?")), "first says so");
  assert.deepEqual([first.calls.length, second.calls.length], [2, 0]);
});

test("when the whole chain fails it is tried again from its start, and fails in the end with the last failure", async (t) => {
  const order: string[] = [];
  const failing = (name: string, kind: LlmErrorKind) =>
    model(name, () => {
      order.push(name);
      return new LlmError(kind, `${name} is away`);
    });
  const llm = { default: ["first", "second"], first: failing("first", "timeout"), second: failing("second", "auth") };
  const env = await environment(t, { orchestrations: [tell], llm });
  const run = await env.startOrchestration(tell, "?");
  assert.equal(await env.result(run), "auth");
  assert.deepEqual(order, ["first", "second", "first", "second", "first", "second", "first", "second"]);
  assert.equal(ofKind(await run.history(), "LlmFailed")[0]?.attempts, 8);
});

test("a chain of models with limits moves on in the store, with the capacity of each", async (t) => {
  const first = model("first", () => new LlmError("unavailable", "away"));
  const second = model("second");
  const env = await environment(t, {
    orchestrations: [ask],
    llm: { default: ["first", "second"], first, second },
    modelLimits: { first: { requestsPerSecond: 50 }, second: { requestsPerMinute: 1 } },
  });
  const startedAt = env.clock.now();
  const one = await env.startOrchestration(ask, "?");
  assert.equal(await env.result(one), "second says so");
  assert.equal(env.clock.now(), startedAt);
  const two = await env.startOrchestration(ask, "?");
  assert.equal(await env.result(two), "second says so");
  assert.equal(env.clock.now() - startedAt, 60_100);
  assert.deepEqual([first.calls.length, second.calls.length], [2, 2]);
});

test("retry-after of one model lets its calls go to the next meanwhile", async (t) => {
  let asked = 0;
  const first = model("first", () =>
    ++asked === 1 ? new LlmError("rate_limited", "slow down", { retryAfterMs: 60_000 }) : undefined,
  );
  const llm = { default: ["first", "second"], first, second: model("second") };
  const env = await environment(t, { orchestrations: [ask], llm });
  for (const [seconds, says] of [
    [0, "second"],
    [30, "second"],
    [31, "first"],
  ] as const) {
    await env.advance(seconds * 1_000);
    assert.equal(await env.result(await env.startOrchestration(ask, "?")), `${says} says so`);
  }
  assert.equal(first.calls.length, 2);
});

test("a model that fails ten times on end is left alone, asked once after 10 s, then 20 s, and all go on when it is back", async (t) => {
  const clock = new VirtualClock();
  let isDown = true;
  const at: number[] = [];
  const llm = model("only", () => {
    at.push(clock.now());
    return isDown ? new LlmError("connection", "no line") : undefined;
  });
  const env = await environment(t, { clock, orchestrations: [tell], llm });
  for (let i = 0; i < 12; i++) await env.startOrchestration(tell, "?", { instanceId: `call-${i}` });
  await env.settle();
  const openedAt = clock.now();
  const before = at.length;
  assert.ok(before >= 10 && before <= 16, `${before} calls`);
  const late = await env.startOrchestration(tell, "late");
  await env.settle();
  const [waiting] = (await late.status()).waitingFor;
  assert.equal(waiting?.kind === "model" && waiting.capacityAt, openedAt + 10_000);
  await env.advance("9999ms");
  assert.equal(at.length, before);
  await env.advance("1ms");
  assert.deepEqual(at.slice(before), [openedAt + 10_000]);
  await env.advance("19999ms");
  assert.equal(at.length, before + 1);
  isDown = false;
  await env.advance("1ms");
  assert.equal(at[before + 1], openedAt + 30_000);
  assert.equal(await env.result(late), "only says so");
  for (let i = 0; i < 12; i++) assert.equal(await env.result(env.client.instance(`call-${i}`)), "only says so");
  assert.equal(clock.now(), openedAt + 30_000);
});

test("while a breaker is open, calls go to the next of the chain without asking", async (t) => {
  const first = model("first", () => new LlmError("unavailable", "away", { status: 503 }));
  const second = model("second");
  const env = await environment(t, { orchestrations: [ask], llm: { default: ["first", "second"], first, second } });
  for (let i = 0; i < 30; i++) {
    assert.equal(await env.result(await env.startOrchestration(ask, "?")), "second says so");
  }
  assert.deepEqual([first.calls.length, second.calls.length], [10, 30]);
  await env.advance("10s");
  assert.equal(await env.result(await env.startOrchestration(ask, "?")), "second says so");
  assert.equal(first.calls.length, 11);
});

test("failures that say nothing about the model open no breaker", async (t) => {
  const llm = model("only", () => new LlmError("bad_request", "no"));
  const env = await environment(t, { orchestrations: [tell], llm });
  for (let i = 0; i < 15; i++) assert.equal(await env.result(await env.startOrchestration(tell, "?")), "bad_request");
  assert.equal(llm.calls.length, 15);
});

test("a model that lets 5 calls per second through and says no more than 429 is used to three quarters at least", async (t) => {
  const clock = new VirtualClock();
  const passed: number[] = [];
  let refused = 0;
  const llm = model("only", () => {
    const now = clock.now();
    if (passed.filter((at) => at > now - 1_000).length >= 5) {
      refused++;
      return new LlmError("rate_limited", "too many");
    }
    passed.push(now);
    return undefined;
  });
  const env = await environment(t, { clock, orchestrations: [ask], llm });
  const startedAt = clock.now();
  const runs = [];
  for (let i = 0; i < 150; i++) runs.push(await env.startOrchestration(ask, `${i}`));
  for (const run of runs) assert.equal(await env.result(run), "only says so");
  const perSecond = 150 / ((clock.now() - startedAt) / 1_000);
  assert.ok(perSecond >= 3.75, `${perSecond} calls per second`);
  assert.ok(refused < 150 * 2, `${refused} refusals`);
});

test("a chain and a limited model answer the same wherever the process dies", async () => {
  const report = await exploreCrashes(() => ({
    storage: sqlite(":memory:"),
    logger: journal(),
    orchestrations: [ask],
    llm: {
      default: ["first", "second"],
      first: model("first", () => new LlmError("unavailable", "away")),
      second: model("second"),
    },
    modelLimits: { second: { requestsPerSecond: 1 } },
    scenario: async (env) => {
      const one = await env.startOrchestration(ask, "?", { instanceId: "one" });
      const two = await env.startOrchestration(ask, "?", { instanceId: "two" });
      return [await env.result(one), await env.result(two)];
    },
  }));
  assert.ok(report.runs > 20, `Expected many places to die at, got ${report.runs}`);
});

const wrong: readonly (readonly [llm: LlmTable, message: RegExp])[] = [
  [{ default: ["nobody"], only: mock() }, /Expected the chain default of llm to name models .*got "nobody"/],
  [{ a: ["b"], b: ["a"], only: mock() }, /Expected the chain a of llm to come to an end, got a -> b -> a/],
  [{ a: ["a"], only: mock() }, /a -> a/],
  [{ a: [], only: mock() }, /Expected the chain a of llm to name models, got none/],
  [{ a: ["only", "elsewhere/x"], only: mock() }, /got "elsewhere\/x"/],
  [{ a: ["b"] }, /Expected llm to name at least one provider/],
];

for (const [llm, message] of wrong) {
  test(`a wrong chain is refused at the door: ${message.source}`, async () => {
    await assert.rejects(Runtime.start({ storage: sqlite(":memory:"), llm }), fails("configuration_invalid", message));
  });
}

test("a chain may name another, and asks no model twice", async (t) => {
  const order: string[] = [];
  const away = (name: string) =>
    model(name, () => {
      order.push(name);
      return new LlmError("auth", "no key");
    });
  const llm = { default: ["cheap", "a", "c"], cheap: ["a", "b"], a: away("a"), b: away("b"), c: away("c") };
  const env = await environment(t, { orchestrations: [tell], llm });
  assert.equal(await env.result(await env.startOrchestration(tell, "?")), "auth");
  assert.deepEqual(order, ["a", "b", "c"]);
});
