/** Ownership: several workers on one store, workers that are taken for dead and are not, and executions that come and go. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { activity, orchestration, type StorageProvider, type TurnCommit } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { severable, TestEnvironment } from "@stet/testing";
import { assertOnce, crew, histories, hop, intercepted, pausable } from "./crew.ts";
import { gate, journal, kinds, ofKind } from "./world.ts";

test("two workers on one store run what each of them took, and each instance is recorded once", async (t) => {
  const { hire, client, store, until } = await crew(t);
  const doneBy = new Map<string, number>();
  const worker = (name: string) => {
    const step = activity("step", async (_ctx, n: number) => {
      doneBy.set(name, (doneBy.get(name) ?? 0) + 1);
      await hop();
      return n + 1;
    });
    const count = orchestration("count", async (ctx) => {
      let n = 0;
      for (let i = 0; i < 5; i++) n = await ctx.activity(step, n);
      await ctx.timer("1m");
      return ctx.activity(step, n);
    });
    return { orchestrations: [count], activities: [step], workerName: name };
  };
  const wire = pausable(store);
  await hire({ ...worker("ada"), storage: wire.storage });
  await hire(worker("ben"));
  const runs = [];
  for (let i = 0; i < 100; i++) {
    runs.push(await client.startOrchestration<number>("count"));
    if (i === 49) {
      await hop();
      wire.pause(); // the rest is for the other one
    }
  }
  await until(() => doneBy.has("ben"));
  wire.resume();
  await until(async () => (await client.stats()).instances.completed === 100, true);
  for (const run of runs) assert.equal(await run.result(), 6);
  assertOnce(await histories(client));
  assert.equal(
    [...doneBy.values()].reduce((a, b) => a + b, 0),
    600,
  );
  assert.deepEqual([...doneBy.keys()].toSorted(), ["ada", "ben"]);
});

test("a worker that is declared dead and goes on changes nothing, loses what it held, and comes back", async (t) => {
  const { hire, client, store, until, pass, log } = await crew(t);
  const wire = pausable(store);
  const runs: string[] = [];
  const door = gate();
  const worker = (name: string) => {
    const step = activity("step", async (ctx, n: number) => {
      runs.push(`${name} ${n} ${ctx.attempt}`);
      if (name === "frozen" && n === 1) await door.opened;
      return `${name} ${n}`;
    });
    const steps = orchestration("steps", async (ctx) => {
      const done: string[] = [];
      for (let n = 0; n < 4; n++) done.push(await ctx.activity(step, n));
      return done;
    });
    return { orchestrations: [steps], activities: [step], workerName: name };
  };
  const frozen = await hire({ ...worker("frozen"), storage: wire.storage });
  const run = await client.startOrchestration<string[]>("steps", undefined, { instanceId: "s" });
  await until(() => runs.includes("frozen 1 1"));
  wire.pause();
  door.open(); // it finds an answer, and cannot write it down
  const well = await hire(worker("well"));
  await pass(20);
  await until(async () => (await run.status()).status === "completed");
  assert.deepEqual(await run.result(), ["frozen 0", "well 1", "well 2", "well 3"]);
  const before = await histories(client);

  wire.resume();
  await pass(5);
  assert.deepEqual(await histories(client), before);
  assert.ok(log.lines.some(({ message }) => message.startsWith("This worker was taken for dead")));
  assert.equal(frozen.stats().cachedExecutions, 0);
  assert.deepEqual((await client.stats()).workers.map(({ name }) => name).toSorted(), ["frozen", "well"]);

  await well.shutdown();
  const next = await client.startOrchestration<string[]>("steps");
  await until(async () => (await next.status()).status === "completed");
  assert.deepEqual(await next.result(), ["frozen 0", "frozen 1", "frozen 2", "frozen 3"]);
  assertOnce(await histories(client));
});

test("an answer that a worker found while it was taken for dead is still given to the instance", async (t) => {
  const { hire, client, store, until, pass } = await crew(t);
  const wire = pausable(store);
  const runs: string[] = [];
  const door = gate();
  const slow = (name: string) =>
    activity("slow", { effect: "irreversible" }, async (ctx) => {
      runs.push(`${name} ${ctx.attempt}`);
      await door.opened;
      return name;
    });
  const call = orchestration("call", async (ctx) => {
    try {
      return await ctx.activity("slow");
    } catch (error) {
      return (error as Error).name;
    }
  });
  await hire({ orchestrations: [call], activities: [slow("frozen")], storage: wire.storage, workerName: "frozen" });
  const run = await client.startOrchestration("call");
  await until(() => runs.length === 1);
  wire.pause();
  await hire({ orchestrations: [call], activities: [slow("well")], workerName: "well" });
  await pass(20);
  await until(async () => (await run.status()).status === "completed");
  assert.equal(await run.result(), "OutcomeUnknownError");
  door.open();
  wire.resume();
  await pass(5);
  assert.deepEqual(runs, ["frozen 1"], "it is never started twice");
  assertOnce(await histories(client));
});

test("the instances of a dead worker are taken over at once when it is declared dead, with their running activities", async (t) => {
  const { hire, bury, client, store, until, pass } = await crew(t);
  const wire = severable(store);
  const attempts: string[] = [];
  const worker = (name: string) => {
    const step = activity("step", async (ctx, n: number) => {
      attempts.push(`${name} ${n} ${ctx.attempt}`);
      if (name === "dead") await new Promise(() => undefined);
      return n;
    });
    const call = orchestration("call", async (ctx, n: number) => ctx.activity(step, n));
    return { orchestrations: [call], activities: [step], workerName: name };
  };
  bury(await hire({ ...worker("dead"), storage: wire.storage }));
  const runs = [await client.startOrchestration("call", 1), await client.startOrchestration("call", 2)];
  await until(() => attempts.length === 2);
  wire.sever();
  await hire(worker("heir"));
  await pass(8);
  assert.deepEqual(attempts.toSorted(), ["dead 1 1", "dead 2 1"], "a silence of a few seconds is no death");
  await pass(5);
  await until(async () => (await client.stats()).instances.completed === 2);
  assert.deepEqual([await runs[0]?.result(), await runs[1]?.result()], [1, 2]);
  assert.deepEqual(attempts.toSorted(), ["dead 1 1", "dead 2 1", "heir 1 2", "heir 2 2"]);
  assertOnce(await histories(client));
});

for (const seconds of [8, 12, 30]) {
  test(`workers whose store was away for ${seconds} s do not take each other for dead when it is back`, async (t) => {
    const { hire, client, store, until, pass, log } = await crew(t);
    const wire = pausable(store);
    const door = gate();
    let runs = 0;
    const hold = activity("hold", async () => {
      runs++;
      await door.opened;
      return "held";
    });
    const call = orchestration("call", async (ctx) => ctx.activity(hold));
    for (const workerName of ["ada", "ben"]) {
      await hire({ orchestrations: [call], activities: [hold], storage: wire.storage, workerName });
      await pass(1); // so that their heartbeats do not fall together
    }
    const run = await client.startOrchestration(call);
    await until(() => runs === 1);

    wire.pause();
    await pass(seconds);
    wire.resume();
    await pass(30);
    door.open();

    await until(async () => (await run.status()).status === "completed");
    assert.equal(runs, 1);
    assert.deepEqual(
      log.lines.filter(({ message }) => message.includes("dead")),
      [],
    );
  });
}

test("an answer that arrives while the instance is taken over is not asked for a second time", async (t) => {
  const { hire, bury, client, store, until } = await crew(t);
  const door = gate();
  let [runs, done] = [0, 0];
  const pay = activity("pay", { effect: "irreversible" }, async () => {
    runs++;
    await door.opened;
    return "paid";
  });
  const hold = (own: () => Promise<void>) => activity("hold", own);
  const call = orchestration("call", async (ctx) => {
    const [paid] = await Promise.all([ctx.activity(pay), ctx.activity(hold(async () => {}))]);
    return paid;
  });
  const atHand = intercepted(store, "completeWork", async (call) => {
    await call();
    done++;
  });
  await hire({ activities: [pay], storage: atHand, workerName: "hand" });
  const wire = severable(store);
  const endless = hold(() => new Promise(() => undefined));
  bury(await hire({ orchestrations: [call], activities: [endless], storage: wire.storage, workerName: "dead" }));
  const run = await client.startOrchestration(call);
  await until(() => runs === 1);
  wire.sever();
  const [dead] = (await store.listWorkers(0)).filter(({ name }) => name === "dead");
  await store.releaseWorker(dead!.key);

  const late = intercepted(store, "readHistory", async (call) => {
    door.open();
    await until(() => done === 1);
    return call();
  });
  const askedAgain: string[] = [];
  const watched = intercepted(late, "commitTurns", (commit, [, commits]) => {
    for (const { work } of commits as TurnCommit[]) askedAgain.push(...work.map(({ name }) => name));
    return commit();
  });
  await hire({ orchestrations: [call], activities: [hold(async () => {})], storage: watched, workerName: "heir" });

  await until(async () => (await run.status()).status !== "running");
  assert.equal(await run.result(), "paid");
  assert.deepEqual(askedAgain, ["hold"], "nobody answered this one");
  assert.equal(runs, 1);
});

/** Something of everything that happens step by step, so that two runs of it have the same history. */
function sequential() {
  const step = activity(
    "step",
    { retry: { maxAttempts: 3, initialInterval: "1s", jitter: 0 } },
    async (ctx, n: number) => {
      if (n % 3 === 0 && ctx.attempt === 1) throw new Error("once");
      return n + 1;
    },
  );
  const child = orchestration("child", async (ctx, n: number) => ctx.activity(step, n));
  const work = orchestration("work", async (ctx, n: number): Promise<number> => {
    const first = await ctx.activity(step, n);
    ctx.state.set("first", first);
    await ctx.timer(((n % 5) + 1) * 60_000);
    const second = await ctx.subOrchestration(child, first);
    ctx.sendEvent(ctx.instanceId, "note", { second, random: ctx.random(), id: ctx.uuid(), at: ctx.now() });
    const note = await ctx.waitForEvent<{ second: number }>("note", { timeout: "1h" });
    return ctx.execution === 1 ? ctx.continueAsNew(note.second) : note.second;
  });
  return { orchestrations: [work, child], activities: [step], work };
}

test("a cache of two executions gives the same histories as a cache for all", async () => {
  const record = async (cacheSize: number) => {
    const { orchestrations, activities, work } = sequential();
    const storage = sqlite(":memory:");
    const env = await TestEnvironment.start({ storage, orchestrations, activities, cacheSize, logger: journal() });
    for (let i = 0; i < 20; i++) await env.startOrchestration(work, i, { instanceId: `w-${i}` });
    await env.advance("1h");
    const found = await histories(env.client);
    const { cachedExecutions } = env.runtime.stats();
    assert.equal((await env.client.stats()).instances.completed, 60);
    await env.close();
    assert.ok(cachedExecutions <= cacheSize);
    return new Map([...found].toSorted(([a], [b]) => a.localeCompare(b)));
  };
  assert.deepEqual(await record(2), await record(10_000));
});

test("each request of an owned instance runs here or has a row, after every turn, whatever comes and goes", async () => {
  const door = gate();
  const seen = new Set<string>();
  const hold = activity("hold", async (ctx) => {
    seen.add(ctx.idempotencyKey);
    ctx.signal.addEventListener("abort", () => undefined);
    await door.opened;
    return 1;
  });
  const beat = activity("beat", { retry: { maxAttempts: 5, initialInterval: "5s" } }, async (ctx) => {
    seen.add(ctx.idempotencyKey);
    ctx.heartbeat(ctx.attempt);
    await hop();
    if (ctx.attempt < 3) throw new Error("again");
    return 2;
  });
  const pay = activity("pay", { effect: "irreversible" }, async (ctx) => {
    seen.add(ctx.idempotencyKey);
    await hop();
    return 3;
  });
  const work = orchestration("work", async (ctx) => {
    const held = [ctx.activity(hold), ctx.activity(beat), ctx.activity("unheardOf")] as const;
    await ctx.activity(pay);
    await ctx.timer("10s");
    const sticky = ctx.activity(beat, undefined, { session: "s" });
    await ctx.timer("10s");
    held[2].cancel();
    await held[2].catch(() => undefined);
    return [await held[0], await held[1], await sticky];
  });

  const store = sqlite(":memory:");
  const owners = new Map<unknown, string>();
  let checks = 0;
  const uncovered: string[] = [];
  /** Outstanding work of an instance must be known to this worker or to the store. */
  const check = async (key: string | number): Promise<void> => {
    const instanceId = owners.get(key) ?? "";
    const { instances } = await env.client.list({ idPrefix: instanceId });
    if (instances[0]?.status !== "running") return;
    const history = await env.client.instance(instanceId).history();
    const open = new Set(ofKind(history, "ActivityScheduled").map(({ id }) => id));
    for (const event of history) if ("source" in event) open.delete(event.source);
    const rows = new Set((await store.readWork([{ key, execution: 1 }]))[0]);
    checks++;
    for (const id of open)
      if (!rows.has(id) && !seen.has(`${instanceId}/1/${id}`)) uncovered.push(`${instanceId}/${id}`);
  };
  const storage = new Proxy(store, {
    get(target, name) {
      if (name === "claimTurns") {
        return async (...given: Parameters<StorageProvider["claimTurns"]>) => {
          const turns = await target.claimTurns(...given);
          for (const { key, instanceId } of turns) owners.set(key, instanceId);
          return turns;
        };
      }
      if (name !== "commitTurns") return Reflect.get(target, name) as unknown;
      return async (...given: Parameters<StorageProvider["commitTurns"]>) => {
        const outcomes = await target.commitTurns(...given);
        given[1].forEach(({ key, keep }, i) => {
          if (outcomes[i] === "committed" && keep) setImmediate(() => void check(key));
        });
        return outcomes;
      };
    },
  });
  const options = { storage, orchestrations: [work], activities: [hold, beat, pay], logger: journal(), cacheSize: 2 };
  const env = await TestEnvironment.start(options);
  const runs = [];
  for (let i = 0; i < 6; i++) runs.push(await env.startOrchestration(work, undefined, { instanceId: `i${i}` }));
  const pass = async (): Promise<void> => {
    for (let i = 0; i < 16; i++) {
      for (let j = 0; j < 20; j++) await hop();
      env.clock.jumpTo(env.clock.now() + 500);
    }
  };
  for (let crashes = 0; crashes < 3; crashes++) {
    await pass();
    seen.clear();
    await env.restart();
  }
  await pass();
  door.open();
  for (const run of runs) assert.deepEqual(await env.result(run), [1, 2, 2]);
  await env.close();
  assert.ok(checks > 30, `${checks} checks`);
  assert.deepEqual(uncovered, []);
});

test("what a worker released by eviction another one runs", async (t) => {
  const { hire, client, until } = await crew(t);
  const waits = orchestration("waits", async (ctx) => ctx.waitForEvent("go"));
  const first = await hire({ orchestrations: [waits], workerName: "first" });
  const run = await client.startOrchestration(waits);
  await until(() => first.stats().cachedExecutions === 1 && first.isIdle);
  const second = await hire({ orchestrations: [waits], workerName: "second" });
  await first.evictCache();
  assert.equal(first.stats().cachedExecutions, 0);
  await first.shutdown();
  await run.raiseEvent("go", "on");
  await until(async () => (await run.status()).status === "completed");
  assert.equal(await run.result(), "on");
  assert.equal(second.stats().cachedExecutions, 0);
  assert.deepEqual(kinds(await run.history()), [
    "OrchestrationStarted",
    "EventAwaited",
    "EventReceived",
    "OrchestrationCompleted",
  ]);
});

test("a late cancellation stops no work of an instance made anew under the same id", async (t) => {
  const { store, client, hire, until } = await crew(t);
  const [late, opened] = [gate(), gate()];
  let starts = 0;
  const slow = activity("slow", async (_ctx, input: string) => {
    starts++;
    await opened.opened;
    return input;
  });
  const calling = orchestration("calling", async (ctx, input: string) => ctx.activity(slow, input));
  const cancelled = intercepted(store, "commitTurns", async (commit, [, commits]) => {
    const outcomes = await commit();
    if ((commits as TurnCommit[]).some(({ ended }) => ended?.status === "cancelled")) await late.opened;
    return outcomes;
  });
  await hire({ storage: cancelled, orchestrations: [calling], activities: [slow] });
  const first = await client.startOrchestration(calling, "first", { instanceId: "again" });
  await until(() => starts === 1);
  await first.cancel();
  await until(async () => (await first.status()).status === "cancelled"); // and its worker does not know yet

  await client.delete("again");
  await hire({ orchestrations: [calling] });
  const second = await client.startOrchestration(calling, "second", { instanceId: "again" });
  await until(() => starts === 2);
  late.open();
  for (let i = 0; i < 10; i++) await hop();
  opened.open();
  await until(async () => (await second.status()).status !== "running");

  assert.equal(await second.result(), "second");
});

test("evictCache() takes nothing from a turn that is being committed: its activities are not started again", async (t) => {
  const { store, hire, until, pass } = await crew(t);
  const answered = gate();
  const committed = gate();
  let starts = 0;
  let isCommitting = false;
  const work = activity("work", async () => {
    starts++;
    await answered.opened;
  });
  const calls = orchestration("calls", async (ctx) => ctx.activity(work));
  const code = { orchestrations: [calls], activities: [work] };
  const slow = intercepted(store, "commitTurns", async (call, [, commits]) => {
    if ((commits as readonly TurnCommit[]).some(({ expectedEventId }) => expectedEventId > 0)) {
      isCommitting = true;
      await committed.opened;
    }
    return call();
  });
  const ada = await hire({ ...code, storage: slow });
  const run = await ada.startOrchestration(calls);
  await until(() => starts === 1);
  await hire(code);

  answered.open();
  await until(() => isCommitting);
  const evicting = ada.evictCache();
  await pass(2);
  committed.open();
  await evicting;

  await until(async () => (await run.status()).status === "completed");
  assert.equal(starts, 1);
});

test("stet:ownership tells of a worker from its registration to its end", async (t) => {
  const { hire, until } = await crew(t);
  const heard: unknown[] = [];
  const listener = (message: unknown): void => void heard.push(message);
  subscribe("stet:ownership", listener);
  t.after(() => unsubscribe("stet:ownership", listener));
  const wait = orchestration("wait", async (ctx) => ctx.waitForEvent("go"));
  const ada = await hire({ orchestrations: [wait], workerName: "ada" });
  const runs = [await ada.startOrchestration(wait), await ada.startOrchestration(wait)];
  await until(() => ada.stats().cachedExecutions === 2);
  await ada.evictCache();
  for (const run of runs) await run.raiseEvent("go");
  await Promise.all(runs.map((run) => run.result()));
  await ada.shutdown();

  assert.deepEqual(heard, [
    { change: "registered", worker: "ada" },
    { change: "released", worker: "ada", instances: 2 },
    { change: "released", worker: "ada" },
  ]);
});
