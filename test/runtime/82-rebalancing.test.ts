/** Rebalancing: a worker that is busy gives idle instances away to one that has time. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { activity, orchestration, type Runtime } from "@stet/core";
import { assertOnce, busyClock, crew, histories, intercepted, pausable } from "./crew.ts";
import { gate, ofKind } from "./world.ts";

/** A crew whose instances wait for messages and say who answered each. */
async function fleet(t: TestContext) {
  const all = await crew(t);
  const made: string[] = [];
  const hire = async (name: string, { version = "1", storage = all.store } = {}) => {
    const clock = busyClock(all.clock);
    const listens = orchestration("listens", { version }, async (ctx) => {
      for (let i = 0; i < 100; i++) {
        await ctx.waitForEvent("ask");
        await ctx.activity("answer");
      }
    });
    const answer = activity("answer", async () => name);
    const worker = await all.hire({
      orchestrations: [listens],
      activities: [answer],
      workerName: name,
      clock,
      storage,
    });
    return Object.assign(worker, { clock });
  };
  return {
    ...all,
    hire,
    start: async (count: number, owner: Runtime) => {
      for (let i = 0; i < count; i++) made.push((await all.client.startOrchestration("listens")).instanceId);
      await all.until(() => owner.stats().cachedExecutions === made.length && owner.isIdle);
    },
    /** Asks all instances and says how many each worker has answered last. */
    ask: async (): Promise<Map<unknown, number>> => {
      await Promise.all(made.map((id) => all.client.instance(id).raiseEvent("ask")));
      await all.pass(1);
      const by = new Map<unknown, number>();
      for (const id of made) {
        const answer = ofKind(await all.client.instance(id).history(), "ActivityCompleted").at(-1)?.result;
        by.set(answer, (by.get(answer) ?? 0) + 1);
      }
      return by;
    },
    releases: () => all.calls.get("releaseInstances") ?? 0,
  };
}

test("a busy worker gives idle instances to one that has time, who then answers for them", async (t) => {
  const { hire, start, ask, pass, client } = await fleet(t);
  const ada = await hire("ada");
  await start(40, ada);
  const ben = await hire("ben");

  ada.clock.busy = 1;
  await pass(4);
  assert.deepEqual(
    (await client.stats()).workers.map(({ name, busy }) => [name, busy]),
    [
      ["ada", 1],
      ["ben", 0],
    ],
  );
  const kept = ada.stats().cachedExecutions;
  assert.ok(kept <= 20 && kept >= 10, `half of them at each of one or two heartbeats: ${kept} are left`);
  ada.clock.busy = 0.6;
  await pass(2);
  const by = await ask();

  assert.deepEqual(Object.fromEntries(by), { ada: kept, ben: 40 - kept });
  assert.equal(ben.stats().cachedExecutions, 40 - kept);
  assertOnce(await histories(client));
});

test("nothing moves, and nothing more is asked of the store, where nobody is busy, all are, or one is alone", async (t) => {
  const { hire, start, pass, releases, calls } = await fleet(t);
  const ada = await hire("ada");
  await start(40, ada);
  const costOf = async (seconds: number) => {
    const before = new Map(calls);
    await pass(seconds);
    return new Map([...calls].map(([verb, count]) => [verb, count - (before.get(verb) ?? 0)]));
  };

  const alone = await costOf(60);
  ada.clock.busy = 1;
  assert.deepEqual(await costOf(60), alone, "nobody to give to");
  ada.clock.busy = 0;
  const ben = await hire("ben");
  await pass(2);
  const idle = await costOf(60);
  for (const busy of [0.4, 1]) {
    for (const worker of [ada, ben]) worker.clock.busy = busy;
    await pass(4);
    assert.deepEqual(await costOf(60), idle, `both are busy for ${busy} of their time`);
  }

  assert.equal(releases(), 0);
  assert.equal(ada.stats().cachedExecutions, 40);
});

test("nothing is given to a worker that cannot run it, or holds its event loop", async (t) => {
  const { hire, start, pass, releases, store } = await fleet(t);
  const ada = await hire("ada");
  await start(10, ada);
  await hire("another version", { version: "2" });
  ada.clock.busy = 1;
  await pass(10);
  assert.equal(releases(), 0);

  ada.clock.busy = 0;
  const wire = pausable(store);
  await hire("one that computes", { storage: wire.storage });
  await pass(2);
  wire.pause();
  await pass(4);
  ada.clock.busy = 1;
  await pass(4);
  assert.equal(releases(), 0);

  wire.resume();
  await pass(10);
  assert.ok(releases() > 0);
});

test("only what the other can run is given to it", async (t) => {
  const all = await crew(t);
  const waiting = (name: string) => orchestration(name, async (ctx) => ctx.waitForEvent("never"));
  const clock = busyClock(all.clock);
  const ada = await all.hire({ orchestrations: [waiting("shared"), waiting("own")], clock });
  for (let i = 0; i < 20; i++) await all.client.startOrchestration(i % 2 === 0 ? "shared" : "own");
  await all.until(() => ada.stats().cachedExecutions === 20 && ada.isIdle);
  await all.hire({ orchestrations: [waiting("shared")] });

  clock.busy = 1;
  await all.pass(20);

  assert.equal(ada.stats().cachedExecutions, 10);
});

test("what those who have time do not take is taken by the busy one, a little at a time", async (t) => {
  const { hire, start, ask, pass, store } = await fleet(t);
  const ada = await hire("ada");
  await start(100, ada);
  await hire("one who cannot", { storage: intercepted(store, "claimTurns", async () => []) });

  ada.clock.busy = 1;
  await pass(20);
  assert.equal(ada.stats().cachedExecutions, 1);
  await ask();
  assert.ok(ada.stats().cachedExecutions < 40);
  await pass(20);

  assert.deepEqual(Object.fromEntries(await ask()), { ada: 100 });
});

test("what has work running here stays", async (t) => {
  const all = await crew(t);
  const door = gate();
  const hold = activity("hold", async () => door.opened);
  const held = orchestration("held", async (ctx) => ctx.activity(hold));
  const code = { orchestrations: [held], activities: [hold] };
  const clock = busyClock(all.clock);
  const ada = await all.hire({ ...code, clock });
  for (let i = 0; i < 10; i++) await all.client.startOrchestration(held);
  await all.until(() => ada.stats().runningWork === 10);
  await all.hire(code);

  clock.busy = 1;
  await all.pass(10);

  assert.equal(ada.stats().cachedExecutions, 10);
  door.open();
  await all.until(async () => (await all.client.stats()).instances.completed === 10);
});

test("a fleet whose load goes with what it owns settles, and then moves nothing any more", async (t) => {
  const { hire, start, ask, pass, releases, client } = await fleet(t);
  const ada = await hire("ada");
  await start(90, ada);
  const workers = [ada, await hire("ben"), await hire("cleo")];
  const round = async () => {
    await ask();
    for (const worker of workers) worker.clock.busy = Math.min(1, worker.stats().cachedExecutions / 60);
  };

  for (let i = 0; i < 20; i++) await round();
  const settled = releases();
  assert.ok(settled > 0);
  for (let i = 0; i < 20; i++) await round();

  assert.equal(releases(), settled);
  const owned = (await client.stats()).workers.map(({ instances }) => instances);
  assert.equal(
    owned.reduce((a, b) => a + b, 0),
    90,
  );
  assert.ok(Math.max(...owned) <= 45, owned.join(" "));
  await pass(1);
});

test("of many that come at once no worker takes all, however many it has taken before", async (t) => {
  const { hire, client, until, pass } = await crew(t);
  const doneBy = new Map<string, number>();
  const worker = (workerName: string) => {
    const note = activity("note", async () => void doneBy.set(workerName, (doneBy.get(workerName) ?? 0) + 1));
    return {
      orchestrations: [orchestration("noted", async (ctx) => ctx.activity(note))],
      activities: [note],
      workerName,
    };
  };
  await hire(worker("ada"));
  await hire(worker("ben"));
  await pass(3); // each knows of the other
  for (const burst of [600, 300]) {
    doneBy.clear();
    const { instances } = await client.stats();
    await Promise.all(Array.from({ length: burst }, () => client.startOrchestration("noted")));
    await until(async () => (await client.stats()).instances.completed === instances.completed + burst);
  }
  assert.equal((doneBy.get("ada") ?? 0) + (doneBy.get("ben") ?? 0), 300);
  assert.ok(Math.min(doneBy.get("ada") ?? 0, doneBy.get("ben") ?? 0) >= 60, JSON.stringify([...doneBy]));
});
