/** Activities as orchestration code asks for them and is answered. */
import assert from "node:assert/strict";
import test from "node:test";
import {
  ActivityError,
  activity,
  isStetError,
  NonRetryableError,
  orchestration,
  type ActivityScheduled,
  type StetError,
} from "@stet/core";
import { answer, given, start } from "@stet/testing";
import { bothWays, kinds, outputOf } from "./both-ways.ts";

const greet = activity("greet", (_ctx, name: string) => `Hello, ${name}`);

test("ctx.activity() records the request with name and input, and hands it out as work", async () => {
  const turn = await given(orchestration("hello", (ctx, name: string) => ctx.activity(greet, name))).when(start("Ada"));

  assert.equal(turn.status, "waiting");
  assert.deepEqual(turn.events, [
    { id: 1, at: 1_000_000, kind: "OrchestrationStarted", schemaVersion: 1, name: "hello", version: "1", input: "Ada" },
    { id: 2, at: 1_000_000, kind: "ActivityScheduled", name: "greet", input: "Ada" },
  ]);
  assert.deepEqual(turn.effects.work, new Map([[2, { kind: "ActivityScheduled", name: "greet", input: "Ada" }]]));
});

test("ctx.activity() resolves with the recorded result", async () => {
  const hello = orchestration("hello", async (ctx, name: string) => `${await ctx.activity(greet, name)}!`);

  const end = await bothWays(hello, [[start("Ada")], [answer.activityCompleted(2, "Hello, Ada")]]);

  assert.equal(outputOf(end), "Hello, Ada!");
  assert.deepEqual(kinds(end.history), [
    "OrchestrationStarted",
    "ActivityScheduled",
    "ActivityCompleted",
    "OrchestrationCompleted",
  ]);
});

test("ctx.activity() by name records the same as by definition", async () => {
  const byName = orchestration("hello", (ctx) => ctx.activity<string>("greet", "Ada"));
  const byDefinition = orchestration("hello", (ctx) => ctx.activity(greet, "Ada"));

  const [one, other] = [await given(byName).when(start()), await given(byDefinition).when(start())];

  assert.deepEqual(one.events, other.events);
});

test("ctx.activity() rejects with ActivityError when the recorded answer is a failure", async () => {
  const hello = orchestration("hello", async (ctx) => {
    try {
      return await ctx.activity(greet, "Ada");
    } catch (error) {
      assert.ok(error instanceof ActivityError);
      return [error.message, error.details, (error.cause as StetError).code, (error.cause as StetError).message];
    }
  });
  const thrown = Object.assign(new Error("no voice"), { code: "mute" });

  const end = await bothWays(hello, [[start()], [answer.activityFailed(2, thrown, 3)]]);

  assert.deepEqual(outputOf(end), [
    "Activity greet of instance instance (event 2) failed after 3 attempts: no voice",
    { name: "greet", attempts: 3 },
    "mute",
    "no voice",
  ]);
});

test("an activity failure that nobody catches fails the orchestration with the whole chain of causes", async () => {
  const hello = orchestration("hello", (ctx) => ctx.activity(greet, "Ada"));

  const end = await bothWays(hello, [[start()], [answer.activityFailed(2, new NonRetryableError("gone for good"))]]);

  assert.equal(end.status, "failed");
  assert.deepEqual(end.closing, {
    kind: "OrchestrationFailed",
    error: {
      name: "ActivityError",
      message: "Activity greet of instance instance (event 2) failed after 1 attempt: gone for good",
      code: "activity_failed",
      retryable: false,
      details: { name: "greet", attempts: 1 },
      cause: { name: "NonRetryableError", message: "gone for good", code: "non_retryable", retryable: false },
    },
  });
});

test("an irreversible activity whose outcome is unknown rejects with OutcomeUnknownError itself", async () => {
  const charge = activity("charge", { effect: "irreversible" }, () => "paid");
  const order = orchestration("order", async (ctx) => {
    const failure = await ctx.activity(charge).catch((error: unknown) => error);
    return isStetError(failure, "outcome_unknown") ? failure.name : "something else";
  });
  const unknown = { name: "OutcomeUnknownError", message: "it may have happened", code: "outcome_unknown" };

  const end = await bothWays(order, [[start()], [answer.activityFailed(2, unknown)]]);

  assert.equal(outputOf(end), "OutcomeUnknownError");
});

test("an activity that completes without a result resolves with undefined", async () => {
  const quiet = orchestration("quiet", async (ctx) => typeof (await ctx.activity("log", "x")));

  const end = await bothWays(quiet, [[start()], [answer.activityCompleted(2)]]);

  assert.equal(outputOf(end), "undefined");
  assert.ok(!("result" in (end.history[2] as object)));
});

test("activities awaited one after another are asked for one after another", async () => {
  const chain = orchestration("chain", async (ctx) => {
    const a = await ctx.activity<string>("a", 1);
    const b = await ctx.activity<string>("b", a);
    return a + b;
  });

  const end = await bothWays(chain, [
    [start()],
    [answer.activityCompleted(2, "x")],
    [answer.activityCompleted(4, "y")],
  ]);

  assert.equal(outputOf(end), "xy");
  assert.deepEqual(kinds(end.history), [
    "OrchestrationStarted",
    "ActivityScheduled",
    "ActivityCompleted",
    "ActivityScheduled",
    "ActivityCompleted",
    "OrchestrationCompleted",
  ]);
  assert.deepEqual(
    end.history.map(({ id }) => id),
    [1, 2, 3, 4, 5, 6],
  );
});

test("activities called before any is awaited are all asked for at once, in the order of the calls", async () => {
  const fan = orchestration("fan", async (ctx) => {
    const first = ctx.activity<number>("work", 1);
    const second = ctx.activity<number>("work", 2);
    return [await second, await first];
  });

  const turn = await given(fan).when(start());
  assert.deepEqual(
    turn.events.slice(1).map((event) => (event as ActivityScheduled).input),
    [1, 2],
  );
  const end = await bothWays(fan, [
    [start()],
    [answer.activityCompleted(3, "two")],
    [answer.activityCompleted(2, "one")],
  ]);

  assert.deepEqual(outputOf(end), ["two", "one"]);
});

test("identical calls are answered each by its own answer, also across a restart", async () => {
  const twins = orchestration("twins", async (ctx) => {
    const first = ctx.activity<string>("same", "input");
    const second = ctx.activity<string>("same", "input");
    return [await first, await second];
  });

  const end = await bothWays(twins, [
    [start()],
    [answer.activityCompleted(3, "of the second")],
    [answer.activityCompleted(2, "of the first")],
  ]);

  assert.deepEqual(outputOf(end), ["of the first", "of the second"]);
});

test("many activities in a row all run in order and are recorded once each", async () => {
  const rounds = 50;
  const loop = orchestration("loop", async (ctx) => {
    let sum = 0;
    for (let i = 0; i < rounds; i++) sum += await ctx.activity<number>("add", i);
    return sum;
  });
  const turns = Array.from({ length: rounds }, (_, i) => [answer.activityCompleted(2 + 2 * i, i)]);

  const end = await bothWays(loop, [[start()], ...turns]);

  assert.equal(outputOf(end), (rounds * (rounds - 1)) / 2);
  assert.equal(end.history.length, 2 + 2 * rounds);
});

test("the options of the definition travel with the call, and those of the call override them", async () => {
  const send = activity("send", { tag: "mail", timeout: "10s", effect: "irreversible" }, () => {});
  const mail = orchestration("mail", (ctx) =>
    ctx.activity(send, undefined, { tag: "bulk", session: "s1", totalTimeout: "1m", heartbeatTimeout: 500 }),
  );

  const turn = await given(mail).when(start());

  assert.deepEqual((turn.events[1] as ActivityScheduled).options, {
    tag: "bulk",
    timeoutMs: 10_000,
    effect: "irreversible",
    session: "s1",
    totalTimeoutMs: 60_000,
    heartbeatTimeoutMs: 500,
  });
});

test("a call without options records none", async () => {
  const turn = await given(orchestration("bare", (ctx) => ctx.activity("a"))).when(start());

  assert.deepEqual(turn.events[1], { id: 2, at: 1_000_000, kind: "ActivityScheduled", name: "a" });
});

test("the retry policy of a call is recorded with every default in place", async () => {
  const turn = await given(orchestration("o", (ctx) => ctx.activity("a", 1, { retry: { maxAttempts: 7 } }))).when(
    start(),
  );

  assert.deepEqual((turn.events[1] as ActivityScheduled).options?.retry, {
    maxAttempts: 7,
    initialIntervalMs: 100,
    backoff: 2,
    maxIntervalMs: 30_000,
    jitter: 0.2,
  });
});

test("a total timeout is a timer that fails the activity with TimeoutError, once", async () => {
  const slow = orchestration("slow", async (ctx) => {
    const failure = await ctx.activity("slow", 1, { totalTimeout: "1m" }).catch((error: unknown) => error as StetError);
    return [(failure as StetError).code, ((failure as StetError).cause as StetError).code];
  });
  const asked = await given(slow).when(start());

  const timer = asked.effects.timers.get(2);
  assert.ok(timer);
  assert.equal(timer.fireAt, 1_060_000);
  const end = await bothWays(slow, [[start()], [timer.answer]]);
  assert.deepEqual(outputOf(end), ["activity_failed", "timeout"]);
});

test("a total timeout of an irreversible activity says that it may have happened", async () => {
  const charge = activity("charge", { effect: "irreversible", totalTimeout: "1m" }, () => {});
  const asked = await given(orchestration("order", (ctx) => ctx.activity(charge))).when(start());

  const failure = asked.effects.timers.get(2)?.answer;

  assert.ok(failure?.kind === "ActivityFailed");
  assert.equal(failure.error.code, "outcome_unknown");
  assert.match(failure.error.message, /it may have happened$/);
});

test("an activity answered in time takes its timer back, also after a replay", async () => {
  const slow = orchestration("slow", (ctx) => ctx.activity("slow", 1, { totalTimeout: "1m" }));

  const end = await bothWays(slow, [[start()], [answer.activityCompleted(2, "done")]]);

  assert.deepEqual(end.effects.settled, [2]);
});

test("an answer that comes twice is taken once", async () => {
  const two = orchestration("two", async (ctx) => [await ctx.activity("a"), await ctx.activity("b")]);

  const end = await bothWays(two, [
    [start()],
    [answer.activityCompleted(2, "first"), answer.activityCompleted(2, "again")],
    [answer.activityFailed(2, "late"), answer.activityCompleted(4, "b")],
  ]);

  assert.deepEqual(outputOf(end), ["first", "b"]);
  assert.equal(end.history.filter(({ kind }) => kind === "ActivityCompleted").length, 2);
});

test("an answer to another execution, to nothing, or of the wrong kind is dropped", async () => {
  const one = orchestration("one", (ctx) => ctx.activity("a"));

  const end = await bothWays(one, [
    [start()],
    [
      { kind: "ActivityCompleted", source: 2, result: "of another execution", execution: 7 },
      answer.activityCompleted(99, "of nothing"),
      answer.timerFired(2),
      answer.childCompleted(2, "of a child"),
      answer.said(2, "of a model"),
    ],
    [answer.activityCompleted(2, "right")],
  ]);

  assert.equal(outputOf(end), "right");
  assert.equal(end.history.length, 4);
});

test("an execution is started once: a second start is dropped", async () => {
  const one = orchestration("one", async (ctx, input: string) => `${input} ${await ctx.activity<string>("a")}`);

  const end = await bothWays(one, [
    [start("first"), start("second")],
    [start("third"), answer.activityCompleted(2, "A")],
  ]);

  assert.equal(outputOf(end), "first A");
  assert.equal(end.history.length, 4);
});

test("several answers in one batch are delivered one at a time, in order", async () => {
  const seen = orchestration("seen", async (ctx) => {
    const order: string[] = [];
    await Promise.all(["a", "b", "c"].map((name) => ctx.activity(name).then(() => order.push(name))));
    return order;
  });

  const end = await bothWays(seen, [
    [start()],
    [answer.activityCompleted(4), answer.activityCompleted(2), answer.activityCompleted(3)],
  ]);

  assert.deepEqual(outputOf(end), ["c", "a", "b"]);
});

test("what the code asks for after an answer stands in history right behind that answer", async () => {
  const follow = orchestration("follow", async (ctx) => {
    await Promise.all([
      ctx.activity("a").then(() => ctx.activity("afterA")),
      ctx.activity("b").then(() => ctx.activity("afterB")),
    ]);
  });

  const end = await bothWays(follow, [[start()], [answer.activityCompleted(2), answer.activityCompleted(3)]]);

  assert.deepEqual(
    end.history.slice(3).map((event) => ("name" in event ? event.name : event.kind)),
    ["ActivityCompleted", "afterA", "ActivityCompleted", "afterB"],
  );
});

test("an orchestration that asks for nothing completes in its first turn", async () => {
  const end = await bothWays(
    orchestration("now", () => "done"),
    [[start()]],
  );

  assert.equal(outputOf(end), "done");
  assert.deepEqual(kinds(end.history), ["OrchestrationStarted", "OrchestrationCompleted"]);
});

test("an orchestration without output completes without one", async () => {
  const end = await bothWays(
    orchestration("mute", async () => {}),
    [[start()]],
  );

  assert.deepEqual(end.closing, { kind: "OrchestrationCompleted" });
});

test("an orchestration that throws at once fails in its first turn, whatever it throws", async () => {
  const failed = async (thrown: unknown) => {
    const end = await bothWays(
      orchestration("bad", () => {
        throw thrown;
      }),
      [[start()]],
    );
    assert.ok(end.closing?.kind === "OrchestrationFailed");
    return end.closing.error;
  };

  assert.deepEqual(await failed(new RangeError("too far")), {
    name: "RangeError",
    message: "too far",
    code: "error",
    retryable: true,
  });
  assert.equal((await failed("a string")).message, "a string");
  assert.equal((await failed(undefined)).message, "undefined");
  assert.equal((await failed(Symbol("s"))).message, "Symbol(s)");
  assert.equal((await failed(Object.create(null))).message, "an object without a message");
});

test("an orchestration that throws after an answer fails in that turn", async () => {
  const late = orchestration("late", async (ctx) => {
    await ctx.activity("a");
    throw new TypeError("afterwards");
  });

  const end = await bothWays(late, [[start()], [answer.activityCompleted(2)]]);

  assert.ok(end.closing?.kind === "OrchestrationFailed");
  assert.equal(end.closing.error.name, "TypeError");
});

test("the function of an orchestration is entered once per life of an execution, and once more per replay", async () => {
  let entered = 0;
  const counted = orchestration("counted", async (ctx) => {
    entered++;
    await ctx.activity("a");
    await ctx.activity("b");
  });

  const first = await given(counted).when(start());
  const second = await first.when(answer.activityCompleted(2));
  assert.equal(entered, 1);
  await second.replayed().when(answer.activityCompleted(4));
  assert.equal(entered, 2);
});

test("an activity asked for and never awaited is given up when the orchestration ends", async () => {
  const careless = orchestration("careless", async (ctx) => {
    void ctx.activity("forgotten");
    return "done";
  });

  const end = await bothWays(careless, [[start()]]);

  assert.equal(outputOf(end), "done");
  assert.deepEqual(kinds(end.history), [
    "OrchestrationStarted",
    "ActivityScheduled",
    "ActivityCancelled",
    "OrchestrationCompleted",
  ]);
  assert.equal(end.effects.work.size, 0);
});

test("an activity still running when the orchestration ends is taken back from its worker", async () => {
  const hasty = orchestration("hasty", async (ctx) => {
    void ctx.activity("slow");
    await ctx.activity("quick");
  });

  const end = await bothWays(hasty, [[start()], [answer.activityCompleted(3)]]);

  assert.deepEqual(end.effects.cancelledWork, [3, 2]);
  assert.deepEqual(end.history[4], {
    id: 5,
    at: 1_001_000,
    kind: "ActivityCancelled",
    source: 2,
    reason: "the orchestration ended",
  });
});

test("promise.cancel() rejects at once with CancelledError and takes the work back", async () => {
  const impatient = orchestration("impatient", async (ctx) => {
    const work = ctx.activity("work");
    await ctx.timer("1s");
    work.cancel("took too long");
    return work.catch((error: unknown) => [(error as StetError).code, (error as StetError).message]);
  });

  const end = await bothWays(impatient, [[start()], [answer.timerFired(3)]]);

  assert.deepEqual(outputOf(end), ["cancelled", "took too long"]);
  assert.deepEqual(kinds(end.events), ["TimerFired", "ActivityCancelled", "OrchestrationCompleted"]);
  assert.deepEqual(end.effects.cancelledWork, [3, 2]);
});

test("promise.cancel() in the turn of the call leaves no work behind", async () => {
  const fickle = orchestration("fickle", async (ctx) => {
    ctx.activity("work", 1, { totalTimeout: "1m" }).cancel();
    await ctx.timer("1s");
  });

  const turn = await given(fickle).when(start());

  assert.deepEqual(kinds(turn.events), [
    "OrchestrationStarted",
    "ActivityScheduled",
    "ActivityCancelled",
    "TimerCreated",
  ]);
  assert.equal(turn.effects.work.size, 0);
  assert.deepEqual([...turn.effects.timers.keys()], [4]);
  assert.deepEqual(turn.effects.settled, []);
});

test("promise.cancel() does nothing after the answer, and nothing the second time", async () => {
  const late = orchestration("late", async (ctx) => {
    const done = ctx.activity("done");
    await done;
    done.cancel();
    const other = ctx.activity("other");
    other.cancel("once");
    other.cancel("twice");
    return [await done, await other.catch((error: unknown) => (error as Error).message)];
  });

  const end = await bothWays(late, [[start()], [answer.activityCompleted(2, "kept")]]);

  assert.deepEqual(outputOf(end), ["kept", "once"]);
  assert.equal(end.history.filter(({ kind }) => kind === "ActivityCancelled").length, 1);
});

test("an answer that arrives after the activity was cancelled is dropped", async () => {
  const moved = orchestration("moved", async (ctx) => {
    const work = ctx.activity("work");
    await ctx.timer("1s");
    work.cancel();
    await ctx.activity("next");
  });

  const turn = await bothWays(moved, [[start()], [answer.timerFired(3)], [answer.activityCompleted(2, "late")]]);

  assert.deepEqual(turn.events, []);
  assert.equal(turn.status, "waiting");
});

test("an activity that failed and was never observed ends nothing", async () => {
  const calm = orchestration("calm", async (ctx) => {
    void ctx.activity("a");
    await ctx.activity("b");
    return "calm";
  });

  const end = await bothWays(calm, [
    [start()],
    [answer.activityFailed(2, "nobody listens")],
    [answer.activityCompleted(3)],
  ]);

  assert.equal(outputOf(end), "calm");
});

test("names may hold any of the allowed characters, and others are refused where the call is made", async () => {
  const named = orchestration("ns/orders:v1.charge-card", (ctx) => ctx.activity("ns/mail:send_now.v1-2"));
  assert.equal((await given(named).when(start())).status, "waiting");

  for (const name of ["", " a", "1a", "a b", "a\n", "é", "a".repeat(201)]) {
    const end = await given(orchestration("o", (ctx) => ctx.activity(name))).when(start());
    assert.ok(end.closing?.kind === "OrchestrationFailed", name);
    assert.equal(end.closing.error.code, "configuration_invalid");
  }
});
