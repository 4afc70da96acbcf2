/** Pruning: old trees and old executions go, what is current stays. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StorageProvider, WorkerKey } from "@stet/core";
import {
  type Bench,
  claimTurn,
  ended,
  historyOf,
  idsOf,
  openStore,
  ownedBy,
  recordOf,
  register,
  run,
  running,
  startAll,
  twoWorkers,
} from "./bench.ts";
import { chunk, continuedAsNew, HOUR, instanceQuery, MINUTE, START, start } from "./builders.ts";

export function prune(bench: Bench): void {
  describe("pruning", () => {
    test("prune() of an empty store removes nothing", async (t) => {
      const store = await openStore(bench, t);

      const pruned = await store.admin.prune({ endedBefore: START, keepExecutions: 1, limit: 10 });

      assert.deepEqual(pruned, { trees: 0, executions: 0 });
    });

    test("prune() removes trees whose root ended before a time, and no others", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "old", { at: START });
      await ended(store, anna, "failed", { at: START + MINUTE, ended: { status: "failed" } });
      await ended(store, anna, "new", { at: START + HOUR });
      await running(store, anna, "running", () => ({ at: START }));
      await startAll(store, "pending");

      const { trees } = await store.admin.prune({ endedBefore: START + 2 * MINUTE, limit: 10 });

      assert.equal(trees, 2);
      assert.deepEqual(await all(store), ["new", "pending", "running"]);
    });

    test("prune() goes by the time of the end, not of the start", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "started early", { at: START + 2 * HOUR });

      assert.equal((await store.admin.prune({ endedBefore: START + HOUR, limit: 10 })).trees, 0);

      assert.deepEqual(await all(store), ["started early"]);
    });

    test("prune() removes children with their root, and not before it", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "running", () => ({ starts: [start("r1", { parentId: "running" })], at: START }));
      await run(store, anna, await claimTurn(store, anna), { ended: { status: "completed" }, at: START });
      await ended(store, anna, "ended", { starts: [start("e1", { parentId: "ended" })], at: START });
      await run(store, anna, await claimTurn(store, anna), { ended: { status: "completed" }, at: START });

      const { trees } = await store.admin.prune({ endedBefore: START + MINUTE, limit: 10 });

      assert.equal(trees, 1);
      assert.deepEqual(await all(store), ["r1", "running"]);
    });

    test("prune() removes no tree in which something still runs", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "root", { starts: [start("child", { parentId: "root" })], at: START });

      assert.equal((await store.admin.prune({ endedBefore: START + MINUTE, limit: 10 })).trees, 0);

      assert.deepEqual(await all(store), ["child", "root"]);
    });

    test("prune() removes no more trees than asked for, and the rest the next time", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      for (let index = 0; index < 5; index++) await ended(store, anna, `i-${index}`, { at: START });
      const query = { endedBefore: START + MINUTE, limit: 2 };

      const counts: number[] = [];
      for (let call = 0; call < 4; call++) counts.push((await store.admin.prune(query)).trees);

      assert.deepEqual(counts, [2, 2, 1, 0]);
      assert.deepEqual(await all(store), []);
    });

    test("prune() with a limit is not stopped by trees in which something still runs", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      for (const id of ["a", "b"]) {
        await ended(store, anna, id, { starts: [start(`child of ${id}`, { parentId: id })], at: START });
      }
      await store.releaseWorker(anna);
      const carl = await register(store, "carl");
      await ended(store, carl, "c", { at: START + MINUTE });

      assert.equal((await store.admin.prune({ endedBefore: START + HOUR, limit: 1 })).trees, 1);

      assert.equal((await all(store)).includes("c"), false);
    });

    test("prune() keeps the newest executions of every instance", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await continued(store, anna, "a", 5);
      await continued(store, anna, "b", 2);
      await continued(store, anna, "c", 1);

      const { trees, executions } = await store.admin.prune({ keepExecutions: 2, limit: 10 });

      assert.deepEqual([trees, executions], [0, 3]);
      assert.deepEqual(await executionsOf(store, "a"), [4, 5]);
      assert.deepEqual(await executionsOf(store, "b"), [1, 2]);
      assert.deepEqual(await executionsOf(store, "c"), [1]);
    });

    test("prune() removes the history of old executions and keeps that of the others", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await continued(store, anna, "a", 3);

      await store.admin.prune({ keepExecutions: 1, limit: 10 });

      assert.deepEqual(await store.admin.readHistory("a", 1), []);
      assert.deepEqual(await historyOf(store, turn.key, 2), []);
      assert.deepEqual(await historyOf(store, turn.key, 3), [chunk(3, 0).body]);
    });

    test("prune() keeps current executions of running and of ended instances", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await continued(store, anna, "running", 3);
      const over = await continued(store, anna, "ended", 3);
      await run(store, anna, over, { ended: { status: "completed" } });

      await store.admin.prune({ keepExecutions: 1, limit: 10 });

      assert.deepEqual(await executionsOf(store, "running"), [3]);
      assert.deepEqual(await executionsOf(store, "ended"), [3]);
      await run(store, anna, turn);
      assert.equal((await recordOf(store, "running")).lastEventId, 2);
    });

    test("prune() counts an execution once", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await continued(store, anna, "a", 4);

      assert.equal((await store.admin.prune({ keepExecutions: 1, limit: 10 })).executions, 3);
      assert.equal((await store.admin.prune({ keepExecutions: 1, limit: 10 })).executions, 0);
    });

    test("prune() takes its conditions one by one", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "old", { at: START });
      await continued(store, anna, "a", 3);

      const both = await store.admin.prune({ endedBefore: START + MINUTE, keepExecutions: 1, limit: 10 });

      assert.equal(both.trees, 1);
      assert.deepEqual(await all(store), ["a"]);
      assert.deepEqual(await executionsOf(store, "a"), [3]);
    });

    test("prune() without conditions removes nothing", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "old", { at: START });
      await continued(store, anna, "a", 3);

      assert.deepEqual(await store.admin.prune({ limit: 10 }), { trees: 0, executions: 0 });

      assert.deepEqual(await executionsOf(store, "a"), [1, 2, 3]);
    });

    test("a pruned tree leaves nothing to its id", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({
        payloads: [{ digest: "digest-1", body: "text" }],
        state: [{ key: "colour", value: "red" }],
        outputs: [{ body: "out", at: START }],
      }));
      await run(store, anna, turn, { ended: { status: "completed" }, at: START });
      await store.admin.prune({ endedBefore: START + 1, limit: 10 });

      await ownedBy(store, anna, "a");

      assert.deepEqual(await store.admin.readState("a"), []);
      assert.deepEqual(await store.admin.readOutputs("a", 0, 9), []);
      assert.deepEqual(await store.readPayloads("a", ["digest-1"]), []);
      assert.deepEqual(await store.admin.readHistory("a", 1), []);
    });
  });
}

async function all(store: StorageProvider): Promise<string[]> {
  return idsOf((await store.admin.listInstances(instanceQuery())).rows);
}

async function executionsOf(store: StorageProvider, id: string): Promise<number[]> {
  const numbers = (await store.admin.listExecutions(id)).map(({ execution }) => execution);
  return numbers.toSorted((one, two) => one - two);
}

/** A running instance in its execution number `count`. */
async function continued(
  store: StorageProvider,
  worker: WorkerKey,
  id: string,
  count: number,
): ReturnType<typeof running> {
  let turn = await running(store, worker, id);
  while (turn.execution < count) turn = await run(store, worker, turn, { history: continuedAsNew(turn), keep: true });
  return turn;
}
