/** Real processes in each other's way: one holds the lock for too long, one is stopped, taken for dead, and goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { HistoryEvent } from "@stet/core";
import Sqlite from "better-sqlite3";
import { databaseUrl } from "../storage/postgres-database.ts";
import { allEnded, poke, pokesFor, startCrowd } from "./crowd.ts";
import { atWork, crowdedSite, soundEnd } from "./crowded-site.ts";
import type { Site, WorkerProcess } from "./site.ts";
import { readStarts } from "./starts.ts";
import { until } from "./until.ts";

test("a lock that is held longer than anybody waits, and longer than the dead are silent, harms nothing", async (t) => {
  const instances = 40;
  const site = await crowdedSite(t, instances);
  const workers = [site.launch("ada", { pauseMs: 20 }), site.launch("ben", { pauseMs: 20 })];
  await until("both to be at work", () =>
    workers.every(({ pid }) => readStarts(site.starts).some((one) => one.pid === pid)),
  );

  const holder = new Sqlite(site.store, { timeout: 5_000 });
  t.after(() => holder.close());
  holder.exec("BEGIN IMMEDIATE");
  await sleep(12_000);
  await until("both to say why they wait", () =>
    workers.every(({ log }) => /trying again.*another process holds its lock/.test(log())),
  );
  holder.exec("COMMIT");

  const { startedAgain, unknownOutcomes } = await soundEnd(site, instances);
  assert.deepEqual([startedAgain, unknownOutcomes], [0, 0], "no result was lost, so nothing was done twice");
  for (const { log } of workers) assert.doesNotMatch(log(), /dead/, "those who wait for the same lock are not dead");
});

for (const [where, server] of [
  ["a file", () => undefined],
  ["PostgreSQL", databaseUrl],
] as const) {
  test(`a worker that is stopped, taken for dead and continued changes nothing and comes back, on ${where}`, async (t) => {
    const instances = 40;
    const site = await crowdedSite(t, instances, server());
    const stale = site.launch("stale", { pauseMs: 50, lagMs: 2_000 });
    await atWork(site);
    await until("it to stop outside a transaction: with the file's lock in its hand nobody could be its heir", () => {
      stale.signal("SIGSTOP");
      if (server() !== undefined || isUnlocked(site.store)) return true;
      stale.signal("SIGCONT");
      return false;
    });
    const heir = site.launch("heir");
    await until("the heir to be ready", heir.isReady);
    assert.ok(!tells(heir, "buried", "stale"), "it is not dead yet: its process is there");

    await until("all instances to end", () => allEnded(site.client), { everyMs: 50 });
    assert.ok(tells(heir, "buried", "stale"), "the heir waited, and took over");
    const before = await histories(site);
    stale.signal("SIGCONT");
    await until("the stale one to notice", () => tells(stale, "declaredDead", "stale"));
    await until("the stale one to come back", async () => (await site.client.stats()).workers.length === 2);

    assert.ok(
      stale.reports().some((report) => report.said === "refused"),
      "it tried to commit, and was refused",
    );
    assert.deepEqual(await histories(site), before);
    await heir.kill();
    await startCrowd(site.client, 5, instances);
    await poke(site.client, pokesFor(5, instances));
    await soundEnd(site, instances + 5, { timeIsOut: true });
    assert.ok(readStarts(site.starts).some(({ key, pid }) => key.startsWith(`w-${instances}/`) && pid === stale.pid));
  });
}

/** Whether a worker said that the registration of one, itself or another, has changed. */
function tells({ reports }: WorkerProcess, change: string, worker: string): boolean {
  return reports().some(
    (report) => report.said === "ownership" && report.change === change && report.worker === worker,
  );
}

async function histories({ client }: Site): Promise<Map<string, readonly HistoryEvent[]>> {
  const found = new Map<string, readonly HistoryEvent[]>();
  for (const { instanceId } of (await client.list({ limit: 1_000 })).instances) {
    for (const { execution } of await client.executions(instanceId)) {
      found.set(`${instanceId}/${execution}`, await client.instance(instanceId).history(execution));
    }
  }
  return found;
}

function isUnlocked(file: string): boolean {
  const store = new Sqlite(file, { timeout: 500 });
  try {
    store.exec("BEGIN IMMEDIATE");
    store.exec("ROLLBACK");
    return true;
  } catch {
    return false;
  } finally {
    store.close();
  }
}
