/** Activities: what reaches them, what comes of them, how often they run and what ends them early. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  activity,
  isStetError,
  NonRetryableError,
  orchestration,
  type ActivityContext,
  type Payload,
  type StetError,
} from "@stet/core";
import { z } from "zod";
import { aborted, causes, environment, fails, gate, kinds, ofKind } from "./world.ts";

/** Runs one activity and answers its result. */
function calling<Input, Output>(callee: ReturnType<typeof activity<Input, Output>>) {
  return orchestration("calling", async (ctx, input: Input) => ctx.activity(callee as never, input as never));
}

test("an activity is handed its input and its result comes back as JSON carries it", async (t) => {
  const echo = activity("echo", async (_ctx, value: Payload) => value);
  const nothing = activity("nothing", async () => undefined);
  const all = orchestration("all", async (ctx) => {
    const values: Payload[] = [null, 0, "", false, [], {}, "ä€😀", { deep: [{ a: null }] }];
    const echoed: Payload[] = [];
    for (const value of values) echoed.push(await ctx.activity(echo, value));
    assert.equal(await ctx.activity(nothing), undefined);
    return echoed;
  });
  const env = await environment(t, { orchestrations: [all], activities: [echo, nothing] });

  const run = await env.startOrchestration(all);
  assert.deepEqual(await env.result(run), [null, 0, "", false, [], {}, "ä€😀", { deep: [{ a: null }] }]);
});

test("each attempt is handed the input as it was recorded, whatever the one before made of it", async (t) => {
  const seen: number[][] = [];
  const greedy = activity(
    "greedy",
    { retry: { maxAttempts: 3, jitter: 0 } },
    async (ctx, input: { list: number[] }) => {
      seen.push([...input.list]);
      input.list.push(ctx.attempt);
      if (ctx.attempt < 3) throw new Error("again");
      return input.list;
    },
  );
  const calls = orchestration("calls", async (ctx) => ctx.activity(greedy, { list: [0] }));
  const env = await environment(t, { orchestrations: [calls], activities: [greedy] });

  assert.deepEqual(await env.result(await env.startOrchestration(calls)), [0, 3]);
  assert.deepEqual(seen, [[0], [0], [0]]);
});

test("an activity can be called by its name", async (t) => {
  const double = activity("double", async (_ctx, n: number) => n * 2);
  const byName = orchestration("byName", async (ctx) => ctx.activity<number>("double", 21));
  const env = await environment(t, { orchestrations: [byName], activities: [double] });
  assert.equal(await env.result(await env.startOrchestration(byName)), 42);
});

test("an activity knows where it was called from, and its globals are the real ones", async (t) => {
  const seen: unknown[] = [];
  const look = activity("look", { tag: "blue" }, async (ctx) => {
    const { name, instanceId, execution, orchestration: caller, attempt, idempotencyKey, tag, session } = ctx;
    seen.push({ name, instanceId, execution, caller, attempt, idempotencyKey, tag, session });
    return [Date.now() > Date.parse("2026-01-02"), new Set([Math.random(), Math.random()]).size];
  });
  const looking = orchestration("looking", { version: "3.1" }, async (ctx) => ctx.activity(look));
  const env = await environment(t, { orchestrations: [looking], activities: [look], tags: ["blue"] });

  const run = await env.startOrchestration(looking, undefined, { instanceId: "here" });
  const [later, numbers] = (await env.result(run)) as [boolean, number];
  assert.equal(numbers, 2);
  assert.equal(later, Date.now() > Date.parse("2026-01-02"));
  assert.deepEqual(seen, [
    {
      name: "look",
      instanceId: "here",
      execution: 1,
      caller: { name: "looking", version: "3.1" },
      attempt: 1,
      idempotencyKey: "here/1/2",
      tag: "blue",
      session: undefined,
    },
  ]);
});

test("a failed activity is tried again after growing waits, and only its end is in history", async (t) => {
  const startedAt: number[] = [];
  const attempts: number[] = [];
  const retry = { maxAttempts: 5, initialInterval: "1s", backoff: 3, maxInterval: "10s", jitter: 0 } as const;
  const flaky = activity("flaky", { retry }, async (ctx) => {
    startedAt.push(env.clock.now());
    attempts.push(ctx.attempt);
    if (ctx.attempt < 5) throw new Error(`attempt ${ctx.attempt}`);
    return "at last";
  });
  const calls = calling(flaky);
  const env = await environment(t, { orchestrations: [calls], activities: [flaky] });

  const run = await env.startOrchestration(calls, undefined as never);
  assert.equal(await env.result(run), "at last");
  assert.deepEqual(attempts, [1, 2, 3, 4, 5]);
  assert.deepEqual(
    startedAt.slice(1).map((at, i) => at - (startedAt[i] ?? 0)),
    [1_000, 3_000, 9_000, 10_000],
  );
  const history = await run.history();
  assert.deepEqual(kinds(history), [
    "OrchestrationStarted",
    "ActivityScheduled",
    "ActivityCompleted",
    "OrchestrationCompleted",
  ]);
  assert.equal(ofKind(history, "ActivityCompleted")[0]?.attempts, 5);
});

test("jitter takes its share of each wait and no more", async (t) => {
  const startedAt: number[] = [];
  const retry = { maxAttempts: 30, initialInterval: "10s", backoff: 1, jitter: 0.5 } as const;
  const failing = activity("failing", { retry }, async () => {
    startedAt.push(env.clock.now());
    throw new Error("again");
  });
  const calls = calling(failing);
  const env = await environment(t, { orchestrations: [calls], activities: [failing] });

  const run = await env.startOrchestration(calls, undefined as never);
  await assert.rejects(env.result(run), fails("orchestration_failed"));
  const waits = startedAt.slice(1).map((at, i) => at - (startedAt[i] ?? 0));
  assert.equal(waits.length, 29);
  assert.ok(Math.min(...waits) >= 5_000 && Math.max(...waits) <= 10_000, `waits ${waits.join(" ")}`);
  assert.ok(Math.max(...waits) - Math.min(...waits) > 1_000, `waits ${waits.join(" ")}`);
});

test("without a policy an activity is tried once; a call may give it one", async (t) => {
  let runs = 0;
  const fail = activity("fail", async () => {
    runs++;
    throw new Error("no");
  });
  const once = orchestration("once", async (ctx) => ctx.activity(fail));
  const twice = orchestration("twice", async (ctx) =>
    ctx.activity(fail, undefined, { retry: { maxAttempts: 2, initialInterval: 0 } }),
  );
  const env = await environment(t, { orchestrations: [once, twice], activities: [fail] });

  await assert.rejects(
    env.result(await env.startOrchestration(once, undefined, { instanceId: "a" })),
    fails(
      "orchestration_failed",
      "Orchestration once (instance a) failed: Activity fail of instance a (event 2) failed after 1 attempt: no",
    ),
  );
  assert.equal(runs, 1);
  await assert.rejects(
    env.result(await env.startOrchestration(twice, undefined, { instanceId: "b" })),
    fails("orchestration_failed", /failed after 2 attempts: no$/),
  );
  assert.equal(runs, 3);
});

test("what cannot get better is not tried again", async (t) => {
  const runs: string[] = [];
  const retry = { maxAttempts: 5, initialInterval: 0, nonRetryable: ["E_GONE"] };
  const fail = activity("fail", { retry }, async (_ctx, how: string) => {
    runs.push(how);
    if (how === "class") throw new NonRetryableError("stop");
    if (how === "code") throw Object.assign(new Error("gone"), { code: "E_GONE" });
    throw Object.assign(new Error("marked"), { retryable: false });
  });
  const calls = orchestration("calls", async (ctx, how: string) => {
    try {
      await ctx.activity(fail, how);
      return "no error";
    } catch (error) {
      return [(error as StetError).code, ...causes(error as StetError)];
    }
  });
  const env = await environment(t, { orchestrations: [calls], activities: [fail] });

  const ends = { class: "non_retryable", code: "E_GONE", flag: "error" };
  for (const [how, code] of Object.entries(ends)) {
    assert.deepEqual(await env.result(await env.startOrchestration(calls, how)), ["activity_failed", code]);
  }
  assert.deepEqual(runs, ["class", "code", "flag"]);
});

test("code that awaited a failed activity finds the whole error: code, details and causes", async (t) => {
  const fail = activity("fail", async () => {
    const cause = Object.assign(new Error("socket"), { code: "ECONNRESET" });
    throw Object.assign(new TypeError("no answer", { cause }), { code: "E_PAY", details: { order: 7 } });
  });
  const calls = orchestration("calls", async (ctx) => {
    try {
      return await ctx.activity(fail);
    } catch (error) {
      assert.ok(isStetError(error, "activity_failed"));
      const { name, message, code, details } = error.cause as StetError;
      return { attempts: error.details, cause: { name, message, code, details }, codes: causes(error) };
    }
  });
  const env = await environment(t, { orchestrations: [calls], activities: [fail] });

  assert.deepEqual(await env.result(await env.startOrchestration(calls)), {
    attempts: { name: "fail", attempts: 1 },
    cause: { name: "TypeError", message: "no answer", code: "E_PAY", details: { order: 7 } },
    codes: ["E_PAY", "ECONNRESET"],
  });
});

test("an attempt that takes too long is aborted and counts as failed", async (t) => {
  const reasons: unknown[] = [];
  const slow = activity("slow", { timeout: "10s", retry: { maxAttempts: 2, initialInterval: "1s" } }, async (ctx) => {
    ctx.signal.addEventListener("abort", () => reasons.push((ctx.signal.reason as StetError).code));
    if (ctx.attempt === 1) return aborted(ctx.signal);
    return `attempt ${ctx.attempt}`;
  });
  const calls = calling(slow);
  const env = await environment(t, { orchestrations: [calls], activities: [slow] });

  const run = await env.startOrchestration(calls, undefined as never);
  await env.until(() => env.runtime.stats().runningWork === 1);
  env.clock.jumpTo(env.clock.now() + 10_000);
  assert.equal(await env.result(run), "attempt 2");
  assert.deepEqual(reasons, ["timeout"]);
});

test("a timeout fails with a TimeoutError that says what was expected of whom", async (t) => {
  const slow = activity("slow", { timeout: "10s" }, async (ctx) => aborted(ctx.signal));
  const calls = calling(slow);
  const env = await environment(t, { orchestrations: [calls], activities: [slow] });

  const run = await env.startOrchestration(calls, undefined as never, { instanceId: "s" });
  await env.until(() => env.runtime.stats().runningWork === 1);
  env.clock.jumpTo(env.clock.now() + 10_000);
  await assert.rejects(env.result(run), (error: StetError) => {
    assert.deepEqual(causes(error), ["activity_failed", "timeout"]);
    assert.match(error.message, /Expected activity slow of instance s to finish within 10000 ms, got no answer$/);
    return true;
  });
});

test("the total timeout counts attempts and the waits between them", async (t) => {
  let runs = 0;
  const failing = activity(
    "failing",
    { totalTimeout: "1m", retry: { maxAttempts: 100, initialInterval: "25s", backoff: 1, jitter: 0 } },
    async () => {
      runs++;
      throw new Error("again");
    },
  );
  const calls = calling(failing);
  const env = await environment(t, { orchestrations: [calls], activities: [failing] });

  const began = env.clock.now();
  const run = await env.startOrchestration(calls, undefined as never, { instanceId: "s" });
  await assert.rejects(
    env.result(run),
    fails(
      "orchestration_failed",
      /Expected activity failing of instance s \(event 2\) to be answered within 60000 ms, got no answer$/,
    ),
  );
  assert.equal(runs, 3);
  assert.equal(env.clock.now() - began, 60_000);
  await env.advance("1h");
  assert.equal(runs, 3, "nothing runs for an answer that nobody waits for");
  assert.deepEqual((await env.client.stats()).work, { ready: 0, delayed: 0, running: 0 });
});

test("the total timeout ends a running attempt", async (t) => {
  let reason: unknown;
  const slow = activity("slow", { totalTimeout: "1m" }, async (ctx) => {
    await aborted(ctx.signal).catch((error: unknown) => (reason = error));
    return "too late";
  });
  const calls = calling(slow);
  const env = await environment(t, { orchestrations: [calls], activities: [slow] });

  const run = await env.startOrchestration(calls, undefined as never);
  await env.until(() => env.runtime.stats().runningWork === 1);
  env.clock.jumpTo(env.clock.now() + 60_000);
  await assert.rejects(env.result(run), (error: StetError) => causes(error)[1] === "timeout");
  assert.equal((reason as StetError).code, "cancelled");
});

test("the total timeout passes while nobody runs the work", async (t) => {
  const calls = orchestration("calls", async (ctx) => {
    try {
      return await ctx.activity("elsewhere", 1, { tag: "gpu", totalTimeout: "2h" });
    } catch (error) {
      return { code: (error as StetError).code, after: ctx.now() - Date.parse("2026-01-01T00:00:00Z") };
    }
  });
  const env = await environment(t, { orchestrations: [calls] });

  const run = await env.startOrchestration(calls);
  await env.advance("119m");
  assert.equal((await run.status()).status, "running");
  await env.advance("1m");
  assert.deepEqual(await env.result(run), { code: "activity_failed", after: 7_200_000 });
  assert.equal((await env.client.stats()).work.ready, 0);
});

test("the last heartbeat of a failed attempt reaches the next one", async (t) => {
  const seen: unknown[] = [];
  const steps = activity("steps", { retry: { maxAttempts: 4, initialInterval: 0 } }, async (ctx) => {
    seen.push(ctx.lastHeartbeat);
    if (ctx.attempt === 2) throw new Error("says nothing");
    ctx.heartbeat({ step: ctx.attempt });
    ctx.heartbeat({ step: ctx.attempt * 10 });
    if (ctx.attempt < 4) throw new Error("again");
  });
  const calls = calling(steps);
  const env = await environment(t, { orchestrations: [calls], activities: [steps] });

  await env.result(await env.startOrchestration(calls, undefined as never));
  assert.deepEqual(seen, [undefined, { step: 10 }, { step: 10 }, { step: 30 }]);
});

test("the last heartbeat of a crashed worker reaches the next attempt", async (t) => {
  const seen: [number, unknown][] = [];
  const door = gate();
  const steps = activity("steps", async (ctx) => {
    seen.push([ctx.attempt, ctx.lastHeartbeat]);
    if (ctx.attempt > 1) return "done";
    ctx.heartbeat({ page: 1 });
    ctx.heartbeat({ page: 7 });
    return door.opened;
  });
  const calls = calling(steps);
  const env = await environment(t, { orchestrations: [calls], activities: [steps] });

  const run = await env.startOrchestration(calls, undefined as never);
  await env.until(() => seen.length === 1);
  const { clock } = env;
  clock.jumpTo(clock.now() + 1_000);
  await new Promise((resolve) => setImmediate(resolve));
  await env.restart();
  assert.equal(await env.result(run), "done");
  assert.deepEqual(seen, [
    [1, undefined],
    [2, { page: 7 }],
  ]);
  door.open();
});

test("heartbeats are written on when the clock is put back", async (t) => {
  const seen: [number, unknown][] = [];
  const door = gate();
  const steps = activity("steps", async (ctx) => {
    seen.push([ctx.attempt, ctx.lastHeartbeat]);
    if (ctx.attempt > 1) return "done";
    ctx.heartbeat({ page: 1 });
    clock.setTo(clock.now() - 3_600_000);
    ctx.heartbeat({ page: 7 });
    return door.opened;
  });
  const calls = calling(steps);
  const env = await environment(t, { orchestrations: [calls], activities: [steps] });
  const { clock } = env;

  const run = await env.startOrchestration(calls, undefined as never);
  await env.until(() => seen.length === 1);
  clock.jumpTo(clock.now() + 1_000);
  await new Promise((resolve) => setImmediate(resolve));
  await env.restart();
  assert.equal(await env.result(run), "done");
  assert.deepEqual(seen, [
    [1, undefined],
    [2, { page: 7 }],
  ]);
  door.open();
});

test("heartbeats hold off the heartbeat timeout, and silence brings it", async (t) => {
  let beat = (): void => undefined;
  const codes: unknown[] = [];
  const steps = activity("steps", { heartbeatTimeout: "30s" }, async (ctx: ActivityContext) => {
    beat = () => ctx.heartbeat();
    await aborted(ctx.signal).catch((error: StetError) => codes.push(error.code));
  });
  const calls = calling(steps);
  const env = await environment(t, { orchestrations: [calls], activities: [steps] });

  const run = await env.startOrchestration(calls, undefined as never, { instanceId: "s" });
  await env.until(() => env.runtime.stats().runningWork === 1);
  for (let i = 0; i < 5; i++) {
    env.clock.jumpTo(env.clock.now() + 29_000);
    beat();
  }
  assert.deepEqual(codes, []);
  env.clock.jumpTo(env.clock.now() + 30_000);
  await assert.rejects(
    env.result(run),
    fails(
      "orchestration_failed",
      /Expected activity steps of instance s to give a heartbeat every 30000 ms, got none$/,
    ),
  );
  assert.deepEqual(codes, ["timeout"]);
});

test("an activity that is cancelled is aborted, and what it answers is not recorded", async (t) => {
  const reasons: string[] = [];
  const hang = activity("hang", async (ctx) => {
    await aborted(ctx.signal).catch((error: StetError) => reasons.push(`${error.code}: ${error.message}`));
    return "an answer nobody wants";
  });
  const cancels = orchestration("cancels", async (ctx) => {
    const pending = ctx.activity(hang);
    await ctx.timer("1m");
    pending.cancel("changed my mind");
    return pending.catch((error: StetError) => error.message);
  });
  const env = await environment(t, { orchestrations: [cancels], activities: [hang] });

  const run = await env.startOrchestration(cancels);
  await env.until(() => env.runtime.stats().runningWork === 1);
  env.clock.jumpTo(env.clock.now() + 60_000);
  assert.equal(await env.result(run), "changed my mind");
  assert.deepEqual(reasons, ["cancelled: the orchestration gave it up"]);
  assert.deepEqual(kinds(await run.history()).slice(-3), ["TimerFired", "ActivityCancelled", "OrchestrationCompleted"]);
});

test("a cancelled activity that still waits for a slot never starts", async (t) => {
  const started: number[] = [];
  const hang = activity("hang", async (ctx, n: number) => {
    started.push(n);
    await aborted(ctx.signal).catch(() => undefined);
  });
  const cancels = orchestration("cancels", async (ctx) => {
    const first = ctx.activity(hang, 1);
    const second = ctx.activity(hang, 2);
    await ctx.timer("1m");
    second.cancel();
    await second.catch(() => undefined);
    first.cancel();
  });
  const env = await environment(t, { orchestrations: [cancels], activities: [hang], concurrency: { activities: 1 } });

  const run = await env.startOrchestration(cancels);
  await env.until(() => env.runtime.stats().queuedWork === 1);
  env.clock.jumpTo(env.clock.now() + 60_000);
  await env.result(run);
  assert.deepEqual(started, [1]);
});

test("the idempotency key is the same for all attempts, also of other workers, and another for another call", async (t) => {
  const keys: [number, string][] = [];
  const door = gate();
  const work = activity("work", { retry: { maxAttempts: 4, initialInterval: 0 } }, async (ctx) => {
    keys.push([ctx.attempt, ctx.idempotencyKey]);
    if (ctx.attempt === 1) return door.opened;
    if (ctx.attempt === 2) throw new Error("again");
  });
  const calls = orchestration("calls", async (ctx) => {
    await ctx.activity(work);
    await ctx.activity(work, undefined, { retry: { maxAttempts: 1 } }).catch(() => undefined);
  });
  const env = await environment(t, { orchestrations: [calls], activities: [work] });

  const run = await env.startOrchestration(calls, undefined, { instanceId: "k" });
  await env.until(() => keys.length === 1);
  await env.restart();
  await env.until(() => keys.length === 4);
  door.open();
  await env.result(run);
  assert.deepEqual(keys, [
    [1, "k/1/2"],
    [2, "k/1/2"],
    [3, "k/1/2"],
    [1, "k/1/4"],
  ]);
});

test("an activity whose worker died is started again, and history says how often", async (t) => {
  const door = gate();
  const attempts: number[] = [];
  const work = activity("work", async (ctx) => {
    attempts.push(ctx.attempt);
    if (ctx.attempt < 4) await door.opened;
    return ctx.attempt;
  });
  const calls = calling(work);
  const env = await environment(t, { orchestrations: [calls], activities: [work] });

  const run = await env.startOrchestration(calls, undefined as never);
  for (let crashes = 1; crashes <= 3; crashes++) {
    await env.until(() => attempts.length === crashes);
    await env.restart();
  }
  assert.equal(await env.result(run), 4);
  assert.deepEqual(attempts, [1, 2, 3, 4]);
  assert.equal(ofKind(await run.history(), "ActivityCompleted")[0]?.attempts, 4);
  door.open();
});

test("an irreversible activity is never started twice: after a crash its outcome is unknown", async (t) => {
  const door = gate();
  let runs = 0;
  const pay = activity("pay", { effect: "irreversible" }, async () => {
    runs++;
    await door.opened;
  });
  const paying = orchestration("paying", async (ctx) => {
    try {
      await ctx.activity(pay);
      return "paid";
    } catch (error) {
      return [(error as StetError).code, (error as StetError).message];
    }
  });
  const env = await environment(t, { orchestrations: [paying], activities: [pay] });

  const run = await env.startOrchestration(paying, undefined, { instanceId: "p" });
  await env.until(() => runs === 1);
  await env.restart();
  assert.deepEqual(await env.result(run), [
    "outcome_unknown",
    "Expected the irreversible activity pay of instance p to start once, got a worker that died after it started it; it may have happened",
  ]);
  assert.equal(runs, 1);
  door.open();
});

test("an irreversible activity that was never started survives a crash", async (t) => {
  const door = gate();
  const runs: string[] = [];
  const block = activity("block", async () => door.opened);
  const pay = activity("pay", { effect: "irreversible" }, async (_ctx, who: string) => {
    runs.push(who);
    return `paid ${who}`;
  });
  const paying = orchestration("paying", async (ctx) => {
    const blocked = ctx.activity(block);
    await ctx.waitForEvent("pay");
    const paid = await ctx.activity(pay, "ada");
    await blocked;
    return paid;
  });
  const options = { orchestrations: [paying], activities: [block, pay], concurrency: { activities: 1 } };
  const env = await environment(t, options);

  const run = await env.startOrchestration(paying);
  await env.until(() => env.runtime.stats().runningWork === 1);
  await run.raiseEvent("pay");
  await env.until(async () => (await env.client.stats()).work.ready === 1);
  await env.restart();
  door.open();
  assert.equal(await env.result(run), "paid ada");
  assert.deepEqual(runs, ["ada"]);
});

test("an irreversible activity that fails or runs out of time is not tried again, whatever the call says", async (t) => {
  let runs = 0;
  const pay = activity("pay", { effect: "irreversible" }, async (ctx, how: string) => {
    runs++;
    if (how === "fails") throw new Error("card refused");
    await aborted(ctx.signal);
  });
  const paying = orchestration("paying", async (ctx, how: string) => {
    try {
      await ctx.activity(pay, how, { retry: { maxAttempts: 5, initialInterval: 0 }, timeout: "1m" });
      return "paid";
    } catch (error) {
      return [(error as StetError).code, (error as StetError).message];
    }
  });
  const env = await environment(t, { orchestrations: [paying], activities: [pay] });

  const failed = await env.startOrchestration(paying, "fails", { instanceId: "f" });
  assert.deepEqual(await env.result(failed), [
    "activity_failed",
    "Activity pay of instance f (event 2) failed after 1 attempt: card refused",
  ]);
  assert.equal(runs, 1);

  const late = await env.startOrchestration(paying, "hangs", { instanceId: "h" });
  await env.until(() => runs === 2);
  env.clock.jumpTo(env.clock.now() + 60_000);
  assert.deepEqual(await env.result(late), [
    "outcome_unknown",
    "Expected activity pay of instance h to finish within 60000 ms, got no answer; it may have happened",
  ]);
  assert.equal(runs, 2);
});

test("the declared effect is recorded with the call", async (t) => {
  const effects = ["pure", "idempotent", "compensable", "irreversible"] as const;
  const activities = effects.map((effect) => activity(effect, { effect }, async () => effect));
  const calls = orchestration("calls", async (ctx) => {
    for (const each of activities) await ctx.activity(each);
  });
  const env = await environment(t, { orchestrations: [calls], activities });

  const run = await env.startOrchestration(calls);
  await env.result(run);
  const scheduled = ofKind(await run.history(), "ActivityScheduled");
  assert.deepEqual(
    scheduled.map(({ options }) => options?.effect),
    effects,
  );
});

test("an input that does not satisfy the schema fails the activity without a retry", async (t) => {
  let runs = 0;
  const input = z.object({ order: z.object({ count: z.number().int() }) });
  const work = activity("work", { input, retry: { maxAttempts: 5 } }, async () => runs++);
  const calls = orchestration("calls", async (ctx) => {
    try {
      await ctx.activity(work, { order: { count: 1.5 } });
      return "no error";
    } catch (error) {
      const cause = (error as StetError).cause as StetError;
      return { code: cause.code, message: cause.message, details: cause.details };
    }
  });
  const env = await environment(t, { orchestrations: [calls], activities: [work] });

  assert.deepEqual(await env.result(await env.startOrchestration(calls)), {
    code: "input_invalid",
    message:
      "Expected the input of activity work to satisfy its schema, got: Invalid input: expected int, received number at $.order.count",
    details: [{ path: "$.order.count", message: "Invalid input: expected int, received number" }],
  });
  assert.equal(runs, 0);
});

test("an activity gets its input as its schema returns it", async (t) => {
  const input = z.object({ name: z.string().trim(), times: z.number().default(3) });
  const work = activity("work", { input: input as never }, async (_ctx, given: unknown) => given as Payload);
  const calls = orchestration("calls", async (ctx) => ctx.activity(work, { name: " Ada " }));
  const env = await environment(t, { orchestrations: [calls], activities: [work] });
  assert.deepEqual(await env.result(await env.startOrchestration(calls)), { name: "Ada", times: 3 });
});

test("a result that is no JSON fails the activity with the path, without a retry", async (t) => {
  let runs = 0;
  const work = activity("work", { retry: { maxAttempts: 5 } }, async () => {
    runs++;
    return { rows: [{ at: new Date() }] };
  });
  const calls = calling(work);
  const env = await environment(t, { orchestrations: [calls], activities: [work] });

  await assert.rejects(
    env.result(await env.startOrchestration(calls, undefined as never)),
    fails(
      "orchestration_failed",
      /Expected the result of activity work to be JSON, got an instance of Date at \$\.rows\[0\]\.at$/,
    ),
  );
  assert.equal(runs, 1);
});

test("a result above the limit fails the activity, without a retry", async (t) => {
  let runs = 0;
  const work = activity("work", { retry: { maxAttempts: 5 } }, async () => {
    runs++;
    return "x".repeat(2_000);
  });
  const calls = calling(work);
  const env = await environment(t, { orchestrations: [calls], activities: [work], payloadLimit: 1_000 });

  await assert.rejects(
    env.result(await env.startOrchestration(calls, undefined as never)),
    fails("orchestration_failed", /each text in the result of activity work to have at most 1000 bytes, got 2000/),
  );
  assert.equal(runs, 1);
});

test("an activity that no worker has waits, is shown as missing, and runs when a worker has it", async (t) => {
  const late = activity("late", async (_ctx, n: number) => n + 1);
  const calls = calling(late);
  const env = await environment(t, { orchestrations: [calls] });

  const run = await env.startOrchestration(calls, 1);
  await env.advance("30d");
  assert.equal((await run.status()).status, "running");
  assert.deepEqual((await env.client.stats()).missingHandlers, {
    orchestrations: [],
    activities: ["late"],
    tags: [],
    modelCalls: 0,
  });
  await env.restart({ activities: [late] });
  assert.equal(await env.result(run), 2);
  assert.deepEqual((await env.client.stats()).missingHandlers, {
    orchestrations: [],
    activities: [],
    tags: [],
    modelCalls: 0,
  });
});

test("an activity can start, watch and talk to other instances", async (t) => {
  const child = orchestration("child", async (ctx) => ctx.waitForEvent<number>("go"));
  const manage = activity("manage", async (ctx) => {
    const run = await ctx.client.startOrchestration(child, undefined, { instanceId: "managed" });
    await run.raiseEvent("go", 5);
    return ctx.client.instance<number>("managed").result();
  });
  const calls = calling(manage);
  const env = await environment(t, { orchestrations: [calls, child], activities: [manage] });
  assert.equal(await env.result(await env.startOrchestration(calls, undefined as never)), 5);
});

for (const effect of ["idempotent", "irreversible"] as const) {
  test(`more activities than slots wait for their turn and all run (${effect})`, async (t) => {
    let running = 0;
    let most = 0;
    const work = activity("work", { effect }, async (_ctx, n: number) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      return n;
    });
    const fan = orchestration("fan", async (ctx) => {
      const results = await Promise.all(Array.from({ length: 50 }, (_, n) => ctx.activity(work, n)));
      return results.reduce((sum, n) => sum + n, 0);
    });
    const env = await environment(t, { orchestrations: [fan], activities: [work], concurrency: { activities: 3 } });
    assert.equal(await env.result(await env.startOrchestration(fan)), 1225);
    assert.equal(most, 3);
  });
}

test("a slot is free again after any end: answer, failure, timeout and cancellation", async (t) => {
  const work = activity("work", { timeout: "1m" }, async (ctx, how: string) => {
    if (how === "answers") return how;
    if (how === "fails") throw new Error("no");
    return aborted(ctx.signal);
  });
  const calls = orchestration("calls", async (ctx) => {
    const ends: string[] = [];
    for (const how of ["answers", "fails", "hangs"]) {
      await ctx.activity(work, how).then(
        () => ends.push(how),
        (error: StetError) => ends.push(...causes(error)),
      );
    }
    const lost = await ctx.race({ work: ctx.activity(work, "hangs"), timer: ctx.timer("1s") });
    ends.push(lost.winner, await ctx.activity(work, "answers"));
    return ends;
  });
  const env = await environment(t, { orchestrations: [calls], activities: [work], concurrency: { activities: 1 } });

  const run = await env.startOrchestration(calls);
  const skip = async (ms: number, fired: string): Promise<void> => {
    await env.until(() => env.clock.nextAt === env.clock.now() + ms);
    env.clock.jumpTo(env.clock.now() + ms);
    await env.until(async () => kinds(await run.history()).includes(fired));
  };
  await skip(60_000, "ActivityFailed");
  await env.until(async () => kinds(await run.history()).includes("TimerCreated"));
  await skip(1_000, "TimerFired");
  assert.deepEqual(await env.result(run), ["answers", "error", "timeout", "timer", "answers"]);
});

test("a failing log or a throwing listener of the signal does not take the activity along", async (t) => {
  const work = activity("work", async (ctx) => {
    ctx.log.warn("low on paper", { sheets: 3 });
    return "printed";
  });
  const calls = calling(work);
  const lines: unknown[] = [];
  const logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: (message: string, fields?: object) => void lines.push([message, fields]),
    error: () => undefined,
  };
  const env = await environment(t, { orchestrations: [calls], activities: [work], logger });
  assert.equal(
    await env.result(await env.startOrchestration(calls, undefined as never, { instanceId: "w" })),
    "printed",
  );
  assert.deepEqual(lines, [
    ["low on paper", { instanceId: "w", execution: 1, activity: "work", attempt: 1, sheets: 3 }],
  ]);
});
