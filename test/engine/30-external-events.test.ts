/** External events: kept in order, by name, until somebody wants them. */
import assert from "node:assert/strict";
import test from "node:test";
import { isStetError, orchestration, type OrchestrationContext, type Payload, type StetError } from "@stet/core";
import { waitingForOf } from "@stet/core/internal";
import { answer, cancel, event, given, start } from "@stet/testing";
import { z } from "zod";
import { bothWays, kinds, outputOf } from "./both-ways.ts";

const one = orchestration("one", (ctx) => ctx.waitForEvent("go"));

test("ctx.waitForEvent() records the wait and shows it to the world with its details", async () => {
  const asked = orchestration("asked", (ctx) =>
    ctx.waitForEvent("approval", { details: { question: "May I?" }, timeout: "1h" }),
  );

  const turn = await given(asked).when(start());

  const wait = { kind: "EventAwaited", name: "approval", details: { question: "May I?" }, timeoutAt: 4_600_000 };
  assert.deepEqual(turn.events[1], { id: 2, at: 1_000_000, ...wait });
  assert.deepEqual(turn.effects.waits, new Map([[2, wait]]));
});

test("ctx.waitForEvent() resolves with the data of the event", async () => {
  const end = await bothWays(one, [[start()], [event("go", { approved: true })]]);

  assert.deepEqual(outputOf(end), { approved: true });
  assert.deepEqual(kinds(end.history), [
    "OrchestrationStarted",
    "EventAwaited",
    "EventReceived",
    "OrchestrationCompleted",
  ]);
  assert.deepEqual(end.effects.settled, [2]);
});

test("an event without data resolves with undefined, and empty data stay empty", async () => {
  const kindOf = orchestration("kindOf", async (ctx) => {
    const data = await ctx.waitForEvent<Payload | undefined>("go");
    return data === undefined ? "nothing" : data;
  });
  const told = async (data?: Payload) => outputOf(await bothWays(kindOf, [[start()], [event("go", data)]]));

  assert.equal(await told(), "nothing");
  assert.equal(await told(null), null);
  assert.equal(await told(""), "");
  assert.equal(await told(0), 0);
  assert.equal(await told(false), false);
});

test("an event that arrives before anybody waits is kept and given to the next wait", async () => {
  const later = orchestration("later", async (ctx) => {
    await ctx.activity("first");
    return ctx.waitForEvent("go");
  });

  const end = await bothWays(later, [[start()], [event("go", "early")], [answer.activityCompleted(2)]]);

  assert.equal(outputOf(end), "early");
  assert.deepEqual(kinds(end.history), [
    "OrchestrationStarted",
    "ActivityScheduled",
    "EventReceived",
    "ActivityCompleted",
    "EventAwaited",
    "OrchestrationCompleted",
  ]);
  assert.equal(end.effects.waits.size, 0, "a wait that was satisfied at once is nobody's business");
});

test("an event that comes with the start is there for the first wait", async () => {
  const end = await bothWays(one, [[start(), event("go", "at once")]]);

  assert.equal(outputOf(end), "at once");
});

test("events of one name are received in the order of their arrival, however they are spread over turns", async () => {
  const three = orchestration("three", async (ctx) => [
    await ctx.waitForEvent("n"),
    await ctx.waitForEvent("n"),
    await ctx.waitForEvent("n"),
  ]);

  const spread = [
    [[start()], [event("n", 1)], [event("n", 2)], [event("n", 3)]],
    [[start(), event("n", 1), event("n", 2), event("n", 3)]],
    [[start()], [event("n", 1), event("n", 2)], [event("n", 3)]],
  ];
  for (const turns of spread) assert.deepEqual(outputOf(await bothWays(three, turns)), [1, 2, 3]);
});

test("several waits of one name are satisfied in the order in which they were made", async () => {
  const both = orchestration("both", (ctx) => Promise.all([ctx.waitForEvent("n"), ctx.waitForEvent("n")]));

  const end = await bothWays(both, [[start()], [event("n", "first")], [event("n", "second")]]);

  assert.deepEqual(outputOf(end), ["first", "second"]);
});

test("events of different names do not meet", async () => {
  const two = orchestration("two", async (ctx) => [await ctx.waitForEvent("a"), await ctx.waitForEvent("b")]);

  const end = await bothWays(two, [[start()], [event("b", "B")], [event("A", "not this")], [event("a", "A")]]);

  assert.deepEqual(outputOf(end), ["A", "B"]);
});

test("the same event twice is two events", async () => {
  const two = orchestration("two", async (ctx) => [await ctx.waitForEvent("n"), await ctx.waitForEvent("n")]);

  const end = await bothWays(two, [[start()], [event("n", "same"), event("n", "same")]]);

  assert.deepEqual(outputOf(end), ["same", "same"]);
});

test("an event that nobody ever wants changes nothing and stays in history", async () => {
  const end = await bothWays(one, [[start()], [event("other", 1)], [event("go", 2)]]);

  assert.equal(outputOf(end), 2);
  assert.equal(end.history.filter(({ kind }) => kind === "EventReceived").length, 2);
});

test("a wait that was cancelled does not take the next event", async () => {
  const twice = orchestration("twice", async (ctx) => {
    const givenUp = ctx.waitForEvent("n");
    const wanted = ctx.waitForEvent("n");
    await ctx.timer("1s");
    givenUp.cancel("not needed");
    return [await wanted, await givenUp.catch((error: unknown) => (error as Error).message)];
  });

  const end = await bothWays(twice, [[start()], [answer.timerFired(4)], [event("n", "for the other")]]);

  assert.deepEqual(outputOf(end), ["for the other", "not needed"]);
});

test("cancelling one of several waits leaves the others their places", async () => {
  const queue = orchestration("queue", async (ctx) => {
    const waits = [1, 2, 3, 4].map(() => ctx.waitForEvent<number>("n"));
    await ctx.timer("1s");
    waits[2]?.cancel();
    return (await Promise.allSettled(waits)).map((outcome) =>
      outcome.status === "fulfilled" ? outcome.value : "cancelled",
    );
  });

  const end = await bothWays(queue, [
    [start()],
    [event("n", 10)],
    [answer.timerFired(6)],
    [event("n", 20)],
    [event("n", 30)],
  ]);

  assert.deepEqual(outputOf(end), [10, 20, "cancelled", 30]);
});

test("a wait with a timeout rejects with TimeoutError when its timer fires, and code may go on", async () => {
  const patient = orchestration("patient", async (ctx) => {
    try {
      return await ctx.waitForEvent("go", { timeout: "1m" });
    } catch (error) {
      assert.ok(isStetError(error, "timeout"));
      return error.message;
    }
  });

  const end = await bothWays(patient, [[start()], [answer.timerFired(3)]]);

  assert.equal(outputOf(end), "Expected event go of instance instance within 60 s, got none");
  assert.deepEqual(kinds(end.history), [
    "OrchestrationStarted",
    "EventAwaited",
    "TimerCreated",
    "TimerFired",
    "EventWaitCancelled",
    "OrchestrationCompleted",
  ]);
  assert.deepEqual(end.effects.settled, [2]);
});

test("a wait with a timeout that gets its event takes the timer back", async () => {
  const patient = orchestration("patient", (ctx) => ctx.waitForEvent("go", { timeout: "1m" }));

  const end = await bothWays(patient, [[start()], [event("go", "in time")]]);

  assert.equal(outputOf(end), "in time");
  assert.deepEqual(kinds(end.events), ["EventReceived", "TimerCancelled", "OrchestrationCompleted"]);
  assert.deepEqual(new Set(end.effects.settled), new Set([2, 3]));
});

test("a wait with a timeout whose event is already there leaves nothing behind", async () => {
  const patient = orchestration("patient", async (ctx) => {
    await ctx.activity("first");
    const data = await ctx.waitForEvent("go", { timeout: "1m" });
    await ctx.activity("next");
    return data;
  });

  const turn = await bothWays(patient, [[start()], [event("go", "early")], [answer.activityCompleted(2)]]);

  assert.deepEqual(kinds(turn.events), [
    "ActivityCompleted",
    "EventAwaited",
    "TimerCreated",
    "TimerCancelled",
    "ActivityScheduled",
  ]);
  assert.equal(turn.effects.timers.size, 0);
  assert.equal(turn.effects.waits.size, 0);
});

test("an event that arrives after the timeout is kept for the next wait", async () => {
  const stubborn = orchestration("stubborn", async (ctx) => {
    const first = await ctx.waitForEvent("go", { timeout: "1m" }).catch(() => "none");
    return [first, await ctx.waitForEvent("go")];
  });

  const end = await bothWays(stubborn, [[start()], [answer.timerFired(3)], [event("go", "late")]]);

  assert.deepEqual(outputOf(end), ["none", "late"]);
});

test("cancelling a wait with a timeout takes the timer back too", async () => {
  const calledOff = orchestration("calledOff", async (ctx) => {
    const wait = ctx.waitForEvent("go", { timeout: "1m" });
    await ctx.activity("work");
    wait.cancel("enough");
    return wait.catch((error: unknown) => [(error as StetError).code, (error as StetError).message]);
  });

  const end = await bothWays(calledOff, [[start()], [answer.activityCompleted(4)]]);

  assert.deepEqual(outputOf(end), ["cancelled", "enough"]);
  assert.deepEqual(kinds(end.events), [
    "ActivityCompleted",
    "EventWaitCancelled",
    "TimerCancelled",
    "OrchestrationCompleted",
  ]);
});

test("data that does not satisfy the schema of the wait reject it with InputError and what is wrong", async () => {
  const strict = orchestration("strict", async (ctx) => {
    const schema = z.object({ approved: z.boolean() });
    try {
      return await ctx.waitForEvent("approval", { schema });
    } catch (error) {
      return [(error as StetError).code, (error as StetError).details ?? null];
    }
  });

  const good = await bothWays(strict, [[start()], [event("approval", { approved: true, more: 1 })]]);
  const bad = await bothWays(strict, [[start()], [event("approval", { approved: "yes" })]]);

  assert.deepEqual(outputOf(good), { approved: true });
  const [code, details] = outputOf(bad) as [string, readonly { path: string }[]];
  assert.equal(code, "input_invalid");
  assert.equal(details[0]?.path, "$.approved");
});

test("data that does not satisfy the schema of a wait with a timeout take its timer back", async () => {
  const strict = orchestration("strict", async (ctx) => {
    await ctx.waitForEvent("n", { schema: z.number(), timeout: "1m" }).catch(() => undefined);
    await ctx.activity("next");
  });

  const turn = await bothWays(strict, [[start()], [event("n", "no number")]]);

  assert.deepEqual(kinds(turn.events), ["EventReceived", "TimerCancelled", "ActivityScheduled"]);
});

test("ctx.tryReceive() takes the oldest event that is there, and never waits", async () => {
  const poll = orchestration("poll", async (ctx) => {
    const before = ctx.tryReceive("n") ?? "nothing";
    await ctx.activity("work");
    return [before, ctx.tryReceive("n")?.data, ctx.tryReceive("n")?.data, ctx.tryReceive("n") ?? "nothing"];
  });

  const end = await bothWays(poll, [[start()], [event("n", 1), event("n", null)], [answer.activityCompleted(2)]]);

  assert.deepEqual(outputOf(end), ["nothing", 1, null, "nothing"]);
});

test("ctx.tryReceive() shows in history as a wait that was satisfied at once, so that every event has its receiver", async () => {
  const poll = orchestration("poll", async (ctx) => {
    await ctx.activity("work");
    const taken = ctx.tryReceive("n");
    await ctx.waitForEvent("n");
    return taken?.data;
  });

  const turn = await bothWays(poll, [[start()], [event("n", 1)], [answer.activityCompleted(2)]]);

  assert.deepEqual(kinds(turn.events), ["ActivityCompleted", "EventAwaited", "EventAwaited"]);
  assert.deepEqual([...turn.effects.waits.keys()], [6]);
  assert.deepEqual(
    waitingForOf(turn.history).map(({ eventId }) => eventId),
    [6],
  );
});

test("more than a hundred kept events are drained in one turn", async () => {
  const drain = orchestration("drain", async (ctx) => {
    await ctx.activity("work");
    let sum = 0;
    for (let i = 0; i < 250; i++) sum += await ctx.waitForEvent<number>("n");
    return sum;
  });
  const events = Array.from({ length: 250 }, (_, i) => event("n", i));

  const end = await bothWays(drain, [[start()], events, [answer.activityCompleted(2)]]);

  assert.equal(outputOf(end), (250 * 249) / 2);
});

test("ctx.sendEvent() records what was sent where, and hands it out as a message", async () => {
  const tell = orchestration("tell", (ctx) => {
    ctx.sendEvent("other", "news", { n: 1 });
    ctx.sendEvent("other", "bare");
  });

  const end = await bothWays(tell, [[start()]]);

  assert.deepEqual(end.history.slice(1, 3), [
    { id: 2, at: 1_000_000, kind: "EventSent", instanceId: "other", name: "news", data: { n: 1 } },
    { id: 3, at: 1_000_000, kind: "EventSent", instanceId: "other", name: "bare" },
  ]);
  assert.deepEqual(end.effects.messages, [
    { instanceId: "other", message: { kind: "EventReceived", name: "news", data: { n: 1 } } },
    { instanceId: "other", message: { kind: "EventReceived", name: "bare" } },
  ]);
});

test("an event sent is not sent again by a replay", async () => {
  const tell = orchestration("tell", async (ctx) => {
    ctx.sendEvent("other", "news");
    await ctx.activity("work");
    await ctx.activity("more");
  });

  const turn = await bothWays(tell, [[start()], [answer.activityCompleted(3)]]);

  assert.deepEqual(turn.effects.messages, []);
});

test("names of events and instances are checked where the call is made", async () => {
  const calls: ((ctx: OrchestrationContext) => unknown)[] = [
    (ctx) => ctx.waitForEvent(""),
    (ctx) => ctx.tryReceive("two words"),
    (ctx) => ctx.sendEvent("", "name"),
    (ctx) => ctx.sendEvent("id", "no\nname"),
    (ctx) => ctx.sendEvent("i".repeat(501), "name"),
  ];
  for (const call of calls) {
    const end = await given(orchestration("o", call)).when(start());
    assert.ok(end.closing?.kind === "OrchestrationFailed");
    assert.equal(end.closing.error.code, "configuration_invalid");
  }
});

test("a wait is cancelled with the instance, and events that follow go to whoever waits next", async () => {
  const careful = orchestration("careful", async (ctx) => {
    const first = await ctx.waitForEvent("n").catch(() => undefined);
    return first ?? ctx.waitForEvent("n");
  });

  const end = await bothWays(careful, [[start()], [cancel()], [event("n", "after")]]);

  assert.equal(outputOf(end), "after");
});
