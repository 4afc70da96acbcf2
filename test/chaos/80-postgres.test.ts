/** Real processes on a real PostgreSQL server: killed, cut off from it, and the server struck down. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { killAgainAndAgain } from "./kill-run.ts";

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
