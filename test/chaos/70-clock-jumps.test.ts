/** Real processes whose clocks jump by an hour while they work, and such whose clocks differ. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { databaseUrl } from "../storage/postgres-database.ts";
import { poke, pokesFor, startCrowd } from "./crowd.ts";
import { atWork, crowdedSite, soundEnd } from "./crowded-site.ts";
import type { Site, WorkerProcess } from "./site.ts";
import { readStarts } from "./starts.ts";
import { until } from "./until.ts";

const hourMs = 3_600_000;

/** Until nothing is left that could go on by the clock of this process. */
async function nothingIsDue({ client }: Site): Promise<void> {
  let quiet = 0;
  await until("what is due to be done", async () => {
    const { messages, work } = await client.stats();
    quiet = messages.ready + work.ready + work.running === 0 ? quiet + 1 : 0;
    return quiet > 20;
  });
}

/** Every timer that fired did so when the clock of the worker said that it was time. */
async function assertInTime({ client }: Site): Promise<number> {
  let fired = 0;
  for (const { instanceId } of (await client.list({ limit: 1_000 })).instances) {
    for (const { execution } of await client.executions(instanceId)) {
      const history = await client.instance(instanceId).history(execution);
      for (const event of history) {
        if (event.kind !== "TimerFired") continue;
        const timer = history[event.source - 1];
        assert.ok(timer?.kind === "TimerCreated" && timer.fireAt <= event.at, `${instanceId}: fired too early`);
        fired++;
      }
    }
  }
  return fired;
}

function assertNobodyDied(workers: readonly WorkerProcess[]): void {
  for (const { name, log } of workers) assert.doesNotMatch(log(), /dead/, `nobody is dead for ${name}`);
}

for (const [way, shiftMs] of [
  ["ahead", hourMs],
  ["behind", -hourMs],
] as const) {
  test(`a clock that jumps an hour ${way} and back loses nothing, kills nobody and fires no timer early`, async (t) => {
    const site = await crowdedSite(t, 30);
    const workers = [site.launch("ada", { pauseMs: 20 }), site.launch("ben", { pauseMs: 20 })];
    const shift = (by: number) => workers.forEach(({ tell }) => tell({ shiftMs: by }));
    await atWork(site, 100);
    shift(shiftMs);
    await atWork(site, 200);
    await startCrowd(site.client, 10, 30);
    await poke(site.client, pokesFor(10, 30));
    await atWork(site, 400);
    shift(0);
    await nothingIsDue(site);

    const left = (await site.client.stats()).instances.running;
    t.diagnostic(`${left} instances sleep until the clock is where it was when they fell asleep`);
    if (way === "behind") assert.equal(left, 0, "nobody fell asleep in the future");
    shift(hourMs);
    const { startedAgain, unknownOutcomes } = await soundEnd(site, 40, { timeIsOut: true });

    assert.deepEqual([startedAgain, unknownOutcomes], [0, 0], "nobody took anything from anybody");
    assert.ok((await assertInTime(site)) >= 2 * 40 * 2);
    assertNobodyDied(workers);
    assert.equal((await site.client.stats()).workers.length, 2);
  });
}

test("workers on PostgreSQL whose clocks are two minutes apart lose nothing to each other and fire no timer early", async (t) => {
  const instances = 60;
  const site = await crowdedSite(t, 0, databaseUrl());
  const workers = [site.launch("ahead", { shiftMs: 60_000 }), site.launch("behind", { shiftMs: -60_000 })];
  await until("both to be ready", () => workers.every(({ isReady }) => isReady()));
  // Bit by bit, so that each of them gets some.
  for (let n = 0; n < instances; n++) await startCrowd(site.client, 1, n);
  await poke(site.client, pokesFor(instances));

  const { startedAgain, unknownOutcomes } = await soundEnd(site, instances, { timeIsOut: true });

  const pids = new Set(readStarts(site.starts).map(({ pid }) => pid));
  assert.equal(pids.size, 2, "both were at work");
  assert.deepEqual([startedAgain, unknownOutcomes], [0, 0], "nobody took anything from anybody");
  assert.ok((await assertInTime(site)) >= 2 * instances * 2);
  assertNobodyDied(workers);
  assert.equal((await site.client.stats()).workers.length, 2);
});
