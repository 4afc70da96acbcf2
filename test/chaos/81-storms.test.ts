/** Everything happens to one instance at once, and several processes share the work: none of the runs is corrupted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { databaseUrl } from "../storage/postgres-database.ts";
import { runStorms } from "./storms.ts";

const runs = Number(process.env["STET_STORMS"] ?? 4);

test("storms leave nothing corrupted on a file that two processes share", async (t) => {
  const findings = await runStorms({ runs, workers: 2 });

  t.diagnostic(JSON.stringify({ runs, ...findings }));
  assert.equal(findings.atWork, 2);
});

test("storms leave nothing corrupted, and no deadlock, on PostgreSQL with three processes", async (t) => {
  const findings = await runStorms({ runs, workers: 3, server: databaseUrl() });

  t.diagnostic(JSON.stringify({ runs, ...findings }));
  assert.equal(findings.atWork, 3);
});
