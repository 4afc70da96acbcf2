/** Payloads: what goes in comes out, what JSON cannot carry is refused with its path, and nobody shares an object. */
import assert from "node:assert/strict";
import test from "node:test";
import vm from "node:vm";
import {
  canonicalHash,
  canonicalJson,
  isStetError,
  orchestration,
  samePayload,
  type OrchestrationContext,
  type Payload,
} from "@stet/core";
import {
  Course,
  enterGuarded,
  Execution,
  type Incoming,
  toPayload,
  TurnFeed,
  type TurnTerms,
} from "@stet/core/internal";
import { answer, event, given, start } from "@stet/testing";
import fc from "fast-check";
import { bothWays, outputOf } from "./both-ways.ts";

const echo = orchestration("echo", async (ctx, input: unknown) => {
  const result = await ctx.activity("echo", input);
  const data = await ctx.waitForEvent("data");
  const child = await ctx.subOrchestration("child", result);
  return [input ?? "nothing", result ?? "nothing", data ?? "nothing", child ?? "nothing"];
});

test("falsy values are preserved on every way: input, result, data, output, state", async () => {
  for (const value of [null, 0, "", false, [], {}, [null], { a: null }] as Payload[]) {
    const end = await bothWays(echo, [
      [start(value)],
      [answer.activityCompleted(2, value)],
      [event("data", value)],
      [answer.childCompleted(6, value)],
    ]);
    const told = value ?? "nothing";
    assert.deepEqual(outputOf(end), [told, told, told, told]);
    const payloads = end.history.flatMap((one) =>
      "input" in one ? [one.input] : "result" in one ? [one.result] : "data" in one ? [one.data] : [],
    );
    assert.deepEqual(
      payloads,
      Array.from({ length: 6 }, () => value),
    );
  }
});

test("undefined is absent, as a payload and as a member", async () => {
  const end = await bothWays(echo, [
    [start()],
    [answer.activityCompleted(2)],
    [event("data")],
    [answer.childCompleted(6)],
  ]);
  assert.deepEqual(outputOf(end), ["nothing", "nothing", "nothing", "nothing"]);

  const turn = await given(orchestration("o", (ctx) => ctx.activity("a", { a: undefined, b: 1 }))).when(start());
  assert.deepEqual((turn.events[1] as { input?: Payload }).input, { b: 1 });
});

class Money {
  readonly cents = 1;
}

const offenders: readonly (readonly [value: unknown, found: string | RegExp])[] = [
  [() => 1, "a function"],
  [function named() {}, "the function named"],
  [Symbol("s"), "Symbol(s)"],
  [10n, "the BigInt 10n (write it as a string)"],
  [Number.NaN, "NaN"],
  [Infinity, "Infinity"],
  [-Infinity, "-Infinity"],
  [new Date(0), "an instance of Date"],
  [new Map(), "an instance of Map"],
  [new Set(), "an instance of Set"],
  [/x/, "an instance of RegExp"],
  [new Error("x"), "an instance of Error"],
  [Buffer.from("x"), "an instance of Buffer"],
  [new Uint8Array(1), "an instance of Uint8Array"],
  [new Money(), "an instance of Money"],
  [Promise.resolve(), "an instance of Promise"],
  [new Proxy(new Map(), {}), "an instance of Map"],
  [Object.create({ inherited: 1 }), /an instance of/],
  [{ [Symbol("k")]: 1 }, "an object with a symbol as key"],
  // oxlint-disable-next-line no-new-wrappers
  [new String("x"), "an instance of String"],
];

test("what JSON cannot carry is refused with its path, at the top and inside", () => {
  for (const [value, found] of offenders) {
    const places: readonly (readonly [unknown, string])[] = [
      [value, "$"],
      [{ a: { b: [1, value] } }, "$.a.b[1]"],
      [[[value]], "$[0][0]"],
      [{ "odd key": { 1: value } }, '$["odd key"]["1"]'],
    ];
    for (const [carrier, path] of places) {
      assert.throws(
        () => toPayload(carrier, "input of activity", "a"),
        (error: unknown) => {
          assert.ok(isStetError(error, "payload_invalid"));
          const [, said = "", at = ""] =
            /^Expected the input of activity a to be JSON, got (.*) at (\S.*)$/.exec(error.message) ?? [];
          assert.match(said, found instanceof RegExp ? found : new RegExp(`^${found.replace(/[()]/g, "\\$&")}$`));
          assert.equal(at, path);
          return true;
        },
      );
    }
  }
});

test("undefined and holes in arrays, and cycles, are refused with their paths", () => {
  const cycle: { self?: unknown; list: unknown[] } = { list: [] };
  cycle.list.push({ back: cycle });
  // oxlint-disable-next-line no-sparse-arrays
  const cases: readonly (readonly [unknown, string])[] = [
    [[1, undefined], "got undefined at $[1]"],
    // oxlint-disable-next-line no-sparse-arrays
    [[1, , 3], "got a hole at $[1]"],
    [cycle, "got a cycle at $.list[0].back"],
    [{ a: { b: [undefined] } }, "got undefined at $.a.b[0]"],
  ];
  for (const [value, message] of cases) {
    assert.throws(
      () => toPayload(value, "input of activity", "a"),
      new RegExp(`${message.replace(/[$[\]]/g, "\\$&")}$`),
    );
  }
});

test("the same object twice is no cycle", () => {
  const shared = { n: 1 };

  const copy = toPayload({ a: shared, b: [shared] }, "x") as { a: object; b: object[] };

  assert.deepEqual(copy, { a: { n: 1 }, b: [{ n: 1 }] });
  assert.notEqual(copy.a, copy.b[0]);
});

test("every way in refuses at the call, with a name for what was given", async () => {
  const bad = { when: new Date(0) };
  const ways: readonly (readonly [(ctx: OrchestrationContext) => unknown, string])[] = [
    [(ctx) => ctx.activity("a", bad), "input of activity a"],
    [(ctx) => ctx.subOrchestration("c", bad), "input of orchestration c"],
    [(ctx) => ctx.startOrchestration("c", bad), "input of orchestration c"],
    [(ctx) => ctx.continueAsNew(bad), "input of orchestration o"],
    [(ctx) => ctx.waitForEvent("e", { details: bad }), "details of the wait for e"],
    [(ctx) => ctx.sendEvent("i", "e", bad), "data of event e"],
    [(ctx) => ctx.setStatus(bad), "status of instance instance"],
    [(ctx) => ctx.state.set("k", bad), "state k"],
    [(ctx) => ctx.emit(bad), "output of instance instance"],
    [() => bad, "output of orchestration o"],
  ];
  for (const [way, what] of ways) {
    const end = await given(orchestration("o", way)).when(start());
    assert.ok(end.closing?.kind === "OrchestrationFailed", what);
    assert.equal(end.closing.error.code, "payload_invalid");
    assert.equal(end.closing.error.message, `Expected the ${what} to be JSON, got an instance of Date at $.when`);
    assert.equal(end.history.length, 2);
  }
});

test("a refused payload can be caught, and nothing of the call is left", async () => {
  const careful = orchestration("careful", async (ctx) => {
    const failure = await Promise.resolve()
      .then(() => ctx.activity("a", 1n))
      .catch((error: unknown) => error);
    return isStetError(failure, "payload_invalid") ? ctx.activity("b") : "unexpected";
  });

  const end = await bothWays(careful, [[start()], [answer.activityCompleted(2, "B")]]);

  assert.equal(outputOf(end), "B");
});

test("-0 is carried as 0, and numbers as they are", () => {
  assert.ok(Object.is(toPayload(-0, "x"), 0));
  for (const n of [0.1, 1e308, Number.MAX_SAFE_INTEGER, -1.5e-10, 2 ** 60]) {
    assert.equal(JSON.parse(JSON.stringify(toPayload(n, "x"))), n);
  }
});

test("plain objects of other realms and without a prototype are plain", () => {
  const foreign: unknown = vm.runInNewContext("({ a: [1, { b: null }] })");
  assert.deepEqual(toPayload(foreign, "x"), { a: [1, { b: null }] });
  assert.deepEqual(toPayload(Object.assign(Object.create(null) as object, { a: 1 }), "x"), { a: 1 });
});

test("getters are read once and their values are carried", () => {
  let reads = 0;
  const value = {
    get a() {
      return ++reads;
    },
  };

  assert.deepEqual(toPayload(value, "x"), { a: 1 });
  assert.equal(reads, 1);
});

test("a member called __proto__ is a member like any other, and pollutes nothing", async () => {
  const input = JSON.parse('{"__proto__":{"polluted":1},"a":{"__proto__":null,"constructor":2}}') as Payload;
  const text = JSON.stringify(input);

  assert.equal(JSON.stringify(toPayload(input, "x")), text);
  const passing = orchestration("passing", async (ctx, given: Payload) => {
    const result = await ctx.activity<Payload>("a", given);
    ctx.state.set("k", result);
    await ctx.timer(1);
    return [JSON.stringify(given), JSON.stringify(result), JSON.stringify(ctx.state.get("k"))];
  });
  const end = await bothWays(passing, [[start(input)], [answer.activityCompleted(2, input)], [answer.timerFired(5)]]);
  assert.deepEqual(outputOf(end), [text, text, text]);
  assert.equal(({} as { polluted?: number }).polluted, undefined);
  assert.ok(!samePayload(input, JSON.parse('{"a":{"constructor":2}}') as Payload));
  assert.notEqual(canonicalHash(input), canonicalHash(JSON.parse('{"a":{"constructor":2}}') as Payload));
});

const nested = (depth: number): unknown => {
  let value: unknown = "deep";
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { in: value };
  return value;
};

test("nesting is carried down to 256 levels and refused below, without overflowing the stack", () => {
  assert.deepEqual(toPayload(nested(256), "x"), nested(256));
  for (const depth of [257, 1_000, 100_000]) {
    assert.throws(() => toPayload(nested(depth), "x"), /nesting deeper than 256/);
  }
});

test("a payload above the limit is refused with its size, counted in bytes as JSON is written", () => {
  const limit = 1_000;
  const fits: unknown[] = ["x".repeat(1_000), Array.from({ length: 330 }, () => 1), { k: "é".repeat(200) }];
  for (const value of fits) assert.deepEqual(toPayload(value, "input of", "a", limit), value);

  const tooLarge: readonly (readonly [string, unknown])[] = [
    ["numbers", Array.from({ length: 600 }, () => 1)],
    ["long numbers", Array.from({ length: 60 }, () => 0.1 + 0.2)],
    ["booleans", Array.from({ length: 300 }, () => true)],
    ["nulls", Array.from({ length: 300 }, () => null)],
    ["empty lists", Array.from({ length: 500 }, () => [])],
    ["empty objects", Array.from({ length: 500 }, () => ({}))],
    ["texts", Array.from({ length: 100 }, () => "a".repeat(20))],
    ["two-byte texts", Array.from({ length: 2 }, () => "é".repeat(400))],
    ["escaped texts", "\u0001".repeat(400)],
    ["keys", Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`key number ${i}`, 0]))],
    ["one long text", "x".repeat(1_001)],
    ["one long text of three-byte characters", "€".repeat(600)],
  ];
  for (const [name, value] of tooLarge) {
    assert.throws(
      () => toPayload(value, "input of", "a", limit),
      (error: unknown) => {
        assert.ok(isStetError(error, "payload_too_large"), name);
        assert.match(error.message, /to have at most 1000 bytes, got \d{4}: store it elsewhere and pass a reference/);
        return true;
      },
      name,
    );
  }
});

test("long texts are counted one by one, because they are stored once beside the event", () => {
  const long = "x".repeat(900);

  assert.deepEqual(toPayload([long, long, long], "input of", "a", 1_000), [long, long, long]);
});

test("a payload above the limit of the runtime is refused at the call and can be caught", async () => {
  const large = orchestration("large", async (ctx) => {
    try {
      return await ctx.activity("a", { blob: "x".repeat(5_000) });
    } catch (error) {
      return isStetError(error) ? error.code : "?";
    }
  });

  assert.equal(outputOf(await bothWays(large, [[start()]], { payloadLimit: 1_000 })), "payload_too_large");
});

test("changing an argument after the call does not change history", async () => {
  const input = { list: [1], nested: { a: 1 } };
  const mutating = orchestration("mutating", async (ctx) => {
    const mine = structuredClone(input);
    const work = ctx.activity("a", mine);
    ctx.state.set("k", mine);
    ctx.emit(mine);
    ctx.sendEvent("i", "e", mine);
    ctx.setStatus(mine);
    mine.list.push(2);
    mine.nested.a = 2;
    await work;
    return ctx.state.get("k");
  });

  const end = await bothWays(mutating, [[start()], [answer.activityCompleted(2)]]);

  assert.deepEqual(outputOf(end), input);
  const recorded = end.history.flatMap((one) =>
    "input" in one ? [one.input] : "value" in one ? [one.value] : "data" in one ? [one.data] : [],
  );
  assert.deepEqual(recorded, [input, input, input, input, input]);
  assert.deepEqual(end.execution.status, input);
});

type Box = { items: number[] };

test("changing what was delivered does not change history: input, results, data, details of errors", async () => {
  const greedy = orchestration("greedy", async (ctx, input: Box) => {
    input.items.push(1);
    const result = await ctx.activity<Box>("a");
    result.items.push(2);
    const data = await ctx.waitForEvent<Box>("e");
    data.items.push(3);
    await ctx.timer(1);
    const taken = ctx.tryReceive<Box>("t");
    taken?.data.items.push(4);
    const failure = await ctx.activity("b").catch((error: unknown) => (error as { cause: { details: Box } }).cause);
    (failure as { details: Box }).details.items.push(5);
    return [input, result, data, taken?.data, (failure as { details: Box }).details];
  });
  const box = (): { items: number[] } => ({ items: [] });
  const thrown = Object.assign(new Error("no"), { details: box() });

  const end = await bothWays(greedy, [
    [start(box())],
    [answer.activityCompleted(2, box())],
    [event("e", box())],
    [event("t", box())],
    [answer.timerFired(6)],
    [answer.activityFailed(10, thrown)],
  ]);

  assert.deepEqual(
    outputOf(end),
    [1, 2, 3, 4, 5].map((n) => ({ items: [n] })),
  );
  const recorded = JSON.stringify(end.history.slice(0, -1));
  assert.ok(!/"items":\[\d/.test(recorded), recorded);
});

test("an answer whose turn could not be committed can be delivered again, though code has changed what it got", async () => {
  const greedy = orchestration("greedy", async (ctx) => {
    const result = await ctx.activity<Box>("a");
    result.items.push(1);
    return result;
  });
  const asked = await given(greedy).when(start());
  const message = { kind: "ActivityCompleted", source: 2, result: { items: [] } } as const;

  const once = await asked.replayed().when(message);
  const again = await asked.replayed().when(message);

  assert.deepEqual(outputOf(once), { items: [1] });
  assert.deepEqual(outputOf(again), { items: [1] });
});

test("an answer found in this worker is taken without a row to settle, unless it had a time limit", async () => {
  const settledOf = async (code: (ctx: OrchestrationContext) => unknown) => {
    const execution = new Execution(
      orchestration("o", code),
      { instanceId: "i", rootId: "i", execution: 1 },
      {
        logger: { debug() {}, info() {}, warn() {}, error() {} },
        payloadLimit: 1_000,
        maxRequestsPerDelivery: 10,
        enter: enterGuarded,
      },
    );
    const terms: TurnTerms = {
      at: 1,
      totalTimeoutMs: ({ options }) => options?.totalTimeoutMs,
      nextVersion: () => "1",
    };
    const turn = async (incoming: readonly Incoming[]) => {
      const feed = new TurnFeed(execution, terms, incoming);
      const course = new Course(execution, feed);
      while (course.deliverNext()) {
        await new Promise((resolve) => setImmediate(resolve));
        course.settle();
      }
      assert.equal(course.failure, undefined);
      return feed;
    };
    await turn([{ message: { kind: "Start", name: "o" }, key: 1 }]);
    const feed = await turn([
      { message: { kind: "ActivityCompleted", source: 9, result: 0 } },
      { message: { kind: "ActivityCompleted", source: 2, result: 1 } },
      { message: { kind: "ActivityCompleted", source: 2, result: 2 } },
    ]);
    assert.deepEqual(feed.consumed, []);
    assert.equal(feed.events.filter(({ kind }) => kind === "ActivityCompleted").length, 1);
    assert.equal(feed.untaken().length, 3);
    return [feed.effects.settled, feed.effects.cancelledWork];
  };

  assert.deepEqual(await settledOf((ctx) => ctx.activity("a")), [[], []]);
  assert.deepEqual(await settledOf((ctx) => ctx.activity("a", 1, { totalTimeout: 5 })), [[2], []]);
});

test("any JSON value comes out as it went in, and is the same as itself", async () => {
  await fc.assert(
    fc.asyncProperty(fc.jsonValue({ maxDepth: 6 }), async (generated) => {
      const value = JSON.parse(JSON.stringify(generated)) as Payload;
      assert.equal(JSON.stringify(toPayload(value, "x")), JSON.stringify(value));
      assert.ok(samePayload(value, structuredClone(value)));
      const turn = await given(orchestration("o", (ctx, input: Payload) => ctx.activity("a", input))).when(
        start(value),
      );
      assert.equal(JSON.stringify((turn.events[1] as { input?: Payload }).input), JSON.stringify(value));
    }),
    { numRuns: 60 },
  );
});

test("two payloads are the same exactly when their canonical texts are", () => {
  const json = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as Payload);
  fc.assert(
    fc.property(json, json, (a, b) => {
      assert.equal(samePayload(a, b), canonicalJson(a) === canonicalJson(b));
    }),
    { numRuns: 500 },
  );
  const different: readonly (readonly [Payload | undefined, Payload | undefined])[] = [
    [undefined, null],
    [0, false],
    ["", null],
    ["1", 1],
    [[], {}],
    [{ a: 1 }, { a: 1, b: 2 }],
    [{ a: 1, b: 2 }, { a: 1 }],
    [{ a: 1 }, { b: 1 }],
    [[1, 2], [1]],
    [[1], { 0: 1 }],
    [{ a: null }, {}],
  ];
  for (const [a, b] of different) assert.ok(!samePayload(a, b) && !samePayload(b, a), JSON.stringify([a, b]));
  assert.ok(samePayload({ a: [1, { b: 2, c: 3 }] }, { a: [1, { c: 3, b: 2 }] }));
});
