/** Attempts at work: retries, giving back, and what one attempt leaves for the next. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Bench, claimBodies, claimItem, claimTurn, picture, register, run, running, twoWorkers } from "./bench.ts";
import { completion, HOUR, MINUTE, message, SECOND, START, work, workClaim } from "./builders.ts";

export function retries(bench: Bench): void {
  describe("attempts at work", () => {
    test("attempts of an item begin with one", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));

      assert.equal((await claimItem(store, ben)).attempts, 1);
    });

    test("attempts of an item go on from those that the commit counted", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2, { attempts: 4 })] }));

      assert.equal((await claimItem(store, ben)).attempts, 5);
    });

    test("retryWork() hands the item out again at its time, with one more attempt and the failure", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, ben);

      const outcome = await store.retryWork(ben, [{ key, visibleAt: START + MINUTE, failure: "no answer" }]);

      assert.deepEqual(outcome, ["committed"]);
      assert.deepEqual(await claimBodies(store, ben, { now: START + MINUTE - 1 }), []);
      const again = await claimItem(store, anna, { now: START + MINUTE });
      assert.deepEqual([again.attempts, again.failure, again.body], [2, "no answer", "work 2"]);
    });

    test("retryWork() keeps the newest failure", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2, { failure: "zeroth" })] }));
      for (const failure of ["first", "second"]) {
        const { key } = await claimItem(store, ben);
        await store.retryWork(ben, [{ key, visibleAt: START, failure }]);
      }

      const { attempts, failure } = await claimItem(store, ben);

      assert.deepEqual([attempts, failure], [3, "second"]);
    });

    test("retryWork() answers for each item, and is refused to those who do not own it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2), work(turn, 3)] }));
      const [theirs] = await store.claimWork(workClaim(anna, { max: 1 }));
      const mine = await claimItem(store, ben);
      assert.ok(theirs);

      const wanted = [theirs, mine].map(({ key }) => ({ key, visibleAt: START, failure: "busy" }));
      assert.deepEqual(await store.retryWork(ben, wanted), ["notOwner", "committed"]);

      assert.deepEqual(await claimBodies(store, ben), ["work 3"]);
      assert.deepEqual(await store.completeWork(anna, [completion(theirs.key, "a")]), ["committed"]);
    });

    test("retryWork() is refused once the item has been given up", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, ben);
      await store.retryWork(ben, [{ key, visibleAt: START + HOUR, failure: "first" }]);

      assert.deepEqual(await store.retryWork(ben, [{ key, visibleAt: START, failure: "second" }]), ["notOwner"]);
      assert.deepEqual(await store.completeWork(ben, [completion(key, "a")]), ["notOwner"]);

      assert.deepEqual(await claimBodies(store, ben), []);
      assert.equal((await claimItem(store, ben, { now: START + HOUR })).failure, "first");
    });

    test("abandonWork() gives items back at once, and the attempt does not count", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2), work(turn, 3)] }));
      const keys = (await store.claimWork(workClaim(ben))).map(({ key }) => key);

      await store.abandonWork(ben, keys);

      const again = await store.claimWork(workClaim(anna));
      assert.deepEqual(
        again.map(({ body, attempts }) => [body, attempts]),
        [
          ["work 2", 1],
          ["work 3", 1],
        ],
      );
    });

    test("abandonWork() again and again never counts below the attempts that were made", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, ben);
      await store.retryWork(ben, [{ key, visibleAt: START, failure: "busy" }]);
      for (let round = 0; round < 3; round++) {
        const item = await claimItem(store, ben);
        await store.abandonWork(ben, [item.key]);
        await store.abandonWork(ben, [item.key]);
      }

      const { attempts, failure } = await claimItem(store, ben);

      assert.deepEqual([attempts, failure], [2, "busy"]);
    });

    test("abandonWork() leaves alone what another worker owns", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, ben);

      await store.abandonWork(anna, [key]);

      assert.deepEqual(await claimBodies(store, anna), []);
      assert.deepEqual(await store.completeWork(ben, [completion(key, "a")]), ["committed"]);
    });

    test("abandonWork() keeps an item that was delayed visible", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2, { visibleAt: START + MINUTE })] }));
      const { key } = await claimItem(store, ben, { now: START + MINUTE });

      await store.abandonWork(ben, [key]);

      assert.deepEqual(await claimBodies(store, ben, { now: START + MINUTE }), ["work 2"]);
    });

    test("an attempt that ended with its worker counts", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      await claimItem(store, ben);
      await store.releaseWorker(ben);

      assert.equal((await claimItem(store, anna)).attempts, 2);
    });

    test("attempts of one item say nothing about another", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2)] }));
      await claimItem(store, ben);
      await store.releaseWorker(ben);
      await run(store, anna, turn, { work: [work(turn, 3)], keep: true });

      const items = await store.claimWork(workClaim(await register(store, "carl")));

      assert.deepEqual(
        items.map(({ body, attempts }) => [body, attempts]),
        [
          ["work 2", 2],
          ["work 3", 1],
        ],
      );
    });

    test("saveHeartbeats() hands the details of one attempt to the next", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2), work(turn, 3)] }));
      const [first, second] = await store.claimWork(workClaim(ben));
      assert.ok(first && second);

      await store.saveHeartbeats(ben, [
        { key: first.key, details: "row 10", now: START + SECOND },
        { key: second.key, details: "row 1", now: START + SECOND },
      ]);
      await store.saveHeartbeats(ben, [{ key: first.key, details: "row 20", now: START + 2 * SECOND }]);
      await store.retryWork(ben, [{ key: first.key, visibleAt: START, failure: "busy" }]);
      await store.releaseWorker(ben);

      const again = await store.claimWork(workClaim(anna));
      assert.deepEqual(
        new Map(again.map(({ body, heartbeat }) => [body, heartbeat])),
        new Map([
          ["work 2", "row 20"],
          ["work 3", "row 1"],
        ]),
      );
    });

    test("saveHeartbeats() keeps the details through attempts that leave none", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, ben);
      await store.saveHeartbeats(ben, [{ key, details: "row 10", now: START }]);
      for (let attempt = 0; attempt < 2; attempt++) {
        await store.retryWork(ben, [{ key, visibleAt: START, failure: "busy" }]);
        await claimItem(store, ben);
      }
      await store.abandonWork(ben, [key]);

      assert.equal((await claimItem(store, ben)).heartbeat, "row 10");
    });

    test("saveHeartbeats() of a worker that does not own the item changes nothing", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, ben);

      await store.saveHeartbeats(anna, [{ key, details: "not mine", now: START }]);
      await store.releaseWorker(ben);
      await store.saveHeartbeats(ben, [{ key, details: "not mine any more", now: START }]);

      assert.equal((await claimItem(store, anna)).heartbeat, undefined);
    });

    test("retries leave no message, no event and no turn", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { instances, stats } = await picture(store, "a");
      const { key } = await claimItem(store, ben);
      await store.retryWork(ben, [{ key, visibleAt: START, failure: "busy" }]);
      const again = await claimItem(store, ben);
      await store.abandonWork(ben, [again.key]);

      const after = await picture(store, "a");
      assert.deepEqual([after.instances, after.stats.messages], [instances, stats.messages]);
      await store.sendMessages([message("a", "more")]);
      assert.deepEqual((await claimTurn(store, anna)).lastEventId, 1);
    });
  });
}
