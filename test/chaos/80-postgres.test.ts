/** Real processes on a real PostgreSQL server: killed, cut off from it, and the server struck down. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StorageChange } from "@stet/core";
import { databaseUrl } from "../storage/postgres-database.ts";
import { killAgainAndAgain } from "./kill-run.ts";
import { openNetwork } from "./network.ts";
import { newDatabase, storeAt } from "./stores.ts";
import { until } from "./until.ts";

const seed = Number(process.env["STET_SEED"] ?? Date.now() % 1_000_000_000);

test(`workers are killed, their connections fail, and their server falls three times (seed ${seed})`, async (t) => {
  const report = await killAgainAndAgain({ seed, storage: "postgres", instances: 100, strikes: 20, workers: 3 });

  t.diagnostic(JSON.stringify({ seed, ...report }));
  assert.ok(
    report.underWay.every((count) => count > 0),
    "every strike found instances under way",
  );
  assert.equal(report.struck["restart"], 3);
});

test("who listens on a connection that has become silent for ever notices, and listens on another", async (t) => {
  const { address, remove } = await newDatabase(databaseUrl());
  t.after(remove);
  const network = await openNetwork(address);
  t.after(network.close);
  const [listener, teller] = [storeAt(network.through(address)), storeAt(address)];
  for (const store of [listener, teller]) {
    await store.open();
    t.after(() => store.close());
  }
  const heard: StorageChange[] = [];
  listener.onChange((change) => heard.push(change));
  let told = 0;
  const hears = async () => {
    const instanceId = `told-${told++}`;
    await teller.startInstances([{ instanceId, name: "a", body: "start", at: Date.now() }]);
    return heard.some(({ instances }) => instances !== undefined); // not only that anything may have changed
  };
  await until("it to hear", hears);

  await network.fail("deaf worker", 0);
  heard.length = 0;

  await until("it to hear again", hears, { everyMs: 200 });
});
