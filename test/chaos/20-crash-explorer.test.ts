/**
 * The crash explorer itself: it comes by all places, and finds what is wrong about effects.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { activity, orchestration } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { exploreCrashes, type CrashWorld } from "@stet/testing";

/** Twenty steps, one after the other. */
function twentySteps(): CrashWorld<number> {
  const add = activity("add", async (_ctx, [a, b]: readonly [number, number]) => a + b);
  const sum = orchestration("sum", async (ctx) => {
    let total = 0;
    for (let i = 1; i <= 20; i++) total = await ctx.activity(add, [total, i]);
    return total;
  });
  return {
    storage: sqlite(":memory:"),
    orchestrations: [sum],
    activities: [add],
    scenario: async (env) => env.result(await env.startOrchestration(sum, undefined, { instanceId: "s" })),
  };
}

test("exploreCrashes() dies before and after each commit, each claim and each activity", async () => {
  const report = await exploreCrashes(twentySteps);

  for (let step = 1; step <= 20; step++) {
    for (const point of [`before activity add #${step}`, `after activity add #${step}`]) {
      assert.ok(report.points.includes(point), point);
    }
  }
  for (let commit = 1; commit <= 21; commit++) {
    for (const point of [`before commitTurns #${commit}`, `after commitTurns #${commit}`]) {
      assert.ok(report.points.includes(point), point);
    }
  }
  assert.ok(report.points.includes("after claimTurns #1"));
  assert.equal(report.runs, report.points.length);
  assert.equal(report.crashes, report.points.length);
  assert.deepEqual(report.unreached, []);
  assert.deepEqual(report.startedAgain, { add: 40 });
});
