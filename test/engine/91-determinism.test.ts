/** What orchestration code may rely on, and what it is kept from: time, chance, identity, and the world outside. */
import assert from "node:assert/strict";
import * as nodeCrypto from "node:crypto";
import test from "node:test";
import { setTimeout as timersSetTimeout } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { isStetError, orchestration, type LogFields, type OrchestrationContext } from "@stet/core";
import { enterGuarded, Execution, installDeterminismGuard, replay } from "@stet/core/internal";
import { answer, event, given, replayHistory, start, type TurnReport } from "@stet/testing";
import { bothWays, kinds, outputOf } from "./both-ways.ts";

type Code = (ctx: OrchestrationContext) => unknown;

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** The message with which a turn is blocked because its code broke a rule. */
function violationOf(turn: TurnReport): string {
  assert.equal(turn.status, "blocked", JSON.stringify(turn.closing ?? turn.status));
  assert.ok(isStetError(turn.failure, "determinism_violated"), turn.failure?.message);
  assert.deepEqual(turn.events, []);
  return turn.failure.message;
}

const nextMacrotask = () => new Promise<void>((resolve) => setImmediate(resolve));

test("ctx.now() is the time of the event delivered last, and stands still between two events", async () => {
  const clock = orchestration("clock", async (ctx) => {
    const times = [ctx.now()];
    await ctx.activity("a");
    times.push(ctx.now());
    await Promise.resolve();
    times.push(ctx.now());
    await ctx.waitForEvent("e");
    times.push(ctx.now());
    return times;
  });

  const end = await bothWays(clock, [[start()], [answer.activityCompleted(2)], [event("e")]], { timeMatters: true });

  assert.deepEqual(outputOf(end), [1_000_000, 1_001_000, 1_001_000, 1_002_000]);
});

test("ctx.uuid() and ctx.random() are the same on every replay and never the same twice", async () => {
  const dice = orchestration("dice", async (ctx) => {
    const drawn: (string | number)[] = [ctx.uuid(), ctx.random(), ctx.uuid(), ctx.random()];
    await ctx.activity("a", drawn);
    drawn.push(ctx.uuid(), ctx.random());
    await ctx.activity("b", drawn);
    return drawn;
  });

  const end = await bothWays(dice, [[start()], [answer.activityCompleted(2)], [answer.activityCompleted(4)]]);

  const drawn = outputOf(end) as (string | number)[];
  assert.equal(new Set(drawn).size, 6);
});

test("ctx.uuid() is a version 4 UUID, and ctx.random() is spread over 0 to 1", async () => {
  const many = orchestration("many", (ctx) => Array.from({ length: 2_000 }, () => [ctx.uuid(), ctx.random()] as const));

  const drawn = outputOf(await given(many).when(start())) as [string, number][];

  for (const [uuid, random] of drawn) {
    assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.ok(random >= 0 && random < 1);
  }
  const mean = drawn.reduce((sum, [, random]) => sum + random, 0) / drawn.length;
  assert.ok(mean > 0.45 && mean < 0.55, String(mean));
  assert.equal(new Set(drawn.map(([uuid]) => uuid)).size, drawn.length);
  assert.deepEqual(new Set(drawn.map(([uuid]) => uuid[19])), new Set(["8", "9", "a", "b"]));
});

test("chance differs between instances, executions and places", async () => {
  const draw = orchestration("draw", (ctx) => ctx.uuid());
  const history = (await given(draw).when(start())).history.slice(0, 1);
  const of = async (instanceId: string, execution: number) =>
    outputOf(await given(draw, history, { instanceId, execution }).when());

  const drawn = [await of("a", 1), await of("a", 2), await of("b", 1), await of("b", 2)];

  assert.equal(new Set(drawn).size, 4);
  assert.equal(await of("a", 1), drawn[0]);
});

test("what is drawn does not depend on how much was drawn before the event delivered last", async () => {
  const drawing = (before: number) =>
    orchestration("drawing", async (ctx) => {
      for (let i = 0; i < before; i++) ctx.random();
      await ctx.activity("a");
      return ctx.random();
    });

  const [few, many] = await Promise.all(
    [1, 5].map(async (n) => outputOf(await given(drawing(n)).when(start(), answer.activityCompleted(2)))),
  );

  assert.equal(few, many);
});

test("Date, Math.random and crypto.randomUUID answer deterministic values inside, also in libraries", async () => {
  const library = {
    stamp: () =>
      `${new Date().toISOString()} ${Date.now()} ${Math.random()} ${crypto.randomUUID()} ${nodeCrypto.randomUUID()}`,
  };
  const stamping = orchestration("stamping", async (ctx) => {
    const first = library.stamp();
    assert.ok(first.startsWith(new Date(ctx.now()).toISOString()));
    assert.equal(Date.now(), ctx.now());
    await ctx.activity("a", first);
    return [first, library.stamp()];
  });

  const end = await bothWays(stamping, [[start()], [answer.activityCompleted(2)]], { timeMatters: true });

  const [first, second] = outputOf(end) as [string, string];
  assert.notEqual(first, second);
  assert.ok(first.startsWith("1970-01-01T00:16:40.000Z 1000000 "));
});

test("Date keeps all its other ways inside", async () => {
  const dates = orchestration("dates", () => {
    class Day extends Date {}
    const now = new Date();
    return [
      new Date(0).getTime(),
      new Date("2020-02-02T00:00:00Z").toISOString(),
      new Date(2020, 1, 2) instanceof Date,
      Date.UTC(2020, 0),
      Date.parse("2020-01-01T00:00:00Z"),
      typeof Date(),
      Object.prototype.toString.call(now),
      new Day().getTime() === Date.now() && new Day() instanceof Day,
      Date.name,
      Date.length,
      now.constructor === Date,
    ];
  });

  assert.deepEqual(outputOf(await given(dates).when(start())), [
    0,
    "2020-02-02T00:00:00.000Z",
    true,
    1_577_836_800_000,
    1_577_836_800_000,
    "string",
    "[object Date]",
    true,
    "Date",
    7,
    true,
  ]);
});

test("outside of orchestration code the globals are what they were, and they are given back", async () => {
  const globals = () => [Date, Math, globalThis, nodeCrypto, crypto].flatMap((owner) => guarded(owner));
  const guarded = (owner: object) =>
    ["now", "random", "Date", "setTimeout", "setInterval", "setImmediate", "fetch", "randomUUID"].map(
      (name) => (owner as { readonly [name: string]: unknown })[name],
    );
  const before = globals();
  const { Date: plainDate } = globalThis;
  const releaseOne = installDeterminismGuard();
  const releaseOther = installDeterminismGuard();
  assert.notEqual(Date, plainDate);
  assert.ok(Math.abs(Date.now() - new Date().getTime()) < 1_000 && Date.now() > 1_600_000_000_000);
  assert.notEqual(crypto.randomUUID(), crypto.randomUUID());
  assert.equal(new Date().constructor, Date);
  await new Promise((resolve) => setTimeout(resolve, 1));
  await sleep(1);

  releaseOne();
  releaseOne();
  assert.notEqual(Date, plainDate, "still wanted by the other");
  releaseOther();
  assert.deepEqual(globals(), before);
  assert.equal(new Date().constructor, plainDate);
});

test("setTimeout, setInterval, setImmediate and fetch are refused inside, each with its durable replacement", async () => {
  const calls: readonly (readonly [Code, RegExp])[] = [
    [() => new Promise((resolve) => setTimeout(resolve, 1)), /got a call of setTimeout: use ctx\.timer\(duration\)$/],
    [() => void setInterval(() => {}, 1), /got a call of setInterval: use a loop with ctx\.timer/],
    [() => void setImmediate(() => {}), /got a call of setImmediate: use ctx\.timer\(0\)/],
    [() => fetch("http://localhost"), /got a call of fetch: use an activity that fetches$/],
    [() => sleep(1), /got a call of setTimeout: use ctx\.timer/],
    [() => void timersSetTimeout(() => {}, 1), /got a call of setTimeout/],
    [
      async (ctx) => {
        await ctx.activity("a");
        await sleep(1);
      },
      /got a call of setTimeout/,
    ],
  ];
  for (const [call, message] of calls) {
    const turn = await given(orchestration("bad", call)).when(start(), answer.activityCompleted(2));
    assert.match(violationOf(turn), message);
    assert.match(violationOf(turn), /^Expected orchestration bad \(instance instance\) to be deterministic/);
  }
});

test("code may catch a refusal and go on without what was refused", async () => {
  const careful = orchestration("careful", () => {
    try {
      setTimeout(() => {}, 1);
      return "ran";
    } catch (error) {
      return isStetError(error, "determinism_violated") ? "refused" : "failed";
    }
  });

  assert.equal(outputOf(await bothWays(careful, [[start()]])), "refused");
});

test("microtasks, process.nextTick and queueMicrotask are free to use", async () => {
  const local = orchestration("local", async (ctx) => {
    await new Promise<void>((resolve) => queueMicrotask(resolve));
    await new Promise<void>((resolve) => process.nextTick(resolve));
    for (let i = 0; i < 1_000; i++) await Promise.resolve();
    return ctx.activity("a");
  });

  assert.equal(outputOf(await bothWays(local, [[start()], [answer.activityCompleted(2, "A")]])), "A");
});

test("waiting for what is not durable, with nothing durable outstanding, blocks at once", async () => {
  const never: Code = () => new Promise(() => {});
  const early = await given(orchestration("stuck", never)).when(start());
  assert.equal(
    violationOf(early),
    "Expected orchestration stuck (instance instance) to wait for a durable promise after event 1, got a wait for something else: it awaits a promise that is not of ctx and that no replay can settle. Move that work into an activity",
  );

  const late = await given(
    orchestration("stuck", async (ctx) => {
      await ctx.activity("a");
      await new Promise(() => {});
    }),
  ).when(start(), answer.activityCompleted(2));
  assert.match(violationOf(late), /after event 3, got a wait for something else/);
});

test("a call of ctx from a foreign callback is refused where it is made and blocks the next turn", async () => {
  let wake: (() => void) | undefined;
  const foreign = new Promise<void>((resolve) => (wake = resolve));
  let refused: unknown;
  const woken = orchestration("woken", async (ctx) => {
    const waiting = ctx.waitForEvent("e");
    await foreign;
    try {
      void ctx.activity("a");
    } catch (error) {
      refused = error;
    }
    await waiting;
  });

  const first = await given(woken).when(start());
  assert.equal(first.status, "waiting");
  wake?.();
  await nextMacrotask();

  assert.ok(isStetError(refused, "determinism_violated"));
  assert.match(
    refused.message,
    /^Expected orchestration woken \(instance instance\) to use ctx only while it is being run, got ActivityScheduled from elsewhere: /,
  );
  assert.equal(violationOf(await first.when(event("e"))), refused.message);
});

test("every way of asking is refused outside of an open turn", async () => {
  const calls: Code[] = [
    (ctx) => ctx.timer(1),
    (ctx) => ctx.waitForEvent("x"),
    (ctx) => ctx.tryReceive("x"),
    (ctx) => ctx.subOrchestration("x"),
    (ctx) => ctx.startOrchestration("x"),
    (ctx) => ctx.sendEvent("x", "x"),
    (ctx) => ctx.setStatus(1),
    (ctx) => ctx.state.set("x", 1),
    (ctx) => ctx.state.delete("x"),
    (ctx) => ctx.emit(1),
    (ctx) => ctx.patched("x"),
    (ctx) => ctx.continueAsNew(),
    (ctx) => ctx.generate("?"),
  ];
  for (const call of calls) {
    let held: OrchestrationContext | undefined;
    const turn = await given(
      orchestration("leaky", (ctx) => {
        held = ctx;
        return ctx.waitForEvent("e");
      }),
    ).when(start());
    try {
      await call(held as OrchestrationContext);
    } catch (error) {
      assert.ok(isStetError(error, "determinism_violated"), String(call));
    }
    assert.match(violationOf(await turn.when(event("e"))), /from elsewhere/, String(call));
  }
});

test("cancelling outside of an open turn is refused, and nothing when it has settled", async () => {
  let late: (() => void) | undefined;
  let settled: (() => void) | undefined;
  const leaky = orchestration("leaky", async (ctx) => {
    const done = ctx.activity("done");
    await done;
    const open = ctx.activity("open");
    late = () => open.cancel();
    settled = () => done.cancel();
    await ctx.timer(1);
  });
  const turn = await given(leaky).when(start(), answer.activityCompleted(2));

  settled?.();
  assert.throws(() => late?.(), { code: "determinism_violated" });
  assert.match(violationOf(await turn.when(answer.timerFired(5))), /got cancel from elsewhere/);
});

test("a loop that asks without waiting is stopped, also when it catches everything", async () => {
  const loops: Code[] = [
    (ctx) => {
      for (;;) void ctx.activity("again");
    },
    (ctx) => {
      for (let i = 0; i < 1_000; i++) {
        try {
          ctx.emit(i);
        } catch {
          // goes on regardless
        }
      }
      return ctx.timer(1);
    },
    async (ctx) => {
      for (let i = 0; i < 1_000; i++) await Promise.resolve(ctx.setStatus(i));
    },
  ];
  for (const loop of loops) {
    const turn = await given(orchestration("loop", loop), [], { maxRequestsPerDelivery: 100 }).when(start());
    assert.match(violationOf(turn), /to make at most 100 requests between two waits, got one more \(\w+\): it loops/);
  }
});

test("as many requests as are allowed are allowed, after every delivery anew", async () => {
  const busy = orchestration("busy", async (ctx) => {
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 99; i++) ctx.emit(i);
      await ctx.timer(1);
    }
    return "end";
  });

  const end = await bothWays(busy, [[start()], ...[101, 202, 303].map((source) => [answer.timerFired(source)])], {
    maxRequestsPerDelivery: 100,
  });

  assert.equal(outputOf(end), "end");
});

test("ctx.isReplaying is true exactly for what is in history already", async () => {
  const seen: string[] = [];
  const watching = orchestration("watching", async (ctx) => {
    seen.push(`start ${ctx.isReplaying}`);
    await ctx.activity("a");
    seen.push(`a ${ctx.isReplaying}`);
    await ctx.activity("b");
    seen.push(`b ${ctx.isReplaying}`);
  });
  const first = await given(watching).when(start());
  const second = await first.when(answer.activityCompleted(2));
  assert.deepEqual(seen.splice(0), ["start false", "a false"]);

  await second.replayed().when();
  assert.deepEqual(seen.splice(0), ["start true", "a true"]);

  await second.replayed().when(answer.activityCompleted(4));
  assert.deepEqual(seen.splice(0), ["start true", "a true", "b false"]);

  const unrun = first.history.slice(0, 1);
  await given(watching, unrun).when();
  assert.deepEqual(seen.splice(0), ["start false"]);
});

test("ctx.log is silent while replaying, and says otherwise who speaks", async () => {
  const chatty = orchestration("chatty", async (ctx) => {
    ctx.log.info("begun", { n: 1 });
    await ctx.activity("a");
    ctx.log.warn("answered");
    await ctx.activity("b");
    ctx.log.error("ended");
    ctx.log.debug("really");
  });
  const who = { instanceId: "instance", execution: 1, orchestration: "chatty" };
  const said = (turn: TurnReport): (readonly [string, string, LogFields | undefined])[] =>
    turn.logs.map(({ level, message, fields }) => [level, message, fields] as const);

  const first = await given(chatty).when(start());
  assert.deepEqual(said(first), [["info", "begun", { ...who, n: 1 }]]);
  const second = await first.replayed().when(answer.activityCompleted(2));
  assert.deepEqual(said(second), [["warn", "answered", who]]);
  const third = await second.replayed().when(answer.activityCompleted(4));
  assert.deepEqual(said(third), [
    ["error", "ended", who],
    ["debug", "really", who],
  ]);
});

test("Map and Set iterate in the order of insertion, live and replayed, so loops over them replay", async () => {
  const grouped = orchestration("grouped", async (ctx) => {
    const seen = new Map<string, number>();
    for (const key of ["b", "10", "a", "2"]) seen.set(key, await ctx.activity<number>("count", key));
    const order = new Set([...seen.keys()].reverse());
    for (const key of order) await ctx.activity("use", { key, n: seen.get(key) });
    return [...order];
  });
  const turns = Array.from({ length: 8 }, (_, i) => [answer.activityCompleted(2 + 2 * i, i)]);

  const end = await bothWays(grouped, [[start()], ...turns]);

  assert.deepEqual(outputOf(end), ["2", "a", "10", "b"]);
});

test("a rejected promise that the code made and forgot ends nothing but is told", async () => {
  const warned: string[] = [];
  const others = process.listeners("unhandledRejection"); // the test runner's takes every rejection for a failure
  process.removeAllListeners("unhandledRejection");
  const restore = installDeterminismGuard();
  try {
    const forgetful = orchestration("forgetful", async (ctx) => {
      void Promise.reject(new Error("forgotten"));
      return ctx.activity("a");
    });
    const history = (await given(orchestration("forgetful", (ctx) => ctx.activity("a"))).when(start())).history;
    const execution = new Execution(
      forgetful,
      { instanceId: "i", rootId: "i", execution: 1 },
      {
        logger: { ...silent, warn: (message, fields) => void warned.push(`${message}: ${String(fields?.["error"])}`) },
        payloadLimit: 1_000,
        maxRequestsPerDelivery: 10,
        enter: enterGuarded,
      },
    );

    const [outcome] = await replay([{ execution, events: history }], nextMacrotask);
    await nextMacrotask();

    assert.equal(outcome?.failure, undefined);
    assert.deepEqual(warned, [
      "A rejected promise was never observed by the orchestration that made it: Error: forgotten",
    ]);
  } finally {
    restore();
    for (const listener of others) process.on("unhandledRejection", listener);
  }
});

test("instances replayed side by side do not see each other's time or chance", async () => {
  const stamp = orchestration("stamp", async (ctx) => {
    await ctx.activity("a");
    await Promise.resolve();
    return [Date.now() === ctx.now(), Math.random(), crypto.randomUUID()];
  });
  const ids = Array.from({ length: 20 }, (_, i) => `i${i}`);
  const alone = await Promise.all(
    ids.map((instanceId, i) =>
      given(stamp, [], { instanceId, at: 5_000 * (i + 1) }).when(start(), answer.activityCompleted(2)),
    ),
  );
  const outputs = alone.map(outputOf) as [boolean, number, string][];

  assert.ok(outputs.every(([sameTime]) => sameTime));
  assert.equal(new Set(outputs.map(([, random]) => random)).size, ids.length);
  for (const [i, { history }] of alone.entries()) {
    const { ok, failure } = await replayHistory(stamp, history, { instanceId: ids[i] as string });
    assert.ok(ok, failure?.message);
  }
});

test("an orchestration blocked by a violation has told nothing to the world, and its history is as before", async () => {
  const bad = orchestration("bad", async (ctx) => {
    ctx.emit("first");
    ctx.sendEvent("other", "e");
    await ctx.activity("a");
    ctx.emit("second");
    setTimeout(() => {}, 1);
  });
  const first = await given(bad).when(start());

  const turn = await first.when(answer.activityCompleted(4));

  violationOf(turn);
  assert.deepEqual(turn.history, first.history);
  assert.deepEqual(turn.effects.outputs, []);
  assert.deepEqual(turn.effects.messages, []);
  assert.deepEqual(kinds(turn.history), ["OrchestrationStarted", "OutputEmitted", "EventSent", "ActivityScheduled"]);
});
