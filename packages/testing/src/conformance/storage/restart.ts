/** Restarts: an ended instance gets another execution. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Bench,
  bodiesOf,
  claimIds,
  claimTurn,
  ended,
  openStore,
  ownedBy,
  recordOf,
  register,
  run,
  running,
  startAll,
  twoWorkers,
  workOf,
} from "./bench.ts";
import { chunk, commitOf, continuedAsNew, HOUR, message, MINUTE, START, start, timer, work } from "./builders.ts";

const anyVersion = { orchestrations: ["order", "order@1"] };

export function restart(bench: Bench): void {
  describe("restart", () => {
    test("restart() begins the next execution of an ended instance with a start message", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await ownedBy(store, anna, "a");
      await run(store, anna, first, { history: [chunk(1, 0, 5)], ended: { status: "failed", error: "no stock" } });

      assert.equal(await store.admin.restart({ instanceId: "a", body: "again", at: START + HOUR }), "restarted");

      const turn = await claimTurn(store, anna, anyVersion);
      assert.deepEqual([turn.execution, turn.lastEventId, turn.attempts, turn.unsettled], [2, 0, 1, false]);
      assert.deepEqual(
        turn.messages.map(({ body, at, timer: isTimer }) => ({ body, at, isTimer })),
        [{ body: "again", at: START + HOUR, isTimer: false }],
      );
      assert.equal(turn.key, first.key);
    });

    test("restart() makes an instance of the past pending again", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, start("a", { labels: { region: "eu" }, at: START }));
      const turn = await claimTurn(store, anna);
      await run(store, anna, turn, { ended: { status: "completed", output: "3", error: "e" }, at: START + MINUTE });

      await store.admin.restart({ instanceId: "a", body: "again", at: START + HOUR });

      const { status, execution, lastEventId, output, error, labels, createdAt } = await recordOf(store, "a");
      assert.deepEqual(
        { status, execution, lastEventId, output, error, labels, createdAt },
        {
          status: "pending",
          execution: 2,
          lastEventId: 0,
          output: undefined,
          error: undefined,
          labels: { region: "eu" },
          createdAt: START,
        },
      );
    });

    test("restart() after several executions begins the next one", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      await run(store, anna, turn, { history: continuedAsNew(turn), ended: { status: "completed" } });

      await store.admin.restart({ instanceId: "a", body: "again", at: START });

      assert.equal((await claimTurn(store, anna, anyVersion)).execution, 3);
    });

    test("restart() keeps the histories of the executions before", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a", { history: [{ ...chunk(1, 0), body: "first life" }] });
      await store.admin.restart({ instanceId: "a", body: "again", at: START });

      const turn = await claimTurn(store, anna, anyVersion);
      await run(store, anna, turn, { history: [{ ...chunk(2, 0), body: "second life" }] });

      assert.deepEqual(await store.admin.readHistory("a", 1), ["first life"]);
      assert.deepEqual(await store.admin.readHistory("a", 2), ["second life"]);
    });

    test("restart() refuses what has not ended, and what is not there", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "pending");
      await running(store, anna, "running");

      assert.equal(await store.admin.restart({ instanceId: "nobody", body: "again", at: START }), "unknown");
      assert.equal(await store.admin.restart({ instanceId: "pending", body: "again", at: START }), "running");
      assert.equal(await store.admin.restart({ instanceId: "running", body: "again", at: START }), "running");

      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of pending"]);
    });

    test("restart() of one instance at the same time restarts it once", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a");

      const outcomes = await Promise.all(
        Array.from({ length: 5 }, () => store.admin.restart({ instanceId: "a", body: "again", at: START })),
      );

      assert.deepEqual(outcomes.toSorted(), ["restarted", "running", "running", "running", "running"]);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna, anyVersion)), ["again"]);
    });

    test("a restarted instance takes messages and ends again", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a");
      assert.deepEqual(await store.sendMessages([message("a", "too late")]), ["ended"]);
      await store.admin.restart({ instanceId: "a", body: "again", at: START });

      assert.deepEqual(await store.sendMessages([message("a", "in time")]), ["sent"]);

      const turn = await claimTurn(store, anna, anyVersion);
      assert.deepEqual(bodiesOf(turn), ["again", "in time"]);
      await run(store, anna, turn, { ended: { status: "completed", output: "second" } });
      const { status, output, execution } = await recordOf(store, "a");
      assert.deepEqual([status, output, execution], ["completed", "second", 2]);
    });

    test("a restarted instance has nothing to wake it but its start message", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({
        timers: [timer(2, START + MINUTE)],
        work: [work(first, 3)],
        unsettled: true,
      }));
      await run(store, anna, turn, { ended: { status: "terminated" } });
      await store.admin.restart({ instanceId: "a", body: "again", at: START });

      assert.equal(await store.nextWakeAt(START), undefined);
      assert.deepEqual(await workOf(store, turn.key, 1), []);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna, { ...anyVersion, now: START + HOUR })), ["again"]);
    });

    test("a commit of the life before changes nothing of a restarted instance", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const stale = await ownedBy(store, anna, "a");
      await run(store, anna, stale, { ended: { status: "completed" } });
      await store.admin.restart({ instanceId: "a", body: "again", at: START });
      assert.deepEqual(await claimIds(store, anna, anyVersion), ["a"]);

      assert.deepEqual(await store.commitTurns(anna, [commitOf(stale)]), ["notOwner"]);
      assert.deepEqual(await store.commitTurns(ben, [commitOf(stale)]), ["notOwner"]);

      assert.deepEqual((await recordOf(store, "a")).lastEventId, 0);
    });

    test("restart() leaves other instances alone", async (t) => {
      const store = await openStore(bench, t);
      const anna = await register(store, "anna");
      await ended(store, anna, "a");
      await ended(store, anna, "b");

      await store.admin.restart({ instanceId: "a", body: "again", at: START });

      assert.equal((await recordOf(store, "b")).status, "completed");
      assert.deepEqual(await claimIds(store, anna, anyVersion), ["a"]);
    });
  });
}
