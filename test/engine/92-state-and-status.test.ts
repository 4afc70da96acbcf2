/** Side state: what an instance keeps, tells and emits, and which code a change or a version selects. */
import assert from "node:assert/strict";
import test from "node:test";
import {
  isStetError,
  orchestration,
  type AnyOrchestration,
  type HistoryEvent,
  type OrchestrationContext,
  type OrchestrationStarted,
  type Payload,
} from "@stet/core";
import { Registry } from "@stet/core/internal";
import { answer, given, replayHistory, start } from "@stet/testing";
import { z } from "zod";
import { bothWays, kinds, outputOf } from "./both-ways.ts";

type Code = (ctx: OrchestrationContext) => unknown;

/** The recorded start of an execution to which this state was carried. */
function carrying(state: { readonly [key: string]: Payload }): HistoryEvent[] {
  const carried = { state: Object.entries(state).map(([key, value]) => ({ key, value })) };
  const begun: OrchestrationStarted = {
    kind: "OrchestrationStarted",
    schemaVersion: 1,
    name: "o",
    version: "1",
    carried,
  };
  return [{ id: 1, at: 1_000_000, ...begun }];
}

// State

test("ctx.state.set() and delete() are recorded, and only the last change of a key goes to the store", async () => {
  const turn = await given(
    orchestration("o", (ctx) => {
      ctx.state.set("a", 1);
      ctx.state.set("b", { x: [null] });
      ctx.state.set("a", 2);
      ctx.state.set("c", 3);
      ctx.state.delete("c");
      return ctx.timer(1);
    }),
  ).when(start());

  assert.deepEqual(turn.events.slice(1, -1), [
    { id: 2, at: 1_000_000, kind: "StateSet", key: "a", value: 1 },
    { id: 3, at: 1_000_000, kind: "StateSet", key: "b", value: { x: [null] } },
    { id: 4, at: 1_000_000, kind: "StateSet", key: "a", value: 2 },
    { id: 5, at: 1_000_000, kind: "StateSet", key: "c", value: 3 },
    { id: 6, at: 1_000_000, kind: "StateDeleted", key: "c" },
  ]);
  assert.deepEqual(
    [...turn.effects.state].map(([key, change]) => [key, change.kind, "value" in change ? change.value : undefined]),
    [
      ["a", "StateSet", 2],
      ["b", "StateSet", { x: [null] }],
      ["c", "StateDeleted", undefined],
    ],
  );
});

test("ctx.state.get() reads what was set in this turn, in an earlier one, and in an earlier execution", async () => {
  const reader = orchestration("o", async (ctx) => {
    ctx.state.set("now", "this turn");
    const before = [ctx.state.get("carried"), ctx.state.get("now"), ctx.state.get("nothing") ?? "absent"];
    await ctx.activity("a");
    return [...before, ctx.state.get("now"), ctx.state.get("carried")];
  });

  const end = await bothWays(reader, [[], [answer.activityCompleted(3)]], { history: carrying({ carried: "before" }) });

  assert.deepEqual(outputOf(end), ["before", "this turn", "absent", "this turn", "before"]);
});

test("code overrides what was carried, deletes it, and sets it again", async () => {
  const writer = orchestration("o", async (ctx) => {
    ctx.state.set("a", "mine");
    ctx.state.delete("b");
    await ctx.timer(1);
    ctx.state.set("b", "again");
    return [ctx.state.get("a"), ctx.state.get("b"), ctx.state.get("c"), ctx.state.keys()];
  });

  const end = await bothWays(writer, [[], [answer.timerFired(4)]], { history: carrying({ a: 1, b: 2, c: 3 }) });

  assert.deepEqual(outputOf(end), ["mine", "again", 3, ["a", "c", "b"]]);
});

test("a counter that is read and written in every turn counts right in every life", async () => {
  const counter = orchestration("o", async (ctx) => {
    for (let i = 0; i < 5; i++) {
      ctx.state.set("n", (ctx.state.get<number>("n") ?? 0) + 1);
      await ctx.timer(1);
    }
    return ctx.state.get("n");
  });

  const end = await bothWays(counter, [[], ...[3, 6, 9, 12, 15].map((source) => [answer.timerFired(source)])], {
    history: carrying({ n: 10 }),
  });

  assert.equal(outputOf(end), 15);
});

test("a counter goes on across continue-as-new", async () => {
  const counter = orchestration("o", (ctx, rounds: number) => {
    ctx.state.set("n", (ctx.state.get<number>("n") ?? 0) + 1);
    return rounds === 0 ? ctx.state.get("n") : ctx.continueAsNew(rounds - 1);
  });

  let turn = await bothWays(counter, [[start(3)]]);
  while (turn.next !== undefined) turn = await given(counter, [turn.next]).when();

  assert.equal(outputOf(turn), 4);
});

test("state interleaved with activities, in branches and in a race, is the same in every life", async () => {
  const busy = orchestration("o", async (ctx) => {
    const branch = async (name: string) => {
      ctx.state.set(name, "begun");
      ctx.state.set(name, await ctx.activity<string>(name));
    };
    await Promise.all(["a", "b", "c"].map(branch));
    const { winner } = await ctx.race({ x: ctx.activity("x"), y: ctx.timer(1) });
    ctx.state.set("winner", winner);
    return Object.fromEntries(ctx.state.keys().map((key) => [key, ctx.state.get(key)]));
  });

  const end = await bothWays(busy, [
    [start()],
    [answer.activityCompleted(7, "C"), answer.activityCompleted(3, "A")],
    [answer.activityCompleted(5, "B")],
    [answer.timerFired(15)],
  ]);

  assert.deepEqual(outputOf(end), { a: "A", b: "B", c: "C", winner: "y" });
});

test("all keys can be deleted in a loop over them, in their order", async () => {
  const clear = orchestration("o", async (ctx) => {
    for (const key of ctx.state.keys()) ctx.state.delete(key);
    await ctx.timer(1);
    ctx.state.set("fresh", 1);
    return ctx.state.keys();
  });

  const end = await bothWays(clear, [[], [answer.timerFired(5)]], { history: carrying({ b: 1, "7": 2, a: 3 }) });

  assert.deepEqual(outputOf(end), ["fresh"]);
  assert.deepEqual(
    end.history.flatMap((one) => (one.kind === "StateDeleted" ? [one.key] : [])),
    ["7", "b", "a"], // as `carrying` got them from an object
  );
});

test("keys may hold any text, and falsy values are values", async () => {
  const values: Payload[] = [null, 0, "", false, [], {}];
  const keys = [" ", "a.b/c", "ключ", "__proto__", "constructor", "1"];
  const odd = orchestration("o", async (ctx) => {
    keys.forEach((key, i) => ctx.state.set(key, values[i]));
    await ctx.timer(1);
    return keys.map((key) => [key, ctx.state.get(key)]);
  });

  const end = await bothWays(odd, [[start()], [answer.timerFired(8)]]);

  assert.deepEqual(
    outputOf(end),
    keys.map((key, i) => [key, values[i]]),
  );
});

test("setting undefined deletes, deleting what is not there is recorded, and wrong keys are refused", async () => {
  const end = await bothWays(
    orchestration("o", (ctx) => {
      ctx.state.set("a", 1);
      ctx.state.set("a", undefined);
      ctx.state.delete("never");
      return ctx.state.keys();
    }),
    [[start()]],
  );
  assert.deepEqual(outputOf(end), []);
  assert.deepEqual(kinds(end.history).slice(1, -1), ["StateSet", "StateDeleted", "StateDeleted"]);

  for (const call of [
    (ctx) => ctx.state.set("", 1),
    (ctx) => ctx.state.set("k".repeat(201), 1),
    (ctx) => ctx.state.delete(""),
    (ctx) => ctx.state.delete(1 as never),
  ] as Code[]) {
    const refused = await given(orchestration("o", call)).when(start());
    assert.ok(refused.closing?.kind === "OrchestrationFailed");
    assert.equal(refused.closing.error.code, "configuration_invalid");
  }
});

test("what ctx.state.get() gives is a copy", async () => {
  const mutating = orchestration("o", async (ctx) => {
    ctx.state.set("list", [1]);
    ctx.state.get<number[]>("list")?.push(2);
    await ctx.timer(1);
    ctx.state.get<number[]>("list")?.push(3);
    return [ctx.state.get("list"), ctx.state.get("carried")];
  });

  const end = await bothWays(mutating, [[], [answer.timerFired(3)]], { history: carrying({ carried: { a: 1 } }) });

  assert.deepEqual(outputOf(end), [[1], { a: 1 }]);
});

test("state is not changed by a replay's reading of it: the store hears of each change once", async () => {
  const once = orchestration("o", async (ctx) => {
    ctx.state.set("a", 1);
    await ctx.activity("x");
    await ctx.activity("y");
  });

  const turn = await bothWays(once, [[start()], [answer.activityCompleted(3)]]);

  assert.equal(turn.effects.state.size, 0);
});

// Status and outputs

test("ctx.setStatus() is recorded each time, and the last one stands", async () => {
  const teller = orchestration("o", async (ctx) => {
    ctx.setStatus("first");
    ctx.setStatus({ phase: 2 });
    await ctx.timer(1);
    ctx.setStatus(null);
    await ctx.timer(1);
  });

  const first = await given(teller).when(start());
  assert.deepEqual(first.execution.status, { phase: 2 });
  assert.equal(first.effects.statusChanged, true);
  assert.deepEqual(kinds(first.events), ["OrchestrationStarted", "StatusSet", "StatusSet", "TimerCreated"]);

  const second = await bothWays(teller, [[start()], [answer.timerFired(4)]]);
  assert.equal(second.execution.status, null);
});

test("a turn that says nothing about the status does not change it", async () => {
  const teller = orchestration("o", async (ctx) => {
    ctx.setStatus("busy");
    await ctx.timer(1);
    await ctx.timer(1);
  });

  const turn = await bothWays(teller, [[start()], [answer.timerFired(3)]]);

  assert.equal(turn.effects.statusChanged, false);
  assert.equal(turn.execution.status, "busy");
});

test("ctx.setStatus(undefined) clears the status", async () => {
  const turn = await given(orchestration("o", (ctx) => (ctx.setStatus(undefined), ctx.timer(1)))).when(start());

  assert.deepEqual(turn.events[1], { id: 2, at: 1_000_000, kind: "StatusSet", value: null });
});

test("ctx.emit() appends to the outputs in order, once", async () => {
  const emitter = orchestration("o", async (ctx) => {
    ctx.emit("a");
    ctx.emit({ n: 0 });
    await ctx.timer(1);
    ctx.emit(undefined);
    await ctx.timer(1);
  });

  const first = await given(emitter).when(start());
  assert.deepEqual(first.effects.outputs, ["a", { n: 0 }]);
  const second = await bothWays(emitter, [[start()], [answer.timerFired(4)]]);
  assert.deepEqual(second.effects.outputs, [null]);
  assert.equal(second.history.filter(({ kind }) => kind === "OutputEmitted").length, 3);
});

// Changes

const charging = (patched: boolean) =>
  orchestration("o", async (ctx) => {
    await ctx.activity("order");
    if (patched && ctx.patched("charge-v2")) await ctx.activity("chargeV2");
    else await ctx.activity("charge");
    await ctx.timer(1);
    return patched && ctx.patched("charge-v2") ? "new" : "old";
  });

test("ctx.patched() is true for executions that reach it live, and recorded once", async () => {
  const end = await bothWays(charging(true), [
    [start()],
    [answer.activityCompleted(2)],
    [answer.activityCompleted(5)],
    [answer.timerFired(7)],
  ]);

  assert.equal(outputOf(end), "new");
  assert.deepEqual(
    end.history.filter(({ kind }) => kind === "ChangeMarked"),
    [{ id: 4, at: 1_001_000, kind: "ChangeMarked", changeId: "charge-v2", active: true }],
  );
});

test("ctx.patched() is false for histories that went past it before the change, to their end and on every replay", async () => {
  const before = await bothWays(charging(false), [[start()], [answer.activityCompleted(2)]]);

  const after = await given(charging(true), before.history).when(answer.activityCompleted(4));
  assert.deepEqual(kinds(after.events), ["ActivityCompleted", "TimerCreated"]);
  const end = await after.when(answer.timerFired(6));
  const endOfReplayed = await after.replayed().when(answer.timerFired(6));

  assert.equal(outputOf(end), "old");
  assert.deepEqual(endOfReplayed.history, end.history);
  assert.ok((await replayHistory(charging(true), end.history)).ok);
});

test("ctx.patched() is true for histories that had not reached it when the change came", async () => {
  const before = await given(charging(false)).when(start());

  const after = await given(charging(true), before.history).when(answer.activityCompleted(2));

  assert.deepEqual(kinds(after.events), ["ActivityCompleted", "ChangeMarked", "ActivityScheduled"]);
  assert.ok((await replayHistory(charging(true), after.history)).ok);
});

test("ctx.patched() keeps its answer in a loop that began before the change", async () => {
  const loop = (patched: boolean) =>
    orchestration("o", async (ctx) => {
      const seen: boolean[] = [];
      for (let i = 0; i < 4; i++) {
        seen.push(patched && ctx.patched("c"));
        await ctx.timer(1);
      }
      return seen;
    });
  const before = await given(loop(false)).when(start(), answer.timerFired(2));

  const live = await given(loop(true), before.history).when(answer.timerFired(4));
  const end = await live.replayed().when(answer.timerFired(6), answer.timerFired(8));

  assert.deepEqual(outputOf(end), [false, false, false, false]);
  assert.ok(!kinds(end.history).includes("ChangeMarked"));
});

test("ctx.patched() with other ids are other changes, and ids are checked", async () => {
  const two = orchestration("o", async (ctx) => {
    const a = ctx.patched("a");
    await ctx.timer(1);
    return [a, ctx.patched("b"), ctx.patched("a")];
  });
  const end = await bothWays(two, [[start()], [answer.timerFired(3)]]);
  assert.deepEqual(outputOf(end), [true, true, true]);
  assert.equal(end.history.filter(({ kind }) => kind === "ChangeMarked").length, 2);

  const refused = await given(orchestration("o", (ctx) => ctx.patched(""))).when(start());
  assert.ok(refused.closing?.kind === "OrchestrationFailed");
});

test("a change that is taken out of the code while histories hold its mark is nondeterminism", async () => {
  const marked = await given(charging(true)).when(start(), answer.activityCompleted(2));

  const after = await given(charging(false), marked.history).when();

  assert.ok(isStetError(after.failure, "nondeterminism"));
  assert.match(after.failure.message, /ChangeMarked\(changeId charge-v2\)/);
});

test("changes marked in another order are nondeterminism", async () => {
  const marking = (...ids: readonly string[]) =>
    orchestration("o", async (ctx) => {
      for (const id of ids) ctx.patched(id);
      await ctx.timer(1);
    });
  const { history } = await given(marking("a", "b")).when(start());

  const after = await given(marking("b", "a"), history).when();

  assert.ok(isStetError(after.failure, "nondeterminism"));
  assert.match(after.failure.message, /changeId differs/);
});

// Versions and inputs

test("a Registry answers the newest version when none is named, number by number", () => {
  const of = (version: string): AnyOrchestration => orchestration("o", { version }, () => version);
  const registry = new Registry([of("1.9"), of("1.10"), of("1"), of("1.9.9")], []);

  assert.equal(registry.orchestration("o")?.version, "1.10");
  assert.equal(registry.orchestration("o", "1.9")?.version, "1.9");
  assert.equal(registry.orchestration("o", "2"), undefined);
  assert.equal(registry.orchestration("p"), undefined);
  assert.deepEqual(registry.handlers, ["o", "o@1.10", "o@1.9.9", "o@1.9", "o@1"]);
});

test("a Registry refuses two definitions of one name and version, and what is no definition", () => {
  const one = orchestration("o", () => 1);
  assert.throws(() => new Registry([one, orchestration("o", () => 2)], []), { code: "configuration_invalid" });
  assert.throws(() => new Registry([one, orchestration("o", { version: "1.0" }, () => 2)], []), {
    code: "configuration_invalid",
    message: /1\.0/,
  });
  assert.throws(() => new Registry([{ name: "o" } as never], []), /definition made by orchestration\(\)/);
  assert.throws(() => new Registry([], [one as never]), /definition made by activity\(\)/);
});

test("a Registry's fingerprint changes with the code and not with the order", () => {
  const a = orchestration("a", () => 1);
  const b = orchestration("b", () => 1);
  const changed = orchestration("b", () => 2);

  assert.equal(new Registry([a, b], []).fingerprint, new Registry([b, a], []).fingerprint);
  assert.notEqual(new Registry([a, b], []).fingerprint, new Registry([a, changed], []).fingerprint);
});

test("the version that runs is recorded and told to the code", async () => {
  const end = await bothWays(
    orchestration("o", { version: "2.3" }, (ctx) => [ctx.name, ctx.version]),
    [[start()]],
  );

  assert.deepEqual(outputOf(end), ["o", "2.3"]);
  assert.equal((end.history[0] as OrchestrationStarted & HistoryEvent).version, "2.3");
});

const checked = (max: number) =>
  orchestration("o", { input: z.object({ n: z.number().max(max) }) }, async (ctx, { n }) => {
    await ctx.timer(1);
    return n;
  });

test("an input that satisfies the schema reaches the code as the schema makes it", async () => {
  const defaulted = orchestration("o", { input: z.object({ n: z.number().default(7) }) }, (_ctx, { n }) => n);

  assert.equal(outputOf(await bothWays(defaulted, [[start({})]])), 7);
});

test("an input that does not satisfy the schema fails the execution before its code runs", async () => {
  const end = await bothWays(checked(5), [[start({ n: 9 })]]);

  assert.ok(end.closing?.kind === "OrchestrationFailed");
  assert.equal(end.closing.error.code, "input_invalid");
  assert.match(
    end.closing.error.message,
    /^Expected the input of orchestration o to satisfy its schema, got: .* at \$\.n$/,
  );
});

test("an input that the code ran with stands though today's schema is stricter", async () => {
  const before = await given(checked(10)).when(start({ n: 9 }));

  const after = await given(checked(5), before.history).when(answer.timerFired(2));

  assert.equal(outputOf(after), 9);
});
