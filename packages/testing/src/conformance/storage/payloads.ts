/** Payloads: large texts, stored once for each tree. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Bench, ended, openStore, ownedBy, run, running, twoWorkers } from "./bench.ts";
import { commitOf, continuedAsNew, HOUR, START } from "./builders.ts";

const red = { digest: "sha-red", body: "a long text about red" };
const blue = { digest: "sha-blue", body: "a long text about blue" };

export function payloads(bench: Bench): void {
  describe("payloads", () => {
    test("readPayloads() answers what a commit stored, and leaves unknown digests out", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ payloads: [red, blue] }));

      const read = await store.readPayloads("a", [blue.digest, "sha-none", red.digest]);

      assert.deepEqual(
        new Map(read.map(({ digest, body }) => [digest, body])),
        new Map([red, blue].map(({ digest, body }) => [digest, body])),
      );
      assert.equal(read.length, 2);
    });

    test("readPayloads() answers nothing for no digests and for unknown roots", async (t) => {
      const store = await openStore(bench, t);

      assert.deepEqual(await store.readPayloads("nobody", [red.digest]), []);
      assert.deepEqual(await store.readPayloads("nobody", []), []);
    });

    test("a payload is stored once, however often it is committed", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ payloads: [red, red] }));
      await run(store, anna, turn, { payloads: [red, blue] });

      assert.deepEqual(await store.readPayloads("a", [red.digest]), [red]);
      assert.deepEqual(await store.readPayloads("a", [blue.digest]), [blue]);
    });

    test("a payload of a child is stored under the root of the tree", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "root", () => ({ payloads: [red] }));
      const child = await ownedBy(store, anna, "child", { parentId: "root" });
      await run(store, anna, child, { payloads: [red, blue] });
      const grandchild = await ownedBy(store, anna, "grandchild", { parentId: "child" });
      await run(store, anna, grandchild, { payloads: [{ digest: "sha-green", body: "green" }] });

      assert.deepEqual((await store.readPayloads("root", [red.digest])).length, 1);
      assert.deepEqual(await store.readPayloads("root", [blue.digest]), [blue]);
      assert.equal((await store.readPayloads("root", ["sha-green"])).length, 1);
    });

    test("a payload of one tree is none of another's", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ payloads: [red] }));
      await running(store, anna, "b", () => ({ payloads: [blue] }));

      assert.deepEqual(await store.readPayloads("a", [red.digest, blue.digest]), [red]);
      assert.deepEqual(await store.readPayloads("b", [red.digest, blue.digest]), [blue]);
    });

    test("two trees may store the same payload", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ payloads: [red] }));
      await running(store, anna, "b", () => ({ payloads: [red] }));
      await store.admin.deleteTree("a", true);

      assert.deepEqual(await store.readPayloads("b", [red.digest]), [red]);
    });

    test("payloads survive executions, endings, pruned executions and restarts", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ payloads: [red] }));
      const second = await run(store, anna, first, { history: continuedAsNew(first), keep: true });
      await run(store, anna, second, { ended: { status: "completed" } });
      await store.admin.prune({ keepExecutions: 1, limit: 10 });
      await store.admin.restart({ instanceId: "a", body: "again", at: START + HOUR });

      assert.deepEqual(await store.readPayloads("a", [red.digest]), [red]);
    });

    test("payloads survive the end of the child that stored them", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "root");
      const child = await ownedBy(store, anna, "child", { parentId: "root" });
      await run(store, anna, child, { payloads: [red], ended: { status: "failed" } });
      await ended(store, anna, "other");

      assert.deepEqual(await store.readPayloads("root", [red.digest]), [red]);
    });

    test("a refused commit stores no payload, even when others of its batch store the same", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const stale = await running(store, anna, "a");
      await run(store, anna, stale, { keep: true });
      const other = await ownedBy(store, anna, "b");

      const outcomes = await store.commitTurns(anna, [
        commitOf(stale, { payloads: [red] }),
        commitOf(other, { payloads: [red] }),
      ]);

      assert.deepEqual(outcomes, ["notOwner", "committed"]);
      assert.deepEqual(await store.readPayloads("a", [red.digest]), []);
      assert.deepEqual(await store.readPayloads("b", [red.digest]), [red]);
    });

    test("readPayloads() answers thousands at once", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const many = Array.from({ length: 3_000 }, (_, index) => ({ digest: `sha-${index}`, body: `body ${index}` }));
      await running(store, anna, "a", () => ({ payloads: many }));

      const read = await store.readPayloads(
        "a",
        many.map(({ digest }) => digest),
      );

      assert.equal(read.length, 3_000);
      assert.equal(read.find(({ digest }) => digest === "sha-2999")?.body, "body 2999");
    });
  });
}
