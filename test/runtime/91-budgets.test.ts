/** Budgets: enforced where a call is scheduled, suspended where nobody cares, gone on with after a top-up. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import {
  type Budget,
  type BudgetExceededError,
  isStetError,
  LlmError,
  type LlmUsage,
  orchestration,
  type Prices,
} from "@stet/core";
import { mock, says } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { type CrashWorld, exploreCrashes } from "@stet/testing";
import { environment, fails, gate, journal, ofKind } from "./world.ts";

const usage: LlmUsage = { inputTokens: 1_000, outputTokens: 500 };
const answers = () => mock().otherwise(says("ok", { usage }));

/** A cent for a thousand tokens. */
const prices: Prices = ({ usage: { inputTokens, outputTokens } }) => (inputTokens + outputTokens) / 100_000;

const ask = orchestration("ask", async (ctx) => ctx.generate("?"));
const fan = orchestration("fan", async (ctx, width: number) =>
  Promise.all(Array.from({ length: width }, (_, i) => ctx.generate(`question ${i}`))),
);

test("a budget is checked where it is given", async (t) => {
  const env = await environment(t, { orchestrations: [ask], llm: answers() });
  const start = (budget: Budget) => env.startOrchestration(ask, undefined, { budget });
  for (const [budget, said] of [
    [{}, /at least one of tokens, usd, calls, timeMs, got none/],
    [{ token: 1 }, /among tokens, usd, calls, timeMs, got token/],
    [{ calls: -1 }, /Expected calls of the budget of orchestration ask to be a whole number from 0/],
    [{ tokens: 1.5 }, /whole number/],
    [{ usd: Number.NaN }, /Expected usd of the budget of orchestration ask to be a number from 0/],
    [{ usd: "5" }, /got "5"/],
  ] as readonly (readonly [Budget, RegExp])[]) {
    await assert.rejects(start(budget), fails("configuration_invalid", said));
    assert.throws(() => orchestration("o", { budget }, () => 1), fails("configuration_invalid"));
  }
});

test("a fan-out of 100 against a budget of 10 calls makes exactly 10, is suspended, and goes on when topped up", async (t) => {
  const llm = answers();
  const env = await environment(t, { orchestrations: [fan], llm });
  const run = await env.startOrchestration(fan, 100, { instanceId: "f", budget: { calls: 10 } });
  await env.settle();

  assert.equal(llm.calls.length, 10);
  const { status, error, waitingFor } = await run.status();
  assert.equal(status, "blocked");
  assert.ok(isStetError(error, "budget_exceeded"), String(error));
  const { shortage } = error as BudgetExceededError;
  assert.deepEqual(
    { ...shortage, spent: 10, reserved: 0 },
    { instanceId: "f", member: "calls", limit: 10, spent: 10, reserved: 0, wanted: 1 },
  );
  assert.match(error.message, /call client\.topUp\("f", \{ calls \}\)/);
  assert.equal(waitingFor.length, 90);
  assert.deepEqual(
    (await env.client.list({ status: "blocked" })).instances.map(({ instanceId }) => instanceId),
    ["f"],
  );
  assert.equal((await env.client.stats()).blocked, 1);

  for (const buildId of ["a", "b"]) await env.restart({ buildId });
  await env.settle();
  assert.equal(llm.calls.length, 10, "no build asks more");
  assert.equal((await run.status()).status, "blocked");

  await env.client.topUp("f", { calls: 40 });
  await env.settle();
  assert.equal(llm.calls.length, 50);
  assert.equal((await run.status()).status, "blocked");

  await env.client.topUp("f", { calls: 50 });
  assert.equal((await env.result(run)).length, 100);
  assert.equal(llm.calls.length, 100, "each question was asked once");
  const answered = ofKind(await run.history(), "LlmCompleted");
  assert.deepEqual([answered.length, answered.filter(({ attempts }) => attempts !== undefined)], [100, []]);
  assert.deepEqual(await env.client.budget("f"), {
    limits: { calls: 100 },
    spent: { tokens: 150_000, usd: 0, calls: 100, timeMs: 0 },
    reserved: { tokens: 0, usd: 0, calls: 0 },
  });
});

test("calls that run when their instance is suspended are answered once and recorded", async (t) => {
  const door = gate();
  const llm = mock().otherwise(async () => {
    await door.opened;
    return says("ok", { usage });
  });
  const env = await environment(t, { orchestrations: [fan], llm });
  const run = await env.startOrchestration(fan, 4, { instanceId: "f", budget: { calls: 2 } });
  await env.until(async () => (await run.status()).status === "blocked");
  assert.deepEqual((await env.client.budget("f"))?.reserved.calls, 2);
  await env.client.topUp("f", { calls: 1 });
  await env.until(() => llm.calls.length === 3);
  door.open();
  await env.settle();
  assert.equal((await env.client.budget("f"))?.spent.calls, 3);
  await env.client.topUp("f", { calls: 1 });
  await env.result(run);
  assert.equal(llm.calls.length, 4);
});

test("room is reserved for the longest answer, which is bounded, and given back when the answer is there", async (t) => {
  const door = gate();
  const llm = mock().otherwise(async () => {
    await door.opened;
    return says("ok", { usage: { inputTokens: 20, outputTokens: 10 } });
  });
  const bounds = orchestration("bounds", async (ctx) => {
    await Promise.all([ctx.generate("?"), ctx.generate("?", { maxTokens: 100 }), ctx.embed(["?"])]);
  });
  const env = await environment(t, { orchestrations: [bounds], llm, prices });
  const run = await env.startOrchestration(bounds, undefined, { instanceId: "b", budget: { tokens: 10_000 } });
  await env.until(() => llm.calls.length === 3);

  assert.deepEqual(
    llm.calls.map(({ request }) => request.maxTokens),
    [4096, 100, undefined],
  );
  const during = await env.client.budget("b");
  assert.ok(during !== undefined && during.reserved.tokens > 4_196 && during.reserved.tokens < 4_400);
  assert.ok(Math.abs(during.reserved.usd - during.reserved.tokens / 100_000) < 1e-9);
  door.open();
  await env.result(run);
  const { spent, reserved } = (await env.client.budget("b"))!;
  const { inputTokens, outputTokens, usd, calls } = (await env.client.usage("b")).instance;
  assert.deepEqual(spent, { tokens: inputTokens + outputTokens, usd, calls, timeMs: 0 });
  assert.deepEqual(reserved, { tokens: 0, usd: 0, calls: 0 });
});

test("a call without a bound keeps none when its budget limits neither tokens nor money", async (t) => {
  const llm = answers();
  const env = await environment(t, { orchestrations: [ask], llm });
  await env.result(await env.startOrchestration(ask, undefined, { budget: { calls: 1 } }));
  await env.result(await env.startOrchestration(ask, undefined));
  assert.deepEqual(
    llm.calls.map(({ request }) => request.maxTokens),
    [undefined, undefined],
  );
});

test("money is counted by the runtime's prices; a model without one is refused until it has one", async (t) => {
  const llm = answers();
  const env = await environment(t, { orchestrations: [ask], llm });
  const run = await env.startOrchestration(ask, undefined, { instanceId: "m", budget: { usd: 1 } });
  await assert.rejects(env.result(run), fails("budget_exceeded", /to have a price.*Runtime\.start\(\{ prices \}\)/));
  assert.equal(llm.calls.length, 0);

  await env.restart({ prices });
  await env.settle();
  assert.equal(llm.calls.length, 0);
  assert.equal(await env.client.resume("m"), true);
  await env.result(run);
  assert.equal((await env.client.budget("m"))?.spent.usd, 0.015);
});

test("an answer of a model without a price costs what was reserved for it", async (t) => {
  const llm = mock().otherwise(says("ok", { usage, model: "other" }));
  const known: Prices = (call) => (call.model === "other" ? undefined : prices(call));
  const env = await environment(t, { orchestrations: [ask], llm, prices: known });
  const run = await env.startOrchestration(ask, undefined, { instanceId: "m", budget: { usd: 1 } });
  await env.result(run);
  const { spent } = (await env.client.budget("m"))!;
  assert.ok(spent.usd > 0.04 && spent.usd < 0.05, String(spent.usd));
});

test("what does not fit only because others have reserved more than they use waits for them", async (t) => {
  const caught: string[] = [];
  const careful = orchestration("careful", async (ctx, width: number) =>
    Promise.all(
      Array.from({ length: width }, (_, i) =>
        ctx.generate(`question ${i}`).catch((error: unknown) => caught.push((error as Error).message)),
      ),
    ),
  );
  const llm = answers();
  const env = await environment(t, { orchestrations: [careful, fan], llm });
  for (const code of [careful, fan]) {
    const run = await env.startOrchestration(code, 30, { budget: { tokens: 50_000 } });
    assert.deepEqual(new Set(await env.result(run)), new Set(["ok"]));
    assert.equal((await env.client.budget(run.instanceId))?.spent.tokens, 45_000);
  }
  assert.deepEqual(caught, [], "twelve fit at once, and all fit in the end");
  assert.equal(llm.calls.length, 60);
});

test("who waits with many calls asks for all of them anew at once, in a few turns for each answer", async (t) => {
  let turns = 0;
  const count = () => void turns++;
  subscribe("stet:turn", count);
  t.after(() => unsubscribe("stet:turn", count));
  const env = await environment(t, {
    orchestrations: [fan],
    llm: mock().otherwise(says("ok", { usage: { inputTokens: 1, outputTokens: 1 } })),
  });
  const run = await env.startOrchestration(fan, 30, { budget: { tokens: 5_000 } });
  await env.result(run);
  const most = 30 * 5;
  assert.ok(turns <= most, `Expected at most ${most} turns, got ${turns}`);
});

test("who waits for others to use less sees it in its status, goes on without help, and is refused when they have used all", async (t) => {
  let first = gate();
  let used = usage;
  const llm = mock().otherwise(async ({ messages }) => {
    if (messages[0]?.content === "first") await first.opened;
    return says("ok", { usage: used });
  });
  const one = orchestration("one", async (ctx, prompt: string) => {
    if (prompt === "second") await ctx.waitForEvent("go");
    return ctx.generate(prompt).catch(() => "refused");
  });
  const pair = orchestration("pair", async (ctx) =>
    Promise.all([
      ctx.subOrchestration(one, "first", { instanceId: `${ctx.instanceId}-1` }),
      ctx.subOrchestration(one, "second", { instanceId: `${ctx.instanceId}-2` }),
    ]),
  );
  const env = await environment(t, { orchestrations: [pair, one], llm });
  for (const [instanceId, uses, answer] of [
    ["a", usage, "ok"],
    ["b", { inputTokens: 4_000, outputTokens: 1_000 }, "refused"],
  ] as const) {
    used = uses;
    const door = (first = gate());
    const run = await env.startOrchestration(pair, undefined, { instanceId, budget: { tokens: 6_000 } });
    await env.until(async () => ((await env.client.budget(instanceId))?.reserved.calls ?? 0) === 1);
    const second = env.client.instance(`${instanceId}-2`);
    await second.raiseEvent("go");
    await env.until(async () => (await second.status()).status === "blocked");
    const { error } = await second.status();
    assert.match(error?.message ?? "", /it is asked again when calls under way have used less/);
    assert.deepEqual((await env.client.budget(instanceId))?.reserved.calls, 1);
    door.open();
    assert.deepEqual(await env.result(run), ["ok", answer]);
  }
});

test("answers from a cache need room and use none: a dozen of them fit where two calls do", async (t) => {
  const often = orchestration("often", async (ctx, [width, text]: readonly [number, string]) => {
    await ctx.generate(text, { cache: "instance" });
    return Promise.all(Array.from({ length: width }, async () => ctx.generate(text, { cache: "instance" })));
  });
  const llm = answers();
  const env = await environment(t, { orchestrations: [often], llm, prices });
  const run = await env.startOrchestration(often, [12, "?"], { instanceId: "o", budget: { calls: 2, usd: 0.2 } });
  assert.equal((await env.result(run)).length, 12);
  const { spent, reserved } = (await env.client.budget("o")) ?? assert.fail();
  assert.deepEqual([llm.calls.length, spent.calls, spent.tokens, spent.usd], [1, 1, 1_500, 0.015]);
  assert.deepEqual(reserved, { tokens: 0, usd: 0, calls: 0 });
});

test("a refusal that is caught is history like any other failure", async (t) => {
  const thrifty = orchestration("thrifty", async (ctx) => {
    const said: string[] = [];
    try {
      for (;;) said.push(await ctx.generate("?"));
    } catch (error) {
      if (!isStetError(error, "budget_exceeded")) throw error;
      await ctx.timer("1h");
      return `${said.length} answers, then ${(error as BudgetExceededError).shortage?.member}`;
    }
  });
  const llm = answers();
  const env = await environment(t, { orchestrations: [thrifty], llm });
  const run = await env.startOrchestration(thrifty, undefined, { instanceId: "t", budget: { calls: 3 } });
  await env.settle();
  await env.restart();
  assert.equal(await env.result(run), "3 answers, then calls");
  assert.equal(ofKind(await run.history(), "LlmFailed")[0]?.error.code, "budget_exceeded");
  assert.deepEqual((await env.client.budget("t"))?.spent.calls, 3);
});

test("whoever wraps the refusal, throws it among others, or asks in vain a second time is suspended too", async (t) => {
  const wraps = orchestration("wraps", async (ctx) => {
    try {
      return await ctx.generate("?");
    } catch (cause) {
      throw new Error("no summary today", { cause });
    }
  });
  const any = orchestration("any", async (ctx) => Promise.any([ctx.generate("a"), ctx.generate("b")]));
  const twice = orchestration("twice", async (ctx) => ctx.generate("?").catch(() => ctx.generate("again?")));
  const llm = answers();
  const env = await environment(t, { orchestrations: [wraps, any, twice], llm });
  for (const each of [wraps, any, twice]) {
    const run = await env.startOrchestration(each, undefined, { instanceId: each.name, budget: { calls: 0 } });
    await assert.rejects(env.result(run), fails("budget_exceeded"));
    await env.client.topUp(each.name, { calls: 2 });
    assert.equal(await env.result(run), "ok");
  }
});

const pair = orchestration("pair", async (ctx, budget: Budget | undefined) => {
  const options = budget === undefined ? {} : { budget };
  const children = [1, 2].map((i) =>
    ctx.subOrchestration(fan, 10, { ...options, instanceId: `${ctx.instanceId}-${i}` }),
  );
  return (await Promise.all(children)).flat().length;
});

test("children draw on their parent's budget, and one top-up lets all of them go on", async (t) => {
  const llm = answers();
  const env = await environment(t, { orchestrations: [pair, fan], llm });
  const run = await env.startOrchestration(pair, undefined, { instanceId: "p", budget: { calls: 15 } });
  await env.settle();

  assert.equal(llm.calls.length, 15);
  const states = await env.client.tree("p");
  assert.equal(states.find(({ instanceId }) => instanceId === "p")?.status, "running");
  const suspended = states.filter(({ status }) => status === "blocked");
  assert.ok(suspended.length >= 1);
  assert.equal((suspended[0]!.error as BudgetExceededError).shortage?.instanceId, "p");
  assert.equal(await env.client.budget("p-1"), undefined);
  await assert.rejects(env.client.topUp("p-1", { calls: 1 }), fails("configuration_invalid", /budget of its own/));

  await env.client.topUp("p", { calls: 5 });
  assert.equal(await env.result(run), 20);
  assert.equal(llm.calls.length, 20);
});

test("a child's own budget is a further limit, not new money", async (t) => {
  const llm = answers();
  const env = await environment(t, { orchestrations: [pair, fan], llm });
  const run = await env.startOrchestration(pair, { calls: 8 }, { instanceId: "p", budget: { calls: 12 } });
  await env.settle();
  assert.equal(llm.calls.length, 12);

  await env.client.topUp("p", { calls: 8 });
  await env.settle();
  assert.equal(llm.calls.length, 16, "each child is held at its own eight");
  const whose = (await env.client.tree("p")).map(({ error }) => (error as BudgetExceededError | undefined)?.shortage);
  assert.deepEqual(
    whose.map((shortage) => shortage?.instanceId),
    [undefined, "p-1", "p-2"],
  );
  for (const id of ["p-1", "p-2"]) await env.client.topUp(id, { calls: 2 });
  assert.equal(await env.result(run), 20);
  assert.equal((await env.client.budget("p-1"))?.spent.calls, 10);
  assert.equal((await env.client.budget("p"))?.spent.calls, 20);
});

test("what is started to live on its own draws on no budget but its own", async (t) => {
  const starter = orchestration("starter", async (ctx) => {
    ctx.startOrchestration(fan, 3, { instanceId: "free" });
    ctx.startOrchestration(fan, 3, { instanceId: "bound", budget: { calls: 2 } });
  });
  const llm = answers();
  const env = await environment(t, { orchestrations: [starter, fan], llm });
  await env.result(await env.startOrchestration(starter, undefined, { budget: { calls: 0 } }));
  await env.settle();
  assert.equal(llm.calls.length, 5);
  assert.equal((await env.client.instance("bound").status()).status, "blocked");
});

test("a definition has a budget, and the call goes before it, member by member", async (t) => {
  const modest = orchestration("modest", { budget: { calls: 2, tokens: 1_000_000 } }, async (ctx) => {
    await ctx.generate("1");
    await ctx.generate("2");
    return ctx.generate("3");
  });
  const env = await environment(t, { orchestrations: [modest], llm: answers() });
  const bound = await env.startOrchestration(modest, undefined, { instanceId: "bound" });
  await assert.rejects(env.result(bound), fails("budget_exceeded"));
  const free = await env.startOrchestration(modest, undefined, { instanceId: "free", budget: { calls: 3 } });
  assert.equal(await env.result(free), "ok");
  assert.deepEqual((await env.client.budget("free"))?.limits, { calls: 3, tokens: 1_000_000 });
});

test("what is asked for too late is refused; a top-up adds time", async (t) => {
  const slow = orchestration("slow", async (ctx) => {
    await ctx.generate("in time");
    await ctx.timer("1h");
    return ctx.generate("late");
  });
  const llm = answers();
  const env = await environment(t, { orchestrations: [slow], llm });
  const run = await env.startOrchestration(slow, undefined, { instanceId: "s", budget: { timeMs: 60_000 } });
  await assert.rejects(env.result(run), fails("budget_exceeded", /timeMs.*3600000 ms since its start, of 60000/));
  await env.client.topUp("s", { timeMs: 3_600_000 });
  assert.equal(await env.result(run), "ok");
  assert.equal((await env.client.budget("s"))?.spent.timeMs, 3_600_000);
});

test("a budget goes on through fifty executions and through another start after the end", async (t) => {
  const round = orchestration("round", async (ctx, left: number): Promise<string> => {
    await ctx.generate("?");
    if (left === 0) throw new Error("the last");
    return ctx.continueAsNew(left - 1);
  });
  const llm = answers();
  const env = await environment(t, { orchestrations: [round], llm, prices });
  const run = await env.startOrchestration(round, 49, { instanceId: "r", budget: { calls: 40, usd: 100 } });
  await assert.rejects(env.result(run), fails("budget_exceeded"));
  assert.equal(llm.calls.length, 40);
  await env.client.topUp("r", { calls: 10 });
  await assert.rejects(env.result(run), fails("orchestration_failed"));
  assert.equal((await env.client.budget("r"))?.spent.usd, 0.75);

  await env.client.retry("r");
  await assert.rejects(env.result(run), fails("budget_exceeded"));
  assert.deepEqual((await env.client.budget("r"))?.limits, { calls: 50, usd: 100 }, "the same money");
  assert.equal(llm.calls.length, 50);
});

test("calls that fail, and calls that are given up, keep nothing reserved and count as calls", async (t) => {
  const door = gate();
  const llm = mock()
    .on("classify", new LlmError("auth", "no"))
    .otherwise(() => door.opened.then(() => "late"));
  const gives = orchestration("gives", async (ctx) => {
    await ctx.classify("x", ["a", "b"]).catch(() => undefined);
    const call = ctx.generate("?");
    await ctx.timer("1m");
    call.cancel();
    await ctx.timer("1m");
  });
  const env = await environment(t, { orchestrations: [gives], llm });
  const run = await env.startOrchestration(gives, undefined, { instanceId: "g", budget: { tokens: 100_000 } });
  await env.until(() => llm.calls.some(({ operation }) => operation === "generate"));
  assert.ok((await env.client.budget("g"))!.reserved.tokens > 0);
  env.clock.jumpTo(env.clock.now() + 60_000);
  await env.until(async () => ofKind(await run.history(), "LlmCancelled").length === 1);
  const { spent, reserved } = (await env.client.budget("g"))!;
  assert.deepEqual([spent.calls, spent.tokens, reserved], [2, 0, { tokens: 0, usd: 0, calls: 0 }]);
  door.open();
  await env.result(run);
});

test("an instance that ends, by itself or by others, gives back what it had reserved", async (t) => {
  const llm = mock().otherwise(() => gate().opened.then(() => "never"));
  const parent = orchestration("parent", async (ctx) => {
    for (const id of ["cancelled", "terminated"]) void ctx.subOrchestration(ask, undefined, { instanceId: id });
    await ctx.waitForEvent("go");
  });
  const env = await environment(t, { orchestrations: [parent, ask], llm });
  await env.startOrchestration(parent, undefined, { instanceId: "p", budget: { calls: 10, tokens: 50_000 } });
  await env.until(() => llm.calls.length === 2);
  await env.client.instance("cancelled").cancel();
  await env.client.instance("terminated").terminate();
  await env.until(async () => (await env.client.budget("p"))?.reserved.tokens === 0);
  assert.deepEqual((await env.client.budget("p"))?.spent.calls, 2);
});

test("a suspended instance still hears events, timers, cancellation and termination", async (t) => {
  const patient = orchestration("patient", async (ctx) => {
    const call = ctx.generate("?");
    const out = ctx.waitForEvent("out").then(() => "event");
    return Promise.race([call, out, ctx.timer("1d").then(() => "timer")]);
  });
  const env = await environment(t, { orchestrations: [patient], llm: answers() });
  const suspended = async (instanceId: string) => {
    const run = await env.startOrchestration(patient, undefined, { instanceId, budget: { calls: 0 } });
    await env.settle();
    assert.equal((await run.status()).status, "blocked");
    return run;
  };
  const [byEvent, byCancel, byEnd, byTimer] = [
    await suspended("event"),
    await suspended("cancel"),
    await suspended("end"),
    await suspended("timer"),
  ];
  await byEvent.raiseEvent("other");
  await env.settle();
  assert.equal((await byEvent.status()).status, "blocked", "heard, and suspended again");
  await byEvent.raiseEvent("out");
  assert.equal(await env.result(byEvent), "event");
  await byCancel.cancel();
  await byEnd.terminate();
  await env.settle();
  assert.deepEqual([(await byCancel.status()).status, (await byEnd.status()).status], ["cancelled", "terminated"]);
  await env.advance("1d");
  assert.equal(await byTimer.result(), "timer");
});

test("a top-up is refused where there is nothing to add to", async (t) => {
  const env = await environment(t, { orchestrations: [ask], llm: answers() });
  await env.result(await env.startOrchestration(ask, undefined, { instanceId: "free" }));
  await env.result(await env.startOrchestration(ask, undefined, { instanceId: "bound", budget: { calls: 1 } }));
  await assert.rejects(env.client.topUp("nobody", { calls: 1 }), fails("instance_not_found"));
  await assert.rejects(env.client.topUp("free", { calls: 1 }), fails("configuration_invalid"));
  await assert.rejects(
    env.client.topUp("bound", { usd: 1 }),
    fails("configuration_invalid", /limits \(calls\), got usd/),
  );
  await assert.rejects(env.client.topUp("bound", { calls: -1 }), fails("configuration_invalid"));
  assert.equal(await env.client.budget("free"), undefined);
  await assert.rejects(env.client.budget("nobody"), fails("instance_not_found"));
});

test("a fork begins with the budget of its origin, unspent; a capsule takes along what is spent", async (t) => {
  const llm = answers();
  const env = await environment(t, { orchestrations: [fan], llm });
  const run = await env.startOrchestration(fan, 4, { instanceId: "f", budget: { calls: 3 } });
  await assert.rejects(env.result(run), fails("budget_exceeded"));
  const fork = await env.client.fork("f", { atEvent: 1, newInstanceId: "fork" });
  await assert.rejects(env.result(fork), fails("budget_exceeded"));
  assert.equal((await env.client.budget("fork"))?.spent.calls, 3);

  const capsule = await env.client.export("f");
  const other = await environment(t, { orchestrations: [fan], llm, storage: sqlite(":memory:") });
  const carried = await other.client.import<string[]>(JSON.stringify(capsule));
  await assert.rejects(other.result(carried), fails("budget_exceeded"));
  assert.equal((await other.client.budget("f"))?.spent.calls, 3);
  assert.equal(llm.calls.length, 6);
  await other.client.topUp("f", { calls: 1 });
  assert.equal((await other.result(carried)).length, 4);
  assert.equal(llm.calls.length, 7);
});

/** A parent and two children under one budget, topped up once. What is asked is answered by the question alone. */
function crashWorld(): CrashWorld<unknown> {
  const llm = mock().otherwise(({ messages }) => says(`answer to ${messages[0]?.content}`, { usage }));
  const family = orchestration("family", async (ctx) => {
    const children = [1, 2].map((i) => ctx.subOrchestration(fan, 2, { instanceId: `${ctx.instanceId}-${i}` }));
    return [await ctx.generate("own"), ...(await Promise.all(children)).flat()];
  });
  return {
    storage: sqlite(":memory:"),
    logger: journal(),
    orchestrations: [family, fan],
    llm,
    prices,
    scenario: async (env) => {
      const run = await env.startOrchestration(family, undefined, { instanceId: "f", budget: { calls: 3, usd: 10 } });
      await env.settle();
      await env.client.topUp("f", { calls: 2 });
      const result = await env.result(run);
      const { limits, spent, reserved } = (await env.client.budget("f"))!;
      const { calls, usd } = (await env.client.usage("f")).tree;
      assert.deepEqual([spent.calls, spent.usd], [calls, usd]);
      return { result, limits, calls, usd, reserved };
    },
  };
}

test("a crash anywhere neither loses nor doubles money, also around a top-up", { timeout: 120_000 }, async () => {
  const report = await exploreCrashes(crashWorld);

  assert.ok(report.runs > 30, `Expected many places to die at, got ${report.runs}`);
});
