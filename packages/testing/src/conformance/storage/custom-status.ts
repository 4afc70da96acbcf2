/** Custom status: one text of an instance, replaced by whoever names another. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StorageProvider } from "@stet/core";
import { type Bench, ownedBy, recordOf, run, running, startAll, twoWorkers } from "./bench.ts";
import { blockedBy, continuedAsNew } from "./builders.ts";

export function customStatus(bench: Bench): void {
  describe("custom status", () => {
    test("a new instance has no custom status", async (t) => {
      const { store } = await twoWorkers(bench, t);
      await startAll(store, "a");

      assert.equal("customStatus" in (await recordOf(store, "a")), false);
    });

    test("commitTurns() sets and replaces the custom status", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ customStatus: "begun" }));
      assert.equal(await statusOf(store), "begun");

      await run(store, anna, turn, { customStatus: "half way" });

      assert.equal(await statusOf(store), "half way");
    });

    test("commitTurns() that names no custom status keeps it", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ customStatus: "begun" }));
      const second = await run(store, anna, first, { keep: true });
      await run(store, anna, second);

      assert.equal(await statusOf(store), "begun");
    });

    test("an empty text is a custom status", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ customStatus: "begun" }));
      const second = await run(store, anna, first, { customStatus: "", keep: true });
      assert.equal(await statusOf(store), "");

      await run(store, anna, second);

      assert.equal(await statusOf(store), "");
    });

    test("the custom status goes on over executions and stays after the end", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ customStatus: "begun" }));
      const second = await run(store, anna, first, { history: continuedAsNew(first), keep: true });
      assert.equal(await statusOf(store), "begun");

      await run(store, anna, second, { ended: { status: "completed" } });

      assert.equal(await statusOf(store), "begun");
    });

    test("the turn that ends the instance may set the custom status", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await run(store, anna, turn, { customStatus: "done", ended: { status: "completed" } });

      assert.equal(await statusOf(store), "done");
    });

    test("a block keeps the custom status", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ customStatus: "begun" }));
      await run(store, anna, turn, blockedBy("build-1"));

      assert.equal(await statusOf(store), "begun");
    });

    test("instances have their own custom status", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ customStatus: "begun" }));
      await running(store, anna, "b", () => ({ customStatus: "other" }));

      assert.equal(await statusOf(store), "begun");
    });
  });
}

async function statusOf(store: StorageProvider): Promise<string | undefined> {
  return (await recordOf(store, "a")).customStatus;
}
