/** Answers of models that are kept for whoever asks the same again. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { SavedAnswer, StorageProvider, StoredAnswer } from "@stet/core";
import {
  type Bench,
  needsTwoHandles,
  openStore,
  openTwice,
  register,
  run,
  running,
  startAll,
  twoWorkers,
} from "./bench.ts";
import { HOUR, SECOND, START, turnClaim } from "./builders.ts";

const answer = (digest: string, body: string, changes: Partial<SavedAnswer> = {}): SavedAnswer => ({
  digest,
  body,
  ...changes,
});

async function read(store: StorageProvider, key: Omit<SavedAnswer, "body">, now = START): Promise<string | undefined> {
  return (await store.readAnswers([key], now))[0];
}

export function answers(bench: Bench): void {
  describe("answers", () => {
    test("readAnswers() answers what was saved, key by key, and undefined for the rest", async (t) => {
      const store = await openStore(bench, t);
      await store.saveAnswers([answer("red", "1"), answer("blue", "2"), answer("empty", "")], START);

      const keys = ["blue", "green", "red", "blue", "empty"].map((digest) => ({ digest }));

      assert.deepEqual(await store.readAnswers(keys, START), ["2", undefined, "1", "2", ""]);
      assert.deepEqual(await store.readAnswers([], START), []);
    });

    test("saveAnswers() replaces what was there, its end included", async (t) => {
      const store = await openStore(bench, t);
      await store.saveAnswers([answer("red", "1", { expiresAt: START + SECOND })], START);
      await store.saveAnswers([answer("red", "2"), answer("blue", "3"), answer("blue", "4")], START);

      assert.deepEqual(await read(store, { digest: "red" }, START + HOUR), "2");
      assert.deepEqual(await read(store, { digest: "blue" }), "4");
    });

    test("readAnswers() keeps everybody's, an instance's and an execution's apart", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const { key: a } = await running(store, anna, "a");
      const { key: b } = await running(store, anna, "b");
      await store.saveAnswers(
        [answer("red", "all"), answer("red", "a", { instance: a }), answer("red", "a1", { instance: a, execution: 1 })],
        START,
      );

      const keys = [
        { digest: "red" },
        { digest: "red", instance: a },
        { digest: "red", instance: a, execution: 1 },
        { digest: "red", instance: a, execution: 2 },
        { digest: "red", instance: b },
        { digest: "red", instance: b, execution: 1 },
      ];
      assert.deepEqual(await store.readAnswers(keys, START), ["all", "a", "a1", undefined, undefined, undefined]);
    });

    test("an answer is nobody's from the time on at which it expires", async (t) => {
      const store = await openStore(bench, t);
      await store.saveAnswers([answer("red", "1", { expiresAt: START + HOUR })], START);

      assert.equal(await read(store, { digest: "red" }, START + HOUR - 1), "1");
      assert.equal(await read(store, { digest: "red" }, START + HOUR), undefined);
    });

    test("saveAnswers() leaves what has not expired, whatever else has", async (t) => {
      const store = await openStore(bench, t);
      const all = Array.from({ length: 300 }, (_, i) =>
        answer(`digest-${i}`, `${i}`, { expiresAt: START + (i % 2 === 0 ? SECOND : HOUR) }),
      );
      await store.saveAnswers(all, START);
      await store.saveAnswers([answer("red", "1")], START + SECOND);

      const found = await store.readAnswers(all, START + SECOND);
      assert.deepEqual(
        found,
        all.map(({ body }, i) => (i % 2 === 0 ? undefined : body)),
      );
      assert.equal(await read(store, { digest: "red" }, START + SECOND), "1");
    });

    test("answers of an execution go when one is saved for a later one; those of the instance stay", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const { key: a } = await running(store, anna, "a");
      const { key: b } = await running(store, anna, "b");
      const first = { digest: "red", instance: a, execution: 1 };
      await store.saveAnswers(
        [
          { ...first, body: "a1" },
          answer("red", "a", { instance: a }),
          answer("red", "b1", { instance: b, execution: 1 }),
        ],
        START,
      );
      await store.saveAnswers([answer("blue", "a2", { instance: a, execution: 2 })], START);

      assert.equal(await read(store, first), undefined);
      assert.equal(await read(store, { digest: "red", instance: a }), "a");
      assert.equal(await read(store, { digest: "red", instance: b, execution: 1 }), "b1");
      assert.equal(await read(store, { digest: "blue", instance: a, execution: 2 }), "a2");
    });

    test("importAnswers() keeps what exportAnswers() took page by page, for the same instances", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const { key } = await running(store, anna, "a");
      const kept = [
        answer("red", "all", { expiresAt: START + HOUR }),
        answer("red", "a", { instance: key }),
        answer("red", "a1", { instance: key, execution: 1 }),
      ];
      await store.saveAnswers(kept, START);
      const other = await openStore(bench, t);
      const worker = await register(other, "w");
      await startAll(other, "z", "a");

      const pages: StoredAnswer[][] = [];
      for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
        const page = await store.admin.exportAnswers({ limit: 2, ...(cursor !== undefined && { cursor }) });
        pages.push([...page.rows]);
        cursor = page.cursor;
      }
      await other.admin.importAnswers(pages.flat());

      assert.deepEqual(
        pages.map(({ length }) => length),
        [2, 1],
      );
      const turns = await other.claimTurns(turnClaim(worker));
      const instance = turns.find(({ instanceId }) => instanceId === "a")!.key;
      const keys = [{ digest: "red" }, { digest: "red", instance }, { digest: "red", instance, execution: 1 }];
      assert.deepEqual(await other.readAnswers(keys, START), ["all", "a", "a1"]);
      assert.equal(await read(other, { digest: "red" }, START + HOUR), undefined);
    });

    test("importAnswers() leaves what is kept already, and answers of nobody that is there", async (t) => {
      const store = await openStore(bench, t);
      await store.saveAnswers([answer("red", "old")], START);

      await store.admin.importAnswers([
        { digest: "red", body: "new" },
        { digest: "blue", body: "2", instanceId: "nobody" },
        { digest: "blue", body: "3" },
      ]);

      assert.deepEqual(await store.readAnswers([{ digest: "red" }, { digest: "blue" }], START), ["old", "3"]);
      assert.equal((await store.admin.exportAnswers({ limit: 10 })).rows.length, 2);
    });

    test("answers of an instance outlive its end, and go when it is deleted; everybody's stay", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const keys = [
        { digest: "red", instance: turn.key },
        { digest: "red", instance: turn.key, execution: 1 },
        { digest: "red" },
      ];
      await store.saveAnswers(
        keys.map((key) => ({ ...key, body: "1" })),
        START,
      );
      await run(store, anna, turn, { ended: { status: "completed" } });
      assert.deepEqual(await store.readAnswers(keys, START), ["1", "1", "1"]);

      await store.admin.deleteTree("a", false);

      assert.deepEqual(await store.readAnswers(keys, START), [undefined, undefined, "1"]);
    });

    test("saveAnswers() for an instance that is gone keeps nothing, and nothing reaches one made anew", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const { key } = await running(store, anna, "a");
      await store.admin.deleteTree("a", true);
      const { key: anew } = await running(store, anna, "a");

      await store.saveAnswers([answer("red", "late", { instance: key }), answer("blue", "1")], START);

      assert.equal(await read(store, { digest: "red", instance: key }), undefined);
      assert.equal(await read(store, { digest: "red", instance: anew }), undefined);
      assert.equal(await read(store, { digest: "blue" }), "1");
    });

    test("digests and answers are texts of any kind and length", async (t) => {
      const store = await openStore(bench, t);
      const body = `${"ü".repeat(500_000)}🍎`;
      await store.saveAnswers([answer("Red", "1"), answer("red ", "2"), answer("red%", "3"), answer("ü", body)], START);

      assert.equal(await read(store, { digest: "red" }), undefined);
      assert.equal(await read(store, { digest: "Red" }), "1");
      assert.equal(await read(store, { digest: "ü" }), body);
    });

    test("an answer that one handle saved is read by the other", needsTwoHandles(bench), async (t) => {
      const [store, second] = await openTwice(bench, t);
      await register(store, "anna");
      await store.saveAnswers([answer("red", "1")], START);

      assert.equal(await read(second, { digest: "red" }), "1");
    });
  });
}
