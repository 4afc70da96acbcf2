/** The end of a runtime: what runs is finished, what waits is given back, and nothing is left behind. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { activity, Client, orchestration, Runtime, type RuntimeOptions, type StetError } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { VirtualClock } from "@stet/testing";
import { aborted, fails, gate, journal, kinds, ofKind } from "./world.ts";

/** A store that outlives runtimes, a clock that nobody moves, and a client to watch by. */
interface Place {
  readonly clock: VirtualClock;
  readonly client: Client;
  readonly start: (options: Partial<RuntimeOptions>) => Promise<Runtime>;
  readonly until: (condition: () => boolean | Promise<boolean>) => Promise<void>;
}

async function place(t: TestContext): Promise<Place> {
  const storage = sqlite(":memory:");
  const clock = new VirtualClock();
  const client = await Client.connect({ storage, clock });
  const started: Runtime[] = [];
  const alive = setInterval(() => undefined, 60_000);
  t.after(async () => {
    for (const runtime of started) await runtime.shutdown({ timeout: 0 });
    await client.close();
    clearInterval(alive);
  });
  return {
    clock,
    client,
    async start(options) {
      const runtime = await Runtime.start({ storage, clock, logger: journal(), ...options });
      started.push(runtime);
      return runtime;
    },
    async until(condition) {
      while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

/** An orchestration that calls `work` and answers its result. */
const working = orchestration("working", async (ctx, n: number) => ctx.activity<string>("work", n));

test("shutdown waits for running activities and commits what they answer, and what follows from it", async (t) => {
  const { clock, client, start, until } = await place(t);
  const door = gate();
  let signal: AbortSignal | undefined;
  const work = activity("work", async (ctx, n: number) => {
    ({ signal } = ctx);
    await door.opened;
    return `done ${n}`;
  });
  const runtime = await start({ orchestrations: [working], activities: [work] });
  const run = await runtime.startOrchestration(working, 1, { instanceId: "w" });
  await until(() => runtime.stats().runningWork === 1);

  let over = false;
  const shutdown = runtime.shutdown().then(() => (over = true));
  for (let hops = 0; hops < 20; hops++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(over, false, "it waits for what is running");
  door.open();
  await shutdown;

  assert.equal(signal?.aborted, false);
  const handle = client.instance<string>("w");
  assert.equal(await handle.result(), "done 1");
  assert.deepEqual(kinds(await handle.history()).slice(-2), ["ActivityCompleted", "OrchestrationCompleted"]);
  assert.equal(clock.now(), Date.parse("2026-01-01T00:00:00Z"));
  assert.equal(run.instanceId, "w");
});

test("an activity that follows from a drained one runs elsewhere, as attempt 1", async (t) => {
  const { client, start, until } = await place(t);
  const door = gate();
  const ran: string[] = [];
  const first = activity("first", async () => {
    await door.opened;
    return "first";
  });
  const second = (where: string) =>
    activity("second", async (ctx) => {
      ran.push(where);
      return [where, ctx.attempt];
    });
  const two = orchestration("two", async (ctx) => {
    await ctx.activity(first);
    return ctx.activity<[string, number]>("second");
  });
  const here = await start({ orchestrations: [two], activities: [first, second("here")] });
  await here.startOrchestration(two, undefined, { instanceId: "t" });
  await until(() => here.stats().runningWork === 1);
  const shutdown = here.shutdown();
  door.open();
  await shutdown;
  assert.deepEqual(ran, []);
  assert.deepEqual(kinds(await client.instance("t").history()).slice(-2), ["ActivityCompleted", "ActivityScheduled"]);

  await start({ orchestrations: [two], activities: [first, second("there")] });
  assert.deepEqual(await client.instance("t").result(), ["there", 1]);
});

for (const effect of ["idempotent", "irreversible"] as const) {
  test(`work that waits for a slot is given back unstarted: its first attempt is elsewhere (${effect})`, async (t) => {
    const { client, start, until } = await place(t);
    const door = gate();
    const attempts: number[] = [];
    const work = activity("work", { effect }, async (ctx, n: number) => {
      attempts.push(ctx.attempt);
      await door.opened;
      return `done ${n}`;
    });
    const fan = orchestration("fan", async (ctx) =>
      Promise.all(Array.from({ length: 5 }, (_, n) => ctx.activity(work, n))),
    );
    const options = { orchestrations: [fan], activities: [work], concurrency: { activities: 2 } };
    const here = await start(options);
    await here.startOrchestration(fan, undefined, { instanceId: "f" });
    await until(() => attempts.length === 2);
    const shutdown = here.shutdown();
    await until(async () => (await client.stats()).work.ready === 3);
    door.open();
    await shutdown;
    assert.deepEqual(attempts, [1, 1], "nothing new was started");

    const there = await start(options);
    assert.deepEqual(await client.instance("f").result(), ["done 0", "done 1", "done 2", "done 3", "done 4"]);
    assert.deepEqual(attempts, [1, 1, 1, 1, 1]);
    await there.whenIdle();
    assert.deepEqual((await client.stats()).work, { ready: 0, delayed: 0, running: 0 });
  });
}

test("after the timeout running activities are aborted, and start again elsewhere as attempt 2", async (t) => {
  const { clock, client, start, until } = await place(t);
  const reasons: unknown[] = [];
  const work = activity("work", async (ctx, n: number) => {
    if (ctx.attempt > 1) return `done ${n} at attempt ${ctx.attempt}`;
    return aborted(ctx.signal).catch((error: StetError) => {
      reasons.push([error.code, error.message]);
      throw error;
    });
  });
  const here = await start({ orchestrations: [working], activities: [work] });
  await here.startOrchestration(working, 1, { instanceId: "w" });
  await until(() => here.stats().runningWork === 1);

  const shutdown = here.shutdown({ timeout: "10s" });
  await until(() => clock.nextAt === clock.now() + 10_000);
  clock.jumpTo(clock.now() + 9_999);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(reasons, []);
  clock.jumpTo(clock.now() + 1);
  await shutdown;
  assert.deepEqual(reasons, [["cancelled", "the worker is shut down"]]);
  assert.deepEqual(
    ofKind(await client.instance("w").history(), "ActivityFailed"),
    [],
    "an abort by shutdown is no failure of the activity",
  );

  await start({ orchestrations: [working], activities: [work] });
  const handle = client.instance<string>("w");
  assert.equal(await handle.result(), "done 1 at attempt 2");
  assert.equal(ofKind(await handle.history(), "ActivityCompleted")[0]?.attempts, 2);
});

test("an irreversible activity that a shutdown aborts is not started again: its outcome is unknown", async (t) => {
  const { client, start, until } = await place(t);
  let runs = 0;
  const pay = activity("pay", { effect: "irreversible" }, async (ctx) => {
    runs++;
    return aborted(ctx.signal);
  });
  const paying = orchestration("paying", async (ctx) =>
    ctx.activity(pay).catch(({ code, message }: StetError) => ({ code, message })),
  );
  const here = await start({ orchestrations: [paying], activities: [pay] });
  await here.startOrchestration(paying, undefined, { instanceId: "p" });
  await until(() => runs === 1);
  await here.shutdown({ timeout: 0 });

  await start({ orchestrations: [paying], activities: [pay] });
  assert.deepEqual(await client.instance("p").result(), {
    code: "outcome_unknown",
    message:
      "Expected the irreversible activity pay of instance p to start once, got a worker that died after it started it; it may have happened",
  });
  assert.equal(runs, 1);
});

test("an activity that does not listen to its signal holds up nothing, and its late answer is dropped", async (t) => {
  const { client, start, until } = await place(t);
  const door = gate();
  const work = activity("work", async (ctx, n: number) => {
    if (ctx.attempt === 1) await door.opened;
    return `done ${n} at attempt ${ctx.attempt}`;
  });
  const here = await start({ orchestrations: [working], activities: [work] });
  await here.startOrchestration(working, 1, { instanceId: "w" });
  await until(() => here.stats().runningWork === 1);
  await here.shutdown({ timeout: 0 });
  assert.deepEqual((await client.stats()).workers, []);

  await start({ orchestrations: [working], activities: [work] });
  assert.equal(await client.instance("w").result(), "done 1 at attempt 2");
  door.open();
  for (let hops = 0; hops < 5; hops++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(ofKind(await client.instance("w").history(), "ActivityCompleted").length, 1);
});

test("a second shutdown waits for the first", async (t) => {
  const { start, until } = await place(t);
  const door = gate();
  const work = activity("work", async () => door.opened);
  const runtime = await start({ orchestrations: [working], activities: [work] });
  await runtime.startOrchestration(working, 1);
  await until(() => runtime.stats().runningWork === 1);
  const order: string[] = [];
  const first = runtime.shutdown().then(() => order.push("first"));
  const second = runtime.shutdown({ timeout: 0 }).then(() => order.push("second"));
  for (let hops = 0; hops < 20; hops++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(order, []);
  door.open();
  await Promise.all([first, second]);
  assert.deepEqual(order, ["first", "second"]);
  await runtime.shutdown();
});

test("a runtime that is shut down starts nothing, and says so", async (t) => {
  const { clock, client, start, until } = await place(t);
  const door = gate();
  const work = activity("work", async () => door.opened);
  const runtime = await start({ orchestrations: [working], activities: [work] });
  const run = await runtime.startOrchestration(working, 1, { instanceId: "w" });
  await until(() => runtime.stats().runningWork === 1);
  const waiting = assert.rejects(
    run.result(),
    fails(
      "runtime_stopped",
      "Expected the client to stay open while the result of instance w is awaited, got one that was closed; the instance goes on",
    ),
  );
  const stopped = fails(
    "runtime_stopped",
    "Expected the runtime to be running to start orchestration working, got one that was shut down: start another with Runtime.start, or use a Client",
  );
  const shutdown = runtime.shutdown({ timeout: "1s" });
  await assert.rejects(runtime.startOrchestration(working, 2), stopped, "while it stops");
  await assert.rejects(
    runtime.shutdown({ timeout: "soon" as never }),
    fails("configuration_invalid", /^Expected the timeout of shutdown to be milliseconds or a string like/),
  );
  await until(() => clock.nextAt === clock.now() + 1_000);
  clock.jumpTo(clock.now() + 1_000);
  await shutdown;
  await waiting;
  await assert.rejects(runtime.startOrchestration(working, 3), stopped, "and after");
  assert.equal((await client.list()).instances.length, 1);
  door.open();
});

test("shutdown of an idle runtime takes no time, and releases what it owns to others at once", async (t) => {
  const { clock, client, start } = await place(t);
  const waiting = orchestration("waiting", async (ctx) => {
    const first = await ctx.waitForEvent<string>("go");
    await ctx.timer("1h");
    return first;
  });
  const here = await start({ orchestrations: [waiting] });
  const runs = await Promise.all(Array.from({ length: 20 }, () => here.startOrchestration(waiting)));
  await here.whenIdle();
  assert.equal(here.stats().cachedExecutions, 20);
  const before = clock.now();
  await here.shutdown();
  assert.equal(clock.now(), before);
  assert.equal(clock.nextAt, undefined, "no timer is left behind");
  assert.deepEqual((await client.stats()).workers, []);

  const there = await start({ orchestrations: [waiting] });
  for (const { instanceId } of runs) await client.instance(instanceId).raiseEvent("go", instanceId);
  await there.whenIdle();
  assert.equal(clock.now(), before, "nobody waited for the death of the first");
  clock.jumpTo(before + 3_600_000);
  for (const { instanceId } of runs) assert.equal(await client.instance(instanceId).result(), instanceId);
});

test("globals are guarded while a runtime runs and restored after the last one", async (t) => {
  const { start } = await place(t);
  const look = () => [
    Date,
    Math.random,
    setTimeout,
    setInterval,
    setImmediate,
    fetch,
    Reflect.get(crypto, "randomUUID"),
  ];
  const before = look();
  const first = await start({});
  const second = await start({});
  const unguarded = await start({ determinism: "off" });
  const guarded = look();
  assert.ok(guarded.every((each, i) => each !== before[i]));
  await first.shutdown();
  assert.deepEqual(look(), guarded, "the second still runs");
  await second.shutdown();
  assert.ok(look().every((each, i) => each === before[i]));
  await unguarded.shutdown();
  const again = await start({});
  assert.ok(look().every((each, i) => each !== before[i]));
  await again.shutdown();
  assert.ok(look().every((each, i) => each === before[i]));
});

test("two runtimes in one process share the work, and one goes on when the other is shut down", async (t) => {
  const { clock, client, start, until } = await place(t);
  const doors = { a: gate(), b: gate() };
  const ran: string[] = [];
  const work = (where: "a" | "b") =>
    activity("work", { tag: where }, async (ctx, n: number) => {
      ran.push(where);
      await doors[where].opened;
      return `${n} in ${where} at attempt ${ctx.attempt}`;
    });
  const both = orchestration("both", async (ctx, n: number) =>
    Promise.all([
      ctx.activity<string>("work", n, { tag: "a" }),
      ctx.activity<string>("work", n, { tag: "b" }),
      ctx.waitForEvent<string>("go"),
    ]),
  );
  const a = await start({ orchestrations: [both], activities: [work("a")], tags: ["a"], workerName: "a" });
  const b = await start({ orchestrations: [both], activities: [work("b")], tags: ["b"], workerName: "b" });
  assert.deepEqual(
    (await client.stats()).workers.map(({ name }) => name),
    ["a", "b"],
  );
  await a.startOrchestration(both, 1, { instanceId: "one" });
  await b.startOrchestration(both, 2, { instanceId: "two" });
  await until(() => ran.length === 4);
  assert.deepEqual(ran.sort(), ["a", "a", "b", "b"]);

  doors.a.open();
  await a.shutdown();
  assert.deepEqual(
    (await client.stats()).workers.map(({ name }) => name),
    ["b"],
  );
  await client.instance("one").raiseEvent("go", "gone");
  await client.instance("two").raiseEvent("go", "gone");
  doors.b.open();
  for (const [instanceId, n] of [
    ["one", 1],
    ["two", 2],
  ] as const) {
    assert.deepEqual(await client.instance(instanceId).result(), [
      `${n} in a at attempt 1`,
      `${n} in b at attempt 1`,
      "gone",
    ]);
  }
  assert.equal(clock.now(), Date.parse("2026-01-01T00:00:00Z"));
});

test("a start that fails leaves nothing open and nothing guarded", async (t) => {
  const { client } = await place(t);
  const { now } = Date;
  const storage = sqlite(":memory:");
  const broken = { ...storage, registerWorker: () => Promise.reject(new Error("no room for workers")) };
  await assert.rejects(Runtime.start({ storage: broken, logger: journal() }), /no room for workers/);
  assert.equal(Date.now, now);
  await assert.rejects(storage.nextWakeAt(0), "the store was closed again");
  assert.deepEqual((await client.stats()).workers, []);
});

test("an activity that fails while its worker shuts down is tried again elsewhere", async (t) => {
  const { clock, client, start, until } = await place(t);
  const door = gate();
  const retry = { maxAttempts: 2, initialInterval: "1s", jitter: 0 } as const;
  const failing = activity("work", { retry }, async () => {
    await door.opened;
    throw new Error("not yet");
  });
  const succeeding = activity("work", { retry }, async ({ attempt }) => `attempt ${attempt}`);
  const runtime = await start({ orchestrations: [working], activities: [failing] });
  await runtime.startOrchestration(working, 1, { instanceId: "w" });
  await until(() => runtime.stats().runningWork === 1);

  const shutdown = runtime.shutdown();
  door.open();
  await shutdown;
  await start({ orchestrations: [working], activities: [succeeding] });
  clock.jumpTo(clock.now() + 1_000);

  assert.equal(await client.instance("w").result(), "attempt 2");
});
