/** Work that an owner writes outside a turn: what it runs itself and wants to be found, and what must wait. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Bench,
  bodiesOf,
  claimBodies,
  claimItem,
  claimTurn,
  ownedBy,
  picture,
  run,
  running,
  twoWorkers,
  workOf,
} from "./bench.ts";
import { completion, continuedAsNew, HOUR, MINUTE, START, work } from "./builders.ts";

export function savedWork(bench: Bench): void {
  describe("saved work", () => {
    test("saveWork() writes an item that its worker owns already", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");

      const [key] = await store.saveWork(anna, [
        { ...work(turn, 2, { attempts: 1 }), instance: turn.key, owned: true },
      ]);

      assert.ok(key !== undefined);
      assert.deepEqual(await workOf(store, turn.key, 1), [2]);
      assert.deepEqual(await claimBodies(store, ben), []);
      assert.deepEqual(await claimBodies(store, anna), []);
      assert.deepEqual((await store.heartbeat({ worker: anna, now: START, work: [key] })).lost, []);
      assert.deepEqual(await store.completeWork(anna, [completion(key, "a", "done")]), ["committed"]);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["done"]);
    });

    test("saveWork() writes an item that anybody may claim at its time", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");

      const item = work(turn, 2, { attempts: 1, visibleAt: START + MINUTE, failure: "busy", heartbeat: "row 3" });
      const [key] = await store.saveWork(anna, [{ ...item, instance: turn.key, owned: false }]);

      assert.equal(await store.nextWakeAt(START), START + MINUTE);
      assert.deepEqual(await claimBodies(store, ben), []);
      const claimed = await claimItem(store, ben, { now: START + MINUTE });
      assert.deepEqual(
        [claimed.key, claimed.attempts, claimed.failure, claimed.heartbeat, claimed.eventId],
        [key, 2, "busy", "row 3", 2],
      );
    });

    test("an owned item is tried again, and the attempt in hand counts", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const [key] = await store.saveWork(anna, [
        { ...work(turn, 2, { attempts: 1 }), instance: turn.key, owned: true },
      ]);
      assert.ok(key !== undefined);

      assert.deepEqual(await store.retryWork(anna, [{ key, visibleAt: START, failure: "busy" }]), ["committed"]);

      const { attempts, failure } = await claimItem(store, ben);
      assert.deepEqual([attempts, failure], [2, "busy"]);
    });

    test("an owned item is handed to others when its worker is released, and the attempt counts", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const saved = { ...work(turn, 2, { attempts: 1, heartbeat: "row 3" }), instance: turn.key, owned: true };
      const [key] = await store.saveWork(anna, [saved]);
      assert.ok(key !== undefined);
      await store.releaseWorker(anna);

      assert.deepEqual(await store.completeWork(anna, [completion(key, "a")]), ["notOwner"]);
      const { attempts, heartbeat } = await claimItem(store, ben);
      assert.deepEqual([attempts, heartbeat], [2, "row 3"]);
    });

    test("saveWork() replaces an earlier item of the same request", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2, { body: "old" })] }));

      const saved = { ...work(turn, 2, { body: "new", attempts: 3 }), instance: turn.key, owned: false };
      await store.saveWork(anna, [saved]);

      assert.deepEqual(await workOf(store, turn.key, 1), [2]);
      const { body, attempts } = await claimItem(store, ben);
      assert.deepEqual([body, attempts], ["new", 4]);
    });

    test("saveWork() that replaces an item takes it from whoever runs it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2, { body: "old" })] }));
      const { key } = await claimItem(store, ben);

      const saved = { ...work(turn, 2, { body: "new" }), instance: turn.key, owned: true };
      const [replaced] = await store.saveWork(anna, [saved]);

      assert.ok(replaced !== undefined);
      assert.deepEqual((await store.heartbeat({ worker: ben, now: START, work: [key] })).lost, [key]);
      assert.deepEqual(await store.completeWork(ben, [completion(key, "a")]), ["notOwner"]);
      assert.deepEqual(await store.completeWork(anna, [completion(replaced, "a")]), ["committed"]);
    });

    test("saveWork() writes nothing for those who do not own the instance", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const mine = await running(store, ben, "mine");
      const theirs = await running(store, anna, "theirs");
      const free = await running(store, anna, "free", () => ({ keep: false }));
      const { instances } = await picture(store, "theirs", "free");

      const keys = await store.saveWork(
        ben,
        [theirs, mine, free].map((turn) => ({ ...work(turn, 2), instance: turn.key, owned: true })),
      );

      assert.deepEqual(
        keys.map((key) => key !== undefined),
        [false, true, false],
      );
      assert.deepEqual(await workOf(store, theirs.key, 1), []);
      assert.deepEqual(await workOf(store, free.key, 1), []);
      assert.deepEqual(await workOf(store, mine.key, 1), [2]);
      assert.deepEqual((await picture(store, "theirs", "free")).instances, instances);
    });

    test("saveWork() by a released worker writes nothing and replaces nothing", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2, { body: "old" })] }));
      await store.releaseWorker(anna);

      const saved = [2, 3].map((eventId) => ({
        ...work(turn, eventId, { body: "new" }),
        instance: turn.key,
        owned: false,
      }));
      assert.deepEqual(await store.saveWork(anna, saved), [undefined, undefined]);

      assert.deepEqual(await workOf(store, turn.key, 1), [2]);
      assert.deepEqual(await claimBodies(store, ben), ["old"]);
    });

    test("saved items are settled by turns like others", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const [owned, waiting] = await store.saveWork(anna, [
        { ...work(turn, 2), instance: turn.key, owned: true },
        { ...work(turn, 3, { visibleAt: START + HOUR }), instance: turn.key, owned: false },
      ]);
      assert.ok(owned !== undefined && waiting !== undefined);

      await run(store, anna, turn, { settled: [2, 3], keep: true });

      assert.deepEqual(await workOf(store, turn.key, 1), []);
      assert.equal(await store.nextWakeAt(START), undefined);
      assert.deepEqual((await store.heartbeat({ worker: anna, now: START, work: [owned] })).lost, [owned]);
    });

    test("saved items go with their execution", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      await store.saveWork(anna, [{ ...work(turn, 2), instance: turn.key, owned: true }]);

      await run(store, anna, turn, { history: continuedAsNew(turn) });

      assert.deepEqual(await workOf(store, turn.key, 1), []);
    });

    test("saveWork() does not move the instance on", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      const keys = await store.saveWork(anna, [{ ...work(turn, 2), instance: turn.key, owned: true }]);

      assert.notEqual(keys[0], undefined);
      assert.deepEqual(await store.saveWork(anna, []), []);
      await run(store, anna, turn);
    });
  });
}
