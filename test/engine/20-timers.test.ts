/** Timers, and what time is to an orchestration. */
import assert from "node:assert/strict";
import test from "node:test";
import { type Duration, orchestration, type StetError, type TimerCreated } from "@stet/core";
import { answer, given, start } from "@stet/testing";
import { bothWays, kinds, outputOf } from "./both-ways.ts";

test("ctx.timer() records when it fires and asks the store to say so then", async () => {
  const turn = await given(orchestration("wait", (ctx) => ctx.timer("10s"))).when(start());

  assert.deepEqual(turn.events[1], { id: 2, at: 1_000_000, kind: "TimerCreated", fireAt: 1_010_000 });
  assert.deepEqual(
    turn.effects.timers,
    new Map([[2, { fireAt: 1_010_000, answer: { kind: "TimerFired", source: 2, execution: 1 } }]]),
  );
});

test("ctx.timer() resolves with undefined when it has fired", async () => {
  const wait = orchestration("wait", async (ctx) => typeof (await ctx.timer("10s")));

  const end = await bothWays(wait, [[start()], [answer.timerFired(2)]]);

  assert.equal(outputOf(end), "undefined");
  assert.deepEqual(kinds(end.history), [
    "OrchestrationStarted",
    "TimerCreated",
    "TimerFired",
    "OrchestrationCompleted",
  ]);
});

test("a timer of no duration is a timer all the same", async () => {
  const turn = await given(orchestration("yield", (ctx) => ctx.timer(0))).when(start());

  assert.equal(turn.status, "waiting");
  assert.equal((turn.events[1] as TimerCreated).fireAt, 1_000_000);
});

test("a duration is milliseconds or a number with a unit, and whole milliseconds when recorded", async () => {
  const durations: readonly [Duration, number][] = [
    [1, 1],
    ["500ms", 500],
    ["1.5s", 1_500],
    ["2m", 120_000],
    ["3h", 10_800_000],
    ["1d", 86_400_000],
    [0.4, 0],
    [1.5, 2],
    ["1.1s", 1_100],
    ["36525d", 3_155_760_000_000],
  ];
  for (const [duration, ms] of durations) {
    const turn = await given(orchestration("wait", (ctx) => ctx.timer(duration))).when(start());
    assert.equal((turn.events[1] as TimerCreated).fireAt, 1_000_000 + ms, String(duration));
  }
});

test("what is no duration is refused where the call is made", async () => {
  for (const wrong of [-1, Number.NaN, Infinity, "10", "10 s", "1w", "", "-1s", "36526d", null, {}, undefined]) {
    const end = await given(orchestration("wait", (ctx) => ctx.timer(wrong as Duration))).when(start());
    assert.ok(end.closing?.kind === "OrchestrationFailed", String(wrong));
    assert.equal(end.closing.error.code, "configuration_invalid");
    assert.match(end.closing.error.message, /^Expected the duration of a timer to be milliseconds or a string like/);
  }
});

test("timers fire in the order in which the store says so, not in that of their times", async () => {
  const three = orchestration("three", async (ctx) => {
    const fired: string[] = [];
    await Promise.all((["3s", "1s", "2s"] as const).map((wait) => ctx.timer(wait).then(() => fired.push(wait))));
    return fired;
  });

  const end = await bothWays(three, [[start()], [answer.timerFired(3), answer.timerFired(4)], [answer.timerFired(2)]]);

  assert.deepEqual(outputOf(end), ["1s", "2s", "3s"]);
});

test("a timer and an activity that arrive together are told apart by their order", async () => {
  const either = orchestration("either", (ctx) =>
    Promise.race([ctx.timer("1s").then(() => "timer"), ctx.activity("work").then(() => "work")]),
  );

  const timerFirst = await bothWays(either, [[start()], [answer.timerFired(2), answer.activityCompleted(3)]]);
  const workFirst = await bothWays(either, [[start()], [answer.activityCompleted(3), answer.timerFired(2)]]);

  assert.equal(outputOf(timerFirst), "timer");
  assert.equal(outputOf(workFirst), "work");
});

test("an activity then a timer, and a timer then an activity", async () => {
  const one = orchestration("one", async (ctx) => {
    await ctx.activity("a");
    await ctx.timer("1s");
    await ctx.activity("b");
    return "end";
  });

  const end = await bothWays(one, [
    [start()],
    [answer.activityCompleted(2)],
    [answer.timerFired(4)],
    [answer.activityCompleted(6)],
  ]);

  assert.equal(outputOf(end), "end");
});

test("a timer counts from the event delivered last, so its time is the same on every replay", async () => {
  const twice = orchestration("twice", async (ctx) => {
    await ctx.activity("a");
    const now = ctx.now();
    await ctx.timer("1m");
    return now;
  });

  const turn = await bothWays(twice, [[start()], [answer.activityCompleted(2)]]);

  assert.equal((turn.events[1] as TimerCreated).fireAt, 1_061_000);
});

test("a cancelled timer is taken back from the store and never fires", async () => {
  const calledOff = orchestration("calledOff", async (ctx) => {
    const alarm = ctx.timer("1h");
    await ctx.activity("work");
    alarm.cancel("work is done");
    await ctx.activity("more");
    return alarm.catch((error: unknown) => (error as StetError).message);
  });

  const turn = await bothWays(calledOff, [[start()], [answer.activityCompleted(3)]]);
  assert.deepEqual(turn.events[1], {
    id: 5,
    at: 1_001_000,
    kind: "TimerCancelled",
    source: 2,
    reason: "work is done",
  });
  assert.deepEqual(turn.effects.settled, [3, 2]);

  const end = await bothWays(calledOff, [
    [start()],
    [answer.activityCompleted(3)],
    [answer.timerFired(2)],
    [answer.activityCompleted(6)],
  ]);
  assert.equal(outputOf(end), "work is done");
  assert.ok(!end.history.some(({ kind }) => kind === "TimerFired"));
});

test("a timer cancelled in the turn that made it asks nothing of the store", async () => {
  const fickle = orchestration("fickle", async (ctx) => {
    ctx.timer("1h").cancel();
    await ctx.activity("work");
  });

  const turn = await given(fickle).when(start());

  assert.equal(turn.effects.timers.size, 0);
  assert.deepEqual(turn.effects.settled, []);
  assert.deepEqual(kinds(turn.events), ["OrchestrationStarted", "TimerCreated", "TimerCancelled", "ActivityScheduled"]);
});

test("a timer that fires in the turn after it was made needs no row to be taken back", async () => {
  const wait = orchestration("wait", async (ctx) => {
    await ctx.timer("1s");
    await ctx.timer("1s");
  });

  const turn = await bothWays(wait, [[start()], [answer.timerFired(2)]]);

  assert.deepEqual(turn.effects.settled, []);
  assert.deepEqual([...turn.effects.timers.keys()], [4]);
});

test("a timer left behind is cancelled when the orchestration ends", async () => {
  const end = await bothWays(
    orchestration("o", async (ctx) => {
      void ctx.timer("1d");
      await ctx.activity("a");
    }),
    [[start()], [answer.activityCompleted(3)]],
  );

  assert.deepEqual(kinds(end.events), ["ActivityCompleted", "TimerCancelled", "OrchestrationCompleted"]);
});

test("a loop of timers goes on across restarts", async () => {
  const beats = orchestration("beats", async (ctx) => {
    const times: number[] = [];
    for (let i = 0; i < 5; i++) {
      await ctx.timer("1s");
      times.push(ctx.now());
    }
    return times;
  });

  const end = await bothWays(beats, [[start()], ...[2, 4, 6, 8, 10].map((source) => [answer.timerFired(source)])], {
    timeMatters: true,
  });

  assert.deepEqual(outputOf(end), [1_001_000, 1_002_000, 1_003_000, 1_004_000, 1_005_000]);
});

test("a changed duration is no nondeterminism: the recorded time stands", async () => {
  const minutes = (n: number) =>
    orchestration("wait", async (ctx) => {
      await ctx.timer(n * 60_000);
      return "over";
    });
  const before = await given(minutes(1)).when(start());

  const after = await given(minutes(90), before.history).when(answer.timerFired(2));

  assert.equal(outputOf(after), "over");
  assert.equal((after.history[1] as TimerCreated).fireAt, 1_060_000);
});
