/** Timers: when they fire, in which order, and what becomes of those that nobody waits for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { activity, orchestration, Runtime } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { VirtualClock } from "@stet/testing";
import { environment, gate, journal, kinds, ofKind } from "./world.ts";

const hour = 3_600_000;

test("timers fire in the order of their time, however they were created", async (t) => {
  const timers = orchestration("timers", async (ctx) => {
    const fired: string[] = [];
    const wait = async (name: `${number}m`): Promise<void> => {
      await ctx.timer(name);
      fired.push(name);
    };
    await Promise.all([wait("30m"), wait("10m"), wait("20m"), wait("0m"), wait("10m")]);
    return fired;
  });
  const env = await environment(t, { orchestrations: [timers] });
  assert.deepEqual(await env.result(await env.startOrchestration(timers)), ["0m", "10m", "10m", "20m", "30m"]);
});

test("timers that came due while no worker ran are delivered in the order of their time", async (t) => {
  const timers = orchestration("timers", async (ctx) => {
    const fired: string[] = [];
    const wait = async (name: `${number}m`): Promise<void> => {
      await ctx.timer(name);
      fired.push(name);
    };
    await Promise.all([wait("30m"), wait("10m"), wait("20m")]);
    return fired;
  });
  const env = await environment(t, { orchestrations: [timers] });

  const run = await env.startOrchestration(timers);
  await env.settle();
  await env.crash();
  env.clock.jumpTo(env.clock.now() + hour);
  await env.restart();
  assert.deepEqual(await env.result(run), ["10m", "20m", "30m"]);
});

test("an event sent after a timer was due comes after it, also when both are found together", async (t) => {
  const waits = orchestration("waits", async (ctx) => {
    const order: string[] = [];
    const timer = ctx.timer("10m").then(() => order.push("timer"));
    const event = ctx.waitForEvent("late").then(() => order.push("event"));
    await Promise.all([timer, event]);
    return order;
  });
  const env = await environment(t, { orchestrations: [waits] });

  const run = await env.startOrchestration(waits);
  await env.settle();
  await env.crash();
  env.clock.jumpTo(env.clock.now() + hour);
  await run.raiseEvent("late");
  await env.restart();
  assert.deepEqual(await env.result(run), ["timer", "event"]);
});

test("a timer of no time takes a turn and no time", async (t) => {
  const zero = orchestration("zero", async (ctx) => {
    const before = ctx.now();
    await ctx.timer(0);
    await ctx.timer("0ms");
    return ctx.now() - before;
  });
  const env = await environment(t, { orchestrations: [zero] });

  const run = await env.startOrchestration(zero);
  await env.settle();
  assert.equal((await run.status()).status, "completed");
  assert.equal(await run.result(), 0);
});

test("a timer may be longer than any timer of Node", async (t) => {
  const long = orchestration("long", async (ctx) => {
    const before = ctx.now();
    await ctx.timer("3650d");
    return ctx.now() - before;
  });
  const env = await environment(t, { orchestrations: [long] });

  const run = await env.startOrchestration(long);
  await env.advance("3649d");
  assert.equal((await run.status()).status, "running");
  assert.equal(await env.result(run), 3650 * 24 * hour);
});

test("a timer survives restarts before and after it is due, and fires once", async (t) => {
  const door = gate();
  let runs = 0;
  const after = activity("after", async () => {
    if (++runs === 1) await door.opened;
  });
  const remind = orchestration("remind", async (ctx) => {
    await ctx.timer("2h");
    const firedAt = ctx.now();
    await ctx.activity(after);
    return firedAt;
  });
  const env = await environment(t, { orchestrations: [remind], activities: [after] });

  const dueAt = env.clock.now() + 2 * hour;
  const run = await env.startOrchestration(remind);
  await env.advance("1h");
  await env.restart();
  await env.settle();
  assert.deepEqual((await run.status()).waitingFor, [
    { kind: "timer", eventId: 2, since: dueAt - 2 * hour, fireAt: dueAt },
  ]);
  env.clock.jumpTo(dueAt);
  await env.until(() => runs === 1);
  await env.restart();
  assert.equal(await env.result(run), dueAt);
  assert.equal(ofKind(await run.history(), "TimerFired").length, 1);
  door.open();
});

test("a cancelled timer leaves nothing behind: no row, no turn, no event", async (t) => {
  const race = orchestration("race", async (ctx) => {
    const timer = ctx.timer("1h");
    await ctx.timer("1m");
    timer.cancel("no longer needed");
    await timer.catch(() => undefined);
    await ctx.waitForEvent("end");
  });
  const env = await environment(t, { orchestrations: [race] });

  const run = await env.startOrchestration(race);
  await env.advance("1m");
  const before = await run.history();
  assert.deepEqual(kinds(before).slice(-2), ["TimerCancelled", "EventAwaited"]);
  assert.deepEqual((await env.client.stats()).messages, { ready: 0, delayed: 0 });
  await env.advance("2h");
  assert.deepEqual(await run.history(), before);
  await run.raiseEvent("end");
  await env.result(run);
});

test("the timer of an ended instance fires nowhere", async (t) => {
  const quick = orchestration("quick", async (ctx) => {
    void ctx.timer("1h");
    await ctx.timer("1m");
    return "done";
  });
  const env = await environment(t, { orchestrations: [quick] });

  const run = await env.startOrchestration(quick);
  assert.equal(await env.result(run), "done");
  const before = await run.history();
  assert.deepEqual(kinds(before).slice(-2), ["TimerCancelled", "OrchestrationCompleted"]);
  await env.advance("2h");
  assert.deepEqual(await run.history(), before);
  assert.deepEqual((await env.client.stats()).messages, { ready: 0, delayed: 0 });
});

test("a timer that fired in the turn in which it is cancelled is delivered or cancelled, never both", async (t) => {
  const both = orchestration("both", async (ctx) => {
    const first = ctx.timer("1m");
    const second = ctx.timer("1m");
    await first;
    second.cancel();
    return second.then(
      () => "fired",
      () => "cancelled",
    );
  });
  const env = await environment(t, { orchestrations: [both] });

  const run = await env.startOrchestration(both);
  assert.equal(await env.result(run), "cancelled");
  assert.equal(ofKind(await run.history(), "TimerFired").length, 1);
});

test("500 timers of many instances wake each at its time", async (t) => {
  const sleepy = orchestration("sleepy", async (ctx, minutes: number) => {
    await ctx.timer(minutes * 60_000);
    return ctx.now();
  });
  const env = await environment(t, { orchestrations: [sleepy] });

  const began = env.clock.now();
  const runs = await Promise.all(Array.from({ length: 500 }, (_, i) => env.startOrchestration(sleepy, (i * 7) % 100)));
  await env.advance("100m");
  const ends = await Promise.all(runs.map((run) => run.result()));
  assert.deepEqual(
    ends,
    runs.map((_, i) => began + ((i * 7) % 100) * 60_000),
  );
});

for (const [name, offset, after] of [
  ["forward", hour, 0],
  ["back", -hour, 2 * hour],
] as const) {
  test(`a wall clock that is set ${name} by an hour moves timers with it and kills no worker`, async (t) => {
    const clock = new VirtualClock();
    const logger = journal();
    const remind = orchestration("remind", async (ctx) => {
      await ctx.timer("1h");
      return ctx.now();
    });
    const storage = sqlite(":memory:");
    const runtimes = await Promise.all(
      ["ada", "ben"].map((workerName) =>
        Runtime.start({ storage, clock, logger, workerName, orchestrations: [remind] }),
      ),
    );
    t.after(() => Promise.all(runtimes.map((runtime) => runtime.shutdown())));
    const [ada] = runtimes as [Runtime];
    const settle = async (): Promise<void> => {
      for (let i = 0; i < 5; i++) {
        for (const runtime of runtimes) await runtime.whenIdle();
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const pass = async (ms: number): Promise<void> => {
      for (const until = clock.now() + ms; clock.now() < until;) {
        clock.jumpTo(Math.min(until, clock.now() + 500));
        await settle();
      }
    };

    const dueAt = clock.now() + hour;
    const run = await ada.startOrchestration(remind);
    await pass(1_000);
    clock.setTo(clock.now() + offset);
    await pass(30_000);
    if (after > 0) {
      assert.equal((await run.status()).status, "running");
      clock.jumpTo(clock.now() + hour);
      await pass(10_000);
      assert.equal((await run.status()).status, "running", "due by the timers of the machine, not by its clock");
      clock.jumpTo(clock.now() + hour);
      await pass(10_000);
    }
    const { status, output } = await run.status();
    assert.equal(status, "completed");
    assert.ok((output as number) >= dueAt);
    assert.deepEqual(
      logger.lines.filter(({ message }) => message.includes("dead")),
      [],
    );
  });
}
