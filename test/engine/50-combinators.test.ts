/** Native combinators over durable promises, and ctx.race: which one wins is decided by history alone. */
import assert from "node:assert/strict";
import test from "node:test";
import { isStetError, orchestration, type OrchestrationContext, type StetError } from "@stet/core";
import { answer, event, given, replayHistory, start } from "@stet/testing";
import { bothWays, kinds, outputOf } from "./both-ways.ts";

const messageOf = (error: unknown): string => (error as Error).message;

test("Promise.all answers in the order of the calls, whatever the order of the answers", async () => {
  const all = orchestration("all", (ctx) => Promise.all([ctx.activity("a"), ctx.timer(1), ctx.waitForEvent("e")]));
  const a = answer.activityCompleted(2, "A");
  const t = answer.timerFired(3);
  const e = event("e", "E");

  for (const order of [
    [a, t, e],
    [e, t, a],
    [t, e, a],
  ]) {
    const end = await bothWays(
      orchestration("all", async (ctx) => {
        const [one, two, three] = await all.run(ctx, undefined as never);
        return [one, two ?? "fired", three];
      }),
      [[start()], ...order.map((message) => [message])],
    );
    assert.deepEqual(outputOf(end), ["A", "fired", "E"]);
  }
});

test("Promise.all waits as long as one answer is missing", async () => {
  const all = orchestration("all", (ctx) => Promise.all([ctx.activity("a"), ctx.activity("b")]));

  const turn = await bothWays(all, [[start()], [answer.activityCompleted(3, "B")]]);

  assert.equal(turn.status, "waiting");
  assert.deepEqual(
    Array.from(turn.execution.pending, ([id]) => id),
    [2],
  );
});

test("Promise.all fails with the first failure of history, and what still runs is given up at the end", async () => {
  const all = orchestration("all", (ctx) => Promise.all([ctx.activity("a"), ctx.activity("b"), ctx.activity("c")]));

  const end = await bothWays(all, [
    [start()],
    [answer.activityFailed(4, "C broke"), answer.activityFailed(2, "A broke")],
  ]);

  assert.ok(end.closing?.kind === "OrchestrationFailed");
  assert.equal(end.closing.error.cause?.message, "C broke");
  assert.deepEqual(kinds(end.events), [
    "ActivityFailed",
    "ActivityCancelled",
    "ActivityCancelled",
    "OrchestrationFailed",
  ]);
});

test("Promise.all over an empty list, and over settled promises, needs no wait", async () => {
  const none = orchestration("none", async () => [
    await Promise.all([]),
    await Promise.all([Promise.resolve(1), Promise.resolve(2)]),
  ]);

  assert.deepEqual(outputOf(await bothWays(none, [[start()]])), [[], [1, 2]]);
});

test("Promise.race is won by the answer that history has first, and leaves the others running", async () => {
  const race = orchestration("race", async (ctx) => {
    const first = await Promise.race([ctx.activity("a"), ctx.activity("b"), ctx.timer("1h").then(() => "late")]);
    await ctx.activity("next");
    return first;
  });

  const turn = await bothWays(race, [[start()], [answer.activityCompleted(3, "B"), answer.activityCompleted(2, "A")]]);

  assert.equal(turn.execution.pending.has(4), true);
  assert.deepEqual(kinds(turn.events), ["ActivityCompleted", "ActivityScheduled", "ActivityCompleted"]);
  const end = await turn.replayed().when(answer.activityCompleted(6));
  assert.equal(outputOf(end), "B");
});

test("Promise.race with a rejection first rejects, with a rejection second does not", async () => {
  const race = orchestration("race", (ctx) => Promise.race([ctx.activity("a"), ctx.activity("b")]).catch(messageOf));
  const fails = answer.activityFailed(2, "A broke");
  const works = answer.activityCompleted(3, "B");

  assert.match(outputOf(await bothWays(race, [[start()], [fails, works]])) as string, /A broke$/);
  assert.equal(outputOf(await bothWays(race, [[start()], [works, fails]])), "B");
});

test("Promise.any is won by the first success, and rejects with all failures when there is none", async () => {
  const any = orchestration("any", (ctx) =>
    Promise.any([ctx.activity("a"), ctx.activity("b")]).catch((error: unknown) =>
      (error as AggregateError).errors.map((one) => ((one as StetError).cause as Error).message),
    ),
  );

  const won = await bothWays(any, [[start()], [answer.activityFailed(2, "no")], [answer.activityCompleted(3, "yes")]]);
  const lost = await bothWays(any, [[start()], [answer.activityFailed(3, "B")], [answer.activityFailed(2, "A")]]);

  assert.equal(outputOf(won), "yes");
  assert.deepEqual(outputOf(lost), ["A", "B"]);
});

test("Promise.any that nobody catches fails the orchestration with every failure in the details", async () => {
  const any = orchestration("any", (ctx) => Promise.any([ctx.activity("a"), ctx.activity("b")]));

  const end = await bothWays(any, [[start()], [answer.activityFailed(2, "A")], [answer.activityFailed(3, "B")]]);

  assert.ok(end.closing?.kind === "OrchestrationFailed");
  const { name, details } = end.closing.error;
  assert.equal(name, "AggregateError");
  const { errors } = details as { errors: readonly { code: string; cause: { message: string } }[] };
  assert.deepEqual(
    errors.map(({ code, cause }) => [code, cause.message]),
    [
      ["activity_failed", "A"],
      ["activity_failed", "B"],
    ],
  );
});

test("Promise.allSettled tells each fate in the order of the calls", async () => {
  const settled = orchestration("settled", async (ctx) => {
    const fates = await Promise.allSettled([
      ctx.activity("a"),
      ctx.activity("b"),
      ctx.waitForEvent("e", { timeout: 1 }),
    ]);
    return fates.map((fate) => (fate.status === "fulfilled" ? fate.value : (fate.reason as StetError).code));
  });

  const end = await bothWays(settled, [
    [start()],
    [answer.timerFired(5)],
    [answer.activityCompleted(3, "B")],
    [answer.activityFailed(2, "A")],
  ]);

  assert.deepEqual(outputOf(end), ["activity_failed", "B", "timeout"]);
});

test("ctx.race() answers who won with what, and cancels the others durably", async () => {
  const race = orchestration("race", (ctx) =>
    ctx.race({ work: ctx.activity("work"), alarm: ctx.timer("1h"), call: ctx.waitForEvent("call") }),
  );

  const end = await bothWays(race, [[start()], [event("call", "hello"), answer.activityCompleted(2)]]);

  assert.deepEqual(outputOf(end), { winner: "call", value: "hello" });
  assert.deepEqual(kinds(end.events), [
    "EventReceived",
    "ActivityCancelled",
    "TimerCancelled",
    "OrchestrationCompleted",
  ]);
  assert.deepEqual(new Set(end.effects.settled), new Set([2, 3, 4]));
  assert.deepEqual(end.effects.cancelledWork, [2]);
});

test("ctx.race() is lost by a timer and by children and model calls alike", async () => {
  const race = orchestration("race", async (ctx) => {
    const { winner } = await ctx.race({
      work: ctx.activity("work"),
      child: ctx.subOrchestration("child"),
      model: ctx.generate("hello"),
      alarm: ctx.timer("1h"),
    });
    await ctx.activity("next");
    return winner;
  });

  const turn = await bothWays(race, [[start()], [answer.timerFired(5)]]);

  assert.deepEqual(kinds(turn.events), [
    "TimerFired",
    "ActivityCancelled",
    "SubOrchestrationCancelled",
    "LlmCancelled",
    "ActivityScheduled",
  ]);
  assert.deepEqual(turn.effects.cancelledWork, [5, 2, 4]);
  assert.equal(outputOf(await turn.replayed().when(answer.activityCompleted(10))), "alarm");
});

test("ctx.race() with a rejection first rejects with it, typed, and cancels the others", async () => {
  const race = orchestration("race", async (ctx) => {
    try {
      await ctx.race({ work: ctx.activity("work"), alarm: ctx.timer("1h") });
    } catch (error) {
      assert.ok(isStetError(error, "activity_failed"));
    }
    return "caught";
  });

  const end = await bothWays(race, [[start()], [answer.activityFailed(2, "broken")]]);

  assert.equal(outputOf(end), "caught");
  assert.deepEqual(kinds(end.events), ["ActivityFailed", "TimerCancelled", "OrchestrationCompleted"]);
});

test("ctx.race() of one, of three, and one within another", async () => {
  const nested = orchestration("nested", async (ctx) => {
    const alone = await ctx.race({ only: ctx.activity<string>("a") });
    const [left, right] = await Promise.all([
      ctx.race({ x: ctx.activity<string>("x"), y: ctx.activity<string>("y"), z: ctx.activity<string>("z") }),
      ctx.race({ p: ctx.activity<string>("p"), q: ctx.waitForEvent<string>("q") }),
    ]);
    return [alone, left, right];
  });

  const end = await bothWays(nested, [
    [start()],
    [answer.activityCompleted(2, "A")],
    [answer.activityCompleted(6, "Z"), event("q", "Q")],
  ]);

  assert.deepEqual(outputOf(end), [
    { winner: "only", value: "A" },
    { winner: "z", value: "Z" },
    { winner: "q", value: "Q" },
  ]);
});

test("ctx.race() whose winner is settled already cancels the others at once", async () => {
  const race = orchestration("race", async (ctx) => {
    const ready = ctx.activity("ready");
    await ready;
    const first = await ctx.race({ slow: ctx.activity("slow"), ready });
    await ctx.activity("next");
    return first.winner;
  });

  const turn = await bothWays(race, [[start()], [answer.activityCompleted(2)]]);

  assert.deepEqual(kinds(turn.events), [
    "ActivityCompleted",
    "ActivityScheduled",
    "ActivityCancelled",
    "ActivityScheduled",
  ]);
  assert.deepEqual([...turn.effects.work.keys()], [6]);
});

test("ctx.race() takes the same promise under two names, and the loser's answer is gone for good", async () => {
  const race = orchestration("race", async (ctx) => {
    const work = ctx.activity("work");
    const other = ctx.activity("other");
    const first = await ctx.race({ one: work, two: work, other });
    return [first.winner, await work, await other.catch(messageOf)];
  });

  const end = await bothWays(race, [[start()], [answer.activityCompleted(2, "W")]]);

  assert.deepEqual(outputOf(end), ["one", "W", "lost a race"]);
});

test("ctx.race() refuses what it could not cancel, and an empty field", async () => {
  const fields: ((ctx: OrchestrationContext) => object)[] = [
    () => ({}),
    (ctx) => ({ derived: ctx.activity("a").then(String) }),
    () => ({ value: 1 }),
  ];
  for (const field of fields) {
    const end = await given(orchestration("race", (ctx) => ctx.race(field(ctx) as never))).when(start());
    assert.ok(end.closing?.kind === "OrchestrationFailed");
    assert.equal(end.closing.error.code, "configuration_invalid");
  }
});

test("a race that nobody awaits ends nothing when it rejects", async () => {
  const careless = orchestration("careless", async (ctx) => {
    void ctx.race({ work: ctx.activity("work") });
    await ctx.timer(1);
    return "calm";
  });

  const end = await bothWays(careless, [[start()], [answer.activityFailed(2, "no")], [answer.timerFired(3)]]);

  assert.equal(outputOf(end), "calm");
});

test("combinators nest to any depth", async () => {
  const deep = orchestration("deep", async (ctx) => {
    const step = (name: string) => ctx.activity<string>(name);
    const [[a, b], c, d] = await Promise.all([
      Promise.all([step("a"), Promise.race([step("b1"), step("b2")])]),
      Promise.any([step("c1"), step("c2")]),
      Promise.allSettled([step("d")]).then(([fate]) => fate?.status),
    ]);
    return [a, b, c, d];
  });

  const end = await bothWays(deep, [
    [start()],
    [answer.activityFailed(5, "c1")],
    [answer.activityCompleted(4, "b2"), answer.activityCompleted(3, "b1")],
    [answer.activityFailed(7, "d"), answer.activityCompleted(6, "c2")],
    [answer.activityCompleted(2, "a")],
  ]);

  assert.deepEqual(outputOf(end), ["a", "b2", "c2", "rejected"]);
});

test("branches that go on by themselves ask in the order in which history woke them", async () => {
  const branches = orchestration("branches", async (ctx) => {
    const branch = async (name: string) => {
      const first = await ctx.activity<string>(`${name}-1`);
      await Promise.resolve().then(() => undefined);
      return first + (await ctx.activity<string>(`${name}-2`));
    };
    return Promise.all(["a", "b", "c"].map(branch));
  });

  const end = await bothWays(branches, [
    [start()],
    [answer.activityCompleted(4, "c"), answer.activityCompleted(2, "a")],
    [answer.activityCompleted(3, "b")],
    [answer.activityCompleted(10, "B"), answer.activityCompleted(8, "A"), answer.activityCompleted(6, "C")],
  ]);

  assert.deepEqual(outputOf(end), ["aA", "bB", "cC"]);
});

test("helpers with their own await chains, generators and foreign thenables keep to the order of history", async () => {
  const thenable = <Value>(promise: Promise<Value>) => ({
    then: (resolve: (value: Value) => void, reject: (error: unknown) => void) => void promise.then(resolve, reject),
  });
  const mixed = orchestration("mixed", async (ctx) => {
    async function* pages() {
      for (let page = 1; page <= 3; page++) yield await ctx.activity<number>("page", page);
    }
    const seen: number[] = [];
    for await (const page of pages()) seen.push(page, (await thenable(ctx.activity<number>("detail", page))) as number);
    return seen;
  });

  const end = await bothWays(mixed, [
    [start()],
    ...[1, 10, 2, 20, 3, 30].map((value, i) => [answer.activityCompleted(2 + 2 * i, value)]),
  ]);

  assert.deepEqual(outputOf(end), [1, 10, 2, 20, 3, 30]);
});

test("a fan-out of a thousand is asked for in one turn and answered in any order", async () => {
  const width = 1_000;
  const fan = orchestration("fan", async (ctx) => {
    const parts = await Promise.all(Array.from({ length: width }, (_, i) => ctx.activity<number>("part", i)));
    return parts.reduce((sum, part) => sum + part, 0);
  });
  const answers = Array.from({ length: width }, (_, i) =>
    answer.activityCompleted(2 + ((i * 7) % width), (i * 7) % width),
  );

  const end = await bothWays(fan, [[start()], answers.slice(0, 600), answers.slice(600)]);

  assert.equal(outputOf(end), (width * (width - 1)) / 2);
  assert.equal(end.history.length, 2 + 2 * width);
});

test("a history of ten thousand events replays", async () => {
  const steps = 5_000;
  const long = orchestration("long", async (ctx) => {
    for (let i = 0; i < steps; i++) await ctx.activity("step", i);
    return "end";
  });
  const answers = Array.from({ length: steps }, (_, i) => answer.activityCompleted(2 + 2 * i, i));
  const end = await given(long).when(start(), ...answers);
  assert.equal(end.history.length, 2 * steps + 2);

  const report = await replayHistory(long, end.history);

  assert.ok(report.ok, report.failure?.message);
});
