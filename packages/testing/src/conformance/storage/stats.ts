/** Numbers about the whole store. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Bench, claimItem, ended, openStore, ownedBy, run, running, startAll, twoWorkers } from "./bench.ts";
import { blockedBy, HOUR, message, MINUTE, START, start, timer, work } from "./builders.ts";

export function stats(bench: Bench): void {
  describe("stats", () => {
    test("stats() of an empty store counts nothing", async (t) => {
      const store = await openStore(bench, t);

      assert.deepEqual(await store.admin.stats(START), {
        instances: { pending: 0, running: 0, completed: 0, failed: 0, cancelled: 0, terminated: 0 },
        blocked: 0,
        messages: { ready: 0, delayed: 0 },
        work: { ready: 0, delayed: 0, running: 0 },
        neededOrchestrations: [],
        neededActivities: [],
        readyModelCalls: 0,
        owned: [],
      });
    });

    test("stats() counts instances by status, and those that are blocked", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "p1", "p2", "p3");
      await running(store, anna, "r1");
      const stuck = await running(store, anna, "r2");
      await run(store, anna, stuck, blockedBy("build-1"));
      await ended(store, anna, "c1");
      await ended(store, anna, "f1", { ended: { status: "failed" } });
      await ended(store, anna, "f2", { ended: { status: "failed" } });
      await ended(store, anna, "x1", { ended: { status: "cancelled" } });
      await ended(store, anna, "t1", { ended: { status: "terminated" } });

      const { instances, blocked } = await store.admin.stats(START);

      assert.deepEqual(instances, { pending: 3, running: 2, completed: 1, failed: 2, cancelled: 1, terminated: 1 });
      assert.equal(blocked, 1);
    });

    test("stats() counts messages that are there and timers that are due, apart from those to come", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({
        timers: [timer(2, START + MINUTE), timer(3, START + HOUR)],
        keep: false,
      }));
      await store.sendMessages([message("a", "1"), message("a", "2", { at: START + HOUR })]);

      assert.deepEqual((await store.admin.stats(START)).messages, { ready: 2, delayed: 2 });
      assert.deepEqual((await store.admin.stats(START + MINUTE)).messages, { ready: 3, delayed: 1 });
      assert.deepEqual((await store.admin.stats(START + HOUR)).messages, { ready: 4, delayed: 0 });
    });

    test("stats() counts work that waits for somebody, for its time, and that runs", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({
        work: [2, 3, 4].map((eventId) => work(first, eventId, eventId === 4 ? { visibleAt: START + HOUR } : {})),
      }));
      await claimItem(store, ben, { max: 1 });
      await store.saveWork(anna, [{ ...work(turn, 5), instance: turn.key, owned: true }]);

      assert.deepEqual((await store.admin.stats(START)).work, { ready: 1, delayed: 1, running: 2 });
      assert.deepEqual((await store.admin.stats(START + HOUR)).work, { ready: 2, delayed: 0, running: 2 });
    });

    test("stats() names the orchestrations that instances need, once each", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "open-1", "open-2", start("asked", { name: "invoice", version: "7" }));
      await running(store, anna, "pinned", () => ({ version: "1" }));
      const other = await ownedBy(store, anna, "over", { name: "order" });
      await run(store, anna, other, { version: "3", ended: { status: "completed" } });

      const { neededOrchestrations } = await store.admin.stats(START);

      assert.deepEqual(neededOrchestrations.toSorted(), ["invoice@7", "order", "order@1"]);
    });

    test("stats() names the activities that ready work needs, once each", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({
        work: [
          work(turn, 2, { name: "refund" }),
          work(turn, 3, { name: "refund" }),
          work(turn, 4, { name: "charge" }),
          work(turn, 5, { name: "charge", tag: "gpu" }),
          work(turn, 6, { name: "charge", tag: "gpu" }),
          work(turn, 7, { name: "charge", tag: "late", visibleAt: START + HOUR }),
          work(turn, 8, { name: "large", kind: "model" }),
          work(turn, 9, { name: "large", kind: "model" }),
          work(turn, 10, { name: "large", kind: "model", visibleAt: START + HOUR }),
        ],
      }));
      const needed = async (now: number) => {
        const { neededActivities, readyModelCalls } = await store.admin.stats(now);
        const names = neededActivities.map(({ name, tag = "" }) => `${name} ${tag}`);
        return [...names.toSorted(), readyModelCalls];
      };

      assert.deepEqual(await needed(START), ["charge ", "charge gpu", "refund ", 2]);
      assert.deepEqual(await needed(START + HOUR), ["charge ", "charge gpu", "charge late", "refund ", 3]);
    });

    test("stats() counts what each worker owns", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const owned = async () => (await store.admin.stats(START)).owned;
      const turn = await running(store, anna, "a", (first) => ({ work: [2, 3, 4].map((id) => work(first, id)) }));
      await running(store, anna, "b");
      await running(store, anna, "given back", () => ({ keep: false }));
      await claimItem(store, ben, { max: 1 });
      await store.saveWork(anna, [{ ...work(turn, 5), instance: turn.key, owned: true }]);
      await startAll(store, "nobody's");

      assert.deepEqual(await owned(), [
        { worker: anna, instances: 2, work: 1 },
        { worker: ben, instances: 0, work: 1 },
      ]);
      await store.releaseWorker(anna);
      assert.deepEqual(await owned(), [{ worker: ben, instances: 0, work: 1 }]);
    });

    test("stats() forgets what was deleted", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const empty = await store.admin.stats(START);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)], timers: [timer(3, START + HOUR)] }));
      await store.sendMessages([message("a", "1")]);
      await store.admin.deleteTree("a", true);

      assert.deepEqual(await store.admin.stats(START), empty);
    });
  });
}
