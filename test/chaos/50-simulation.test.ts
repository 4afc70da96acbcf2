/** Made-up programs under made-up schedules: whatever happens to workers, the promises of the house hold. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StorageProvider } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { simulatePrograms } from "@stet/testing";
import { keptScenarios } from "./kept-scenarios.ts";

const storage = (): StorageProvider => sqlite(":memory:");

test("scenarios that once failed are sound", { timeout: 100_000 }, async () => {
  for (const scenario of keptScenarios) {
    await simulatePrograms({ storage, runs: 1, seed: 1, scenarios: [scenario] });
  }
});

test("made-up programs are sound under made-up schedules", { timeout: 100_000 }, async (t) => {
  const seed = Date.now() % 1_000_000_000;
  t.diagnostic(`seed ${seed}`);

  const { runs } = await simulatePrograms({ storage, seed, time: "8s" });

  t.diagnostic(`${runs} runs`);
  assert.ok(runs > 0);
});
