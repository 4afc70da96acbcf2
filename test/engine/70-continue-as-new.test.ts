/** Continue-as-new: the end of one execution is the start of the next, and nothing falls between them. */
import assert from "node:assert/strict";
import test from "node:test";
import { orchestration, type OrchestrationStarted } from "@stet/core";
import { answer, cancel, event, given, start, type TurnReport } from "@stet/testing";
import { bothWays, kinds, outputOf } from "./both-ways.ts";

/** The next execution of an instance that continued as new, before its code has run. */
function nextOf(orchestrated: Parameters<typeof given>[0], report: TurnReport) {
  assert.ok(report.next, report.failure?.message ?? report.status);
  return given(orchestrated, [report.next], { execution: report.execution.execution + 1 });
}

const countdown = orchestration("countdown", async (ctx, n: number): Promise<string> => {
  if (n === 0) return `done in execution ${ctx.execution}`;
  await ctx.timer("1s");
  return ctx.continueAsNew(n - 1);
});

test("ctx.continueAsNew() ends the execution and hands the next one its input", async () => {
  const end = await bothWays(countdown, [[start(2)], [answer.timerFired(2)]]);

  assert.equal(end.status, "continuedAsNew");
  assert.deepEqual(end.closing, { kind: "ContinuedAsNew", input: 1 });
  assert.deepEqual(end.next, {
    id: 1,
    at: 1_001_000,
    kind: "OrchestrationStarted",
    schemaVersion: 1,
    name: "countdown",
    version: "1",
    input: 1,
  });
});

test("an orchestration that continues as new goes on until it does not", async () => {
  const first = await given(countdown).when(start(2));
  const second = await nextOf(countdown, await first.when(answer.timerFired(2))).when();
  const third = await nextOf(countdown, await second.when(answer.timerFired(2))).when();

  assert.equal(outputOf(third), "done in execution 3");
  assert.equal(third.history.length, 2);
});

test("ctx.continueAsNew() in the first turn, without input, and with one that is null", async () => {
  const without = await bothWays(
    orchestration("o", (ctx) => ctx.continueAsNew()),
    [[start("old")]],
  );
  const withNull = await bothWays(
    orchestration("o", (ctx) => ctx.continueAsNew(null)),
    [[start()]],
  );

  assert.ok(without.next && !("input" in without.next));
  assert.equal(withNull.next?.input, null);
});

test("the next execution starts from its recorded start with code that has not run, and asks from event 2 on", async () => {
  const end = await given(countdown).when(start(2), answer.timerFired(2));

  const next = await nextOf(countdown, end).when();

  assert.deepEqual(
    next.events.map(({ id, kind }) => [id, kind]),
    [[2, "TimerCreated"]],
  );
  assert.equal(next.status, "waiting");
  const again = await next.replayed().when(answer.timerFired(2));
  assert.equal(again.status, "continuedAsNew");
});

test("state, status, labels and parent go with it", async () => {
  const keeper = orchestration("keeper", (ctx) => {
    ctx.state.set("b", { n: 1 });
    ctx.state.set("10", "ten");
    ctx.state.set("2", "two");
    ctx.state.set("gone", 1);
    ctx.state.delete("gone");
    ctx.setStatus({ phase: "second" });
    return ctx.continueAsNew("x");
  });
  const parent = { instanceId: "p", execution: 1, eventId: 2 };

  const end = await bothWays(keeper, [[start(undefined, { labels: { team: "a" }, parent })]]);

  assert.deepEqual(end.next?.carried, {
    state: [
      { key: "b", value: { n: 1 } },
      { key: "10", value: "ten" },
      { key: "2", value: "two" },
    ],
    status: { phase: "second" },
  });
  assert.deepEqual(end.next?.labels, { team: "a" });
  assert.deepEqual(end.next?.parent, parent);
});

test("what was carried is there, in the same order, and is carried on when nobody touches it", async () => {
  const reader = orchestration("reader", async (ctx, round: number) => {
    if (round === 0) {
      for (const key of ["z", "10", "2", "a"]) ctx.state.set(key, `${key}!`);
      ctx.setStatus("busy");
    }
    if (round < 2) return ctx.continueAsNew(round + 1);
    return [ctx.state.keys(), ctx.state.get("10")];
  });

  const first = await given(reader).when(start(0));
  const second = await nextOf(reader, first).when();
  const third = await nextOf(reader, second).when();

  assert.equal(second.next?.carried?.status, "busy");
  assert.deepEqual(outputOf(third), [["z", "10", "2", "a"], "10!"]);
});

test("a status that was cleared is carried as cleared", async () => {
  const end = await bothWays(
    orchestration("o", (ctx) => {
      ctx.setStatus("busy");
      ctx.setStatus(null);
      return ctx.continueAsNew();
    }),
    [[start()]],
  );

  assert.deepEqual(end.next?.carried, { status: null });
});

test("events that nobody received go with it in order, and those received do not", async () => {
  const batch = orchestration("batch", async (ctx, sum: number) => {
    const n = await ctx.waitForEvent<number>("n");
    ctx.tryReceive("seen");
    if (n === 0) return sum;
    return ctx.continueAsNew(sum + n);
  });

  const end = await bothWays(batch, [[start(0), event("seen", 1), event("m", "M"), event("n", 1), event("n", 2)]]);
  assert.deepEqual(end.next?.carried, { events: [{ name: "m", data: "M" }] }, "the second n is still in the inbox");

  const late = orchestration("late", async (ctx) => {
    await ctx.activity("a");
    await ctx.waitForEvent("n");
    ctx.tryReceive("seen");
    return ctx.continueAsNew();
  });
  const carried = await bothWays(late, [
    [start()],
    [event("n", 1), event("seen", 1), event("n", 2), event("m"), event("n", null)],
    [answer.activityCompleted(2)],
  ]);
  assert.deepEqual(carried.next?.carried, {
    events: [{ name: "n", data: 2 }, { name: "n", data: null }, { name: "m" }],
  });
});

test("more than a hundred unread events are carried, all of them", async () => {
  const busy = orchestration("busy", async (ctx, round: number) => {
    if (round === 0) {
      await ctx.activity("a");
      return ctx.continueAsNew(1);
    }
    let sum = 0;
    for (let event = ctx.tryReceive<number>("n"); event !== undefined; event = ctx.tryReceive<number>("n"))
      sum += event.data;
    return sum;
  });
  const events = Array.from({ length: 150 }, (_, i) => event("n", i));

  const end = await bothWays(busy, [[start(0)], events, [answer.activityCompleted(2)]]);
  const next = await nextOf(busy, end).when();

  assert.equal(outputOf(next), (150 * 149) / 2);
});

test("messages behind the end of an execution are left in the inbox for the next", async () => {
  const turn = await given(countdown).when(start(1), answer.timerFired(2), event("n", 1), cancel());

  assert.equal(turn.status, "continuedAsNew");
  assert.deepEqual(kinds(turn.events), ["OrchestrationStarted", "TimerCreated", "TimerFired", "ContinuedAsNew"]);
});

test("what is outstanding is given up, children too, except those to be abandoned", async () => {
  const busy = orchestration("busy", async (ctx) => {
    void ctx.activity("a");
    void ctx.timer("1d");
    void ctx.waitForEvent("n");
    void ctx.generate("?");
    void ctx.subOrchestration("kept", 1, { parentClosePolicy: "abandon" });
    void ctx.subOrchestration("ended", 1);
    await ctx.timer("1s");
    return ctx.continueAsNew();
  });

  const end = await bothWays(busy, [[start()], [answer.timerFired(8)]]);

  assert.deepEqual(kinds(end.events), [
    "TimerFired",
    "ActivityCancelled",
    "TimerCancelled",
    "EventWaitCancelled",
    "LlmCancelled",
    "SubOrchestrationCancelled",
    "ContinuedAsNew",
  ]);
  assert.deepEqual(
    end.effects.messages.map(({ instanceId }) => instanceId),
    ["instance:1:2"],
  );
  const reasons = end.events.flatMap((one) => ("source" in one && "reason" in one ? [one.reason] : []));
  assert.deepEqual(new Set(reasons), new Set(["the orchestration continued as new"]));
});

test("a late answer to the execution before is dropped by the next", async () => {
  const end = await given(countdown).when(start(2), answer.timerFired(2));

  const next = await nextOf(countdown, end).when({ kind: "TimerFired", source: 2, execution: 1 });

  assert.deepEqual(kinds(next.events), ["TimerCreated"]);
  assert.equal(next.status, "waiting");
});

test("ctx.continueAsNew() may ask for a version; otherwise the shell chooses", async () => {
  const pinned = await bothWays(
    orchestration("o", (ctx) => ctx.continueAsNew(1, { version: "2.0" })),
    [[start()]],
  );

  assert.deepEqual(pinned.closing, { kind: "ContinuedAsNew", input: 1, version: "2.0" });
  assert.equal(pinned.next?.version, "2.0");
});

test("the first ctx.continueAsNew() of an execution counts, and what the code does after it is given up", async () => {
  const twice = orchestration("twice", (ctx) => {
    void ctx.continueAsNew("first");
    void ctx.continueAsNew("second");
    return ctx.activity("late");
  });

  const end = await bothWays(twice, [[start()]]);

  assert.equal(end.next?.input, "first");
  assert.deepEqual(kinds(end.events), [
    "OrchestrationStarted",
    "ActivityScheduled",
    "ActivityCancelled",
    "ContinuedAsNew",
  ]);
  assert.equal(end.effects.work.size, 0);
});

test("ctx.continueAsNew() counts though the code returns something else or throws", async () => {
  const returns = orchestration("returns", (ctx) => {
    void ctx.continueAsNew("next");
    return "something else";
  });
  const throws = orchestration("throws", async (ctx) => {
    void ctx.continueAsNew("next");
    throw new Error("too late");
  });

  for (const code of [returns, throws]) {
    const end = await bothWays(code, [[start()]]);
    assert.deepEqual(end.closing, { kind: "ContinuedAsNew", input: "next" });
  }
});

test("an orchestration that waits for a child and then continues as new", async () => {
  const parent = orchestration("parent", async (ctx) => ctx.continueAsNew(await ctx.subOrchestration("child")));

  const end = await bothWays(parent, [[start()], [answer.childCompleted(2, "of the child")]]);

  assert.equal(end.next?.input, "of the child");
  assert.deepEqual(end.effects.messages, []);
});

test("an input that JSON cannot carry is refused, and the execution goes on", async () => {
  const bad = orchestration("bad", async (ctx) => {
    try {
      return await ctx.continueAsNew(new Map());
    } catch (error) {
      return (error as Error).name;
    }
  });

  assert.equal(outputOf(await bothWays(bad, [[start()]])), "PayloadError");
});

test("chance and children of the next execution are not those of the one before", async () => {
  const twins = orchestration("twins", (ctx) => [ctx.uuid(), ctx.random(), ctx.startOrchestration("child")]);
  const history = (await given(twins).when(start())).history.slice(0, 1);

  const first = outputOf(await given(twins, history).when()) as unknown[];
  const second = outputOf(await given(twins, history, { execution: 2 }).when()) as unknown[];

  for (const [i, value] of first.entries()) assert.notEqual(value, second[i]);
});

test("the start of the next execution says when it was and under which schema", async () => {
  const end = await given(countdown).when(start(1), answer.timerFired(2));

  const { at, schemaVersion } = end.next as OrchestrationStarted & { at: number };
  assert.deepEqual([at, schemaVersion], [1_000_000, 1]);
});
