/** Real processes on a real file, killed with SIGKILL at random: nothing is lost and nothing is recorded twice. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { killAgainAndAgain } from "./kill-run.ts";

const seed = Number(process.env["STET_SEED"] ?? Date.now() % 1_000_000_000);

for (const workers of [1, 2]) {
  const of = workers === 1 ? "a worker" : "either of two workers on one file";
  test(`${of} is killed fifty times with 200 instances under way (seed ${seed})`, async (t) => {
    const report = await killAgainAndAgain({ seed, instances: 200, kills: 50, workers });

    t.diagnostic(JSON.stringify({ ...report, seed }));
    assert.ok(
      report.runningAtKill.every((running) => running > 0),
      "every kill found instances under way",
    );
    assert.ok(report.startedAgain > 50, "kills hit activities in the middle");
    assert.ok(report.unknownOutcomes > 0, "kills hit irreversible activities in the middle");
    // A tenth of a second as a rule. The bound tells recognising the dead (at once) from waiting for them (10 s).
    if (workers === 1) assert.ok(report.slowestResumeMs < 5_000, `${report.slowestResumeMs} ms until work went on`);
  });
}
