/** Taking over: what a worker leaves when its registration ends, and what it may not do any more. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Bench,
  bodiesOf,
  claimBodies,
  claimIds,
  claimItem,
  claimTurn,
  historyOf,
  ownedBy,
  picture,
  register,
  run,
  running,
  startAll,
  twoWorkers,
  workOf,
} from "./bench.ts";
import { chunk, commitOf, completion, message, START, turnClaim, work, workClaim } from "./builders.ts";

export function takeover(bench: Bench): void {
  describe("taking over", () => {
    test("releaseWorker() frees all instances of the worker at once", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const ids = Array.from({ length: 20 }, (_, index) => `i-${index}`);
      await startAll(store, ...ids);
      await store.claimTurns(turnClaim(anna));

      await store.releaseWorker(anna);

      assert.deepEqual(await claimIds(store, ben), ids.toSorted());
    });

    test("releaseWorker() frees all work of the worker at once", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [2, 3, 4].map((eventId) => work(turn, eventId)) }));
      await store.claimWork(workClaim(ben));

      await store.releaseWorker(ben);

      assert.deepEqual(await claimBodies(store, anna), ["work 2", "work 3", "work 4"]);
    });

    test("releaseWorker() leaves alone what others own", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, ben, "a", (first) => ({ work: [work(first, 2)] }));
      const { key } = await claimItem(store, ben);
      await store.sendMessages([message("a", "more")]);

      await store.releaseWorker(anna);

      const carl = await register(store, "carl");
      assert.deepEqual(await claimIds(store, carl), []);
      assert.deepEqual(await claimBodies(store, carl), []);
      assert.deepEqual(await store.completeWork(ben, [completion(key, "a")]), ["committed"]);
      await run(store, ben, turn);
    });

    test("releaseWorker() brings no item into view before its time", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, anna);
      await store.retryWork(anna, [{ key, visibleAt: START + 1, failure: "busy" }]);

      await store.releaseWorker(anna);

      assert.deepEqual(await claimBodies(store, ben), []);
      assert.deepEqual(await claimBodies(store, ben, { now: START + 1 }), ["work 2"]);
    });

    test("a released worker completes nothing, retries nothing and saves nothing", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2)] }));
      const { key } = await claimItem(store, anna);
      await store.releaseWorker(anna);
      const before = await picture(store, "a");

      assert.deepEqual(await store.completeWork(anna, [completion(key, "a")]), ["notOwner"]);
      assert.deepEqual(await store.retryWork(anna, [{ key, visibleAt: START, failure: "late" }]), ["notOwner"]);
      await store.abandonWork(anna, [key]);
      await store.releaseInstances(anna, [turn.key]);
      assert.deepEqual(await store.saveWork(anna, [{ ...work(turn, 3), instance: turn.key, owned: true }]), [
        undefined,
      ]);

      assert.deepEqual(await picture(store, "a"), before);
      assert.equal((await claimItem(store, ben)).attempts, 2);
    });

    test("a released worker completes nothing after another has claimed the item", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, ben, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, anna);
      await store.releaseWorker(anna);
      const taken = await claimItem(store, ben);

      assert.deepEqual(await store.completeWork(anna, [completion(key, "a", "by anna")]), ["notOwner"]);
      assert.deepEqual(await store.completeWork(ben, [completion(taken.key, "a", "by ben")]), ["committed"]);

      assert.deepEqual(bodiesOf(await claimTurn(store, ben)), ["by ben"]);
    });

    test("a worker that registers again inherits nothing from its released registration", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2)] }));
      const { key } = await claimItem(store, anna);
      await store.releaseWorker(anna);
      const again = await register(store, "anna");

      assert.deepEqual(await store.commitTurns(again, [commitOf(turn)]), ["notOwner"]);
      assert.deepEqual(await store.completeWork(again, [completion(key, "a")]), ["notOwner"]);
      assert.deepEqual(await claimBodies(store, ben), ["work 2"]);
    });

    test("a new owner goes on where the last commit of the old one left off", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ history: [{ ...chunk(1, 0, 2), body: "first turn" }] }));
      await store.sendMessages([message("a", "more")]);
      const interrupted = await claimTurn(store, anna);
      await store.releaseWorker(anna);

      const taken = await claimTurn(store, ben);

      assert.deepEqual([taken.execution, taken.lastEventId, bodiesOf(taken)], [1, 2, ["more"]]);
      assert.deepEqual(await historyOf(store, taken.key, 1), ["first turn"]);
      await run(store, ben, taken, { history: [{ ...chunk(1, 2), body: "second turn" }] });
      assert.deepEqual(await store.commitTurns(anna, [commitOf(interrupted)]), ["notOwner"]);
      assert.deepEqual(await historyOf(store, first.key, 1), ["first turn", "second turn"]);
    });

    test("a new owner finds the work of the old one by its rows", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2)], unsettled: true }));
      await store.saveWork(anna, [{ ...work(turn, 3, { attempts: 1 }), instance: turn.key, owned: true }]);
      await store.releaseWorker(anna);

      const taken = await claimTurn(store, ben);

      assert.deepEqual(new Set(await workOf(store, taken.key, 1)), new Set([2, 3]));
      await run(store, ben, taken, { history: [], work: [work(taken, 4, { attempts: 1 })], keep: true });
      const items = await store.claimWork(workClaim(ben));
      assert.deepEqual(
        items.map(({ eventId, attempts }) => [eventId, attempts]),
        [
          [2, 1],
          [3, 2],
          [4, 2],
        ],
      );
    });

    test("work of an instance survives the release of the worker that owns the instance", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, ben);

      await store.releaseWorker(anna);

      assert.deepEqual(await store.completeWork(ben, [completion(key, "a", "done")]), ["committed"]);
      assert.deepEqual(bodiesOf(await claimTurn(store, ben)), ["done"]);
    });

    test("many releases in a row hand an instance from worker to worker, one owner at a time", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await ownedBy(store, anna, "a");
      let stale = { worker: anna, turn: first };
      for (let round = 1; round <= 5; round++) {
        await store.releaseWorker(stale.worker);
        const worker = await register(store, `worker-${round}`);
        const turn = await claimTurn(store, worker);
        assert.equal(turn.attempts, round + 1);
        assert.deepEqual(await store.commitTurns(stale.worker, [commitOf(stale.turn)]), ["notOwner"]);
        stale = { worker, turn };
      }
      await run(store, stale.worker, stale.turn);
    });
  });
}
