/** Cancellation is a message that code may answer with more durable calls; termination asks nobody. */
import assert from "node:assert/strict";
import test from "node:test";
import { CancelledError, isStetError, orchestration, type StetError } from "@stet/core";
import { answer, cancel, event, given, start, terminate } from "@stet/testing";
import { bothWays, kinds, outputOf } from "./both-ways.ts";

const messageOf = (error: unknown): string => (error as Error).message;

test("a cancelled orchestration ends as cancelled, with the reason", async () => {
  const waits = orchestration("waits", (ctx) => ctx.activity("work"));

  const end = await bothWays(waits, [[start()], [cancel("no longer needed")]]);

  assert.equal(end.status, "cancelled");
  assert.deepEqual(end.closing, { kind: "OrchestrationCancelled", reason: "no longer needed" });
  assert.deepEqual(kinds(end.history), [
    "OrchestrationStarted",
    "ActivityScheduled",
    "CancelRequested",
    "ActivityCancelled",
    "OrchestrationCancelled",
  ]);
});

test("every pending durable promise rejects with CancelledError, in the order in which they were asked for", async () => {
  const busy = orchestration("busy", async (ctx) => {
    const told: string[] = [];
    const tell = (name: string) => (error: unknown) => {
      assert.ok(error instanceof CancelledError);
      told.push(`${name}: ${error.message}`);
    };
    await Promise.all([
      ctx.activity("a").catch(tell("activity")),
      ctx.timer("1d").catch(tell("timer")),
      ctx.waitForEvent("e").catch(tell("event")),
      ctx.subOrchestration("child").catch(tell("child")),
      ctx.generate("?").catch(tell("model")),
    ]);
    return told;
  });

  const end = await bothWays(busy, [[start()], [cancel("stop")]]);

  assert.deepEqual(outputOf(end), ["activity: stop", "timer: stop", "event: stop", "child: stop", "model: stop"]);
  assert.deepEqual(kinds(end.events), [
    "CancelRequested",
    "ActivityCancelled",
    "TimerCancelled",
    "EventWaitCancelled",
    "SubOrchestrationCancelled",
    "LlmCancelled",
    "OrchestrationCompleted",
  ]);
  assert.deepEqual(end.effects.cancelledWork, [2, 6]);
  assert.deepEqual(new Set(end.effects.settled), new Set([2, 3, 4, 6]));
  assert.deepEqual(end.effects.messages, [
    { instanceId: "instance:1:1", message: { kind: "CancelRequested", reason: "stop" } },
  ]);
});

test("an abandoned child is not told when its parent is cancelled", async () => {
  const parent = orchestration("parent", (ctx) => ctx.subOrchestration("child", 1, { parentClosePolicy: "abandon" }));

  const end = await bothWays(parent, [[start()], [cancel()]]);

  assert.equal(end.status, "cancelled");
  assert.deepEqual(end.effects.messages, []);
});

test("cancelled code may compensate with further durable calls and ends as cancelled when it rethrows", async () => {
  const saga = orchestration("saga", async (ctx) => {
    await ctx.activity("book");
    try {
      await ctx.waitForEvent("paid");
    } catch (error) {
      await ctx.activity("unbook");
      await ctx.timer("1s");
      throw error;
    }
  });

  const end = await bothWays(saga, [
    [start()],
    [answer.activityCompleted(2)],
    [cancel("changed my mind")],
    [answer.activityCompleted(7)],
    [answer.timerFired(9)],
  ]);

  assert.deepEqual(end.closing, { kind: "OrchestrationCancelled", reason: "changed my mind" });
  assert.deepEqual(kinds(end.history).slice(3), [
    "EventAwaited",
    "CancelRequested",
    "EventWaitCancelled",
    "ActivityScheduled",
    "ActivityCompleted",
    "TimerCreated",
    "TimerFired",
    "OrchestrationCancelled",
  ]);
});

test("cancellation beats nothing twice: what is asked for afterwards is not cancelled by a second one", async () => {
  const careful = orchestration("careful", async (ctx) => {
    await ctx.activity("work").catch(() => undefined);
    return ctx.activity("cleanUp");
  });

  const end = await bothWays(careful, [
    [start()],
    [cancel("first"), cancel("second")],
    [cancel("third")],
    [answer.activityCompleted(5, "clean")],
  ]);

  assert.equal(outputOf(end), "clean");
  assert.equal(end.history.filter(({ kind }) => kind === "CancelRequested").length, 1);
});

test("cancelled code that catches and returns completes", async () => {
  const stubborn = orchestration("stubborn", (ctx) => ctx.activity("work").catch(() => "done anyway"));

  const end = await bothWays(stubborn, [[start()], [cancel()]]);

  assert.equal(outputOf(end), "done anyway");
});

test("cancelled code that throws something else fails", async () => {
  const broken = orchestration("broken", (ctx) =>
    ctx.activity("work").catch(() => {
      throw new Error("while cleaning up");
    }),
  );

  const end = await bothWays(broken, [[start()], [cancel()]]);

  assert.ok(end.closing?.kind === "OrchestrationFailed");
  assert.equal(end.closing.error.message, "while cleaning up");
});

test("a CancelledError without a cancellation of the instance is a failure like any other", async () => {
  const gaveUp = orchestration("gaveUp", (ctx) => {
    const work = ctx.activity("work");
    work.cancel("by itself");
    return work;
  });

  const end = await bothWays(gaveUp, [[start()]]);

  assert.ok(end.closing?.kind === "OrchestrationFailed");
  assert.equal(end.closing.error.code, "cancelled");
});

test("an answer that came before the cancellation counts, one that comes after it does not", async () => {
  const pair = orchestration("pair", async (ctx) => {
    const fates = await Promise.allSettled([ctx.activity("a"), ctx.activity("b")]);
    return fates.map((fate) => (fate.status === "fulfilled" ? fate.value : messageOf(fate.reason)));
  });

  const end = await bothWays(pair, [
    [start()],
    [answer.activityCompleted(2, "A"), cancel("stop"), answer.activityCompleted(3)],
  ]);

  assert.deepEqual(outputOf(end), ["A", "stop"]);
});

test("a cancellation that comes with the start cancels what the first lines asked for", async () => {
  const waits = orchestration("waits", (ctx) => ctx.activity("work", 1, { totalTimeout: "1m" }));

  const end = await bothWays(waits, [[start(), cancel("at once")]]);

  assert.equal(end.status, "cancelled");
  assert.equal(end.effects.work.size, 0);
  assert.equal(end.effects.timers.size, 0);
  assert.deepEqual(end.effects.cancelledWork, []);
});

test("a cancellation behind the end of an orchestration is not taken", async () => {
  const quick = orchestration("quick", (ctx) => ctx.activity("work"));

  const end = await given(quick).when(start(), answer.activityCompleted(2, "done"), cancel());

  assert.equal(outputOf(end), "done");
  assert.equal(end.execution.cancelRequested, false);
});

test("ctx.race() and waits with a timeout are cancelled as one", async () => {
  const racing = orchestration("racing", async (ctx) => {
    const fates = await Promise.allSettled([
      ctx.race({ a: ctx.activity("a"), t: ctx.timer("1h") }),
      ctx.waitForEvent("e", { timeout: "1h" }),
    ]);
    return fates.map((fate) => (fate.status === "rejected" ? messageOf(fate.reason) : fate.value));
  });

  const end = await bothWays(racing, [[start()], [cancel("stop")]]);

  assert.deepEqual(outputOf(end), ["stop", "stop"]);
  assert.equal(end.events.filter(({ kind }) => kind.endsWith("Cancelled")).length, 4);
});

test("a promise that was cancelled already is not cancelled again with the instance", async () => {
  const twice = orchestration("twice", async (ctx) => {
    const work = ctx.activity("work");
    work.cancel("by itself");
    await ctx.timer("1d").catch(() => undefined);
    return work.catch(messageOf);
  });

  const end = await bothWays(twice, [[start()], [cancel("from outside")]]);

  assert.equal(outputOf(end), "by itself");
  assert.equal(end.history.filter(({ kind }) => kind === "ActivityCancelled").length, 1);
});

test("cancellation that code answers by continuing as new does not reach the next execution", async () => {
  const eternal = orchestration("eternal", async (ctx) => {
    await ctx.timer("1d").catch(() => undefined);
    return ctx.continueAsNew();
  });

  const end = await bothWays(eternal, [[start()], [cancel()]]);
  assert.ok(end.next);
  const next = await given(eternal, [end.next], { execution: 2 }).when();

  assert.equal(next.execution.cancelRequested, false);
  assert.equal(next.status, "waiting");
});

test("code that waits in vain for a cancelled promise is not left hanging by it", async () => {
  const deep = orchestration("deep", async (ctx) => {
    const inner = async () => {
      try {
        return await ctx.waitForEvent("never");
      } finally {
        await ctx.activity("finally");
      }
    };
    return inner();
  });

  const end = await bothWays(deep, [[start()], [cancel("stop")], [answer.activityCompleted(5)]]);

  assert.deepEqual(end.closing, { kind: "OrchestrationCancelled", reason: "stop" });
});

test("termination ends the execution without running its code", async () => {
  let ran = 0;
  const stubborn = orchestration("stubborn", async (ctx) => {
    try {
      await ctx.activity("work");
    } finally {
      ran++;
    }
  });

  const end = await bothWays(stubborn, [[start()], [terminate("out of hand")]]);

  assert.equal(end.status, "terminated");
  assert.deepEqual(end.closing, { kind: "OrchestrationTerminated", reason: "out of hand" });
  assert.deepEqual(kinds(end.events), ["OrchestrationTerminated"]);
  assert.equal(ran, 0);
});

test("termination takes running work back and cancels children, except those to be abandoned", async () => {
  const parent = orchestration("parent", async (ctx) => {
    void ctx.activity("work");
    void ctx.generate("?");
    void ctx.subOrchestration("kept", 1, { instanceId: "kept", parentClosePolicy: "abandon" });
    void ctx.subOrchestration("told", 1, { instanceId: "told" });
    await ctx.timer("1d");
  });

  const end = await bothWays(parent, [[start()], [terminate("stop")]]);

  assert.deepEqual(end.effects.cancelledWork, [2, 3]);
  assert.deepEqual(end.effects.messages, [
    { instanceId: "told", message: { kind: "CancelRequested", reason: "stop" } },
  ]);
});

test("termination in one batch with other messages comes in its turn", async () => {
  const waits = orchestration("waits", async (ctx) => {
    await ctx.waitForEvent("a");
    await ctx.waitForEvent("b");
  });

  const end = await bothWays(waits, [[start(), event("a"), terminate()]]);

  assert.deepEqual(kinds(end.history), [
    "OrchestrationStarted",
    "EventAwaited",
    "EventReceived",
    "EventAwaited",
    "OrchestrationTerminated",
  ]);
  const late = await given(waits).when(start(), terminate(), event("a"));
  assert.equal(late.history.length, 3);
});

test("termination after a cancellation ends the cleaning up", async () => {
  const slow = orchestration("slow", async (ctx) => {
    await ctx.activity("work").catch(() => undefined);
    await ctx.activity("cleanUp");
  });

  const end = await bothWays(slow, [[start()], [cancel()], [terminate()]]);

  assert.equal(end.status, "terminated");
  assert.deepEqual(end.effects.cancelledWork, [5]);
});

test("termination of an execution whose code has not run yet runs its first lines, then ends it", async () => {
  const again = orchestration("again", async (ctx, n: number): Promise<void> => {
    if (n > 0) return ctx.continueAsNew(n - 1);
    await ctx.activity("work");
  });
  const first = await given(again).when(start(1));
  assert.ok(first.next);

  const end = await given(again, [first.next], { execution: 2 }).when(terminate());

  assert.equal(end.status, "terminated");
  assert.equal(end.effects.messages.length, 0);
});

test("the error of a promise that was cancelled can be told by its code", async () => {
  const told = orchestration("told", async (ctx) => {
    const failure = await ctx.timer("1d").catch((error: unknown) => error);
    return isStetError(failure, "cancelled") && !(failure as StetError).retryable;
  });

  assert.equal(outputOf(await bothWays(told, [[start()], [cancel()]])), true);
});
