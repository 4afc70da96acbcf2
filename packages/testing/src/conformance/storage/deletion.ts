/** Deletion: a tree goes with all it has, and nothing that is still on its way brings it back. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ClaimedTurn, TurnCommit } from "@stet/core";
import {
  type Bench,
  bodiesOf,
  claimBodies,
  claimIds,
  claimItem,
  claimTurn,
  ended,
  historyOf,
  idsOf,
  openStore,
  ownedBy,
  picture,
  recordOf,
  run,
  running,
  startAll,
  twoWorkers,
  workOf,
} from "./bench.ts";
import {
  commitOf,
  completion,
  everything,
  HOUR,
  instanceQuery,
  message,
  SECOND,
  START,
  start,
  timer,
  turnClaim,
  wait,
  work,
} from "./builders.ts";

export function deletion(bench: Bench): void {
  describe("deletion", () => {
    test("deleteTree() removes an ended instance", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a");
      await startAll(store, "b");

      assert.equal(await store.admin.deleteTree("a", false), "deleted");

      assert.deepEqual(idsOf(await store.admin.getInstances(["a", "b"])), ["b"]);
      assert.deepEqual(idsOf((await store.admin.listInstances(instanceQuery())).rows), ["b"]);
    });

    test("deleteTree() answers unknown for what is not there", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a");

      assert.equal(await store.admin.deleteTree("nobody", false), "unknown");
      assert.equal(await store.admin.deleteTree("nobody", true), "unknown");
      await store.admin.deleteTree("a", false);
      assert.equal(await store.admin.deleteTree("a", false), "unknown");
    });

    test("deleteTree() refuses what is running or pending unless it is forced", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "pending");
      await running(store, anna, "running");
      const before = await picture(store, "pending", "running");

      assert.equal(await store.admin.deleteTree("pending", false), "running");
      assert.equal(await store.admin.deleteTree("running", false), "running");
      assert.deepEqual(await picture(store, "pending", "running"), before);

      assert.equal(await store.admin.deleteTree("pending", true), "deleted");
      assert.equal(await store.admin.deleteTree("running", true), "deleted");
      assert.deepEqual((await store.admin.listInstances(instanceQuery())).rows, []);
    });

    test("deleteTree() refuses children, forced or not", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "root", { starts: [start("child", { parentId: "root" })] });
      await run(store, anna, await claimTurn(store, anna), { ended: { status: "completed" } });

      assert.equal(await store.admin.deleteTree("child", false), "notRoot");
      assert.equal(await store.admin.deleteTree("child", true), "notRoot");

      assert.equal((await store.admin.getTree("root")).length, 2);
    });

    test("deleteTree() refuses an ended root while something below it runs, unless it is forced", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "root", { starts: [start("child", { parentId: "root" })] });
      const child = await claimTurn(store, anna);
      await run(store, anna, child, {
        starts: [start("grandchild", { parentId: "child" })],
        ended: { status: "completed" },
      });

      assert.equal(await store.admin.deleteTree("root", false), "running");
      assert.equal((await store.admin.getTree("root")).length, 3);

      assert.equal(await store.admin.deleteTree("root", true), "deleted");
      assert.deepEqual(await store.admin.getInstances(["root", "child", "grandchild"]), []);
    });

    test("deleteTree() removes the whole tree and nothing else", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "root", "stranger");
      for (const [id, parentId] of [
        ["b", "root"],
        ["c", "root"],
        ["c1", "c"],
      ] as const) {
        await startAll(store, start(id, { parentId }));
      }

      assert.equal(await store.admin.deleteTree("root", true), "deleted");

      assert.deepEqual(idsOf((await store.admin.listInstances(instanceQuery())).rows), ["stranger"]);
      assert.deepEqual(await claimIds(store, anna), ["stranger"]);
    });

    test("deleteTree() removes everything of every instance of the tree", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const empty = await picture(store, "root", "child");
      const root = await running(store, anna, "root", (turn) => full(turn, "child"));
      const child = await claimTurn(store, anna, { instanceId: "child" });
      await run(store, anna, child, full(child));
      await store.sendMessages([
        message("root", "1", { idempotencyKey: "k" }),
        message("child", "2", { idempotencyKey: "k" }),
      ]);

      assert.equal(await store.admin.deleteTree("root", true), "deleted");

      assert.deepEqual(await picture(store, "root", "child"), empty);
      assert.deepEqual(await historyOf(store, root.key, 1), []);
      assert.deepEqual(await workOf(store, root.key, 1), []);
      assert.deepEqual((await store.admin.listWaits({ limit: 9 })).rows, []);
      assert.deepEqual(await claimIds(store, anna, { now: START + 2 * HOUR }), []);
      assert.deepEqual(await claimBodies(store, anna, { now: START + 2 * HOUR }), []);
    });

    test("an id can be used again, and nothing old reaches the new instance", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "root", (turn) => full(turn, "child"));
      const child = await claimTurn(store, anna, { instanceId: "child" });
      await run(store, anna, child, full(child));
      await store.sendMessages([message("root", "old", { idempotencyKey: "k" })]);
      await store.admin.deleteTree("root", true);

      await startAll(
        store,
        start("root", { body: "new root" }),
        start("child", { body: "new child", parentId: "root" }),
      );

      for (const id of ["root", "child"]) {
        const { status, lastEventId, labels, customStatus } = await recordOf(store, id);
        assert.deepEqual([status, lastEventId, labels, customStatus], ["pending", 0, {}, undefined]);
        assert.deepEqual(await store.admin.readState(id), []);
        assert.deepEqual(await store.admin.readOutputs(id, 0, 9), []);
        assert.deepEqual(await store.admin.readHistory(id, 1), []);
        assert.deepEqual(await store.readPayloads(id, ["digest-1"]), []);
      }
      assert.deepEqual(await store.sendMessages([message("root", "hello", { idempotencyKey: "k" })]), ["sent"]);
      const turns = await store.claimTurns(turnClaim(anna, { now: START + 2 * HOUR }));
      assert.deepEqual(
        new Map(turns.map((turn) => [turn.instanceId, bodiesOf(turn)])),
        new Map([
          ["root", ["new root", "hello"]],
          ["child", ["new child"]],
        ]),
      );
      for (const turn of turns) {
        assert.deepEqual([turn.execution, turn.attempts, turn.unsettled], [1, 1, false]);
        assert.deepEqual(await historyOf(store, turn.key, 1), []);
        assert.deepEqual(await workOf(store, turn.key, 1), []);
      }
    });

    test("a commit that was in flight changes nothing after the deletion", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await store.admin.deleteTree("a", true);
      const before = await picture(store, "a", "child");

      const outcomes = await store.commitTurns(anna, [commitOf(turn, everything(turn, "a", "child"))]);

      assert.deepEqual(outcomes, ["notOwner"]);
      assert.deepEqual(await picture(store, "a", "child"), before);
    });

    test("a commit that was in flight changes nothing of a new instance at the same position", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const old = await ownedBy(store, anna, "a");
      await store.admin.deleteTree("a", true);
      const turn = await ownedBy(store, anna, "a");
      const before = await picture(store, "a", "child");

      const outcomes = await store.commitTurns(anna, [commitOf(old, everything(old, "a", "child"))]);

      assert.deepEqual(outcomes, ["notOwner"]);
      assert.deepEqual(await picture(store, "a", "child"), before);
      await run(store, anna, turn);
    });

    test("a completion that was in flight changes nothing after the deletion", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, ben);
      await store.admin.deleteTree("a", true);

      assert.deepEqual((await store.heartbeat({ worker: ben, now: START, work: [key] })).lost, [key]);
      const [outcome] = await store.completeWork(ben, [completion(key, "a")]);

      assert.ok(outcome === "committed" || outcome === "notOwner");
      assert.deepEqual(await store.admin.getInstances(["a"]), []);
      assert.deepEqual((await store.admin.stats(START)).messages, { ready: 0, delayed: 0 });
    });

    test("a completion that was in flight does not reach a new instance with the same request", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const old = await claimItem(store, ben);
      await store.admin.deleteTree("a", true);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const item = await claimItem(store, ben);

      await store.completeWork(ben, [completion(old.key, "a", "old")]);
      assert.deepEqual(await claimIds(store, anna), []);

      assert.deepEqual(await store.completeWork(ben, [completion(item.key, "a", "new")]), ["committed"]);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["new"]);
    });

    test("retries, abandons, details and saved work that were in flight change nothing after the deletion", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2)] }));
      const { key } = await claimItem(store, ben);
      await store.admin.deleteTree("a", true);

      assert.deepEqual(await store.retryWork(ben, [{ key, visibleAt: START, failure: "late" }]), ["notOwner"]);
      await store.abandonWork(ben, [key]);
      await store.saveHeartbeats(ben, [{ key, details: "late", now: START }]);
      await store.releaseInstances(anna, [turn.key]);
      assert.deepEqual(await store.saveWork(anna, [{ ...work(turn, 3), instance: turn.key, owned: false }]), [
        undefined,
      ]);

      assert.deepEqual(await claimBodies(store, anna), []);
      assert.equal(await store.nextWakeAt(START - HOUR), undefined);
    });

    test("messages to a deleted instance go to nobody", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a");
      await store.admin.deleteTree("a", false);

      assert.deepEqual(await store.sendMessages([message("a", "1")]), ["unknown"]);
      await running(store, anna, "b", () => ({ messages: [message("a", "2")] }));
      assert.deepEqual((await store.admin.stats(START)).messages, { ready: 0, delayed: 0 });
    });

    test("children that a deleted parent asked for are not started", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "root");
      await store.admin.deleteTree("root", true);

      await store.commitTurns(anna, [commitOf(turn, { starts: [start("child", { parentId: "root" })] })]);

      assert.deepEqual(await store.admin.getInstances(["child"]), []);
    });

    test("deleteTree() leaves the messages, keys and payloads of others", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const other = await running(store, anna, "other", (turn) => full(turn));
      await store.sendMessages([message("other", "kept", { idempotencyKey: "k" })]);
      await running(store, anna, "a", (turn) => full(turn));
      await store.sendMessages([message("a", "gone", { idempotencyKey: "k" })]);

      await store.admin.deleteTree("a", true);

      assert.deepEqual(await store.sendMessages([message("other", "again", { idempotencyKey: "k" })]), ["duplicate"]);
      assert.equal((await store.readPayloads("other", ["digest-1"])).length, 1);
      assert.deepEqual(await workOf(store, other.key, 1), [4]);
      assert.equal((await store.admin.listWaits({ limit: 9 })).rows.length, 1);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["hello", "kept"]);
    });

    test("many deletions of one tree at the same time delete it once", async (t) => {
      const store = await openStore(bench, t);
      await startAll(store, "root", start("child", { parentId: "root" }));

      const outcomes = await Promise.all(Array.from({ length: 5 }, () => store.admin.deleteTree("root", true)));

      assert.deepEqual(outcomes.toSorted(), ["deleted", "unknown", "unknown", "unknown", "unknown"]);
    });
  });
}

/** Changes that leave one of everything behind, due timers and work included. */
function full(turn: ClaimedTurn, child?: string): Partial<TurnCommit> {
  return {
    ...everything(turn, turn.instanceId, "unused"),
    starts: child === undefined ? [] : [start(child, { parentId: turn.instanceId })],
    timers: [timer(3, START + HOUR), timer(6, START + SECOND)],
    waits: [wait(5, "approval")],
    unsettled: true,
    keep: true,
  };
}
