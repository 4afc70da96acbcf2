/** Takeover: a worker dies that owned much, and those that are left share it. On SQLite and on postgres. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { activity, orchestration, type ClaimedTurn, type ExecutionKey, type StorageProvider } from "@stet/core";
import { severable } from "@stet/testing";
import { assertOnce, crew, histories, hop, intercepted } from "./crew.ts";
import { kindsOfStores } from "./stores.ts";

/** What one worker asked its store for. */
interface Record {
  /** How many instances each of its claims handed out. */
  readonly claims: number[];
  readonly loaded: ExecutionKey[];
  buried: number;
}

function recorded(store: StorageProvider): Record & { readonly storage: StorageProvider } {
  const record = { claims: [] as number[], loaded: [] as ExecutionKey[], buried: 0 };
  const claims = intercepted(store, "claimTurns", async (call) => {
    const turns = (await call()) as ClaimedTurn[];
    record.claims.push(turns.length);
    return turns;
  });
  const reads = intercepted(claims, "readHistory", (call, [executions]) => {
    record.loaded.push(...(executions as ExecutionKey[]));
    return call();
  });
  const storage = intercepted(reads, "releaseWorker", (call) => {
    record.buried++;
    return call();
  });
  return Object.assign(record, { storage });
}

for (const [kind, newStore] of Object.entries(kindsOfStores)) {
  test(`${kind}: four workers share what a dead one owned: buried once, loaded once, in bounded claims`, async (t) => {
    const count = 1_500;
    const { hire, bury, client, clock, store, until, pass } = await crew(t, newStore());
    const starts: string[] = [];
    const worker = (name: string, ends: boolean) => {
      const hold = activity("hold", async () => {
        starts.push(name);
        if (!ends) await new Promise(() => undefined);
        return name;
      });
      const held = orchestration("held", async (ctx) => ctx.activity(hold));
      const concurrency = { activities: count };
      return { orchestrations: [held], activities: [hold], workerName: name, concurrency };
    };
    const wire = severable(store);
    bury(await hire({ ...worker("dead", false), storage: wire.storage }));
    const runs = await Promise.all(Array.from({ length: count }, () => client.startOrchestration<string>("held")));
    await until(() => starts.length === count);
    const names = ["ada", "ben", "cleo", "dan"];
    const records = new Map(names.map((name) => [name, recorded(store)]));
    for (const name of names) {
      await hire({ ...worker(name, true), storage: records.get(name)!.storage });
      clock.jumpTo(clock.now() + 500); // so that their heartbeats do not fall together
    }

    wire.sever();
    starts.length = 0;
    await pass(9, 250);
    assert.equal(starts.length, 0, "a silence of nine seconds is no death");
    const before = new Map(names.map((name) => [name, records.get(name)!.claims.length]));
    await pass(4, 250);
    await until(async () => (await client.stats()).instances.completed === count);

    const all = names.map((name) => records.get(name)!);
    assert.equal(
      all.reduce((sum, { buried }) => sum + buried, 0),
      1,
      "one of them buried it",
    );
    const loaded = all.flatMap((record) => record.loaded.map(({ key }) => key));
    assert.equal(loaded.length, count);
    assert.equal(new Set(loaded).size, count, "none is loaded twice");
    const shares = all.map((record) => record.loaded.length);
    assert.ok(Math.min(...shares) > 0 && Math.max(...shares) < 0.9 * count, `none has it all: ${shares.join(", ")}`);
    const claims = names.map((name) => records.get(name)!.claims.slice(before.get(name)));
    assert.ok(Math.max(...claims.flat()) <= 512);
    // Two for each instance, for itself and for its answer, in claims that double from 16 or so.
    assert.ok(claims.flat().length < 100, `nobody asks again and again: ${JSON.stringify(claims)}`);
    assert.ok(
      claims.every((sizes) => sizes.filter((size) => size === 0).length < 10),
      "nor in vain",
    );
    assert.equal(starts.length, count);
    const results = new Set(await Promise.all(runs.map((run) => run.result())));
    assert.ok([...results].every((name) => names.includes(name)));
    assertOnce(await histories(client));
  });

  test(`${kind}: what a dead process of the same host owned is taken over at once, without time passing`, async (t) => {
    const { hire, client, store, until, clock } = await crew(t, newStore());
    const began = clock.now();
    const wait = orchestration("wait", async (ctx) => ctx.waitForEvent("go"));
    const ada = await hire({ orchestrations: [], workerName: "ada" });
    const { host } = (await store.listWorkers(clock.now()))[0]!;
    const { pid } = spawnSync(process.execPath, ["--version"]);
    const capabilities = { orchestrations: ["wait", "wait@1"], activities: [], models: false, tags: [] };
    const gone = await store.registerWorker({ name: "gone", host, pid, capabilities, now: clock.now() });
    const run = await client.startOrchestration(wait);
    const claim = { worker: gone, now: clock.now(), max: 10, orchestrations: ["wait"], buildId: "any" };
    assert.equal((await store.claimTurns(claim)).length, 1);

    const ben = await hire({ orchestrations: [wait], workerName: "ben" });
    await until(() => ben.stats().cachedExecutions === 1);

    await run.raiseEvent("go", "on");
    await until(async () => (await run.status()).status === "completed");
    assert.equal(clock.now(), began);
    assert.deepEqual(
      (await client.stats()).workers.map(({ name }) => name),
      ["ada", "ben"],
    );
    await ada.shutdown();
    await hop();
  });
}
