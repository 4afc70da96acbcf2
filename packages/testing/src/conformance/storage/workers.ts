/** Workers: registration, heartbeat, release. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Bench, claimIds, claimItem, openStore, register, run, running, startAll, twoWorkers } from "./bench.ts";
import { HOUR, MINUTE, SECOND, START, completion, registration, work, workClaim } from "./builders.ts";

export function workers(bench: Bench): void {
  describe("workers", () => {
    test("registerWorker() answers another key each time, for the same name too", async (t) => {
      const store = await openStore(bench, t);

      const keys = [await register(store, "anna"), await register(store, "anna"), await register(store, "ben")];

      assert.equal(new Set(keys).size, 3);
      assert.equal((await store.listWorkers(START)).length, 3);
    });

    test("registerWorker() never answers the key of a released worker again", async (t) => {
      const store = await openStore(bench, t);
      const first = await register(store, "anna");
      await store.releaseWorker(first);

      const second = await register(store, "anna");

      assert.notEqual(second, first);
    });

    test("listWorkers() shows what each worker told about itself", async (t) => {
      const store = await openStore(bench, t);
      const anna = registration("anna", {
        host: "høst",
        pid: 12,
        processStart: "1700000000",
        capabilities: { orchestrations: ["order", "order@1"], activities: ["charge"], models: false, tags: ["gpu"] },
      });
      const ben = registration("ben", { now: START + MINUTE });

      const keys = [await store.registerWorker(anna), await store.registerWorker(ben)];

      const records = await store.listWorkers(START + MINUTE);
      const seen = keys.map((key) => {
        const { silentForMs: _, ...record } = records.find((each) => each.key === key) ?? assert.fail("not listed");
        return record;
      });
      assert.deepEqual(
        seen,
        [anna, ben].map(({ now, ...told }, index) => ({ key: keys[index], ...told, registeredAt: now, busy: 0 })),
      );
    });

    test("listWorkers() leaves out released workers and keeps the others", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);

      await store.releaseWorker(anna);

      const records = await store.listWorkers(START);
      assert.deepEqual(
        records.map(({ key }) => key),
        [ben],
      );
    });

    test("listWorkers() tells how long each worker has been silent", { skip: bench.ownClock }, async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await store.heartbeat({ worker: anna, now: START + 4 * SECOND, work: [] });

      const records = await store.listWorkers(START + 10 * SECOND);

      const silence = new Map(records.map(({ key, silentForMs }) => [key, silentForMs]));
      assert.deepEqual([silence.get(anna), silence.get(ben)], [6 * SECOND, 10 * SECOND]);
    });

    test("listWorkers() tells how busy each worker said it was last", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const busy = async () => {
        const records = await store.listWorkers(START);
        return [anna, ben].map((worker) => records.find(({ key }) => key === worker)?.busy);
      };

      await store.heartbeat({ worker: anna, now: START, work: [], busy: 0.25 });
      await store.heartbeat({ worker: ben, now: START, work: [], busy: 1 });
      assert.deepEqual(await busy(), [0.25, 1]);

      await store.heartbeat({ worker: ben, now: START, work: [] });
      assert.deepEqual(await busy(), [0.25, 0]);
    });

    test(
      "a worker whose clock was ahead is silent from the next heartbeat of others on",
      { skip: bench.ownClock },
      async (t) => {
        const store = await openStore(bench, t);
        const anna = await store.registerWorker(registration("anna", { now: START + HOUR }));
        const ben = await store.registerWorker(registration("ben", { now: START }));
        await store.heartbeat({ worker: ben, now: START, work: [] });
        await store.heartbeat({ worker: ben, now: START + 10 * SECOND, work: [] });

        const silent = new Map((await store.listWorkers(START + 15 * SECOND)).map((one) => [one.key, one.silentForMs]));
        assert.deepEqual([silent.get(anna), silent.get(ben)], [15 * SECOND, 5 * SECOND]);
      },
    );

    test("heartbeat() tells a registered worker that it stands", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);

      assert.deepEqual(await store.heartbeat({ worker: anna, now: START + SECOND, work: [] }), {
        stands: true,
        lost: [],
      });
    });

    test("heartbeat() tells a released worker that it does not stand, and that all its work is lost", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, ben, "a", (turn) => ({ work: [work(turn, 2)] }));
      const item = await claimItem(store, anna);
      await store.releaseWorker(anna);

      const answer = await store.heartbeat({ worker: anna, now: START + SECOND, work: [item.key] });

      assert.deepEqual(answer, { stands: false, lost: [item.key] });
    });

    test("heartbeat() does not bring a released worker back", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await store.releaseWorker(anna);

      await store.heartbeat({ worker: anna, now: START + SECOND, work: [] });

      assert.deepEqual(
        (await store.listWorkers(START + SECOND)).map(({ key }) => key),
        [ben],
      );
      assert.equal((await store.heartbeat({ worker: anna, now: START + SECOND, work: [] })).stands, false);
    });

    test("heartbeat() names the work items that are no longer the worker's own, and only those", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, ben, "a", (first) => ({
        work: [2, 3, 4].map((eventId) => work(first, eventId)),
      }));
      const items = await store.claimWork(workClaim(anna));
      const [kept, completed, settled] = items.map(({ key }) => key);
      assert.ok(kept !== undefined && completed !== undefined && settled !== undefined);
      await store.completeWork(anna, [completion(completed, "a")]);
      await run(store, ben, turn, { settled: [4], keep: true });

      const { lost } = await store.heartbeat({ worker: anna, now: START, work: [kept, completed, settled] });

      assert.deepEqual(new Set(lost), new Set([completed, settled]));
    });

    test("heartbeat() takes the work of one worker for lost when another owns it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, ben, "a", (turn) => ({ work: [work(turn, 2)] }));
      const item = await claimItem(store, anna);

      const { stands, lost } = await store.heartbeat({ worker: ben, now: START, work: [item.key] });

      assert.deepEqual({ stands, lost }, { stands: true, lost: [item.key] });
    });

    test("releaseWorker() may be called again", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);

      await store.releaseWorker(anna);
      await store.releaseWorker(anna);

      assert.equal((await store.heartbeat({ worker: ben, now: START, work: [] })).stands, true);
    });

    test("a silent worker goes on owning what it owns until somebody releases it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await startAll(store, "a");
      await claimIds(store, anna);

      assert.deepEqual(await claimIds(store, ben, { now: START + 24 * HOUR }), []);
    });
  });
}
