/** Sessions: work that stays with one worker while that worker lives and uses the session. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StorageProvider, WorkerKey } from "@stet/core";
import { type Bench, claimBodies, claimItem, openStore, register, run, running, twoWorkers } from "./bench.ts";
import { completion, MINUTE, SECOND, START, work, workClaim } from "./builders.ts";

/** How long a session may be unused, in these tests. */
const idle = 5 * MINUTE;

/** An instance with items of the given sessions, made one after the other; `-` is an item without a session. */
async function withSessions(
  store: StorageProvider,
  owner: WorkerKey,
  id: string,
  ...sessions: string[]
): Promise<void> {
  await running(store, owner, id, (turn) => ({
    work: sessions.map((session, index) =>
      work(turn, index + 2, { body: `${session} ${index + 1} of ${id}`, ...(session !== "-" && { session }) }),
    ),
  }));
}

export function sessions(bench: Bench): void {
  describe("sessions", () => {
    test("claimWork() hands items without a session to anybody", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "-", "-");

      assert.deepEqual(await claimBodies(store, anna, { max: 1 }), ["- 1 of a"]);
      assert.deepEqual(await claimBodies(store, ben, { max: 1 }), ["- 2 of a"]);
    });

    test("a session belongs to the worker that first claims one of its items", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s", "s", "s");

      assert.deepEqual(await claimBodies(store, anna, { max: 1 }), ["s 1 of a"]);
      assert.deepEqual(await claimBodies(store, ben), []);
      assert.deepEqual(await claimBodies(store, anna, { max: 1 }), ["s 2 of a"]);
      assert.deepEqual(await claimBodies(store, anna), ["s 3 of a"]);
    });

    test("a session goes on belonging to its worker between its items", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s", "s");
      const { key } = await claimItem(store, anna, { max: 1 });
      await store.completeWork(anna, [completion(key, "a")]);

      assert.deepEqual(await claimBodies(store, ben, { now: START + idle - SECOND, sessionIdleMs: idle }), []);
      assert.deepEqual(await claimBodies(store, anna), ["s 2 of a"]);
    });

    test("one claim takes all the items of a session that it has room for", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s", "s", "s");

      assert.deepEqual(await claimBodies(store, ben, { max: 2 }), ["s 1 of a", "s 2 of a"]);
      assert.deepEqual(await claimBodies(store, anna), []);
      assert.deepEqual(await claimBodies(store, ben), ["s 3 of a"]);
    });

    test("different sessions may belong to different workers", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s", "r", "s", "r");

      assert.deepEqual(await claimBodies(store, anna, { max: 1 }), ["s 1 of a"]);
      assert.deepEqual(await claimBodies(store, ben, { max: 1 }), ["r 2 of a"]);
      assert.deepEqual(await claimBodies(store, anna), ["s 3 of a"]);
      assert.deepEqual(await claimBodies(store, ben), ["r 4 of a"]);
    });

    test("a session is one over all instances", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s");
      await withSessions(store, ben, "b", "s");

      assert.deepEqual(await claimBodies(store, anna, { max: 1 }), ["s 1 of a"]);
      assert.deepEqual(await claimBodies(store, ben), []);
      assert.deepEqual(await claimBodies(store, anna), ["s 1 of b"]);
    });

    test("items of another worker's session neither block nor are taken", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s", ...Array.from({ length: 30 }, () => "s"), "-", "r");
      await claimBodies(store, anna, { max: 1 });

      assert.deepEqual(await claimBodies(store, ben, { max: 1 }), ["- 32 of a"]);
      assert.deepEqual(await claimBodies(store, ben, { max: 1 }), ["r 33 of a"]);
      assert.equal((await claimBodies(store, anna)).length, 30);
    });

    test("a session that was not used for long may move to another worker", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s", "s", "s");
      const { key } = await claimItem(store, anna, { max: 1 });
      await store.completeWork(anna, [completion(key, "a")]);

      const now = START + 2 * idle;
      assert.deepEqual(await claimBodies(store, ben, { now, sessionIdleMs: idle, max: 1 }), ["s 2 of a"]);
      assert.deepEqual(await claimBodies(store, anna, { now, sessionIdleMs: idle }), []);
      assert.deepEqual(await claimBodies(store, ben, { now, sessionIdleMs: idle }), ["s 3 of a"]);
    });

    test("a session that moved away may come back", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s", "s", "s");
      for (const [worker, now] of [
        [anna, START],
        [ben, START + 2 * idle],
      ] as const) {
        const { key } = await claimItem(store, worker, { now, sessionIdleMs: idle, max: 1 });
        await store.completeWork(worker, [{ key, message: { instanceId: "a", body: "done", at: now } }]);
      }

      assert.deepEqual(await claimBodies(store, anna, { now: START + 4 * idle, sessionIdleMs: idle }), ["s 3 of a"]);
    });

    test("a claim of one of its items is a use of the session", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s", "s", "s");
      for (const now of [START, START + idle - SECOND]) {
        const { key } = await claimItem(store, anna, { now, sessionIdleMs: idle, max: 1 });
        await store.completeWork(anna, [completion(key, "a")]);
      }

      const now = START + idle + MINUTE;
      assert.deepEqual(await claimBodies(store, ben, { now, sessionIdleMs: idle }), []);
      assert.deepEqual(await claimBodies(store, anna, { now, sessionIdleMs: idle }), ["s 3 of a"]);
    });

    test("a session is in use for as long as one of its items runs", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s", "s");
      const { key } = await claimItem(store, anna, { max: 1 });
      const now = START + 3 * idle;
      await store.heartbeat({ worker: anna, now: now - SECOND, work: [key] });

      assert.deepEqual(await claimBodies(store, ben, { now, sessionIdleMs: idle }), []);
      assert.deepEqual(await claimBodies(store, anna, { now, sessionIdleMs: idle }), ["s 2 of a"]);
    });

    test("a session was in use until its last item was completed", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s", "s");
      const { key } = await claimItem(store, anna, { max: 1 });
      const completedAt = START + 3 * idle;
      await store.completeWork(anna, [{ key, message: { instanceId: "a", body: "done", at: completedAt } }]);

      assert.deepEqual(await claimBodies(store, ben, { now: completedAt + MINUTE, sessionIdleMs: idle }), []);
      assert.deepEqual(await claimBodies(store, ben, { now: completedAt + 2 * idle, sessionIdleMs: idle }), [
        "s 2 of a",
      ]);
    });

    test("releaseWorker() ends the sessions of the worker at once", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, ben, "a", "s", "s");
      await claimBodies(store, anna, { max: 1 });
      assert.deepEqual(await claimBodies(store, ben), []);

      await store.releaseWorker(anna);

      assert.deepEqual(await claimBodies(store, ben), ["s 1 of a", "s 2 of a"]);
    });

    test("releaseWorker() leaves the sessions of others", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, ben, "a", "s", "s");
      await claimBodies(store, ben, { max: 1 });

      await store.releaseWorker(anna);

      assert.deepEqual(await claimBodies(store, await register(store, "carl")), []);
    });

    test("an item that is to be tried again stays with the worker of its session", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s");
      const { key } = await claimItem(store, anna);
      await store.retryWork(anna, [{ key, visibleAt: START + SECOND, failure: "busy" }]);

      assert.deepEqual(await claimBodies(store, ben, { now: START + MINUTE }), []);
      assert.equal((await claimItem(store, anna, { now: START + MINUTE })).attempts, 2);
    });

    test("an item that was abandoned stays with the worker of its session, uncounted", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s");
      const { key } = await claimItem(store, anna);
      await store.abandonWork(anna, [key]);

      assert.deepEqual(await claimBodies(store, ben), []);
      assert.equal((await claimItem(store, anna)).attempts, 1);
    });

    test("items of a session are handed out in the order in which they were made", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s", "s", "s", "s");

      const seen: string[] = [];
      for (let count = 0; count < 4; count++) {
        const { key, body } = await claimItem(store, anna, { max: 1 });
        seen.push(body);
        await store.completeWork(anna, [completion(key, "a")]);
      }

      assert.deepEqual(seen, ["s 1 of a", "s 2 of a", "s 3 of a", "s 4 of a"]);
    });

    test("a session whose items are all done can be used again", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2, { session: "s" })] }));
      const { key } = await claimItem(store, ben);
      await store.completeWork(ben, [completion(key, "a")]);
      await run(store, anna, turn, { work: [work(turn, 3, { session: "s" })] });

      assert.deepEqual(await claimBodies(store, anna, { sessionIdleMs: idle }), []);
      assert.deepEqual(await claimBodies(store, anna, { now: START + 2 * idle, sessionIdleMs: idle }), ["work 3"]);
    });

    test("a session is taken by one of many workers that claim at the same time", async (t) => {
      const store = await openStore(bench, t);
      const owner = await register(store, "owner");
      await withSessions(store, owner, "a", ...Array.from({ length: 12 }, () => "s"));
      const workers = await Promise.all(["b", "c", "d", "e"].map((name) => register(store, name)));

      const claimed = await Promise.all(workers.map((worker) => store.claimWork(workClaim(worker, { max: 3 }))));

      assert.equal(claimed.filter(({ length }) => length > 0).length, 1);
      assert.equal(claimed.flat().length, 3);
    });

    test("an item that its worker saved as its own holds the session", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2, { session: "s" })] }));
      const saved = { ...work(turn, 3, { session: "s", attempts: 1 }), instance: turn.key, owned: true };
      await store.saveWork(anna, [saved]);

      assert.deepEqual(await claimBodies(store, ben), []);
      assert.deepEqual(await claimBodies(store, anna), ["work 2"]);
    });

    test("an item with a session and a tag goes to a worker that may have both", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({
        work: [work(turn, 2, { session: "s" }), work(turn, 3, { session: "s", tag: "gpu" })],
      }));

      assert.deepEqual(await claimBodies(store, ben), ["work 2"]);
      assert.deepEqual(await claimBodies(store, anna, { tags: ["gpu"] }), []);
      assert.deepEqual(await claimBodies(store, ben, { tags: ["gpu"] }), ["work 3"]);
    });

    test("sessions are compared as they are", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withSessions(store, anna, "a", "s", "S", "s ", "ß", "s%");
      await claimBodies(store, anna, { max: 1 });

      assert.deepEqual(await claimBodies(store, ben), ["S 2 of a", "s  3 of a", "ß 4 of a", "s% 5 of a"]);
    });
  });
}
