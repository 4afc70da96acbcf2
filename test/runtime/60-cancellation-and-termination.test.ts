/** Cancellation asks, termination ends: what code can still do, what stops running, and when nothing happens at all. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { activity, isStetError, orchestration, type StetError } from "@stet/core";
import { environment, fails, kinds } from "./world.ts";

test("cancelled code may clean up with durable calls, and the status is cancelled", async (t) => {
  const done: string[] = [];
  const undo = activity("undo", async (_ctx, what: string) => {
    done.push(what);
  });
  const book = orchestration("book", async (ctx) => {
    try {
      await ctx.waitForEvent("confirmed");
    } catch (error) {
      assert.ok(isStetError(error, "cancelled"), String(error));
      await ctx.timer("1h");
      await ctx.activity(undo, "flight");
      await ctx.activity(undo, "hotel");
      throw error;
    }
  });
  const env = await environment(t, { orchestrations: [book], activities: [undo] });
  const run = await env.startOrchestration(book, undefined, { instanceId: "b" });
  await env.settle();
  await run.cancel("the customer called");
  await env.settle();
  assert.equal((await run.status()).status, "running", "it is still cleaning up");
  await assert.rejects(
    env.result(run),
    fails("orchestration_cancelled", "Orchestration book (instance b) was cancelled: the customer called"),
  );
  assert.deepEqual(done, ["flight", "hotel"]);
  const { status, error } = await run.status();
  assert.deepEqual([status, error?.code], ["cancelled", "orchestration_cancelled"]);
  assert.equal(kinds(await run.history()).at(-1), "OrchestrationCancelled");
});

test("code that catches the cancellation and returns has completed", async (t) => {
  const stubborn = orchestration("stubborn", async (ctx) => {
    await ctx.waitForEvent("x").catch(() => undefined);
    return "anyway";
  });
  const env = await environment(t, { orchestrations: [stubborn] });
  const run = await env.startOrchestration(stubborn);
  await env.settle();
  await run.cancel();
  assert.equal(await env.result(run), "anyway");
  assert.equal((await run.status()).status, "completed");
});

test("code that fails while it cleans up has failed", async (t) => {
  const clumsy = orchestration("clumsy", async (ctx) => {
    try {
      await ctx.waitForEvent("x");
    } catch {
      throw new Error("cleaning up failed");
    }
  });
  const env = await environment(t, { orchestrations: [clumsy] });
  const run = await env.startOrchestration(clumsy);
  await env.settle();
  await run.cancel();
  await assert.rejects(env.result(run), fails("orchestration_failed", /cleaning up failed$/));
});

test("all that is pending rejects once; a second cancellation changes nothing", async (t) => {
  const settled: string[] = [];
  const work = activity("work", async (ctx) => {
    await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
  });
  const child = orchestration("child", async (ctx) => ctx.waitForEvent("never"));
  const many = orchestration("many", async (ctx) => {
    const pending = {
      activity: ctx.activity(work),
      timer: ctx.timer("1d"),
      event: ctx.waitForEvent("x"),
      child: ctx.subOrchestration(child),
      limited: ctx.waitForEvent("y", { timeout: "1h" }),
    };
    const ends = Object.entries(pending).map(async ([name, promise]) => {
      await (promise as Promise<unknown>).catch((error: StetError) => settled.push(`${name} ${error.code}`));
    });
    await Promise.all(ends);
    await ctx.waitForEvent("end");
    return "done";
  });
  const env = await environment(t, { orchestrations: [many, child], activities: [work] });
  const run = await env.startOrchestration(many);
  await env.until(() => env.runtime.stats().runningWork === 1);
  await run.cancel("first");
  await env.settle();
  assert.deepEqual(settled.toSorted(), [
    "activity cancelled",
    "child cancelled",
    "event cancelled",
    "limited cancelled",
    "timer cancelled",
  ]);
  const before = await run.history();
  await run.cancel("second");
  await env.settle();
  assert.deepEqual(await run.history(), before);
  await run.raiseEvent("end");
  assert.equal(await env.result(run), "done");
});

test("a running activity sees its signal abort, and its answer is not recorded", async (t) => {
  for (const verb of ["cancel", "terminate"] as const) {
    let aborts = 0;
    const work = activity("work", async (ctx) => {
      await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
      aborts++;
      return "late";
    });
    const calls = orchestration("calls", async (ctx) => ctx.activity(work));
    const env = await environment(t, { orchestrations: [calls], activities: [work] });
    const run = await env.startOrchestration(calls);
    await env.until(() => env.runtime.stats().runningWork === 1);
    await run[verb]();
    await env.settle();
    assert.equal(aborts, 1, verb);
    assert.equal((await run.status()).status, verb === "cancel" ? "cancelled" : "terminated");
    assert.equal(kinds(await run.history()).includes("ActivityCompleted"), false);
    assert.equal(env.runtime.stats().runningWork, 0);
  }
});

test("an activity that waits for its next attempt is never tried again after the cancellation", async (t) => {
  let runs = 0;
  const fail = activity("fail", { retry: { maxAttempts: 10, initialInterval: "1h", jitter: 0 } }, async () => {
    runs++;
    throw new Error("again");
  });
  const calls = orchestration("calls", async (ctx) => ctx.activity(fail));
  const env = await environment(t, { orchestrations: [calls], activities: [fail] });
  for (const verb of ["cancel", "terminate"] as const) {
    const run = await env.startOrchestration(calls);
    await env.settle();
    await run[verb]();
    await env.advance("30h");
    assert.deepEqual((await env.client.stats()).work, { ready: 0, delayed: 0, running: 0 });
  }
  assert.equal(runs, 2);
});

test("cancelling before the first turn lets the code see it at its first wait", async (t) => {
  const seen: string[] = [];
  const cleaned = activity("cleaned", async () => void seen.push("cleaned"));
  const waits = orchestration("waits", async (ctx) => {
    try {
      await ctx.waitForEvent("x");
    } catch (error) {
      await ctx.activity(cleaned);
      throw error;
    }
  });
  const env = await environment(t, { orchestrations: [waits], activities: [cleaned] });
  await env.crash();
  const run = await env.startOrchestration(waits);
  await run.cancel("changed my mind");
  await env.restart();
  await assert.rejects(env.result(run), fails("orchestration_cancelled", /was cancelled: changed my mind$/));
  assert.deepEqual(seen, ["cleaned"]);
});

test("terminating before the first turn ends it without anything being done", async (t) => {
  const ran: string[] = [];
  const work = activity("work", async () => void ran.push("work"));
  const child = orchestration("child", async () => void ran.push("child"));
  const starts = orchestration("starts", async (ctx) => {
    await Promise.all([ctx.activity(work), ctx.subOrchestration(child)]);
  });
  const env = await environment(t, { orchestrations: [starts, child], activities: [work] });
  await env.crash();
  const run = await env.startOrchestration(starts, undefined, { instanceId: "s" });
  await run.terminate("not at all");
  await env.restart();
  await assert.rejects(
    env.result(run),
    fails("orchestration_terminated", "Orchestration starts (instance s) was terminated: not at all"),
  );
  await env.advance("1h");
  assert.deepEqual(
    ran.filter((what) => what === "work"),
    [],
  );
});

test("terminating runs no code", async (t) => {
  const seen: string[] = [];
  const waits = orchestration("waits", async (ctx) => {
    try {
      await ctx.waitForEvent("x");
    } catch {
      seen.push("caught");
    } finally {
      if (!ctx.isReplaying) seen.push("finally");
    }
  });
  const env = await environment(t, { orchestrations: [waits] });
  const run = await env.startOrchestration(waits, undefined, { instanceId: "w" });
  await env.settle();
  await run.terminate("at once");
  await assert.rejects(
    env.result(run),
    fails("orchestration_terminated", "Orchestration waits (instance w) was terminated: at once"),
  );
  assert.deepEqual(seen, []);
  assert.deepEqual(kinds(await run.history()), ["OrchestrationStarted", "EventAwaited", "OrchestrationTerminated"]);
  const { messages } = await env.client.stats();
  assert.deepEqual(messages, { ready: 0, delayed: 0 });
});

test("cancelling or terminating an ended instance changes nothing; an unknown one is an error", async (t) => {
  const quick = orchestration("quick", async () => "done");
  const env = await environment(t, { orchestrations: [quick] });
  const run = await env.startOrchestration(quick);
  await env.result(run);
  const before = [await run.history(), await run.status()];
  await run.cancel();
  await run.terminate();
  await env.settle();
  assert.deepEqual([await run.history(), await run.status()], before);
  for (const verb of ["cancel", "terminate"] as const) {
    await assert.rejects(env.client.instance("nobody")[verb](), fails("instance_not_found"));
  }
});

test("a cancellation that finds the worker dead is done by the next one", async (t) => {
  const waits = orchestration("waits", async (ctx) => ctx.waitForEvent("x"));
  const env = await environment(t, { orchestrations: [waits] });
  const run = await env.startOrchestration(waits);
  await env.settle();
  await env.crash();
  await run.cancel("while away");
  await env.restart();
  await assert.rejects(env.result(run), fails("orchestration_cancelled"));
});

test("cancelling the second execution works like the first", async (t) => {
  const again = orchestration("again", async (ctx): Promise<unknown> =>
    ctx.execution === 1 ? ctx.continueAsNew() : ctx.waitForEvent("x"),
  );
  const env = await environment(t, { orchestrations: [again] });
  const run = await env.startOrchestration(again);
  await env.settle();
  await run.cancel("enough");
  await assert.rejects(env.result(run), fails("orchestration_cancelled"));
  assert.equal((await run.status()).execution, 2);
});

test("a cancellation that is asked for before continue-as-new reaches the next execution", async (t) => {
  const loop = orchestration("loop", async (ctx, n: number): Promise<number> => {
    if (n < 3) {
      await ctx.waitForEvent("go").catch(() => undefined);
      return ctx.continueAsNew(n + 1);
    }
    await ctx.timer("1h");
    return n;
  });
  const env = await environment(t, { orchestrations: [loop] });
  await env.crash();
  const run = await env.startOrchestration(loop, 1);
  await run.raiseEvent("go");
  await run.raiseEvent("go");
  await run.cancel("before it began");
  await env.restart();
  await assert.rejects(env.result(run), fails("orchestration_cancelled"));
});
