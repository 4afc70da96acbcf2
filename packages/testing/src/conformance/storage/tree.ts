/** Trees: an instance and all that it has started as children. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StorageProvider } from "@stet/core";
import { type Bench, ended, openStore, ownedBy, recordOf, run, startAll, twoWorkers } from "./bench.ts";
import { instanceQuery, start } from "./builders.ts";

export function tree(bench: Bench): void {
  describe("trees", () => {
    test("getTree() answers the instance and all below it, parents before children", async (t) => {
      const store = await openStore(bench, t);
      await family(store);

      const ids = (await store.admin.getTree("root")).map(({ instanceId }) => instanceId);

      assert.deepEqual(ids.toSorted(), ["b", "b1", "b2", "c", "c1", "c1x", "root"]);
      for (const [parent, child] of [
        ["root", "b"],
        ["root", "c"],
        ["b", "b1"],
        ["b", "b2"],
        ["c", "c1"],
        ["c1", "c1x"],
      ] as const) {
        assert.ok(ids.indexOf(parent) < ids.indexOf(child), `Expected ${parent} before ${child}.`);
      }
    });

    test("getTree() of a child answers what is below it only", async (t) => {
      const store = await openStore(bench, t);
      await family(store);

      const ids = (await store.admin.getTree("c")).map(({ instanceId }) => instanceId);

      assert.deepEqual(ids, ["c", "c1", "c1x"]);
    });

    test("getTree() answers whole rows", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const root = await ownedBy(store, anna, "root");
      await run(store, anna, root, { starts: [start("b", { parentId: "root" })], customStatus: "waiting" });

      const tree = await store.admin.getTree("root");

      assert.deepEqual(tree, [await recordOf(store, "root"), await recordOf(store, "b")]);
    });

    test("getTree() of an unknown instance answers nothing", async (t) => {
      const store = await openStore(bench, t);

      assert.deepEqual(await store.admin.getTree("nobody"), []);
    });

    test("getTree() keeps what has ended", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "root", { starts: [start("b", { parentId: "root" })] });

      const ids = (await store.admin.getTree("root")).map(({ instanceId }) => instanceId);

      assert.deepEqual(ids, ["root", "b"]);
    });

    test("an instance that was started without a parent is the top of its own tree", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a", { starts: [start("detached")] });

      const { rootId, parentId } = await recordOf(store, "detached");

      assert.deepEqual([rootId, parentId], ["detached", undefined]);
      assert.equal((await store.admin.getTree("a")).length, 1);
    });

    test("listInstances() by parent answers direct children only", async (t) => {
      const store = await openStore(bench, t);
      await family(store);

      const { rows } = await store.admin.listInstances(instanceQuery({ parentId: "root" }));

      assert.deepEqual(rows.map(({ instanceId }) => instanceId).toSorted(), ["b", "c"]);
    });

    test("every row of a tree names its root", async (t) => {
      const store = await openStore(bench, t);
      await family(store);

      const rows = await store.admin.getTree("root");

      assert.deepEqual(new Set(rows.map(({ rootId }) => rootId)), new Set(["root"]));
    });

    test("getTree() follows a chain of a hundred children", async (t) => {
      const store = await openStore(bench, t);
      await startAll(store, "i-0");
      for (let depth = 1; depth <= 100; depth++)
        await startAll(store, start(`i-${depth}`, { parentId: `i-${depth - 1}` }));

      const rows = await store.admin.getTree("i-0");

      assert.deepEqual(
        rows.map(({ instanceId }) => instanceId),
        Array.from({ length: 101 }, (_, index) => `i-${index}`),
      );
      assert.equal(rows.at(-1)?.rootId, "i-0");
    });
  });
}

/** A root with children and grandchildren, and a stranger. */
async function family(store: StorageProvider): Promise<void> {
  const parents = { root: ["b", "c"], b: ["b1", "b2"], c: ["c1"], c1: ["c1x"] };
  await startAll(store, "root", "stranger");
  for (const [parentId, children] of Object.entries(parents)) {
    await startAll(store, ...children.map((id) => start(id, { parentId })));
  }
}
