/** Children: started by a parent, answering to it or not. */
import assert from "node:assert/strict";
import test from "node:test";
import {
  orchestration,
  type OrchestrationContext,
  SubOrchestrationError,
  type StetError,
  type SubOrchestrationScheduled,
} from "@stet/core";
import { answer, given, start, terminate } from "@stet/testing";
import { z } from "zod";
import { bothWays, kinds, outputOf } from "./both-ways.ts";

const child = orchestration("child", (_ctx, n: number) => n * 2);

test("ctx.subOrchestration() records the child with its id, and asks for its start", async () => {
  const turn = await given(orchestration("parent", (ctx) => ctx.subOrchestration(child, 21))).when(start());

  const scheduled = { kind: "SubOrchestrationScheduled", name: "child", instanceId: "instance:1:1", input: 21 };
  assert.deepEqual(turn.events[1], { id: 2, at: 1_000_000, ...scheduled });
  assert.deepEqual(turn.effects.starts, [{ eventId: 2, request: scheduled }]);
});

test("ctx.subOrchestration() resolves with the output of the child", async () => {
  const parent = orchestration("parent", async (ctx) => (await ctx.subOrchestration(child, 21)) + 1);

  const end = await bothWays(parent, [[start()], [answer.childCompleted(2, 42)]]);

  assert.equal(outputOf(end), 43);
});

test("ctx.subOrchestration() rejects with SubOrchestrationError whose cause is what the child failed with", async () => {
  const parent = orchestration("parent", async (ctx) => {
    try {
      return await ctx.subOrchestration(child, 21);
    } catch (error) {
      assert.ok(error instanceof SubOrchestrationError);
      return [error.message, error.details, (error.cause as StetError).code];
    }
  });
  const thrown = Object.assign(new Error("no card"), { code: "card_declined" });

  const end = await bothWays(parent, [[start()], [answer.childFailed(2, thrown)]]);

  assert.deepEqual(outputOf(end), [
    "Sub-orchestration child of instance instance (event 2) failed: no card",
    { name: "child", instanceId: "instance:1:1" },
    "card_declined",
  ]);
});

test("a child that was cancelled, terminated or could not be started rejects alike, with a cause that says which", async () => {
  const parent = orchestration("parent", (ctx) =>
    ctx.subOrchestration(child, 1).catch((error: unknown) => ((error as StetError).cause as StetError).code),
  );
  for (const code of ["cancelled", "orchestration_terminated", "instance_exists"]) {
    const end = await bothWays(parent, [
      [start()],
      [answer.childFailed(2, Object.assign(new Error("reason"), { code }))],
    ]);
    assert.equal(outputOf(end), code);
  }
});

test("children without an id of their own are numbered within the execution, so ids never repeat", async () => {
  const parent = orchestration("parent", async (ctx) => {
    void ctx.subOrchestration(child, 1);
    const named = ctx.subOrchestration(child, 2, { instanceId: "mine" });
    const detached = ctx.startOrchestration(child, 3);
    await named;
    void ctx.subOrchestration(child, 4);
    await ctx.timer("1s");
    return detached;
  });
  const ids = (events: readonly object[]) => events.flatMap((e) => ("instanceId" in e ? [e.instanceId] : []));

  const first = await bothWays(parent, [[start()], [answer.childCompleted(3, 4)]]);
  const next = await bothWays(parent, [[start()], [answer.childCompleted(3, 4)]], { execution: 2 });

  assert.deepEqual(ids(first.history), ["instance:1:1", "mine", "instance:1:2", "instance:1:3"]);
  assert.deepEqual(ids(next.history), ["instance:2:1", "mine", "instance:2:2", "instance:2:3"]);
});

test("the options of a child are recorded as given, and absent where not", async () => {
  const parent = orchestration("parent", (ctx) =>
    Promise.all([
      ctx.subOrchestration("child", 1, {
        instanceId: "c",
        version: "2.1",
        labels: { team: "a" },
        parentClosePolicy: "abandon",
      }),
      ctx.subOrchestration("child", undefined, { parentClosePolicy: "cancel" }),
    ]),
  );

  const turn = await given(parent).when(start());

  assert.deepEqual(turn.events.slice(1), [
    {
      id: 2,
      at: 1_000_000,
      kind: "SubOrchestrationScheduled",
      name: "child",
      instanceId: "c",
      version: "2.1",
      input: 1,
      labels: { team: "a" },
      parentClosePolicy: "abandon",
    },
    { id: 3, at: 1_000_000, kind: "SubOrchestrationScheduled", name: "child", instanceId: "instance:1:1" },
  ]);
});

test("labels are copied: what the caller changes afterwards changes nothing", async () => {
  const parent = orchestration("parent", (ctx) => {
    const labels = { team: "a" };
    const wait = ctx.subOrchestration("child", undefined, { labels });
    labels.team = "b";
    return wait;
  });

  const turn = await given(parent).when(start());

  assert.deepEqual((turn.events[1] as SubOrchestrationScheduled).labels, { team: "a" });
});

test("an input that does not satisfy the child's schema is refused where the call is made, and nothing is recorded", async () => {
  const strict = orchestration("strict", { input: z.object({ n: z.number() }) }, (_ctx, { n }) => n);
  const parent = orchestration("parent", async (ctx) => {
    try {
      return await ctx.subOrchestration(strict, { n: "one" } as never);
    } catch (error) {
      return (error as StetError).code;
    }
  });

  const end = await bothWays(parent, [[start()]]);

  assert.equal(outputOf(end), "input_invalid");
  assert.deepEqual(kinds(end.history), ["OrchestrationStarted", "OrchestrationCompleted"]);
});

test("what is no version, no id, no label is refused where the call is made", async () => {
  const calls: ((ctx: OrchestrationContext) => unknown)[] = [
    (ctx) => ctx.subOrchestration("child", 1, { version: "latest" }),
    (ctx) => ctx.subOrchestration("child", 1, { instanceId: "" }),
    (ctx) => ctx.subOrchestration("child", 1, { instanceId: "a\u0000b" }),
    (ctx) => ctx.subOrchestration("child", 1, { labels: { a: 1 } as never }),
    (ctx) => ctx.subOrchestration("child", 1, { labels: [] as never }),
    (ctx) => ctx.startOrchestration("no name"),
    (ctx) => ctx.continueAsNew(1, { version: "newest" }),
  ];
  for (const call of calls) {
    const end = await given(orchestration("o", call)).when(start());
    assert.ok(end.closing?.kind === "OrchestrationFailed", String(call));
    assert.equal(end.closing.error.code, "configuration_invalid");
  }
});

test("ctx.startOrchestration() starts and forgets: it is recorded, answers the id, and ends by itself", async () => {
  const parent = orchestration("parent", (ctx) => ctx.startOrchestration(child, 21, { labels: { kind: "loose" } }));

  const end = await bothWays(parent, [[start()]]);

  assert.equal(outputOf(end), "instance:1:1");
  const dispatched = {
    kind: "OrchestrationDispatched",
    name: "child",
    instanceId: "instance:1:1",
    input: 21,
    labels: { kind: "loose" },
  };
  assert.deepEqual(end.history[1], { id: 2, at: 1_000_000, ...dispatched });
  assert.deepEqual(end.effects.starts, [{ eventId: 2, request: dispatched }]);
});

test("a detached start in the turn that continues as new or fails is not lost", async () => {
  const ways: ((ctx: OrchestrationContext) => unknown)[] = [
    (ctx) => ctx.continueAsNew(),
    () => {
      throw new Error("afterwards");
    },
    () => "done",
  ];
  for (const way of ways) {
    const end = await bothWays(
      orchestration("parent", (ctx) => {
        ctx.startOrchestration("other");
        return way(ctx);
      }),
      [[start()]],
    );
    assert.equal(end.effects.starts.length, 1);
  }
});

test("a detached start is not repeated by a replay", async () => {
  const parent = orchestration("parent", async (ctx) => {
    ctx.startOrchestration("other");
    await ctx.activity("a");
    await ctx.activity("b");
  });

  const turn = await bothWays(parent, [[start()], [answer.activityCompleted(3)]]);

  assert.deepEqual(turn.effects.starts, []);
});

test("promise.cancel() of a child asks the child to cancel", async () => {
  const parent = orchestration("parent", async (ctx) => {
    const wait = ctx.subOrchestration(child, 1);
    await ctx.timer("1s");
    wait.cancel("too slow");
    return wait.catch((error: unknown) => (error as StetError).code);
  });

  const end = await bothWays(parent, [[start()], [answer.timerFired(3)]]);

  assert.equal(outputOf(end), "cancelled");
  assert.deepEqual(end.effects.messages, [
    { instanceId: "instance:1:1", message: { kind: "CancelRequested", reason: "too slow" } },
  ]);
});

test("a child still running when its parent ends is cancelled, or left alone where the parent said so", async () => {
  const parent = orchestration("parent", async (ctx) => {
    void ctx.subOrchestration(child, 1, { instanceId: "kept", parentClosePolicy: "abandon" });
    void ctx.subOrchestration(child, 2, { instanceId: "ended" });
    await ctx.timer("1s");
  });

  const end = await bothWays(parent, [[start()], [answer.timerFired(4)]]);

  assert.deepEqual(
    end.effects.messages.map(({ instanceId }) => instanceId),
    ["ended"],
  );
  assert.deepEqual(kinds(end.events), ["TimerFired", "SubOrchestrationCancelled", "OrchestrationCompleted"]);
});

test("a child whose answer came is not cancelled when the parent ends", async () => {
  const parent = orchestration("parent", (ctx) => ctx.subOrchestration(child, 1));

  const end = await bothWays(parent, [[start()], [answer.childCompleted(2, 2)]]);

  assert.deepEqual(end.effects.messages, []);
});

test("a child started in the turn in which its parent ends is started and told", async () => {
  const parent = orchestration("parent", async (ctx) => {
    void ctx.subOrchestration(child, 1);
  });

  const end = await bothWays(parent, [[start()]]);

  assert.equal(end.effects.starts.length, 1);
  assert.deepEqual(
    end.effects.messages.map(({ instanceId, message }) => [instanceId, message.kind]),
    [["instance:1:1", "CancelRequested"]],
  );
});

const link = { instanceId: "parent", execution: 3, eventId: 7 };

test("a child answers to the execution and request of its parent that started it", async () => {
  const end = await bothWays(child, [[start(4, { parent: link })]]);

  assert.deepEqual(end.effects.messages, [
    {
      instanceId: "parent",
      message: { kind: "SubOrchestrationCompleted", execution: 3, source: 7, result: 8 },
    },
  ]);
});

test("a child without output answers without a result", async () => {
  const end = await bothWays(
    orchestration("mute", () => {}),
    [[start(undefined, { parent: link })]],
  );

  assert.deepEqual(end.effects.messages[0]?.message, { kind: "SubOrchestrationCompleted", execution: 3, source: 7 });
});

test("a child that fails, is cancelled or is terminated tells its parent so", async () => {
  const waits = orchestration("waits", (ctx) => ctx.waitForEvent("never"));
  const fails = orchestration("fails", () => {
    throw Object.assign(new Error("no"), { code: "mine" });
  });
  const begun = start(undefined, { parent: link });

  const failed = await bothWays(fails, [[begun]]);
  const cancelled = await bothWays(waits, [[begun], [{ kind: "CancelRequested", reason: "enough" }]]);
  const terminated = await bothWays(waits, [[begun], [terminate("stop it")]]);

  const errors = [failed, cancelled, terminated].map(({ effects }) => {
    const { message } = effects.messages[0] ?? {};
    assert.ok(message?.kind === "SubOrchestrationFailed");
    assert.deepEqual([message.execution, message.source], [3, 7]);
    return [message.error.code, message.error.message];
  });
  assert.deepEqual(errors, [
    ["mine", "no"],
    ["cancelled", "enough"],
    ["orchestration_terminated", "Orchestration waits (instance instance) was terminated: stop it"],
  ]);
});

test("a child that continues as new keeps its parent and tells it nothing yet", async () => {
  const again = orchestration("again", (ctx, n: number) => (n === 0 ? "end" : ctx.continueAsNew(n - 1)));

  const first = await bothWays(again, [[start(1, { parent: link })]]);
  assert.deepEqual(first.effects.messages, []);
  assert.ok(first.next);
  const last = await given(again, [first.next], { execution: 2 }).when();

  assert.equal(last.effects.messages[0]?.instanceId, "parent");
  assert.equal(last.effects.messages.length, 1);
});

test("a hundred children are answered in any order", async () => {
  const parent = orchestration("parent", (ctx) =>
    Promise.all(Array.from({ length: 100 }, (_, i) => ctx.subOrchestration(child, i))),
  );
  const answers = Array.from({ length: 100 }, (_, i) => answer.childCompleted(101 - i, (99 - i) * 2));

  const end = await bothWays(parent, [[start()], answers.slice(0, 60), answers.slice(60)]);

  assert.deepEqual(
    outputOf(end),
    Array.from({ length: 100 }, (_, i) => i * 2),
  );
});
