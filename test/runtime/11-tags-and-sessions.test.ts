/** Where activities run: tags choose the workers that may, sessions keep to one of them while it lives. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { activity, Client, orchestration, Runtime, type RuntimeOptions } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { severable, TestEnvironment, VirtualClock } from "@stet/testing";
import { environment, gate, journal, ofKind } from "./world.ts";

const hop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Two or more workers on one store; where each call ran is written down. */
async function shop(t: TestContext) {
  const store = sqlite(":memory:");
  const clock = new VirtualClock();
  const client = await Client.connect({ storage: store, clock });
  const ran: string[] = [];
  const hired: (() => Promise<void>)[] = [];
  const alive = setInterval(() => undefined, 60_000);
  t.after(async () => {
    for (const dismiss of hired) await dismiss();
    await client.close();
    clearInterval(alive);
  });
  const hire = async (name: string, options: Partial<RuntimeOptions> = {}) => {
    const wire = severable(store);
    const work = activity("work", async (_ctx, what: string | number) => {
      ran.push(`${name} ${what}`);
      await hop();
      return name;
    });
    const worker = await Runtime.start({
      storage: wire.storage,
      clock,
      logger: journal(),
      workerName: name,
      activities: [work],
      ...options,
    });
    const dismiss = async (): Promise<void> => {
      hired.splice(hired.indexOf(dismiss), 1);
      await worker.shutdown();
    };
    hired.push(dismiss);
    return {
      worker,
      dismiss,
      die: () => {
        hired.splice(hired.indexOf(dismiss), 1);
        wire.sever();
      },
    };
  };
  return {
    client,
    clock,
    ran,
    hire,
    until: async (condition: () => boolean | Promise<boolean>): Promise<void> => {
      for (let steps = 0; !(await condition()); steps++) {
        assert.ok(steps < 20_000, "Expected the condition to hold at last.");
        await hop();
      }
    },
    pass: async (seconds: number): Promise<void> => {
      for (let i = 0; i < seconds; i++) {
        clock.jumpTo(clock.now() + 1_000);
        for (let j = 0; j < 10; j++) await hop();
      }
    },
  };
}

const tagged = orchestration("tagged", async (ctx, tag: string) => ctx.activity<string>("work", tag, { tag }));

test("a tagged activity runs only where the tag is declared, an untagged one anywhere", async (t) => {
  const { client, hire, ran, until } = await shop(t);
  await hire("plain", { orchestrations: [tagged] });
  await hire("gpu", { tags: ["gpu", "fast"] });
  await hire("cpu", { tags: ["cpu"] });
  const tags = ["gpu", "cpu", "fast", "cpu", "gpu"];
  const runs = await Promise.all(tags.map((tag) => client.startOrchestration(tagged, tag)));
  await until(async () => (await client.stats()).instances.completed === tags.length);
  assert.deepEqual(await Promise.all(runs.map((run) => run.result())), ["gpu", "cpu", "gpu", "cpu", "gpu"]);
  assert.deepEqual(ran.toSorted(), ["cpu cpu", "cpu cpu", "gpu fast", "gpu gpu", "gpu gpu"]);
});

test("a tag that nobody declares waits until somebody does", async (t) => {
  const { client, hire, until, pass } = await shop(t);
  await hire("plain", { orchestrations: [tagged], tags: ["cpu"] });
  const run = await client.startOrchestration(tagged, "gpu");
  await pass(60);
  assert.equal((await run.status()).status, "running");
  assert.equal((await client.stats()).work.ready, 1);
  await hire("gpu", { tags: ["gpu"] });
  await until(async () => (await run.status()).status === "completed");
  assert.equal(await run.result(), "gpu");
});

test("the tag of the definition holds unless the call names another, and both are recorded", async (t) => {
  const heavy = activity("heavy", { tag: "gpu" }, async (ctx) => ctx.tag);
  const calls = orchestration("calls", async (ctx) => [
    await ctx.activity(heavy),
    await ctx.activity(heavy, undefined, { tag: "cpu" }),
  ]);
  const env = await environment(t, { orchestrations: [calls], activities: [heavy], tags: ["gpu", "cpu"] });
  const run = await env.startOrchestration(calls);
  assert.deepEqual(await env.result(run), ["gpu", "cpu"]);
  assert.deepEqual(
    ofKind(await run.history(), "ActivityScheduled").map(({ options }) => options?.tag),
    ["gpu", "cpu"],
  );
});

test("a worker that has the tag but not the activity leaves it alone", async (t) => {
  const { client, hire, until } = await shop(t);
  await hire("empty", { orchestrations: [tagged], activities: [], tags: ["gpu"] });
  const run = await client.startOrchestration(tagged, "gpu");
  for (let i = 0; i < 50; i++) await hop();
  assert.equal((await run.status()).status, "running");
  await hire("able", { tags: ["gpu"] });
  await until(async () => (await run.status()).status === "completed");
  assert.equal(await run.result(), "able");
});

const sticky = orchestration("sticky", async (ctx, session: string) => {
  const where: string[] = [];
  for (let i = 0; i < 5; i++) where.push(await ctx.activity<string>("work", `${session}.${i}`, { session }));
  await ctx.waitForEvent("more");
  for (let i = 5; i < 10; i++) where.push(await ctx.activity<string>("work", `${session}.${i}`, { session }));
  return where;
});

test("calls of one session run on one worker, and move to another when that one is gone", async (t) => {
  for (const how of ["dismiss", "die"] as const) {
    await t.test(how, async (t) => {
      const { client, hire, until, pass } = await shop(t);
      await hire("owner", { orchestrations: [sticky], activities: [] });
      const workers = { ada: await hire("ada"), ben: await hire("ben") };
      const run = await client.startOrchestration(sticky, "s");
      await until(async () => (await run.status()).waitingFor[0]?.kind === "event");
      const history = await run.history();
      const first = ofKind(history, "ActivityCompleted")[0]?.result as "ada" | "ben";
      await workers[first][how]();
      if (how === "die") await pass(12);
      await run.raiseEvent("more");
      await until(async () => (await run.status()).status === "completed");
      const second = first === "ada" ? "ben" : "ada";
      assert.deepEqual(await run.result(), [...Array<string>(5).fill(first), ...Array<string>(5).fill(second)]);
    });
  }
});

test("a session in use stays where it is; one that was idle for minutes may move", async (t) => {
  const { client, hire, until, pass, clock } = await shop(t);
  await hire("owner", { orchestrations: [sticky], activities: [] });
  await hire("ada");
  const run = await client.startOrchestration(sticky, "s");
  await until(async () => (await run.status()).waitingFor[0]?.kind === "event");
  const ben = await hire("ben");
  assert.ok(ben.worker);
  clock.jumpTo(clock.now() + 1_000);
  await pass(60);
  await run.raiseEvent("more");
  await until(async () => (await run.status()).status === "completed");
  assert.deepEqual(await run.result(), Array<string>(10).fill("ada"));
});

test("a call whose session is held by a worker without its tag waits until the session is idle, not for ever", async (t) => {
  const { client, hire, until, pass } = await shop(t);
  const moving = orchestration("moving", async (ctx): Promise<string[]> => {
    const first = await ctx.activity<string>("work", 1, { session: "s", tag: "left" });
    return [first, await ctx.activity<string>("work", 2, { session: "s", tag: "right" })];
  });
  await hire("ada", { orchestrations: [moving], tags: ["left"] });
  await hire("ben", { tags: ["right"] });
  const run = await client.startOrchestration(moving);
  await until(async () => (await run.status()).waitingFor[0]?.eventId === 4);

  await pass(6 * 60);

  assert.deepEqual(await run.result({ timeout: 0 }), ["ada", "ben"]);
});

test("calls of one session run in the order in which they were made", async (t) => {
  const order: number[] = [];
  let running = 0;
  let most = 0;
  const work = activity("work", async (_ctx, n: number) => {
    most = Math.max(most, ++running);
    order.push(n);
    await hop();
    running--;
  });
  const fan = orchestration("fan", async (ctx) => {
    await Promise.all(Array.from({ length: 20 }, (_, n) => ctx.activity(work, n, { session: "one" })));
  });
  const env = await environment(t, { orchestrations: [fan], activities: [work] });
  await env.result(await env.startOrchestration(fan));
  assert.deepEqual(
    order,
    Array.from({ length: 20 }, (_, n) => n),
  );
  assert.equal(most, 1, "one after another");
});

test("a cancelled call of a session never starts and lets the next one pass", async (t) => {
  const started: number[] = [];
  const door = gate();
  const work = activity("work", async (_ctx, n: number) => {
    started.push(n);
    if (n === 0) await door.opened;
    return n;
  });
  const line = orchestration("line", async (ctx) => {
    const calls = [0, 1, 2, 3].map((n) => ctx.activity(work, n, { session: "s" }));
    await ctx.waitForEvent("cancel");
    for (const n of [1, 2]) calls[n]?.cancel();
    const ends = await Promise.allSettled(calls);
    return ends.map(({ status }) => status);
  });
  const env = await environment(t, { orchestrations: [line], activities: [work] });
  const run = await env.startOrchestration(line);
  await env.until(() => env.runtime.stats().queuedWork === 3);
  await run.raiseEvent("cancel");
  await env.until(async () => (await run.status()).waitingFor.length === 2);
  door.open();
  assert.deepEqual(await env.result(run), ["fulfilled", "rejected", "rejected", "fulfilled"]);
  assert.deepEqual(started, [0, 3]);
});

test("a session survives the crash of its worker: its calls go on in order", async (t) => {
  const done: number[] = [];
  const door = gate();
  const work = activity("work", async (ctx, n: number) => {
    if (n === 2 && ctx.attempt === 1) await door.opened;
    done.push(n);
  });
  const steps = orchestration("steps", async (ctx) => {
    for (let n = 0; n < 5; n++) await ctx.activity(work, n, { session: "s" });
  });
  const env = await TestEnvironment.start({
    storage: sqlite(":memory:"),
    orchestrations: [steps],
    activities: [work],
    logger: journal(),
  });
  t.after(() => env.close());
  const run = await env.startOrchestration(steps);
  await env.until(() => done.length === 2 && env.runtime.stats().runningWork === 1);
  await env.restart();
  await env.result(run);
  assert.deepEqual(done, [0, 1, 2, 3, 4]);
  door.open();
});
