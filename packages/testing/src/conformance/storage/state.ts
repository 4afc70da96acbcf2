/** State: the keys and values of an instance, as its turns leave them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StateChange, StorageProvider } from "@stet/core";
import { type Bench, ended, run, running, twoWorkers } from "./bench.ts";
import { continuedAsNew } from "./builders.ts";

export function state(bench: Bench): void {
  describe("state", () => {
    test("readState() answers what commits set", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ state: [{ key: "colour", value: "red" }] }));
      await run(store, anna, turn, { state: [{ key: "size", value: "small" }] });

      assert.deepEqual(await stateOf(store, "a"), { colour: "red", size: "small" });
    });

    test("readState() answers only the keys asked for, and leaves unknown ones out", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ state: set({ colour: "red", size: "small", weight: "3" }) }));

      assert.deepEqual(await stateOf(store, "a", ["weight", "nothing", "colour"]), { colour: "red", weight: "3" });
      assert.deepEqual(await stateOf(store, "a", ["nothing"]), {});
      assert.deepEqual(await stateOf(store, "a", []), {});
    });

    test("readState() answers nothing for instances without state and for unknown ones", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a");

      assert.deepEqual(await store.admin.readState("a"), []);
      assert.deepEqual(await store.admin.readState("nobody"), []);
    });

    test("a later value replaces an earlier one", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ state: set({ colour: "red", size: "small" }) }));
      await run(store, anna, turn, { state: set({ colour: "blue" }) });

      assert.deepEqual(await stateOf(store, "a"), { colour: "blue", size: "small" });
    });

    test("a change without a value removes the key", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ state: set({ colour: "red", size: "small" }) }));
      await run(store, anna, turn, { state: [{ key: "colour" }] });

      assert.deepEqual(await stateOf(store, "a"), { size: "small" });
    });

    test("the removal of a key that is not there is no error", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ state: [{ key: "colour" }, { key: "size", value: "small" }] }));

      assert.deepEqual(await stateOf(store, "a"), { size: "small" });
    });

    test("all keys may be removed, and set again", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ state: set({ colour: "red", size: "small" }) }));
      const second = await run(store, anna, first, { state: [{ key: "colour" }, { key: "size" }], keep: true });
      assert.deepEqual(await stateOf(store, "a"), {});
      await run(store, anna, second, { state: set({ colour: "blue" }) });

      assert.deepEqual(await stateOf(store, "a"), { colour: "blue" });
    });

    test("changes of one commit go in their order", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ state: set({ kept: "old" }) }));
      await run(store, anna, turn, {
        state: [
          { key: "kept" },
          { key: "gone", value: "for a moment" },
          { key: "kept", value: "new" },
          { key: "gone" },
          { key: "twice", value: "first" },
          { key: "twice", value: "second" },
        ],
      });

      assert.deepEqual(await stateOf(store, "a"), { kept: "new", twice: "second" });
    });

    test("an empty text is a value", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ state: set({ colour: "" }) }));

      assert.deepEqual(await stateOf(store, "a"), { colour: "" });
    });

    test("keys may be any text", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const keys = ["a b", "a.b", "a/b", "$['a']", "größe", "鍵", "🔑", "'; --", "A B", "", "%", "_"];
      await running(store, anna, "a", () => ({ state: keys.map((key) => ({ key, value: `of ${key}` })) }));

      assert.deepEqual(await stateOf(store, "a"), Object.fromEntries(keys.map((key) => [key, `of ${key}`])));
      assert.deepEqual(await stateOf(store, "a", ["a b", "%"]), { "a b": "of a b", "%": "of %" });
    });

    test("values may be large", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const value = "0123456789abcdef".repeat(16_384);
      await running(store, anna, "a", () => ({ state: set({ colour: value }) }));

      assert.deepEqual(await stateOf(store, "a"), { colour: value });
    });

    test("instances do not see each other's state", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "b", () => ({ state: set({ colour: "blue", size: "small" }) }));
      const turn = await running(store, anna, "a", () => ({ state: set({ colour: "red" }) }));
      await run(store, anna, turn, { state: [{ key: "colour" }, { key: "size" }] });

      assert.deepEqual(await stateOf(store, "a"), {});
      assert.deepEqual(await stateOf(store, "b"), { colour: "blue", size: "small" });
    });

    test("a child does not see its parent's state", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({
        state: set({ colour: "red" }),
        starts: [{ instanceId: "b", name: "order", parentId: "a", body: "go", at: 0 }],
      }));

      assert.deepEqual(await stateOf(store, "b"), {});
    });

    test("state goes on over executions", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ state: set({ kept: "1", replaced: "1", removed: "1" }) }));
      const second = await run(store, anna, first, {
        history: continuedAsNew(first),
        state: [{ key: "replaced", value: "2" }],
        keep: true,
      });
      await run(store, anna, second, { state: [{ key: "removed" }, { key: "added", value: "2" }] });

      assert.deepEqual(await stateOf(store, "a"), { added: "2", kept: "1", replaced: "2" });
    });

    test("state survives the end, and executions that are pruned", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ state: set({ colour: "red" }) }));
      await run(store, anna, first, { history: continuedAsNew(first), ended: { status: "completed" } });
      await ended(store, anna, "b", { state: set({ colour: "blue" }) });

      await store.admin.prune({ keepExecutions: 1, limit: 10 });

      assert.deepEqual(await stateOf(store, "a"), { colour: "red" });
      assert.deepEqual(await stateOf(store, "b"), { colour: "blue" });
    });
  });
}

function set(values: { readonly [key: string]: string }): StateChange[] {
  return Object.entries(values).map(([key, value]) => ({ key, value }));
}

async function stateOf(store: StorageProvider, id: string, keys?: readonly string[]): Promise<Record<string, string>> {
  const rows = await store.admin.readState(id, keys);
  assert.equal(new Set(rows.map(({ key }) => key)).size, rows.length);
  return Object.fromEntries(rows.map(({ key, value }) => [key, value]));
}
