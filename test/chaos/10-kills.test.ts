/** Real processes on a real file, killed with SIGKILL at random: nothing is lost and nothing is recorded twice. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startCrowd } from "./crowd.ts";
import { killAgainAndAgain } from "./kill-run.ts";
import { openSite } from "./site.ts";
import { until } from "./until.ts";

const seed = Number(process.env["STET_SEED"] ?? Date.now() % 1_000_000_000);

for (const [workers, strikes] of [
  [1, 50],
  [2, 25],
] as const) {
  const victim = workers === 1 ? "a worker" : "either of two workers on one file";
  test(`${victim} is killed ${strikes} times in the middle of 200 instances (seed ${seed})`, async (t) => {
    const report = await killAgainAndAgain({ seed, instances: 200, strikes, workers });

    t.diagnostic(JSON.stringify({ seed, ...report }));
    assert.ok(
      report.underWay.every((count) => count > 0),
      "every kill found instances under way",
    );
    assert.ok(report.startedAgain > 50, "kills hit activities in the middle");
    assert.ok(report.unknownOutcomes > 0, "kills hit irreversible activities in the middle");
    // A tenth of a second as a rule. The bound tells recognising the dead (at once) from waiting for them (10 s).
    if (workers === 1) assert.ok(report.slowestResumeMs < 9_000, `${report.slowestResumeMs} ms until work went on`);
  });
}

test("a client sees a worker of another process come, and the next one after its death", async (t) => {
  const { client, launch, close } = await openSite();
  t.after(close);
  const names = async () => (await client.stats()).workers.map(({ name, pid }) => [name, pid]);
  await startCrowd(client, 1);
  assert.deepEqual(await names(), []);
  assert.deepEqual((await client.stats()).missingHandlers.orchestrations, ["main"]);

  const first = launch("first");
  await until("the first worker to be ready", first.isReady);
  assert.deepEqual(await names(), [["first", first.pid]]);
  assert.deepEqual((await client.stats()).missingHandlers.orchestrations, []);

  await first.kill();
  const second = launch("second");
  await until("the second worker to be ready", second.isReady);
  assert.deepEqual(await names(), [["second", second.pid]], "the dead one is buried");
});
