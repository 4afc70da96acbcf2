/** Pages of instances: newest first, and no row twice or never, whatever is written meanwhile. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { InstanceQuery, StorageProvider } from "@stet/core";
import { type Bench, openStore, register, run, startAll, twoWorkers } from "./bench.ts";
import { HOUR, instanceQuery, SECOND, START, start, turnClaim } from "./builders.ts";

export function listing(bench: Bench): void {
  describe("listing", () => {
    test("listInstances() of an empty store answers an empty page without a cursor", async (t) => {
      const store = await openStore(bench, t);

      assert.deepEqual(await store.admin.listInstances(instanceQuery()), { rows: [] });
    });

    test("listInstances() lists the newest first", async (t) => {
      const store = await openStore(bench, t);
      const ids = await startMany(store, 7);

      assert.deepEqual(await pages(store, instanceQuery()), ids.toReversed());
    });

    test("listInstances() lists instances that were started in one instant once each", async (t) => {
      const store = await openStore(bench, t);
      const ids = ["b", "a", "d", "c"];
      await startAll(store, ...ids);

      const seen = await pages(store, instanceQuery({ limit: 3 }));

      assert.deepEqual(seen.toSorted(), ids.toSorted());
    });

    test("listInstances() with any limit lists every instance once", async (t) => {
      const store = await openStore(bench, t);
      const ids = (await startMany(store, 12)).toReversed();

      for (const limit of [1, 2, 3, 4, 5, 6, 11, 12, 13]) {
        assert.deepEqual(await pages(store, instanceQuery({ limit })), ids);
      }
    });

    test("listInstances() gives no cursor with the last page, full or not", async (t) => {
      const store = await openStore(bench, t);
      await startMany(store, 4);

      const first = await store.admin.listInstances(instanceQuery({ limit: 2 }));
      assert.ok(first.cursor !== undefined);
      const last = await store.admin.listInstances(instanceQuery({ limit: 2, cursor: first.cursor }));

      assert.deepEqual([last.rows.length, "cursor" in last], [2, false]);
    });

    test("listInstances() pages through what its conditions leave", async (t) => {
      const { store } = await twoWorkers(bench, t);
      const starts = Array.from({ length: 20 }, (_, index) =>
        start(`i-${index}`, { at: START + index, labels: { third: String(index % 3 === 0) } }),
      );
      await startAll(store, ...starts);

      const seen = await pages(store, instanceQuery({ limit: 2, labels: { third: "true" } }));

      assert.deepEqual(seen, ["i-18", "i-15", "i-12", "i-9", "i-6", "i-3", "i-0"]);
    });

    test("listInstances() shows old rows once while new instances are started between pages", async (t) => {
      const store = await openStore(bench, t);
      const ids = (await startMany(store, 10)).toReversed();
      let count = 0;

      const seen = await pages(store, instanceQuery({ limit: 3 }), async () => {
        count++;
        await startAll(
          store,
          start(`new-${count}`, { at: START + HOUR }),
          start(`newer-${count}`, { at: START + HOUR }),
        );
      });

      assert.deepEqual(
        seen.filter((id) => id.startsWith("i-")),
        ids,
      );
      assert.equal(seen.length, new Set(seen).size);
    });

    test("listInstances() shows rows once while they are updated between pages", async (t) => {
      const store = await openStore(bench, t);
      const ids = (await startMany(store, 10)).toReversed();
      const anna = await register(store, "anna");
      const turns = await store.claimTurns(turnClaim(anna));

      const seen = await pages(store, instanceQuery({ limit: 3 }), async () => {
        for (const turn of turns.splice(0, 3)) {
          await run(store, anna, turn, { ended: { status: "completed" }, at: START + HOUR });
        }
      });

      assert.deepEqual(seen, ids);
    });

    test("listInstances() skips no row while others are deleted between pages", async (t) => {
      const store = await openStore(bench, t);
      const ids = (await startMany(store, 12)).toReversed();
      const gone: string[] = [];

      const seen = await pages(store, instanceQuery({ limit: 3 }), async (page) => {
        // The one the cursor stands on, and one before it: neither may move the pages to come.
        for (const id of page.slice(1)) {
          assert.equal(await store.admin.deleteTree(id, true), "deleted");
          gone.push(id);
        }
      });

      assert.ok(gone.length > 4);
      assert.deepEqual(seen, ids);
    });

    test("listInstances() skips no row when rows of the page before leave its conditions", async (t) => {
      const store = await openStore(bench, t);
      const ids = (await startMany(store, 9)).toReversed();
      const anna = await register(store, "anna");
      const turns = new Map((await store.claimTurns(turnClaim(anna))).map((turn) => [turn.instanceId, turn]));

      const seen = await pages(store, instanceQuery({ limit: 3, status: ["pending"] }), async (page) => {
        for (const id of page) await run(store, anna, turns.get(id) ?? assert.fail(), { keep: true });
      });

      assert.deepEqual(seen, ids);
    });

    test("listInstances() shows a row that is made anew at most once in either life", async (t) => {
      const store = await openStore(bench, t);
      await startMany(store, 6);

      const seen = await pages(store, instanceQuery({ limit: 2 }), async ([first]) => {
        assert.ok(first !== undefined);
        await store.admin.deleteTree(first, true);
        await startAll(store, start(first, { at: START + HOUR }));
      });

      assert.deepEqual(seen, ["i-5", "i-4", "i-3", "i-2", "i-1", "i-0"]);
    });

    test("listInstances() answers the same page to the same cursor", async (t) => {
      const store = await openStore(bench, t);
      await startMany(store, 6);
      const { cursor } = await store.admin.listInstances(instanceQuery({ limit: 2 }));
      assert.ok(cursor !== undefined);

      const [one, two] = await Promise.all([
        store.admin.listInstances(instanceQuery({ limit: 2, cursor })),
        store.admin.listInstances(instanceQuery({ limit: 2, cursor })),
      ]);

      assert.deepEqual(one, two);
      assert.deepEqual(
        one.rows.map(({ instanceId }) => instanceId),
        ["i-3", "i-2"],
      );
    });
  });
}

/** Starts instances one after the other, a second apart. */
async function startMany(store: StorageProvider, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, index) => `i-${index}`);
  for (const [index, id] of ids.entries()) await startAll(store, start(id, { at: START + index * SECOND }));
  return ids;
}

/** All rows of all pages in their order; `between` is done after each page. */
async function pages(
  store: StorageProvider,
  query: InstanceQuery,
  between: (page: readonly string[]) => Promise<void> = async () => {},
): Promise<string[]> {
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.admin.listInstances({ ...query, ...(cursor !== undefined && { cursor }) });
    const ids = page.rows.map(({ instanceId }) => instanceId);
    assert.ok(ids.length <= query.limit, `Expected at most ${query.limit} rows, got ${ids.length}.`);
    seen.push(...ids);
    cursor = page.cursor;
    await between(ids);
  } while (cursor !== undefined && seen.length < 100);
  return seen;
}
