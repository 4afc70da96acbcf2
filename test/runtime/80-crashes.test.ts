/**
 * Crashes of one mixture of everything, again and again, and clients whose store is in trouble. Single crashes at every
 * place are explored in test/chaos/21-crash-zoo.test.ts, workers whose store is in trouble in test/chaos/30-faults.test.ts.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { activity, isStetError, orchestration, StorageError } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { exploreCrashes, TestEnvironment, type CrashWorld } from "@stet/testing";

/** A small orchestration that uses a bit of everything. */
function mixed(): CrashWorld<number> {
  const starts = new Map<string, number>();
  const add = activity("add", async (_ctx, numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0));
  const flaky = activity("flaky", { retry: { maxAttempts: 20, initialInterval: "1s" } }, async (ctx, n: number) => {
    ctx.heartbeat({ attempt: ctx.attempt });
    starts.set(ctx.idempotencyKey, (starts.get(ctx.idempotencyKey) ?? 0) + 1);
    if (starts.get(ctx.idempotencyKey) === 1) throw new Error("not yet");
    return n;
  });
  const pay = activity("pay", { effect: "irreversible" }, async () => undefined);
  const child = orchestration("child", async (ctx, n: number) => {
    await ctx.timer("1m");
    return ctx.activity(add, [n, 1]);
  });
  const main = orchestration("main", async (ctx, sum: number): Promise<number> => {
    ctx.state.set("sum", sum);
    ctx.emit(`round ${ctx.execution}`);
    const [first, second] = await Promise.all([ctx.activity(add, [sum, 1]), ctx.activity(flaky, 2)]);
    const sticky = await ctx.activity(add, [first, second], { session: "s" });
    await ctx.activity(pay).catch((error: unknown) => assert.ok(isStetError(error, "outcome_unknown"), String(error)));
    ctx.sendEvent(ctx.instanceId, "note", "x".repeat(600));
    const note = await ctx.waitForEvent<string>("note");
    const third = await ctx.subOrchestration(child, sticky);
    await ctx.race({ timer: ctx.timer("1h"), never: ctx.waitForEvent("never", { timeout: "1d" }) });
    const next = third + note.length;
    return ctx.execution < 2 ? ctx.continueAsNew(next) : next;
  });
  return {
    storage: sqlite(":memory:"),
    orchestrations: [main, child],
    activities: [add, flaky, pay],
    scenario: async (env) => env.result(await env.startOrchestration(main, 0, { instanceId: "m" })),
  };
}

test("a worker that dies at any place of a mixture of everything gets it done", async () => {
  const { points, crashes } = await exploreCrashes(mixed);

  assert.ok(points.length > 80, `${points.length} points`);
  assert.equal(crashes, points.length);
});

for (const point of ["after commitTurns #2", "before commitTurns #3", "after claimTurns #3", "before claimWork #2"]) {
  test(`a worker that dies again and again, each time ${point}, gets it done`, async () => {
    const { crashes } = await exploreCrashes(mixed, { only: Array.from({ length: 20 }, () => point) });

    assert.ok(crashes > 3, `${crashes} crashes`);
  });
}

test("a client whose store is in trouble is told so, and may ask again", async (t: TestContext) => {
  const quick = orchestration("quick", async () => "done");
  let away = true;
  const store = sqlite(":memory:");
  const storage = new Proxy(store, {
    get(target, name) {
      if (name !== "startInstances" || !away) return Reflect.get(target, name) as unknown;
      return () => Promise.reject(new StorageError("Expected startInstances to be done, got no connection", true));
    },
  });
  const env = await TestEnvironment.start({ storage, orchestrations: [quick] });
  t.after(() => env.close());
  await assert.rejects(
    env.startOrchestration(quick, undefined, { instanceId: "q" }),
    (error) => isStetError(error, "storage_failed") && error.retryable,
  );
  away = false;
  assert.equal(await env.result(await env.startOrchestration(quick, undefined, { instanceId: "q" })), "done");
});
