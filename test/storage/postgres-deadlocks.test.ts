/**
 * All that waits for rows takes them in one order (`routines.ts`), so nobody waits for anybody in a circle. The provider
 * would hide a deadlock by doing the transaction again, so the server is asked how many it has found.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { postgres } from "@stet/postgres";
import { deadlocks, newDatabase } from "../chaos/stores.ts";
import { databaseUrl } from "./postgres-database.ts";
import { raiseStorm } from "./verb-storm.ts";

const seed = Number(process.env["STET_SEED"] ?? Date.now() % 1_000_000_000);
const storms = Number(process.env["STET_STORMS"] ?? 1);

test(`workers that write everything at once never wait for each other in a circle (seed ${seed})`, async (t) => {
  const { address, remove } = await newDatabase(databaseUrl());
  t.after(remove);
  const handles = Array.from({ length: 3 }, () =>
    postgres({ url: address, clock: "runtime", notify: false, connection: { max: 5 } }),
  );
  await Promise.all(handles.map((store) => store.open()));
  for (let n = 0; n < storms; n++) {
    const called = await raiseStorm({ seed: seed + n, handles, verbs: 1_500 });
    t.diagnostic(JSON.stringify({ seed: seed + n, ...called }));
  }
  await Promise.all(handles.map((store) => store.close()));

  assert.equal(await deadlocks(address), 0);
});
