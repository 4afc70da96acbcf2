/** Continue-as-new: the next execution begins where the last one ended, with what goes along and nothing else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { activity, orchestration, type Orchestration, type Payload } from "@stet/core";
import { all, environment, fails, gate, kinds, ofKind } from "./world.ts";

test("1,000 executions end with the right output, each with a short history of its own", async (t) => {
  const step = activity("step", async (_ctx, n: number) => n + 1);
  const count = orchestration("count", async (ctx, n: number): Promise<number> => {
    const next = n % 100 === 0 ? await ctx.activity(step, n) : n + 1;
    return next < 1_000 ? ctx.continueAsNew(next) : next;
  });
  const env = await environment(t, { orchestrations: [count], activities: [step] });
  const run = await env.startOrchestration(count, 0, { instanceId: "c" });
  assert.equal(await env.result(run), 1_000);
  assert.equal((await run.status()).execution, 1_000);
  const executions = await env.client.executions("c");
  assert.equal(executions.length, 1_000);
  assert.deepEqual(
    executions.map(({ execution }) => execution).toSorted((a, b) => a - b),
    Array.from({ length: 1_000 }, (_, i) => i + 1),
  );
  assert.deepEqual(kinds(await run.history(500)), ["OrchestrationStarted", "ContinuedAsNew"]);
  assert.equal(ofKind(await run.history(500), "OrchestrationStarted")[0]?.input, 499);
  assert.deepEqual(kinds(await run.history(1)), [
    "OrchestrationStarted",
    "ActivityScheduled",
    "ActivityCompleted",
    "ContinuedAsNew",
  ]);
});

test("state, status, labels and events go along, and the code sees them", async (t) => {
  const carry = orchestration("carry", async (ctx, round: number): Promise<Payload> => {
    const seen = ctx.state.get<number[]>("rounds") ?? [];
    ctx.state.set("rounds", [...seen, round]);
    if (round === 1) ctx.state.set("first", "kept");
    if (round === 2) {
      ctx.state.delete("first");
      ctx.state.set("second", null);
      ctx.setStatus({ round });
    }
    const event = await ctx.waitForEvent<number>("tick");
    if (round < 4) return ctx.continueAsNew(round + 1);
    return { keys: ctx.state.keys(), rounds: ctx.state.get("rounds") ?? null, event };
  });
  const env = await environment(t, { orchestrations: [carry] });
  const run = await env.startOrchestration(carry, 1, { labels: { team: "blue" } });
  for (const n of [1, 2, 3]) await run.raiseEvent("tick", n);
  await env.settle();
  const { execution, customStatus, labels, status } = await run.status();
  assert.deepEqual([execution, customStatus, labels, status], [4, { round: 2 }, { team: "blue" }, "running"]);
  assert.deepEqual(await run.state(), { rounds: [1, 2, 3, 4], second: null });
  assert.deepEqual(ofKind(await run.history(4), "OrchestrationStarted")[0]?.carried, {
    state: [
      { key: "rounds", value: [1, 2, 3] },
      { key: "second", value: null },
    ],
    status: { round: 2 },
  });
  await env.restart();
  await run.raiseEvent("tick", 4);
  assert.deepEqual(await env.result(run), { keys: ["rounds", "second"], rounds: [1, 2, 3, 4], event: 4 });
  assert.deepEqual(await run.state(), { rounds: [1, 2, 3, 4], second: null });
});

test("offsets of the output stream go on across executions", async (t) => {
  const emit = orchestration("emit", async (ctx, round: number): Promise<string> => {
    for (let i = 0; i < 3; i++) ctx.emit(`${round}.${i}`);
    return round < 3 ? ctx.continueAsNew(round + 1) : "done";
  });
  const env = await environment(t, { orchestrations: [emit] });
  const run = await env.startOrchestration(emit, 1);
  await env.result(run);
  const rows = await all(run.outputs());
  assert.deepEqual(
    rows.map(({ data }) => data),
    ["1.0", "1.1", "1.2", "2.0", "2.1", "2.2", "3.0", "3.1", "3.2"],
  );
  const offsets = rows.map(({ offset }) => offset);
  assert.deepEqual(
    offsets,
    [...new Set(offsets)].toSorted((a, b) => a - b),
  );
  assert.deepEqual(
    (await all(run.outputs({ from: offsets[6] as number }))).map(({ data }) => data),
    ["3.1", "3.2"],
  );
});

test("what was outstanding ends with its execution: timers, activities, waits", async (t) => {
  const aborts: number[] = [];
  const hang = activity("hang", async (ctx) => {
    await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
    aborts.push(ctx.execution);
    return "of the first execution";
  });
  const again = orchestration("again", async (ctx): Promise<unknown> => {
    if (ctx.execution > 1) return ctx.waitForEvent("end");
    void ctx.activity(hang);
    void ctx.timer("1h");
    void ctx.waitForEvent("never");
    await ctx.timer("1m");
    return ctx.continueAsNew();
  });
  const env = await environment(t, { orchestrations: [again], activities: [hang] });
  const run = await env.startOrchestration(again);
  await env.until(() => env.runtime.stats().runningWork === 1);
  env.clock.jumpTo(env.clock.now() + 60_000);
  await env.advance("2h");
  assert.deepEqual(aborts, [1]);
  const { messages, work } = await env.client.stats();
  assert.deepEqual(
    [messages, work],
    [
      { ready: 0, delayed: 0 },
      { ready: 0, delayed: 0, running: 0 },
    ],
  );
  assert.deepEqual(
    (await env.client.pendingWaits()).waits.map(({ name }) => name),
    ["end"],
  );
  assert.deepEqual(kinds(await run.history()), ["OrchestrationStarted", "EventAwaited"]);
  assert.deepEqual(kinds(await run.history(1)).slice(-4), [
    "ActivityCancelled",
    "TimerCancelled",
    "EventWaitCancelled",
    "ContinuedAsNew",
  ]);
  await run.raiseEvent("end", "well");
  assert.equal(await env.result(run), "well");
});

test("an answer that comes too late for its execution is not given to the next one", async (t) => {
  const door = gate();
  const answers: string[] = [];
  const slow = activity("slow", async (ctx) => {
    if (ctx.execution === 1) await door.opened;
    answers.push(`of execution ${ctx.execution}`);
    return `of execution ${ctx.execution}`;
  });
  const again = orchestration("again", async (ctx): Promise<string> => {
    const answer = ctx.activity(slow);
    if (ctx.execution > 1) {
      await ctx.timer("1m");
      return answer;
    }
    await ctx.timer("1m");
    return ctx.continueAsNew();
  });
  const env = await environment(t, { orchestrations: [again], activities: [slow] });
  const run = await env.startOrchestration(again);
  await env.until(() => env.runtime.stats().runningWork === 1);
  env.clock.jumpTo(env.clock.now() + 60_000);
  await env.until(() => answers.length === 1);
  door.open();
  assert.equal(await env.result(run), "of execution 2");
});

test("a crash between two executions loses neither", async (t) => {
  const count = orchestration("count", async (ctx, n: number): Promise<number> => {
    await ctx.timer("1m");
    return n < 5 ? ctx.continueAsNew(n + 1) : n;
  });
  const env = await environment(t, { orchestrations: [count] });
  const run = await env.startOrchestration(count, 1);
  for (let i = 0; i < 5; i++) {
    await env.restart();
    await env.settle();
    env.clock.jumpTo(env.clock.now() + 60_000);
    await env.until(async () => (await run.status()).execution > i + 1 || (await run.status()).status === "completed");
  }
  assert.equal(await env.result(run), 5);
  assert.equal((await env.client.executions(run.instanceId)).length, 5);
});

function versioned(version: string): Orchestration<number, string> {
  return orchestration("versioned", { version }, async (ctx, n: number): Promise<string> => {
    await ctx.waitForEvent("next");
    return n < 3 ? ctx.continueAsNew(n + 1) : `ended on ${ctx.version}`;
  });
}

test("the next execution is of the newest version, and the running one is not", async (t) => {
  const env = await environment(t, { orchestrations: [versioned("1")] });
  const run = await env.startOrchestration(versioned("1"), 1);
  await env.settle();
  await env.restart({ orchestrations: [versioned("1"), versioned("1.10"), versioned("1.9")] });
  await env.settle();
  assert.equal((await run.status()).version, "1");
  for (let i = 0; i < 3; i++) await run.raiseEvent("next");
  assert.equal(await env.result(run), "ended on 1.10");
  const versions = await Promise.all(
    [1, 2, 3].map(async (n) => ofKind(await run.history(n), "OrchestrationStarted")[0]?.version),
  );
  assert.deepEqual(versions, ["1", "1.10", "1.10"]);
});

test("continue-as-new may name the version, and waits for a worker that has it", async (t) => {
  const first = orchestration("moving", { version: "1" }, async (ctx): Promise<string> =>
    ctx.continueAsNew(undefined, { version: "7" }),
  );
  const seventh = orchestration("moving", { version: "7" }, async (ctx) => ctx.version);
  const env = await environment(t, { orchestrations: [first] });
  const run = await env.startOrchestration(first);
  await env.settle();
  const { status, version, execution } = await run.status();
  assert.deepEqual([status, version, execution], ["running", "7", 2]);
  assert.deepEqual((await env.client.stats()).missingHandlers.orchestrations, ["moving@7"]);
  await env.restart({ orchestrations: [seventh] });
  assert.equal(await env.result(run), "7");
});

test("continue-as-new with an input that is no JSON fails where it is called", async (t) => {
  const bad = orchestration("bad", async (ctx) => ctx.continueAsNew({ when: new Date(0) }));
  const env = await environment(t, { orchestrations: [bad] });
  await assert.rejects(
    env.result(await env.startOrchestration(bad)),
    fails(
      "orchestration_failed",
      /Expected the input of orchestration bad to be JSON, got an instance of Date at \$\.when$/,
    ),
  );
});

test("history() of an execution that was never there or is gone is empty", async (t) => {
  const count = orchestration("count", async (ctx, n: number): Promise<number> =>
    n < 3 ? ctx.continueAsNew(n + 1) : n,
  );
  const env = await environment(t, { orchestrations: [count] });
  const run = await env.startOrchestration(count, 1);
  await env.result(run);
  assert.deepEqual(await run.history(4), []);
  assert.deepEqual(await env.client.prune({ keepExecutions: 1 }), { trees: 0, executions: 2 });
  assert.deepEqual(await run.history(1), []);
  assert.equal((await run.history(3)).length, 2);
});
