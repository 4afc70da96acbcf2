/** Waits: what instances wait for, for clients to list. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StorageProvider, WaitRecord } from "@stet/core";
import { type Bench, ownedBy, run, running, startAll, twoWorkers } from "./bench.ts";
import { HOUR, START, start, wait } from "./builders.ts";

export function waits(bench: Bench): void {
  describe("waits", () => {
    test("listWaits() shows an open wait with its instance", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "root");
      const turn = await ownedBy(store, anna, "child", { parentId: "root", name: "order" });
      await run(store, anna, turn, {
        waits: [wait(7, "approval", { details: '{"amount":3}', since: START + 5, timeoutAt: START + HOUR })],
      });

      assert.deepEqual(await store.admin.listWaits({ limit: 10 }), {
        rows: [
          {
            instanceId: "child",
            rootId: "root",
            orchestration: "order",
            execution: 1,
            eventId: 7,
            name: "approval",
            details: '{"amount":3}',
            since: START + 5,
            timeoutAt: START + HOUR,
          },
        ],
      });
    });

    test("listWaits() leaves out what a wait does not have", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ waits: [wait(2, "approval")] }));

      const { rows } = await store.admin.listWaits({ limit: 10 });

      assert.deepEqual(rows, [
        {
          instanceId: "a",
          rootId: "a",
          orchestration: "order",
          execution: 1,
          eventId: 2,
          name: "approval",
          since: START,
        },
      ]);
    });

    test("listWaits() finds waits by instance and by name", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({
        waits: [wait(2, "approval"), wait(3, "payment"), wait(4, "approval")],
      }));
      await running(store, anna, "b", () => ({ waits: [wait(2, "approval")] }));

      const found = async (query: { instanceId?: string; name?: string }): Promise<string[]> =>
        namesOf((await store.admin.listWaits({ ...query, limit: 10 })).rows);

      assert.deepEqual(await found({}), ["a 2 approval", "a 3 payment", "a 4 approval", "b 2 approval"]);
      assert.deepEqual(await found({ instanceId: "a" }), ["a 2 approval", "a 3 payment", "a 4 approval"]);
      assert.deepEqual(await found({ name: "approval" }), ["a 2 approval", "a 4 approval", "b 2 approval"]);
      assert.deepEqual(await found({ instanceId: "a", name: "approval" }), ["a 2 approval", "a 4 approval"]);
      assert.deepEqual(await found({ instanceId: "nobody" }), []);
      assert.deepEqual(await found({ name: "Approval" }), []);
    });

    test("a settled wait is gone, and the others stay", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ waits: [wait(2, "one"), wait(3, "two")] }));

      await run(store, anna, turn, { settled: [2], waits: [wait(4, "three")] });

      assert.deepEqual(namesOf((await store.admin.listWaits({ limit: 10 })).rows), ["a 3 two", "a 4 three"]);
    });

    test("waits survive the release of their worker", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ waits: [wait(2, "approval")] }));
      await store.releaseWorker(anna);

      assert.deepEqual(namesOf((await store.admin.listWaits({ limit: 10 })).rows), ["a 2 approval"]);
    });

    test("listWaits() pages through all waits, each once, and the last page has no cursor", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const expected = await manyWaits(store, anna);

      for (const limit of [1, 2, 3, 6, 10]) {
        const seen = await pages(store, limit);
        assert.deepEqual(seen.toSorted(), expected);
      }
    });

    test("listWaits() pages stably while waits come and go", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const expected = await manyWaits(store, anna);
      let changes = 0;

      const seen = await pages(store, 2, async () => {
        await running(store, anna, `new-${++changes}`, () => ({ waits: [wait(2, "new")] }));
        if (changes > 1) return;
        const turn = await ownedBy(store, anna, "ends");
        await run(store, anna, turn, { waits: [], ended: { status: "completed" } });
      });

      const old = seen.filter((name) => !name.startsWith("new"));
      assert.deepEqual(old.toSorted(), expected);
    });

    test("listWaits() goes on when the wait that ended the page is settled meanwhile", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({
        waits: [2, 3, 4, 5].map((eventId) => wait(eventId, "w")),
      }));
      const first = await store.admin.listWaits({ limit: 2 });
      await run(store, anna, turn, { settled: first.rows.map(({ eventId }) => eventId) });

      const second = await store.admin.listWaits({ limit: 2, cursor: first.cursor ?? assert.fail("no cursor") });

      const seen = [...first.rows, ...second.rows].map(({ eventId }) => eventId);
      assert.equal(seen.length, 4);
      assert.deepEqual(new Set(seen), new Set([2, 3, 4, 5]));
    });

    test("instances that were only started wait for nothing", async (t) => {
      const { store } = await twoWorkers(bench, t);
      await startAll(store, start("a"));

      assert.deepEqual(await store.admin.listWaits({ limit: 10 }), { rows: [] });
    });
  });
}

function namesOf(rows: readonly WaitRecord[]): string[] {
  return rows.map(({ instanceId, eventId, name }) => `${instanceId} ${eventId} ${name}`).sort();
}

/** Six waits of three instances. */
async function manyWaits(store: StorageProvider, worker: Parameters<typeof running>[1]): Promise<string[]> {
  for (const id of ["a", "b", "c"]) await running(store, worker, id, () => ({ waits: [wait(2, "x"), wait(3, "y")] }));
  return ["a 2 x", "a 3 y", "b 2 x", "b 3 y", "c 2 x", "c 3 y"];
}

async function pages(
  store: StorageProvider,
  limit: number,
  between = async (): Promise<void> => {},
): Promise<string[]> {
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.admin.listWaits({ limit, ...(cursor !== undefined && { cursor }) });
    assert.ok(page.rows.length <= limit);
    assert.ok(page.rows.length > 0, "Expected no cursor to lead to an empty page.");
    seen.push(...page.rows.map(({ instanceId, eventId, name }) => `${instanceId} ${eventId} ${name}`));
    cursor = page.cursor;
    await between();
  } while (cursor !== undefined && seen.length < 50);
  return seen;
}
