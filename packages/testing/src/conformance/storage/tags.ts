/** Tags: work that only some workers take. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StorageProvider, WorkerKey } from "@stet/core";
import { type Bench, claimBodies, claimItem, register, running, twoWorkers } from "./bench.ts";
import { START, work } from "./builders.ts";

/** An instance with one item for each of the tags; `-` is an item without one. */
async function withTags(store: StorageProvider, owner: WorkerKey, id: string, ...tags: string[]): Promise<void> {
  await running(store, owner, id, (turn) => ({
    work: tags.map((tag, index) => work(turn, index + 2, { body: tag, ...(tag !== "-" && { tag }) })),
  }));
}

export function tags(bench: Bench): void {
  describe("tags", () => {
    test("claimWork() without tags hands out untagged items only", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withTags(store, anna, "a", "gpu", "-", "eu", "-");

      assert.deepEqual(await claimBodies(store, ben), ["-", "-"]);
    });

    test("claimWork() with a tag hands out items with this tag besides untagged ones", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withTags(store, anna, "a", "gpu", "-", "eu");

      assert.deepEqual(await claimBodies(store, ben, { tags: ["gpu"] }), ["gpu", "-"]);
    });

    test("claimWork() with several tags hands out items with any of them", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withTags(store, anna, "a", "gpu", "us", "eu", "-");

      assert.deepEqual(await claimBodies(store, ben, { tags: ["eu", "gpu", "other"] }), ["gpu", "eu", "-"]);
    });

    test("items with other tags neither block nor are taken", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withTags(store, anna, "a", ...Array.from({ length: 30 }, () => "gpu"), "-");

      assert.deepEqual(await claimBodies(store, ben, { max: 1 }), ["-"]);
      assert.equal((await claimBodies(store, anna, { tags: ["gpu"] })).length, 30);
    });

    test("tags go for model calls too", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2, { kind: "model", tag: "gpu" })] }));

      assert.deepEqual(await claimBodies(store, ben), []);
      assert.deepEqual(await claimBodies(store, ben, { tags: ["gpu"] }), ["work 2"]);
    });

    test("tags are compared as they are", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withTags(store, anna, "a", "GPU", "gpu ", "g_u", "gp%", "größe");

      assert.deepEqual(await claimBodies(store, ben, { tags: ["gpu", "g", "grösse"] }), []);
      assert.deepEqual(await claimBodies(store, ben, { tags: ["gp%", "größe"] }), ["gp%", "größe"]);
    });

    test("an item keeps its tag when it is abandoned, tried again or left by its worker", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withTags(store, anna, "a", "gpu");
      const mine = { tags: ["gpu"] };

      await store.abandonWork(ben, [(await claimItem(store, ben, mine)).key]);
      assert.deepEqual(await claimBodies(store, ben), []);
      const { key } = await claimItem(store, ben, mine);
      await store.retryWork(ben, [{ key, visibleAt: START, failure: "busy" }]);
      assert.deepEqual(await claimBodies(store, ben), []);
      await claimItem(store, ben, mine);
      await store.releaseWorker(ben);

      assert.deepEqual(await claimBodies(store, anna), []);
      assert.equal((await claimItem(store, anna, mine)).attempts, 3);
    });

    test("saved items have their tag", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      await store.saveWork(anna, [{ ...work(turn, 2, { tag: "gpu" }), instance: turn.key, owned: false }]);

      assert.deepEqual(await claimBodies(store, ben), []);
      assert.deepEqual(await claimBodies(store, ben, { tags: ["gpu"] }), ["work 2"]);
    });

    test("workers with different tags share the work without overlap", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await withTags(store, anna, "a", "gpu", "-", "eu", "gpu", "-", "eu");
      const carl = await register(store, "carl");

      const claimed = [
        await claimBodies(store, anna, { tags: ["gpu"], max: 3 }),
        await claimBodies(store, ben, { tags: ["eu"] }),
        await claimBodies(store, carl, { tags: ["gpu", "eu"] }),
      ];

      assert.deepEqual(claimed, [["gpu", "-", "gpu"], ["eu", "-", "eu"], []]);
    });
  });
}
