/** Rows of instances as clients see them, and where an instance is in its life. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { InstanceQuery, StorageProvider } from "@stet/core";
import { type Bench, ownedBy, recordOf, run, running, startAll, twoWorkers } from "./bench.ts";
import { blockedBy, chunk, continuedAsNew, HOUR, MINUTE, SECOND, START, start, turnClaim } from "./builders.ts";

export function instances(bench: Bench): void {
  describe("instances", () => {
    test("getInstances() answers known instances once, and leaves unknown ones out", async (t) => {
      const { store } = await twoWorkers(bench, t);
      await startAll(store, "a", "b", "c");

      const records = await store.admin.getInstances(["c", "nobody", "a"]);

      assert.deepEqual(records.map(({ instanceId }) => instanceId).toSorted(), ["a", "c"]);
      assert.deepEqual(await store.admin.getInstances([]), []);
      assert.deepEqual(await store.admin.getInstances(["nobody"]), []);
    });

    test("getInstances() shows all there is about an instance", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "root");
      const labels = { customer: "c-1", region: "eu" };
      const turn = await ownedBy(store, anna, "child", { parentId: "root", labels, at: START + SECOND });
      const next = await run(store, anna, turn, {
        history: [chunk(1, 0, 3)],
        version: "2",
        keep: true,
        at: START + MINUTE,
      });
      await run(store, anna, next, {
        customStatus: "nearly done",
        ended: { status: "failed", output: "some output", error: "no stock" },
        at: START + HOUR,
      });

      assert.deepEqual(await recordOf(store, "child"), {
        instanceId: "child",
        rootId: "root",
        parentId: "root",
        name: "order",
        version: "2",
        status: "failed",
        execution: 1,
        lastEventId: 4,
        labels,
        createdAt: START + SECOND,
        updatedAt: START + HOUR,
        customStatus: "nearly done",
        output: "some output",
        error: "no stock",
      });
    });

    test("getInstances() leaves out what an instance does not have", async (t) => {
      const { store } = await twoWorkers(bench, t);
      await startAll(store, "a");

      const record = await recordOf(store, "a");

      for (const key of ["parentId", "version", "customStatus", "output", "error", "blocked"]) {
        assert.equal(key in record, false, `Expected no ${key}.`);
      }
      assert.deepEqual(record.labels, {});
    });

    test("an instance is pending until its first turn is committed, and running then", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      assert.equal((await recordOf(store, "a")).status, "pending");

      const next = await run(store, anna, turn, { keep: true });
      assert.equal((await recordOf(store, "a")).status, "running");

      await run(store, anna, next, { history: continuedAsNew(next) });
      assert.equal((await recordOf(store, "a")).status, "running");
    });

    test("updatedAt is the time of the last commit, and nothing else moves it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ at: START + SECOND }));
      assert.equal((await recordOf(store, "a")).updatedAt, START + SECOND);
      const second = await run(store, anna, first, { at: START + 2 * SECOND, keep: true });
      assert.equal((await recordOf(store, "a")).updatedAt, START + 2 * SECOND);
      await run(store, anna, second, { at: START + MINUTE });
      await store.sendMessages([{ instanceId: "a", body: "more", at: START + HOUR }]);
      await store.claimTurns(turnClaim(ben, { now: START + HOUR }));

      const { createdAt, updatedAt } = await recordOf(store, "a");

      assert.deepEqual([createdAt, updatedAt], [START, START + MINUTE]);
    });

    test("listInstances() finds instances by each condition", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await library(store, anna);

      assert.deepEqual(await found(store, {}), ["book-1", "book-2", "child-1", "other", "page-1"]);
      assert.deepEqual(await found(store, { status: ["completed"] }), ["book-1"]);
      assert.deepEqual(await found(store, { status: ["completed", "failed"] }), ["book-1", "page-1"]);
      assert.deepEqual(await found(store, { status: ["terminated"] }), []);
      assert.deepEqual(await found(store, { status: ["pending"] }), ["child-1", "other"]);
      assert.deepEqual(await found(store, { status: ["running"] }), ["book-2"]);
      assert.deepEqual(await found(store, { name: "order" }), ["book-1", "book-2", "child-1", "page-1"]);
      assert.deepEqual(await found(store, { version: "2" }), ["book-2"]);
      assert.deepEqual(await found(store, { blocked: true }), ["book-2"]);
      assert.deepEqual(await found(store, { blocked: false }), ["book-1", "child-1", "other", "page-1"]);
      assert.deepEqual(await found(store, { idPrefix: "book-" }), ["book-1", "book-2"]);
      assert.deepEqual(await found(store, { parentId: "book-2" }), ["child-1"]);
      assert.deepEqual(await found(store, { parentId: "nobody" }), []);
      assert.deepEqual(await found(store, { labels: { region: "eu" } }), ["book-1", "page-1"]);
      assert.deepEqual(await found(store, { createdAfter: START + 90 * SECOND }), ["child-1", "other", "page-1"]);
      assert.deepEqual(await found(store, { createdBefore: START + 90 * SECOND }), ["book-1", "book-2"]);
    });

    test("listInstances() finds instances for which all conditions hold", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await library(store, anna);

      assert.deepEqual(await found(store, { status: ["completed", "running"], idPrefix: "book" }), [
        "book-1",
        "book-2",
      ]);
      assert.deepEqual(await found(store, { status: ["completed"], name: "other" }), []);
      assert.deepEqual(await found(store, { labels: { region: "eu", size: "small" } }), ["page-1"]);
      assert.deepEqual(await found(store, { labels: { region: "eu" }, idPrefix: "page" }), ["page-1"]);
      const between = { createdAfter: START + 30 * SECOND, createdBefore: START + 150 * SECOND };
      assert.deepEqual(await found(store, between), ["book-2", "page-1"]);
      assert.deepEqual(await found(store, { ...between, blocked: false }), ["page-1"]);
    });

    test("listInstances() takes prefixes, names and labels as they are", async (t) => {
      const { store } = await twoWorkers(bench, t);
      const ids = ["a_b", "axb", "a%b", "A_b", "größe-1", "grösse-1", "鍵-1", "'; --", "a\\b", "🔑1", "🔑2"];
      await startAll(store, ...ids.map((id) => start(id, { name: `of ${id}`, labels: { "k.e$y": id, [id]: "1" } })));

      for (const [idPrefix, expected] of [
        ["a_", ["a_b"]],
        ["a%", ["a%b"]],
        ["A", ["A_b"]],
        ["grö", ["größe-1", "grösse-1"].sort()],
        ["鍵", ["鍵-1"]],
        ["'", ["'; --"]],
        ["a\\", ["a\\b"]],
        ["🔑", ["🔑1", "🔑2"]],
      ] as const) {
        assert.deepEqual(await found(store, { idPrefix }), expected);
      }
      for (const id of ids) {
        assert.deepEqual(await found(store, { name: `of ${id}` }), [id]);
        assert.deepEqual(await found(store, { labels: { "k.e$y": id } }), [id]);
        assert.deepEqual(await found(store, { labels: { [id]: "1" } }), [id]);
      }
      assert.equal((await found(store, { idPrefix: "" })).length, ids.length);
    });

    test("listInstances() finds labels by their whole value", async (t) => {
      const { store } = await twoWorkers(bench, t);
      await startAll(
        store,
        start("a", { labels: { n: "1" } }),
        start("b", { labels: { n: "10" } }),
        start("c", { labels: { m: "1" } }),
      );

      assert.deepEqual(await found(store, { labels: { n: "1" } }), ["a"]);
      assert.deepEqual(await found(store, { labels: { n: "" } }), []);
      assert.deepEqual(await found(store, { labels: {} }), ["a", "b", "c"]);
    });
  });
}

async function found(store: StorageProvider, query: Partial<InstanceQuery>): Promise<string[]> {
  const { rows, cursor } = await store.admin.listInstances({ limit: 100, ...query });
  assert.equal(cursor, undefined);
  return rows.map(({ instanceId }) => instanceId).sort();
}

/** Instances of every kind, started a minute apart. */
async function library(store: StorageProvider, worker: Parameters<typeof running>[1]): Promise<void> {
  await startAll(store, start("book-1", { labels: { region: "eu" } }));
  const [first] = await store.claimTurns(turnClaim(worker));
  await run(store, worker, first ?? assert.fail(), { ended: { status: "completed" } });
  const second = await ownedBy(store, worker, "book-2", { at: START + MINUTE, labels: { region: "us" } });
  await run(store, worker, await run(store, worker, second, { version: "2", keep: true }), blockedBy("build-1"));
  const third = await ownedBy(store, worker, "page-1", {
    at: START + 2 * MINUTE,
    labels: { region: "eu", size: "small" },
  });
  await run(store, worker, third, { ended: { status: "failed" } });
  await startAll(store, start("child-1", { at: START + 3 * MINUTE, parentId: "book-2", labels: { size: "small" } }));
  await startAll(store, start("other", { at: START + 4 * MINUTE, name: "other" }));
}
