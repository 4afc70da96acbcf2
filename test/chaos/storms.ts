/** Runs storms on workers that share a store, and looks what they left. */
import assert from "node:assert/strict";
import type { HistoryEvent } from "@stet/core";
import { openSite, type Site } from "./site.ts";
import { allInstances, assertHistory } from "./soundness.ts";
import { readStarts, startsByKey } from "./starts.ts";
import { assertIntact } from "./stores.ts";
import { branches, depth, eventsEach, senders, stormWork } from "./storm-work.ts";
import { until } from "./until.ts";

/** What is to be done. */
export interface StormPlan {
  /** Runs of each of the two storms. */
  readonly runs: number;
  readonly workers: number;
  /** A PostgreSQL server; otherwise it is a file. */
  readonly server?: string;
  /** Runs under way at a time. */
  readonly atOnce?: number;
}

/** What was found. */
export interface StormFindings {
  readonly events: number;
  readonly activityStarts: number;
  /** How many of the workers ran anything. */
  readonly atWork: number;
}

const { orchestrations, burst, target } = stormWork();

/** Runs a plan. @throws AssertionError when any of the runs is corrupted. */
export async function runStorms({ runs, workers, server, atOnce = 4 }: StormPlan): Promise<StormFindings> {
  const site = await openSite(server);
  try {
    for (let n = 0; n < workers; n++) site.launch(`worker-${n}`, { work: "storm", tags: [`process-${n}`] });
    for (let first = 0; first < runs; first += atOnce) {
      const numbers = Array.from({ length: Math.min(atOnce, runs - first) }, (_, i) => first + i);
      await Promise.all(numbers.map((n) => oneOfEach(site, n, workers)));
    }
    return await assertCalm(site);
  } catch (error) {
    throw new Error(`${String(error)}\n${await site.describe()}`, { cause: error });
  } finally {
    await site.close();
  }
}

async function oneOfEach({ client }: Site, n: number, processes: number): Promise<void> {
  const [first, second] = await Promise.all([
    client.startOrchestration(burst, undefined, { instanceId: `burst-${n}` }),
    client.startOrchestration(target, processes, { instanceId: `target-${n}` }),
  ]);
  await until(`storm ${n} to be over`, async () => {
    const states = await Promise.all([first.status(), second.status()]);
    return states.every(({ status }) => status === "completed");
  });
  const results = Array.from({ length: branches }, (_, branch) => branch + 2 * depth);
  assert.deepEqual(await first.result(), results, `the result of burst-${n}`);
  const drops = await second.result();
  assert.equal(drops.length, senders * eventsEach, `target-${n} received as many events as were sent`);
  assert.equal(new Set(drops).size, drops.length, `target-${n} received each event once`);
}

/** Every history is whole and replays, and each activity was started as often as was recorded: nobody died. */
async function assertCalm({ client, store, starts }: Site): Promise<StormFindings> {
  const started = startsByKey(readStarts(starts));
  let [events, activities] = [0, 0];
  for (const instance of await allInstances(client)) {
    assert.equal(instance.status, "completed", instance.instanceId);
    const history: readonly HistoryEvent[] = await client.instance(instance.instanceId).history();
    await assertHistory(orchestrations, instance, 1, history);
    events += history.length;
    for (const event of history) {
      if (event.kind !== "ActivityCompleted") continue;
      activities++;
      const key = `${instance.instanceId}/1/${event.source}`;
      assert.equal(started.get(key)?.length, event.attempts ?? 1, `${key} was started as often as is recorded`);
    }
  }
  assert.equal(started.size, activities, "nothing was started that no history asked for");
  const { messages, work } = await client.stats();
  assert.deepEqual([messages.ready, work.ready + work.running], [0, 0], "nothing is left");
  await assertIntact(store);
  const all = readStarts(starts);
  return { events, activityStarts: all.length, atWork: new Set(all.map(({ pid }) => pid)).size };
}
