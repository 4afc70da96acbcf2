/** Model calls: what is asked and recorded, how they fail, how often they are tried, and that none is paid for twice. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStetError, LlmError, orchestration, type LlmErrorKind, type StetError } from "@stet/core";
import { after, mock, says, times } from "@stet/mock";
import { z } from "zod";
import { aborted, environment, gate, kinds, ofKind } from "./world.ts";

const ask = orchestration("ask", async (ctx, prompt: string) => ctx.generate(prompt));

/** Answers the code of what a call fails with. */
const tell = orchestration("tell", async (ctx, prompt: string) => {
  try {
    return { answer: await ctx.generate(prompt, { timeout: "1m" }) };
  } catch (error) {
    assert.ok(isStetError(error));
    return { code: error.code, kind: (error as LlmError).kind, message: error.message };
  }
});

test("an answer is recorded with model, usage and finish reason, and asked for once", async (t) => {
  const usage = { inputTokens: 900, outputTokens: 3, cachedTokens: 100, reasoningTokens: 2 };
  const llm = mock().on("generate", says("Short.", { usage, model: "mock-1-2026" }));
  const env = await environment(t, { orchestrations: [ask], llm });
  const run = await env.startOrchestration(ask, "Long?");
  assert.equal(await env.result(run), "Short.");
  await env.restart();
  const history = await run.history();
  assert.deepEqual(kinds(history), ["OrchestrationStarted", "LlmRequested", "LlmCompleted", "OrchestrationCompleted"]);
  const [completed] = ofKind(history, "LlmCompleted");
  assert.deepEqual(
    [completed?.result, completed?.model, completed?.usage, completed?.finishReason, completed?.attempts],
    [{ text: "Short." }, "mock-1-2026", usage, "stop", undefined],
  );
  const [requested] = ofKind(history, "LlmRequested");
  assert.deepEqual(requested?.request, { messages: [{ role: "user", content: "Long?" }] });
  assert.equal(llm.calls.length, 1);
});

const passing: readonly LlmErrorKind[] = ["rate_limited", "unavailable", "timeout", "connection", "malformed"];
const staying: readonly LlmErrorKind[] = [
  "auth",
  "bad_request",
  "not_found",
  "quota_exceeded",
  "refused",
  "truncated",
  "content_filter",
];

for (const kind of passing) {
  test(`${kind} is tried again, with growing waits, and the attempts are recorded`, async (t) => {
    const at: number[] = [];
    const failing = () => {
      at.push(env.clock.now());
      return new LlmError(kind, "not now");
    };
    const llm = mock().on("generate", failing, failing, failing, "at last");
    const env = await environment(t, { orchestrations: [ask], llm });
    const run = await env.startOrchestration(ask, "?");
    assert.equal(await env.result(run), "at last");
    const waits = at.slice(1).map((time, i) => time - (at[i] ?? 0));
    assert.ok((waits[0] ?? 0) >= 400 && (waits[0] ?? 0) <= 500, `waits ${waits.join(" ")}`);
    assert.ok((waits[1] ?? 0) >= 800 && (waits[1] ?? 0) <= 1_000, `waits ${waits.join(" ")}`);
    assert.equal(ofKind(await run.history(), "LlmCompleted")[0]?.attempts, 4);
    assert.equal(new Set(llm.calls.map(({ idempotencyKey }) => idempotencyKey)).size, 1);
  });
}

for (const kind of staying) {
  test(`${kind} is not tried again`, async (t) => {
    const llm = mock().on("generate", new LlmError(kind, "never"), "too late");
    const env = await environment(t, { orchestrations: [tell], llm });
    assert.deepEqual(await env.result(await env.startOrchestration(tell, "?")), {
      code: "llm_failed",
      kind,
      message: "never",
    });
    assert.equal(llm.calls.length, 1);
  });
}

test("a call that fails to the end is an error that code may catch, typed, after four attempts", async (t) => {
  const llm = mock().on(
    "generate",
    ...times(4, new LlmError("unavailable", "overloaded", { status: 529 })),
    "too late",
  );
  const env = await environment(t, { orchestrations: [tell], llm });
  const run = await env.startOrchestration(tell, "?");
  assert.deepEqual(await env.result(run), { code: "llm_failed", kind: "unavailable", message: "overloaded" });
  const [failed] = ofKind(await run.history(), "LlmFailed");
  assert.deepEqual([failed?.attempts, failed?.error.details], [4, { kind: "unavailable", status: 529 }]);
});

test("retry-after is honoured, and holds no slot and no worker meanwhile", async (t) => {
  const at: number[] = [];
  const other = mock({ name: "other" }).otherwise("another");
  const llm = mock().when("first", () => {
    at.push(env.clock.now());
    return at.length === 1 ? new LlmError("rate_limited", "slow down", { retryAfterMs: 90_000 }) : "first done";
  });
  const askOther = orchestration("askOther", async (ctx) => ctx.generate("second", { model: "other" }));
  const models = { llm, other };
  const env = await environment(t, { orchestrations: [ask, askOther], llm: models, concurrency: { models: 1 } });
  const run = await env.startOrchestration(ask, "first");
  await env.settle();
  assert.deepEqual((await env.client.stats()).work, { ready: 0, delayed: 1, running: 0 });
  const second = await env.startOrchestration(askOther);
  await env.settle();
  assert.equal((await second.status()).status, "completed");
  await env.restart(); // the wait is durable
  assert.equal(await env.result(run), "first done");
  assert.equal((at[1] ?? 0) - (at[0] ?? 0), 90_000);
});

test("a call that takes too long is aborted and tried again; the last time it is a timeout", async (t) => {
  let aborts = 0;
  const llm = mock().on("generate", () => new Promise<never>(() => undefined));
  const complete = llm.complete.bind(llm);
  llm.complete = (request, options) => {
    options.signal.addEventListener("abort", () => aborts++);
    return complete(request, options);
  };
  const env = await environment(t, { orchestrations: [tell], llm });
  const run = await env.startOrchestration(tell, "?", { instanceId: "slow" });
  for (let attempt = 1; attempt <= 4; attempt++) {
    await env.until(() => llm.calls.length === attempt);
    env.clock.jumpTo(env.clock.now() + 60_000);
    if (attempt < 4) {
      await env.until(async () => (await env.client.stats()).work.delayed === 1);
      env.clock.jumpTo(env.clock.nextAt ?? 0);
    }
  }
  assert.deepEqual(await env.result(run), {
    code: "llm_failed",
    kind: "timeout",
    message: "Expected the model to answer ctx.generate of instance slow within 60000 ms, got nothing",
  });
  assert.equal(aborts, 4);
});

test("a cancelled call is aborted and its answer not recorded", async (t) => {
  const reasons: unknown[] = [];
  const llm = mock();
  llm.complete = async (_request, { signal }) =>
    aborted(signal).catch((error: unknown) => {
      reasons.push(error);
      throw error;
    });
  const race = orchestration("race", async (ctx) => {
    const first = await ctx.race({ answer: ctx.generate("?"), late: ctx.timer("1s") });
    return first.winner;
  });
  const env = await environment(t, { orchestrations: [race], llm });
  const run = await env.startOrchestration(race);
  await env.until(() => env.runtime.stats().runningWork === 1);
  env.clock.jumpTo(env.clock.now() + 1_000);
  assert.equal(await env.result(run), "late");
  assert.equal(reasons.length, 1);
  assert.deepEqual(kinds(await run.history()).slice(-3), ["TimerFired", "LlmCancelled", "OrchestrationCompleted"]);
});

test("without a provider a call waits for a worker that has one", async (t) => {
  const env = await environment(t, { orchestrations: [ask] });
  const run = await env.startOrchestration(ask, "?");
  await env.advance("1d");
  assert.equal((await run.status()).status, "running");
  assert.deepEqual(
    (await run.status()).waitingFor.map(({ kind }) => kind),
    ["model"],
  );
  await env.restart({ llm: mock(["here I am"]) });
  assert.equal(await env.result(run), "here I am");
});

test("several models are told apart by name, and the first is the default", async (t) => {
  const choose = orchestration("choose", async (ctx) => [
    await ctx.generate("?"),
    await ctx.generate("?", { model: "big" }),
    await ctx.generate("?", { model: "small" }),
  ]);
  const [small, big] = [mock().otherwise("small says"), mock().otherwise("big says")];
  const env = await environment(t, { orchestrations: [choose], llm: { small, big } });
  const run = await env.startOrchestration(choose);
  assert.deepEqual(await env.result(run), ["small says", "big says", "small says"]);
  assert.deepEqual([small.calls.length, big.calls.length], [2, 1]);
  assert.equal(small.calls[0]?.request.model, undefined, "the name in the table is not the vendor's");
});

test("a provider that throws something of its own, or nothing sensible, fails the call and nothing else", async (t) => {
  const env = await environment(t, {
    orchestrations: [tell],
    llm: {
      plain: Object.assign(mock(), {
        complete: () => {
          throw Object.assign(new TypeError("undefined is not a function"), { retryable: false });
        },
      }),
    },
  });
  const { code, message } = (await env.result(await env.startOrchestration(tell, "?"))) as Partial<StetError>;
  assert.deepEqual([code, message], ["error", "undefined is not a function"]);
});

test("an answer that does not fit is asked for again in the same history, and each answer is paid for once", async (t) => {
  const schema = z.object({ count: z.number() });
  const door = gate();
  const llm = mock().on("generateStructured", { count: "three" }, () => door.opened.then(() => ({ count: 3 })));
  const structured = orchestration(
    "structured",
    async (ctx) => (await ctx.generateStructured("How many?", schema)).count,
  );
  const env = await environment(t, { orchestrations: [structured], llm });
  const run = await env.startOrchestration(structured);
  await env.until(() => llm.calls.length === 2);
  await env.restart(); // in the middle of the second question
  door.open();
  assert.equal(await env.result(run), 3);
  assert.equal(llm.calls.length, 3, "the first question is not asked again, the second one once more");
  assert.equal(new Set(llm.calls.map(({ idempotencyKey }) => idempotencyKey)).size, 2);
  const history = await run.history();
  assert.deepEqual(kinds(history), [
    "OrchestrationStarted",
    "LlmRequested",
    "LlmCompleted",
    "LlmRequested",
    "LlmCompleted",
    "OrchestrationCompleted",
  ]);
  assert.equal(ofKind(history, "LlmRequested")[1]?.refines, 2);
  assert.equal(ofKind(history, "LlmCompleted")[1]?.attempts, 2);
});

test("an answer that was recorded before a kill is never asked for again", async (t) => {
  const llm = mock().on("ifTrue", ({ messages }) => (messages.length < 5 ? "maybe" : true));
  const decide = orchestration("decide", async (ctx) => ctx.ifTrue("Is it?"));
  const env = await environment(t, { orchestrations: [decide], llm });
  const run = await env.startOrchestration(decide, undefined, { instanceId: "d" });
  const paid = new Map<string, number>();
  const timesAsked = (key: string) => llm.calls.filter(({ idempotencyKey }) => idempotencyKey === key).length;
  for (let recorded = 1; recorded <= 3; recorded++) {
    await env.until(async () => ofKind(await run.history(), "LlmCompleted").length >= recorded);
    await env.crash();
    for (const { source } of ofKind(await run.history(), "LlmCompleted")) {
      const key = `d/1/${source}`;
      if (!paid.has(key)) paid.set(key, timesAsked(key));
    }
    await env.restart();
  }
  assert.equal(await env.result(run), true);
  assert.equal(paid.size, 3);
  for (const [key, times] of paid) assert.equal(timesAsked(key), times, key);
});

test("an answer that never fits is an error with the last answer attached", async (t) => {
  const llm = mock().on("classify", "blue", "green", "yellow");
  const choose = orchestration("choose", async (ctx) => {
    try {
      return await ctx.classify("sky", ["red", "black"], { label: "colour" });
    } catch (error) {
      assert.ok(isStetError(error, "llm_output_invalid"));
      return error.details;
    }
  });
  const env = await environment(t, { orchestrations: [choose], llm });
  const run = await env.startOrchestration(choose);
  assert.deepEqual(await env.result(run), { lastAnswer: "yellow" });
  assert.deepEqual(
    llm.calls.map(({ label }) => label),
    ["colour", "colour", "colour"],
  );
});

test("more calls than slots wait for their turn", async (t) => {
  let running = 0;
  let most = 0;
  const llm = mock().otherwise(async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
    return "ok";
  });
  const fan = orchestration("fan", async (ctx) => {
    const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => ctx.generate(`${n}`)));
    return answers.length;
  });
  const env = await environment(t, { orchestrations: [fan], llm, concurrency: { models: 4 } });
  assert.equal(await env.result(await env.startOrchestration(fan)), 30);
  assert.equal(most, 4);
});

test("latency of the model in virtual time", async (t) => {
  const delay = (ms: number): Promise<void> =>
    new Promise((resolve) => void env.clock.setTimer(env.clock.now() + ms, resolve));
  const llm = mock({ delay }).otherwise(after(30_000, "thought about it"));
  const env = await environment(t, { orchestrations: [ask], llm });
  const run = await env.startOrchestration(ask, "?");
  await env.until(() => llm.calls.length === 1);
  const began = env.clock.now();
  env.clock.jumpTo(began + 30_000);
  assert.equal(await env.result(run), "thought about it");
  assert.equal(ofKind(await run.history(), "LlmCompleted")[0]?.at, began + 30_000);
});
