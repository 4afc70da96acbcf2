/**
 * Code that no longer fits its history is blocked with an error that says where and why, in all directions. Nothing is
 * delivered, nothing is committed, and the old code goes on from the same history as if nothing had happened.
 */
import assert from "node:assert/strict";
import test from "node:test";
import {
  isStetError,
  orchestration,
  type AnyOrchestration,
  type ClosingBody,
  type EventBody,
  type HistoryEvent,
  type OrchestrationContext,
  type StetErrorCode,
} from "@stet/core";
import { differenceOf } from "@stet/core/internal";
import { answer, event, given, replayHistory, start, type TestMessage } from "@stet/testing";
import { bothWays, outputOf } from "./both-ways.ts";

type Code = (ctx: OrchestrationContext) => unknown;

const code = (run: Code, version = "1") => orchestration("changing", { version }, run);

/** The history of `before` after these turns. */
async function historyOf(
  before: Code,
  ...turns: readonly (readonly TestMessage[])[]
): Promise<readonly HistoryEvent[]> {
  return (await bothWays(code(before), [[start()], ...turns])).history;
}

/** The message with which `after` is blocked by a history. */
async function blocked(
  after: Code | AnyOrchestration,
  history: readonly HistoryEvent[],
  errorCode: StetErrorCode = "nondeterminism",
): Promise<string> {
  const today = typeof after === "function" ? code(after) : after;
  const turn = await given(today, history).when();
  assert.equal(turn.status, "blocked", "Expected the instance to be blocked");
  assert.deepEqual(turn.events, []);
  assert.ok(
    isStetError(turn.failure, errorCode),
    `Expected ${errorCode}, got ${turn.failure?.code}: ${turn.failure?.message}`,
  );
  const report = await replayHistory(today, history);
  assert.equal(report.ok, false);
  assert.equal(report.failure?.message, turn.failure.message);
  return turn.failure.message;
}

/** Events as they would lie in a store, numbered from 1. */
function written(...bodies: readonly EventBody[]): HistoryEvent[] {
  return bodies.map((body, i) => ({ id: i + 1, at: 1_000, ...body }));
}

const started: EventBody = { kind: "OrchestrationStarted", schemaVersion: 1, name: "changing", version: "1" };
const scheduled: EventBody = { kind: "ActivityScheduled", name: "a" };
const timer: EventBody = { kind: "TimerCreated", fireAt: 2_000 };

const oneActivity: Code = (ctx) => ctx.activity("a", { n: 1 });

test("the error names orchestration, version, instance, execution, event, what was recorded, what was asked, and the line", async () => {
  const history = await historyOf(oneActivity);
  const today = code((ctx) => ctx.activity("b", { n: 1 }), "3.1");

  const turn = await given(today, history, { instanceId: "order-7", execution: 4 }).when();

  assert.ok(isStetError(turn.failure, "nondeterminism"));
  assert.match(
    turn.failure.message,
    /^Expected orchestration changing version 3\.1 \(instance order-7, execution 4\) to replay event 2, ActivityScheduled\(name a, input \{"n":1\}\); got ActivityScheduled\(name b, input \{"n":1\}\) at .*90-nondeterminism\.test\.ts:\d+:\d+.*: name differs\. Guard the change with ctx\.patched, register it as a new version, or bring the old code back$/,
  );
  const { eventId, expected, actual, site } = turn.failure.details as { [key: string]: unknown };
  assert.equal(eventId, 2);
  assert.equal(expected, 'ActivityScheduled(name a, input {"n":1})');
  assert.equal(actual, 'ActivityScheduled(name b, input {"n":1})');
  assert.match(String(site), /90-nondeterminism\.test\.ts/);
});

test("the line is that of the call, also behind an await, in a helper, and for every kind of request", async () => {
  const history = await historyOf(
    async (ctx) => {
      await ctx.activity("first");
      await ctx.activity("second");
    },
    [answer.activityCompleted(2)],
  );
  const seconds: Code[] = [
    (ctx) => ctx.activity("other"),
    (ctx) => ctx.timer("1s"),
    (ctx) => ctx.waitForEvent("e"),
    (ctx) => ctx.subOrchestration("child"),
    (ctx) => ctx.startOrchestration("child"),
    (ctx) => ctx.sendEvent("i", "e"),
    (ctx) => ctx.setStatus("s"),
    (ctx) => ctx.state.set("k", 1),
    (ctx) => ctx.state.delete("k"),
    (ctx) => ctx.emit(1),
    (ctx) => ctx.generate("?"),
    (ctx) => ctx.generateStructured("?", { type: "object" }),
    (ctx) => ctx.extractFeatures("?", ["a"]),
  ];
  for (const second of seconds) {
    const helper = (ctx: OrchestrationContext) => [1].map(() => second(ctx));
    const message = await blocked(async (ctx) => {
      await ctx.activity("first");
      await Promise.all(helper(ctx));
    }, history);
    assert.match(message, /at .*90-nondeterminism\.test\.ts:\d+:\d+/, String(second));
  }
});

test("the line of a cancellation is that of the call too", async () => {
  const history = await historyOf(
    async (ctx) => {
      void ctx.activity("a");
      await ctx.timer("1s");
      await ctx.timer("2s");
    },
    [answer.timerFired(3)],
  );

  const message = await blocked(async (ctx) => {
    const work = ctx.activity("a");
    await ctx.timer("1s");
    work.cancel();
    await ctx.timer("2s");
  }, history);

  assert.match(message, /event 5, TimerCreated; got ActivityCancelled\(source 2, .*\) at .*90-nondeterminism/);
});

test("another kind than the recorded one is nondeterminism, for every pair of kinds", async () => {
  const calls: Record<string, Code> = {
    activity: (ctx) => ctx.activity("x"),
    timer: (ctx) => ctx.timer(1),
    wait: (ctx) => ctx.waitForEvent("x"),
    child: (ctx) => ctx.subOrchestration("x"),
    detached: (ctx) => ctx.startOrchestration("x"),
    send: (ctx) => ctx.sendEvent("x", "x"),
    status: (ctx) => ctx.setStatus("x"),
    set: (ctx) => ctx.state.set("x", 1),
    delete: (ctx) => ctx.state.delete("x"),
    output: (ctx) => ctx.emit("x"),
    model: (ctx) => ctx.generate("x"),
    change: (ctx) => ctx.patched("x"),
  };
  const then = (call: Code): Code => {
    return async (ctx) => {
      void call(ctx);
      await ctx.timer("1h");
    };
  };
  for (const [recorded, before] of Object.entries(calls)) {
    const history = await historyOf(then(before));
    for (const [asked, after] of Object.entries(calls)) {
      if (asked === recorded) continue;
      if (asked === "change") continue; // not marked in this history, so it asks for nothing: see `ctx.patched`
      assert.match(await blocked(then(after), history), /kind differs/, `${recorded} -> ${asked}`);
    }
  }
});

test("another name or input is nondeterminism", async () => {
  const pairs: readonly (readonly [why: RegExp, before: Code, after: Code])[] = [
    [/name differs/, (ctx) => ctx.activity("a"), (ctx) => ctx.activity("b")],
    [/input differs/, (ctx) => ctx.activity("a", 1), (ctx) => ctx.activity("a", 2)],
    [/input differs/, (ctx) => ctx.activity("a", { x: [1] }), (ctx) => ctx.activity("a", { x: [1, 2] })],
    [/input differs/, (ctx) => ctx.activity("a", 1), (ctx) => ctx.activity("a")],
    [/input differs/, (ctx) => ctx.activity("a"), (ctx) => ctx.activity("a", null)],
    [/name differs/, (ctx) => ctx.waitForEvent("a"), (ctx) => ctx.waitForEvent("b")],
    [/name differs/, (ctx) => ctx.subOrchestration("a"), (ctx) => ctx.subOrchestration("b")],
    [/input differs/, (ctx) => ctx.subOrchestration("a", 1), (ctx) => ctx.subOrchestration("a", 2)],
    [
      /instanceId differs/,
      (ctx) => ctx.subOrchestration("a", 1, { instanceId: "x" }),
      (ctx) => ctx.subOrchestration("a", 1, { instanceId: "y" }),
    ],
    [/operation differs/, (ctx) => ctx.generate("a"), (ctx) => ctx.generateWithSystem("a", "b")],
  ];
  for (const [why, before, after] of pairs) {
    assert.match(await blocked(after, await historyOf(before)), why, String(after));
  }
});

test("another fact noted is nondeterminism", async () => {
  const then = (call: Code): Code => {
    return async (ctx) => {
      call(ctx);
      await ctx.timer("1h");
    };
  };
  const pairs: readonly (readonly [why: RegExp, before: Code, after: Code])[] = [
    [/name differs/, (ctx) => ctx.startOrchestration("a"), (ctx) => ctx.startOrchestration("b")],
    [/input differs/, (ctx) => ctx.startOrchestration("a", 1), (ctx) => ctx.startOrchestration("a", 2)],
    [
      /instanceId differs/,
      (ctx) => ctx.startOrchestration("a", 1, { instanceId: "x" }),
      (ctx) => ctx.startOrchestration("a", 1, { instanceId: "y" }),
    ],
    [/instanceId differs/, (ctx) => ctx.sendEvent("x", "e"), (ctx) => ctx.sendEvent("y", "e")],
    [/name differs/, (ctx) => ctx.sendEvent("x", "e"), (ctx) => ctx.sendEvent("x", "f")],
    [/data differs/, (ctx) => ctx.sendEvent("x", "e", 1), (ctx) => ctx.sendEvent("x", "e", 2)],
    [/key differs/, (ctx) => ctx.state.set("a", 1), (ctx) => ctx.state.set("b", 1)],
    [/value differs/, (ctx) => ctx.state.set("a", 1), (ctx) => ctx.state.set("a", 2)],
    [/key differs/, (ctx) => ctx.state.delete("a"), (ctx) => ctx.state.delete("b")],
  ];
  for (const [why, before, after] of pairs) {
    assert.match(await blocked(then(after), await historyOf(then(before))), why, String(after));
  }
});

test("cancelling another request than the recorded one is nondeterminism", async () => {
  const cancelling = (which: number): Code => {
    return async (ctx) => {
      const works = [ctx.activity("a"), ctx.activity("a")];
      works[which]?.cancel();
      await ctx.timer("1h");
    };
  };

  assert.match(await blocked(cancelling(1), await historyOf(cancelling(0))), /source differs/);
});

test("what is documented not to matter does not: times, options, versions, labels, texts of status and output", async () => {
  const pairs: readonly (readonly [before: Code, after: Code])[] = [
    [(ctx) => ctx.timer("1s"), (ctx) => ctx.timer("9h")],
    [(ctx) => ctx.activity("a", 1), (ctx) => ctx.activity("a", 1, { tag: "t", session: "s", timeout: "1m" })],
    [(ctx) => ctx.activity("a", 1, { tag: "t" }), (ctx) => ctx.activity("a", 1)],
    [(ctx) => ctx.waitForEvent("e", { details: 1 }), (ctx) => ctx.waitForEvent("e", { details: 2 })],
    [
      (ctx) => ctx.subOrchestration("c", 1, { version: "1", labels: { a: "b" } }),
      (ctx) => ctx.subOrchestration("c", 1, { version: "2", parentClosePolicy: "abandon" }),
    ],
    [(ctx) => ctx.generate("a", { label: "x" }), (ctx) => ctx.generate("b", { label: "y" })],
    [
      (ctx) => (ctx.setStatus("a"), ctx.emit("a"), ctx.timer(1)),
      (ctx) => (ctx.setStatus("b"), ctx.emit({ other: "b" }), ctx.timer(1)),
    ],
    [(ctx) => ctx.activity("a", { x: 1, y: 2 }), (ctx) => ctx.activity("a", { y: 2, x: 1 })],
  ];
  for (const [before, after] of pairs) {
    const { ok, failure } = await replayHistory(code(after), await historyOf(before));
    assert.ok(ok, failure?.message);
  }
});

test("a recorded request that the code no longer makes is nondeterminism", async () => {
  const two: Code = async (ctx) => {
    await ctx.activity("a");
    await Promise.all([ctx.activity("b"), ctx.activity("c")]);
  };
  const history = await historyOf(two, [answer.activityCompleted(2)]);

  const last = await blocked(async (ctx) => {
    await ctx.activity("a");
    await ctx.activity("b");
  }, history);
  assert.match(last, /event 5, ActivityScheduled\(name c\); got nothing: the code no longer asks for it/);

  const first = await blocked(async (ctx) => {
    await ctx.activity("a");
    await ctx.activity("c");
  }, history);
  assert.match(first, /event 4, ActivityScheduled\(name b\); got ActivityScheduled\(name c\)/);
});

test("a request more than were recorded is nondeterminism, before the end of history and at it", async () => {
  const one: Code = async (ctx) => {
    await ctx.activity("a");
    await ctx.activity("b");
  };
  const history = await historyOf(one, [answer.activityCompleted(2)]);

  const between = await blocked(async (ctx) => {
    void ctx.activity("more");
    await one(ctx);
  }, history);
  assert.match(between, /event 2, ActivityScheduled\(name a\); got ActivityScheduled\(name more\)/);

  const beforeAnswer = await blocked(async (ctx) => {
    const a = ctx.activity("a");
    void ctx.activity("more");
    await a;
    await ctx.activity("b");
  }, history);
  assert.match(
    beforeAnswer,
    /event 3, ActivityCompleted\(source 2\); got ActivityScheduled\(name more\).*more than was recorded/,
  );

  const atTheEnd = await blocked(async (ctx) => {
    await ctx.activity("a");
    await Promise.all([ctx.activity("b"), ctx.activity("more")]);
  }, history);
  assert.match(atTheEnd, /event 5, the end of history; got ActivityScheduled\(name more\).*more than was recorded/);
});

test("code that returns early while recorded requests remain is nondeterminism", async () => {
  const history = await historyOf(
    async (ctx) => {
      await ctx.activity("a");
      await ctx.activity("b");
    },
    [answer.activityCompleted(2)],
  );

  const message = await blocked(async (ctx) => {
    await ctx.activity("a");
  }, history);

  assert.match(
    message,
    /event 4, ActivityScheduled\(name b\); got OrchestrationCompleted: the code ends earlier than was recorded/,
  );
});

test("code that returns while what it asked for is still running ends earlier than was recorded", async () => {
  const history = await historyOf(async (ctx) => {
    await ctx.activity("a");
  });

  const message = await blocked((ctx) => {
    void ctx.activity("a");
  }, history);

  assert.match(
    message,
    /event 3, the end of history; got ActivityCancelled\(source 2, reason the orchestration ended\): the code ends earlier than was recorded/,
  );
});

test("code that ends where a running execution goes on is nondeterminism", async () => {
  const history = await historyOf(
    async (ctx) => {
      await ctx.activity("a");
      await ctx.waitForEvent("e");
    },
    [event("e")],
  );

  const message = await blocked(async (ctx) => {
    await ctx.waitForEvent("e");
  }, history);

  assert.match(message, /^Expected orchestration changing/);
});

test("code that goes on where the recorded execution ended is nondeterminism", async () => {
  const ended = await historyOf(oneActivity, [answer.activityCompleted(2, "x")]);

  const message = await blocked(async (ctx) => {
    await ctx.activity("a", { n: 1 });
    await ctx.activity("more");
  }, ended);
  assert.match(message, /event 4, OrchestrationCompleted\(output x\); got ActivityScheduled\(name more\)/);

  const waiting = await blocked(
    async (ctx) => {
      const more = ctx.waitForEvent("e");
      await ctx.activity("a", { n: 1 });
      await more;
    },
    written(
      started,
      { kind: "EventAwaited", name: "e" },
      { ...scheduled, input: { n: 1 } },
      { kind: "ActivityCompleted", source: 3 },
      { kind: "OrchestrationCompleted" },
    ),
  );
  assert.match(
    waiting,
    /event 5, OrchestrationCompleted; got nothing: the code goes on where the recorded execution ended/,
  );
});

test("code that ends otherwise is nondeterminism: another output, another error, another way", async () => {
  const fails =
    (message: string): Code =>
    () => {
      throw new Error(message);
    };
  const pairs: readonly (readonly [before: Code, after: Code])[] = [
    [() => 1, () => 2],
    [() => 1, () => undefined],
    [() => undefined, () => null],
    [() => 1, fails("no")],
    [fails("no"), fails("other")],
    [fails("no"), () => 1],
    [(ctx) => ctx.continueAsNew(1), (ctx) => ctx.continueAsNew(2)],
    [(ctx) => ctx.continueAsNew(1), () => 1],
    [() => ({ a: 1, b: [2] }), () => ({ a: 1, b: [3] })],
  ];
  for (const [before, after] of pairs) {
    assert.match(
      await blocked(after, await historyOf(before)),
      /the code ends otherwise/,
      `${String(before)} -> ${String(after)}`,
    );
  }
  assert.ok(
    (
      await replayHistory(
        code(() => ({ b: 2, a: 1 })),
        await historyOf(() => ({ a: 1, b: 2 })),
      )
    ).ok,
  );
});

test("nothing is destroyed: the old code goes on from the history at which the new code was blocked", async () => {
  const before = code(async (ctx) => `${await ctx.activity<string>("a")}!`);
  const asked = await given(before).when(start());

  const blockedTurn = await given(
    code((ctx) => ctx.activity("b")),
    asked.history,
  ).when(answer.activityCompleted(2, "A"));
  assert.equal(blockedTurn.status, "blocked");
  assert.deepEqual(blockedTurn.history, asked.history);
  assert.equal(blockedTurn.effects.work.size, 0);

  assert.equal(outputOf(await given(before, blockedTurn.history).when(answer.activityCompleted(2, "A"))), "A!");
});

test("a long input is shortened in the error", async () => {
  const history = await historyOf((ctx) => ctx.activity("a", "x".repeat(1_000)));

  const message = await blocked((ctx) => ctx.activity("a", "y".repeat(1_000)), history);

  assert.ok(message.length < 800, message);
  assert.match(message, /x{50,}\.\.\./);
});

test("every kind of request is compared with itself and found the same", () => {
  const bodies: EventBody[] = [
    scheduled,
    { kind: "ActivityCancelled", source: 2, reason: "r" },
    timer,
    { kind: "TimerCancelled", source: 2, reason: "r" },
    { kind: "EventAwaited", name: "e" },
    { kind: "EventWaitCancelled", source: 2, reason: "r" },
    { kind: "SubOrchestrationScheduled", name: "c", instanceId: "i" },
    { kind: "SubOrchestrationCancelled", source: 2, reason: "r" },
    { kind: "OrchestrationDispatched", name: "c", instanceId: "i" },
    { kind: "EventSent", instanceId: "i", name: "e" },
    { kind: "LlmRequested", operation: "generate", promptHash: "h", request: { messages: [] } },
    { kind: "LlmAnswerRefused", source: 2, problem: "p" },
    { kind: "LlmCancelled", source: 2, reason: "r" },
    { kind: "StatusSet", value: 1 },
    { kind: "StateSet", key: "k", value: 1 },
    { kind: "StateDeleted", key: "k" },
    { kind: "OutputEmitted", data: 1 },
    { kind: "ChangeMarked", changeId: "c", active: true },
  ];
  for (const recorded of bodies) {
    for (const requested of bodies) {
      const difference = differenceOf(recorded, requested as Parameters<typeof differenceOf>[1]);
      assert.equal(difference, recorded === requested ? undefined : "kind");
    }
  }
});

// Damaged histories

test("a history that is empty or does not begin with its start is damage", async () => {
  const none = await replayHistory(code(oneActivity), []);
  assert.ok(isStetError(none.failure, "history_corrupt"));
  assert.match(
    none.failure.message,
    /to have OrchestrationStarted as its first event and nowhere else, got nothing as event 1/,
  );

  for (const first of [
    scheduled,
    timer,
    { kind: "EventReceived", name: "e" },
    { kind: "OrchestrationCompleted" },
  ] as const) {
    const message = await blocked(oneActivity, written(first, scheduled), "history_corrupt");
    assert.match(message, /OrchestrationStarted as its first event/);
  }
});

test("a second start is damage", async () => {
  const twice = written(started, { ...scheduled, input: { n: 1 } }, started);

  assert.match(await blocked(oneActivity, twice, "history_corrupt"), /got OrchestrationStarted as event 3/);
});

test("ids that are not dense from 1 are damage, wherever the gap is", async () => {
  const history = await historyOf(
    async (ctx) => {
      await ctx.activity("a");
      await ctx.activity("b");
    },
    [answer.activityCompleted(2)],
    [answer.activityCompleted(4)],
  );
  const two: Code = async (ctx) => {
    await ctx.activity("a");
    await ctx.activity("b");
  };
  assert.ok((await replayHistory(code(two), history)).ok);

  for (let gap = 0; gap < history.length; gap++) {
    const shifted = history.map((one, i) => (i < gap ? one : { ...one, id: one.id + 1 }));
    const message = await blocked(two, shifted, "history_corrupt");
    assert.match(message, new RegExp(`Expected event ${gap + 1} of instance instance, got event ${gap + 2}`));
  }
  const swapped = [history[0], history[2], history[1]] as HistoryEvent[];
  await blocked(two, swapped, "history_corrupt");
});

test("a completion without a request, before its request, or of a request already answered is damage", async () => {
  const a: EventBody = { ...scheduled, input: { n: 1 } };
  const damaged: readonly (readonly [name: string, history: HistoryEvent[]])[] = [
    ["without a request", written(started, a, { kind: "ActivityCompleted", source: 9 })],
    ["of the start", written(started, a, { kind: "ActivityCompleted", source: 1 })],
    ["of itself", written(started, a, { kind: "ActivityCompleted", source: 3 })],
    ["of a request already answered", written(started, a, { kind: "ActivityFailed", source: 9, error: failure })],
  ];
  for (const [name, history] of damaged) {
    assert.match(
      await blocked(oneActivity, history, "history_corrupt"),
      /to answer an open request, got source \d$/,
      name,
    );
  }
  const duplicate = written(
    started,
    scheduled,
    timer,
    { kind: "ActivityCompleted", source: 2 },
    { kind: "ActivityCompleted", source: 2 },
  );
  const both: Code = (ctx) => Promise.all([ctx.activity("a"), ctx.timer(1_000)]);
  assert.match(await blocked(both, duplicate, "history_corrupt"), /event 5 \(ActivityCompleted\).*got source 2$/);
});

const failure = { name: "Error", message: "no", code: "error", retryable: true };

test("a completion of the wrong kind is damage, for every pair", async () => {
  const asks: readonly (readonly [EventBody, Code])[] = [
    [scheduled, (ctx) => ctx.activity("a")],
    [timer, (ctx) => ctx.timer(1_000)],
    [
      { kind: "SubOrchestrationScheduled", name: "c", instanceId: "i" },
      (ctx) => ctx.subOrchestration("c", undefined, { instanceId: "i" }),
    ],
    [{ kind: "EventAwaited", name: "e" }, (ctx) => ctx.waitForEvent("e")],
    [
      { kind: "LlmRequested", operation: "generate", promptHash: "h", request: { messages: [] } },
      (ctx) => ctx.generate("?"),
    ],
  ];
  const usage = { inputTokens: 1, outputTokens: 1 };
  const answers: readonly (readonly [string, EventBody])[] = [
    ["ActivityScheduled", { kind: "ActivityCompleted", source: 2 }],
    ["ActivityScheduled", { kind: "ActivityFailed", source: 2, error: failure }],
    ["TimerCreated", { kind: "TimerFired", source: 2 }],
    ["SubOrchestrationScheduled", { kind: "SubOrchestrationCompleted", source: 2 }],
    ["SubOrchestrationScheduled", { kind: "SubOrchestrationFailed", source: 2, error: failure }],
    [
      "LlmRequested",
      { kind: "LlmCompleted", source: 2, result: { text: "" }, model: "m", usage, finishReason: "stop" },
    ],
    ["LlmRequested", { kind: "LlmFailed", source: 2, error: failure }],
  ];
  for (const [request, ask] of asks) {
    for (const [answered, body] of answers) {
      const history = written(started, request, body);
      const waitsOn: Code = async (ctx) => {
        await Promise.resolve(ask(ctx)).catch(() => undefined);
        await ctx.timer(1);
      };
      if (answered === request.kind) {
        assert.match(await blocked(waitsOn, history), /the end of history; got TimerCreated/);
      } else {
        const message = await blocked(waitsOn, history, "history_corrupt");
        assert.match(message, new RegExp(`event 3 \\(${body.kind}\\).*got source 2, a ${request.kind}$`));
      }
    }
  }
});

test("an answer to a request that was taken back is damage in a history, and dropped from an inbox", async () => {
  const fickle: Code = async (ctx) => {
    ctx.activity("a").cancel();
    await ctx.timer(1_000);
  };
  const history = written(started, scheduled, { kind: "ActivityCancelled", source: 2, reason: "r" }, timer, {
    kind: "ActivityCompleted",
    source: 2,
  });

  await blocked(fickle, history, "history_corrupt");
  const turn = await given(code(fickle), history.slice(0, 4)).when(answer.activityCompleted(2));
  assert.equal(turn.status, "waiting");
  assert.deepEqual(turn.events, []);
});

test("requests written twice are nondeterminism: the code makes them once", async () => {
  const doubles: readonly (readonly [EventBody, Code])[] = [
    [scheduled, (ctx) => ctx.activity("a")],
    [timer, (ctx) => ctx.timer(1)],
    [{ kind: "EventAwaited", name: "e" }, (ctx) => ctx.waitForEvent("e")],
  ];
  for (const [body, ask] of doubles) {
    assert.match(await blocked(ask, written(started, body, body)), /event 3, .*got nothing: the code no longer asks/);
  }
});

test("whatever follows an end is damage", async () => {
  const closings: ClosingBody[] = [
    { kind: "OrchestrationCompleted" },
    { kind: "OrchestrationTerminated", reason: "r" },
    { kind: "ContinuedAsNew" },
  ];
  const ends: Code[] = [() => undefined, (ctx) => ctx.activity("a"), (ctx) => ctx.continueAsNew()];
  for (const [i, closing] of closings.entries()) {
    const before = closing.kind === "OrchestrationTerminated" ? [started, scheduled] : [started];
    for (const more of [
      closing,
      timer,
      { kind: "EventReceived", name: "e" },
      { kind: "CancelRequested", reason: "r" },
    ] as const) {
      const history = written(...before, closing, more);
      const message = await blocked(ends[i] as Code, history, "history_corrupt");
      assert.match(
        message,
        new RegExp(`\\(${closing.kind}\\) of instance instance to be the last, got ${more.kind} after it`),
      );
    }
  }
});

test("a history that has ended replays, whichever way it ended", async () => {
  const waits: Code = (ctx) => ctx.waitForEvent("e");
  const histories = [
    await historyOf(waits, [event("e", 1)]),
    await historyOf(waits, [{ kind: "CancelRequested", reason: "r" }]),
    await historyOf(waits, [{ kind: "OrchestrationTerminated", reason: "r" }]),
  ];
  for (const history of histories) assert.ok((await replayHistory(code(waits), history)).ok);
});

test("an event nobody wants is no damage, and neither is a start whose code has not run", async () => {
  const history = written(
    started,
    { ...scheduled, input: { n: 1 } },
    { kind: "EventReceived", name: "orphan", data: 1 },
  );

  assert.ok((await replayHistory(code(oneActivity), history)).ok);
  assert.ok((await replayHistory(code(oneActivity), written(started))).ok);
});

test("a kind that this release does not know, and a schema it does not know, block the instance", async () => {
  const unknown = [...written(started), { id: 2, at: 1, kind: "FromTheFuture" } as unknown as HistoryEvent];
  assert.match(await blocked(oneActivity, unknown), /event 2, FromTheFuture/);

  const newer = written({ ...started, schemaVersion: 2 } as EventBody, { ...scheduled, input: { n: 1 } });
  assert.match(
    await blocked(oneActivity, newer, "history_corrupt"),
    /schema version 1 at most, got 2: a newer release/,
  );
});

test("unusual texts in names and payloads replay", async () => {
  const odd = ["\u0000", "😀", "\u2028", '"\\', "a".repeat(100_000), "\ud800"];
  const run: Code = async (ctx) => {
    for (const text of odd) await ctx.activity("a", { [text]: text });
    return odd;
  };
  const turns = odd.map((text, i) => [answer.activityCompleted(2 + 2 * i, text)]);

  const history = await historyOf(run, ...turns);

  assert.deepEqual((history.at(-1) as { output?: unknown }).output, odd);
});
