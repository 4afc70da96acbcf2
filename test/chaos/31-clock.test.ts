/**
 * Clocks that are set, and time that is skipped: nothing is lost, nothing comes before its time, nobody is buried alive,
 * and a month costs as many wake-ups as a minute.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { activity, orchestration, Runtime, type Logger, type StorageProvider } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { TestEnvironment, VirtualClock } from "@stet/testing";
import { Chance } from "./chance.ts";

const hour = 3_600_000;
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const alive = setInterval(() => undefined, 60_000);
test.after(() => clearInterval(alive)); // virtual time keeps no process alive

for (let seed = 1; seed <= 20; seed++) {
  test(`a clock that is set by an hour, again and again, loses nothing and fires nothing early (seed ${seed})`, async () => {
    const chance = new Chance(seed);
    let tries = 0;
    const flaky = activity("flaky", { retry: { maxAttempts: 5, initialInterval: "10m" } }, async (ctx) => {
      ctx.heartbeat("alive");
      if (++tries < 3) throw new Error("not yet");
      return "at last";
    });
    const sleeper = orchestration("sleeper", async (ctx) => {
      await ctx.timer("90m");
      return ctx.activity(flaky, undefined, { session: "s" });
    });
    const main = orchestration("main", async (ctx) => {
      const child = ctx.subOrchestration(sleeper);
      const late = await ctx.waitForEvent("never", { timeout: "2h" }).catch(() => "late");
      await ctx.timer("30m");
      return [late, await child];
    });
    const env = await TestEnvironment.start({
      storage: sqlite(":memory:"),
      orchestrations: [main, sleeper],
      activities: [flaky],
      logger: silent,
    });
    const run = await env.startOrchestration(main, undefined, { instanceId: "m" });
    let jumps = 0;
    for (let steps = 0; (await run.status()).status === "running" || steps === 0; steps++) {
      assert.ok(steps < 2_000, "Expected the instance to end at last");
      if (jumps < 40 && chance.next() < 0.3) {
        jumps++;
        env.clock.setTo(env.clock.now() + (chance.next() < 0.5 ? hour : -hour));
      }
      await env.advance(chance.next() < 0.5 ? "2s" : "10m");
    }

    assert.deepEqual(await run.result(), ["late", "at last"]);
    assert.equal(tries, 3);
    for (const { instanceId } of await env.client.tree("m")) {
      const history = await env.client.instance(instanceId).history();
      for (const event of history) {
        if (event.kind !== "TimerFired") continue;
        const created = history[event.source - 1];
        assert.ok(created?.kind === "TimerCreated" && event.at >= created.fireAt, `event ${event.id} is not early`);
      }
    }
    assert.ok(jumps > 0);
    await env.close();
  });
}

for (const [direction, by] of [
  ["forward", hour],
  ["back", -hour],
] as const) {
  test(`a clock that is set ${direction} by an hour buries nobody, and no activity is started again`, async () => {
    const clock = new VirtualClock();
    const warnings: string[] = [];
    const logger: Logger = { ...silent, warn: (message) => void warnings.push(message) };
    let starts = 0;
    let finish = (): void => undefined;
    const finished = new Promise<void>((resolve) => (finish = resolve));
    const long = activity("long", { heartbeatTimeout: "10m" }, async (ctx) => {
      starts++;
      ctx.heartbeat();
      await finished;
      return "done";
    });
    const calls = orchestration("calls", async (ctx) => ctx.activity(long));
    const storage = sqlite(":memory:");
    const hire = (workerName: string): Promise<Runtime> =>
      Runtime.start({ storage, clock, logger, workerName, orchestrations: [calls], activities: [long] });
    const [ada, ben] = [await hire("ada"), await hire("ben")];
    const pass = async (seconds: number): Promise<void> => {
      for (let i = 0; i < seconds; i++) {
        clock.jumpTo(clock.now() + 1_000);
        for (let hops = 0; hops < 4; hops++) await new Promise((resolve) => setImmediate(resolve));
      }
    };

    const runs = await Promise.all(Array.from({ length: 10 }, () => ada.startOrchestration(calls)));
    await pass(3);
    clock.setTo(clock.now() + by);
    await pass(60);
    finish();
    await pass(3);

    for (const run of runs) assert.equal(await run.result(), "done");
    assert.equal(starts, 10);
    assert.deepEqual(warnings, []);
    await ada.shutdown();
    await ben.shutdown();
  });
}

/** How often a worker asks the store for something while one instance sleeps. */
async function callsDuring(sleep: "1m" | "30d"): Promise<{ readonly calls: number; readonly claims: number }> {
  const sleepy = orchestration("sleepy", async (ctx) => {
    const before = ctx.now();
    await ctx.timer(sleep);
    return ctx.now() - before;
  });
  const calls: string[] = [];
  const counted = (storage: StorageProvider): StorageProvider =>
    new Proxy(storage, {
      get(target, name) {
        const verb: unknown = Reflect.get(target, name);
        if (typeof verb === "function") calls.push(String(name));
        return verb;
      },
    });
  const env = await TestEnvironment.start({ storage: sqlite(":memory:"), wire: counted, orchestrations: [sleepy] });
  const run = await env.startOrchestration(sleepy);
  await env.settle();
  calls.length = 0;
  assert.equal(await env.result(run), sleep === "30d" ? 30 * 24 * hour : 60_000);
  const during = [...calls];
  await env.close();
  return { calls: during.length, claims: during.filter((verb) => verb === "claimTurns").length };
}

test("a timer of thirty days takes as many wake-ups as one of a minute: one", async () => {
  const minute = await callsDuring("1m");
  const month = await callsDuring("30d");

  assert.ok(month.claims >= 1 && month.claims <= 3, `${month.claims} claims`);
  assert.ok(month.calls <= 10, `${month.calls} calls`);
  assert.deepEqual(month, minute);
});
