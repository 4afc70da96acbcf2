/** Forks: a history that began as another's is replayed as that one, and from the fork on as its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ForkOrigin, type HistoryEvent, orchestration, type UsageSummary } from "@stet/core";
import { waitingForOf } from "@stet/core/internal";
import { answer, cancel, given, replayHistory, start, terminate } from "@stet/testing";
import { bothWays, kinds, outputOf } from "./both-ways.ts";

/** All that code can draw, in two steps. */
const drawing = orchestration("drawing", async (ctx) => {
  const draw = () => ({
    uuid: ctx.uuid(),
    random: ctx.random(),
    mathRandom: Math.random(),
    cryptoUuid: crypto.randomUUID(),
    instanceId: ctx.instanceId,
    child: ctx.startOrchestration("child"),
    time: new Date().getTime(),
  });
  const drawn = [draw()];
  for (let i = 0; i < 3; i++) {
    await ctx.activity("work", drawn.at(-1));
    drawn.push(draw());
  }
  return drawn;
});

type Drawn = { readonly [name: string]: unknown }[];

/** The history of a fork: what the origin recorded up to a delivery. */
function forked(history: readonly HistoryEvent[], origin: ForkOrigin): HistoryEvent[] {
  const [started, ...rest] = history.slice(0, origin.atEvent);
  assert.equal(started?.kind, "OrchestrationStarted");
  return [{ ...started, forkedFrom: origin }, ...rest];
}

/** Answers activities until the execution has ended. */
async function finished(history: readonly HistoryEvent[], instanceId: string) {
  let turn = await given(drawing, history, { instanceId }).when(...(history.length === 0 ? [start()] : []));
  while (turn.status === "waiting") {
    const asked = turn.history.findLast(({ kind }) => kind === "ActivityScheduled");
    assert.ok(asked);
    turn = await turn.when(answer.activityCompleted(asked.id));
  }
  return turn;
}

test("before the fork the code draws what its origin drew, from the fork on what is its own", async () => {
  const origin = await finished([], "origin");
  const { id: atEvent } = origin.history.filter(({ kind }) => kind === "ActivityCompleted")[1] as HistoryEvent;

  const fork = await finished(forked(origin.history, { instanceId: "origin", execution: 1, atEvent }), "fork");

  const [theirs, ours] = [outputOf(origin) as Drawn, outputOf(fork) as Drawn];
  assert.deepEqual(ours.slice(0, 2), theirs.slice(0, 2));
  for (const i of [2, 3]) {
    for (const name of ["uuid", "random", "mathRandom", "cryptoUuid", "instanceId", "child"]) {
      assert.notEqual(ours[i]?.[name], theirs[i]?.[name], `${name} after the fork`);
    }
    assert.equal(ours[i]?.["instanceId"], "fork");
  }
  assert.deepEqual(
    ours.map(({ child }) => child),
    ["origin:1:1", "origin:1:2", "fork:1:3", "fork:1:4"],
  );
  const { ok, failure } = await replayHistory(drawing, fork.history, { instanceId: "fork" });
  assert.ok(ok, failure?.message);
  const elsewhere = await replayHistory(drawing, fork.history, { instanceId: "another" });
  assert.equal(elsewhere.failure?.code, "nondeterminism");
});

test("a fork at the start has nothing of its origin but the input", async () => {
  const origin = await finished([], "origin");

  const fork = await finished(forked(origin.history, { instanceId: "origin", execution: 1, atEvent: 1 }), "fork");
  const plain = await finished([], "fork");

  const timeless = (drawn: unknown) => (drawn as Drawn).map(({ time: _, ...rest }) => rest);
  assert.deepEqual(timeless(outputOf(fork)), timeless(outputOf(plain)));
});

test("a fork of a fork draws as each in its own part", async () => {
  const origin = await finished([], "origin");
  const [first, second] = origin.history.flatMap(({ kind, id }) => (kind === "ActivityCompleted" ? [id] : []));
  const earlier: ForkOrigin = { instanceId: "origin", execution: 1, atEvent: first as number };
  const middle = await finished(forked(origin.history, earlier), "middle");

  const later = await finished(
    forked(middle.history, { instanceId: "middle", execution: 1, atEvent: second as number, forkedFrom: earlier }),
    "later",
  );
  const before = await finished(
    forked(middle.history, { instanceId: "middle", execution: 1, atEvent: 1, forkedFrom: earlier }),
    "before",
  );

  const ids = (turn: Awaited<ReturnType<typeof finished>>) =>
    (outputOf(turn) as Drawn).map(({ instanceId }) => instanceId);
  assert.deepEqual(ids(middle), ["origin", "middle", "middle", "middle"]);
  assert.deepEqual(ids(later), ["origin", "middle", "later", "later"]);
  assert.deepEqual(ids(before), ["before", "before", "before", "before"]);
  for (const [turn, instanceId] of [
    [later, "later"],
    [before, "before"],
  ] as const) {
    assert.equal((await replayHistory(drawing, turn.history, { instanceId })).failure, undefined);
  }
});

test("what fails before the fork says the same as it did in the origin", async () => {
  const failing = orchestration("failing", async (ctx) => {
    const said: string[] = [];
    for (let i = 0; i < 2; i++) {
      await ctx.activity("work").catch((error: Error) => said.push(error.message));
      await ctx.subOrchestration("child").catch((error: Error) => said.push(error.message));
      await ctx.activity("note", said);
    }
  });
  let origin = await given(failing, [], { instanceId: "origin" }).when(start());
  for (const [source, what] of [
    [2, answer.activityFailed(2, "no")],
    [4, answer.childFailed(4, "no")],
    [6, answer.activityCompleted(6)],
  ] as const) {
    assert.equal(origin.history.at(-1)?.id, source);
    origin = await origin.when(what);
  }
  const history = forked(origin.history, { instanceId: "origin", execution: 1, atEvent: 7 });

  let fork = await given(failing, history, { instanceId: "fork" }).when();
  assert.deepEqual(kinds(fork.events), ["ActivityScheduled"], fork.failure?.message);
  fork = await fork.when(answer.activityFailed(8, "no"));
  fork = await fork.when(answer.childFailed(10, "no"));

  const noted = fork.history.filter((event) => event.kind === "ActivityScheduled" && event.name === "note");
  const [first = "", second = "", third = "", fourth = ""] = (noted[1] as { input?: string[] }).input ?? [];
  assert.match(first, /^Activity work of instance origin \(event 2\)/);
  assert.match(second, /^Sub-orchestration child of instance origin \(event 4\)/);
  assert.match(third, /^Activity work of instance fork \(event 8\)/);
  assert.match(fourth, /^Sub-orchestration child of instance fork \(event 10\)/);
});

test("ctx.usage() tells a fork of its origin's calls too, and replays tell the same", async () => {
  const spending = orchestration("spending", async (ctx) => {
    await ctx.generate("one", { label: "first" });
    await ctx.activity("work", ctx.usage());
    await ctx.generate("two");
    return ctx.usage();
  });
  const spent = { usage: { inputTokens: 10, outputTokens: 5 }, costUsd: 0.25 };
  const origin = await bothWays(spending, [
    [start()],
    [answer.said(2, "1", spent)],
    [answer.activityCompleted(4)],
    [answer.said(6, "2", spent)],
  ]);
  const { id: atEvent } = origin.history.find(({ kind }) => kind === "ActivityCompleted") as HistoryEvent;

  const history = forked(origin.history, { instanceId: "origin", execution: 1, atEvent });
  const fork = await given(spending, history, { instanceId: "fork" }).when(answer.said(atEvent + 1, "2", spent));

  const { inputTokens, outputTokens, calls, usd, byLabel } = outputOf(origin) as UsageSummary;
  assert.deepEqual([inputTokens, outputTokens, calls, usd, byLabel["first"]?.calls], [20, 10, 2, 0.5, 1]);
  assert.deepEqual(outputOf(fork), outputOf(origin));
});

test("a fork that its code has not seen yet runs from its last delivery, live", async () => {
  const patched = orchestration("o", async (ctx) => {
    await ctx.activity("first");
    const isNew = ctx.patched("change");
    ctx.log.info("seen", { replaying: ctx.isReplaying });
    return ctx.activity(isNew ? "new" : "old");
  });
  const origin = await given(
    orchestration("o", async (ctx) => {
      await ctx.activity("first");
      return ctx.activity("old");
    }),
  ).when(start(), answer.activityCompleted(2));
  const history = forked(origin.history, { instanceId: "instance", execution: 1, atEvent: 3 });

  const fork = await given(patched, history, { instanceId: "fork" }).when();

  assert.deepEqual(kinds(fork.events), ["ChangeMarked", "ActivityScheduled"]);
  assert.deepEqual(
    fork.logs.map(({ fields }) => fields?.["replaying"]),
    [false],
  );
  assert.equal((await replayHistory(patched, history, { instanceId: "fork" })).ok, true);
});

for (const [what, message] of [
  ["cancelled", cancel()],
  ["terminated", terminate()],
] as const) {
  test(`a fork that is ${what} cancels its own child, not that of its origin`, async () => {
    const parent = orchestration("parent", async (ctx) => {
      const child = ctx.subOrchestration("child", undefined, { instanceId: "theirs" });
      await ctx.activity("work");
      await child;
    });
    const origin = await given(parent, [], { instanceId: "origin" }).when(start(), answer.activityCompleted(3));
    const history = forked(origin.history, {
      instanceId: "origin",
      execution: 1,
      atEvent: 4,
      children: { 2: "ours" },
    });

    const fork = await given(parent, history, { instanceId: "fork" }).when(message);

    assert.deepEqual(
      fork.effects.messages.map(({ instanceId, message: { kind } }) => [instanceId, kind]),
      [["ours", "CancelRequested"]],
    );
    const [waiting] = waitingForOf(history);
    assert.deepEqual(waiting?.kind === "subOrchestration" && waiting.instanceId, "ours");
  });
}

test("a child of the fork that fails is named in the error", async () => {
  const parent = orchestration("parent", async (ctx) => {
    const child = ctx.subOrchestration("child", undefined, { instanceId: "theirs" });
    await ctx.activity("work");
    return child.catch((error: { details?: { instanceId: string } }) => error.details?.instanceId);
  });
  const origin = await given(parent, [], { instanceId: "origin" }).when(start(), answer.activityCompleted(3));
  const history = forked(origin.history, { instanceId: "origin", execution: 1, atEvent: 4, children: { 2: "ours" } });

  const fork = await given(parent, history, { instanceId: "fork" }).when(answer.childFailed(2, "no"));

  assert.equal(outputOf(fork), "ours");
});
