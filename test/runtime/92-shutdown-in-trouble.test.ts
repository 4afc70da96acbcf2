/** The end of a worker when it does not come easily: work that waits, a long drain, a store that is away, a real process. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  activity,
  Client,
  orchestration,
  Runtime,
  StorageError,
  type RuntimeOptions,
  type StorageProvider,
} from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { VirtualClock } from "@stet/testing";
import { gate, journal } from "./world.ts";

const hop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A store that stays open, a virtual clock, and runtimes that the test itself shuts down. */
async function yard(t: TestContext, storage: StorageProvider = sqlite(":memory:")) {
  const clock = new VirtualClock();
  const client = await Client.connect({ storage, clock });
  const alive = setInterval(() => undefined, 60_000);
  t.after(async () => {
    await client.close();
    clearInterval(alive);
  });
  return {
    clock,
    client,
    start: (options: Partial<RuntimeOptions>) => Runtime.start({ storage, clock, logger: journal(), ...options }),
    until: async (condition: () => boolean | Promise<boolean>): Promise<void> => {
      for (let steps = 0; !(await condition()); steps++) {
        assert.ok(steps < 20_000, "Expected the condition to hold at last.");
        await hop();
      }
    },
  };
}

/** Whether a promise has settled. */
function watched(promise: Promise<unknown>): { settled: boolean } {
  const state = { settled: false };
  void promise.then(
    () => (state.settled = true),
    () => (state.settled = true),
  );
  return state;
}

test("work that was not started goes back as if it had never been taken", async (t) => {
  const { start, client, until } = await yard(t);
  const door = gate();
  const attempts: string[] = [];
  const work = (name: string, effect: "idempotent" | "irreversible") =>
    activity(effect, { effect }, async (ctx, n: number) => {
      attempts.push(`${name} ${effect} ${n} ${ctx.attempt}`);
      await door.opened;
      return n;
    });
  const fan = orchestration("fan", async (ctx) => {
    const calls = [0, 1, 2].flatMap((n) => [
      ctx.activity<number>("idempotent", n),
      ctx.activity<number>("irreversible", n, { session: "s" }),
    ]);
    return Promise.all(calls);
  });
  const activities = (name: string) => [work(name, "idempotent"), work(name, "irreversible")];
  const first = await start({
    orchestrations: [fan],
    activities: activities("first"),
    concurrency: { activities: 1 },
  });
  const { instanceId } = await first.startOrchestration(fan);
  await until(() => attempts.length === 1);
  const end = first.shutdown();
  await hop();
  door.open();
  await end;
  const second = await start({ orchestrations: [fan], activities: activities("second") });
  await until(async () => (await client.stats()).instances.completed === 1);
  assert.deepEqual(await client.instance(instanceId).result(), [0, 0, 1, 1, 2, 2]);
  assert.equal(attempts.length, 6);
  assert.ok(
    attempts.every((each) => each.endsWith(" 1")),
    attempts.join(", "),
  );
  await second.shutdown();
});

test("a worker that drains for long keeps its heartbeat: nobody takes over what it is finishing", async (t) => {
  const { start, client, until, clock } = await yard(t);
  const door = gate();
  const attempts: number[] = [];
  const work = activity("work", async (ctx) => {
    attempts.push(ctx.attempt);
    await door.opened;
    return "once";
  });
  const call = orchestration("call", async (ctx) => ctx.activity(work));
  const first = await start({ orchestrations: [call], activities: [work], workerName: "first" });
  const { instanceId } = await first.startOrchestration(call);
  await until(() => attempts.length === 1);
  const second = await start({ orchestrations: [call], activities: [work], workerName: "second" });
  const end = first.shutdown({ timeout: "10m" });
  for (let seconds = 0; seconds < 60; seconds++) {
    clock.jumpTo(clock.now() + 1_000);
    for (let i = 0; i < 5; i++) await hop();
  }
  assert.deepEqual(
    (await client.stats()).workers.map(({ name }) => name),
    ["first", "second"],
  );
  door.open();
  await end;
  await until(async () => (await client.stats()).instances.completed === 1);
  assert.equal(await client.instance(instanceId).result(), "once");
  assert.deepEqual(attempts, [1]);
  await second.shutdown();
});

test("a worker whose store is away ends all the same", async (t) => {
  let away = false;
  const store = sqlite(":memory:");
  const storage = new Proxy(store, {
    get(target, name) {
      const verb: unknown = Reflect.get(target, name);
      if (typeof verb !== "function" || name === "close" || name === "onChange") return verb;
      return (...given: unknown[]): unknown =>
        away
          ? Promise.reject(new StorageError("Expected an answer, got no connection", true))
          : Reflect.apply(verb, target, given);
    },
  });
  const { start, until, clock } = await yard(t, storage);
  const door = gate();
  let running = 0;
  const work = activity("work", async () => {
    running++;
    await door.opened;
  });
  const call = orchestration("call", async (ctx) => Promise.all([1, 2, 3].map(() => ctx.activity(work))));
  const runtime = await start({ orchestrations: [call], activities: [work], concurrency: { activities: 2 } });
  await runtime.startOrchestration(call);
  await until(() => running === 2);
  away = true;
  door.open();
  const state = watched(runtime.shutdown({ timeout: "5s" }));
  for (let i = 0; i < 200 && !state.settled; i++) {
    for (let j = 0; j < 5; j++) await hop();
    clock.jumpTo(clock.now() + 100);
  }
  assert.ok(state.settled);
  away = false;
});

test("a process ends by itself after the shutdown, and stays while the runtime runs", async () => {
  const script = fileURLToPath(new URL("./shutdown-process.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [...process.execArgv, script], { timeout: 20_000 });
  assert.equal(stdout, "hello after 300 ms\nended\n");
});
