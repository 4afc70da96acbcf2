/** Outputs: a stream that is read by offset. Offsets are above 0, so 0 reads from the beginning. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Bench, run, running, twoWorkers } from "./bench.ts";
import { continuedAsNew, SECOND, START } from "./builders.ts";

const output = (body: string, at = START): { readonly body: string; readonly at: number } => ({ body, at });

export function outputs(bench: Bench): void {
  describe("outputs", () => {
    test("readOutputs() answers the outputs of all commits in order, with growing offsets", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ outputs: [output("1"), output("2", START + SECOND)] }));
      await run(store, anna, turn, { outputs: [output("3", START - SECOND)] });

      const rows = await store.admin.readOutputs("a", 0, 10);

      assert.deepEqual(
        rows.map(({ body, at }) => [body, at]),
        [
          ["1", START],
          ["2", START + SECOND],
          ["3", START - SECOND],
        ],
      );
      const offsets = rows.map(({ offset }) => offset);
      assert.ok(offsets.every((offset, index) => offset > (offsets[index - 1] ?? 0)));
    });

    test("readOutputs() goes on after an offset", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ outputs: ["1", "2", "3"].map((body) => output(body)) }));
      const [first, second, third] = await store.admin.readOutputs("a", 0, 10);
      assert.ok(first && second && third);

      assert.deepEqual(await store.admin.readOutputs("a", first.offset, 10), [second, third]);
      assert.deepEqual(await store.admin.readOutputs("a", third.offset, 10), []);
      await run(store, anna, turn, { outputs: [output("4")] });
      const [fourth, ...more] = await store.admin.readOutputs("a", third.offset, 10);
      assert.deepEqual([fourth?.body, more], ["4", []]);
    });

    test("readOutputs() answers no more than asked for, the oldest first", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ outputs: ["1", "2", "3", "4", "5"].map((body) => output(body)) }));

      const seen: string[] = [];
      let offset = 0;
      for (let page = 0; page < 4; page++) {
        const rows = await store.admin.readOutputs("a", offset, 2);
        assert.ok(rows.length <= 2);
        seen.push(...rows.map(({ body }) => body));
        offset = rows.at(-1)?.offset ?? offset;
      }

      assert.deepEqual(seen, ["1", "2", "3", "4", "5"]);
    });

    test("readOutputs() keeps instances apart", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const a = await running(store, anna, "a", () => ({ outputs: [output("a1")] }));
      await running(store, anna, "b", () => ({ outputs: [output("b1")] }));
      await run(store, anna, a, { outputs: [output("a2")] });

      const bodies = async (id: string): Promise<string[]> =>
        (await store.admin.readOutputs(id, 0, 10)).map(({ body }) => body);
      assert.deepEqual([await bodies("a"), await bodies("b"), await bodies("nobody")], [["a1", "a2"], ["b1"], []]);
    });

    test("outputs go on over executions and stay after the end", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ outputs: [output("1")] }));
      const second = await run(store, anna, first, {
        history: continuedAsNew(first),
        outputs: [output("2")],
        keep: true,
      });
      await run(store, anna, second, { outputs: [output("3")], ended: { status: "completed" } });
      await store.admin.prune({ keepExecutions: 1, limit: 10 });

      const rows = await store.admin.readOutputs("a", 0, 10);
      assert.deepEqual(
        rows.map(({ body }) => body),
        ["1", "2", "3"],
      );
    });

    test("outputs may be empty, equal and many", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ outputs: Array.from({ length: 2_000 }, () => output("")) }));

      const rows = await store.admin.readOutputs("a", 0, 5_000);

      assert.equal(rows.length, 2_000);
      assert.equal(new Set(rows.map(({ offset }) => offset)).size, 2_000);
    });
  });
}
