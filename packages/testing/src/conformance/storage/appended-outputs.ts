/** Outputs written outside a turn: only by the owner of the instance, or of the item that they come from. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { AppendedOutput, ClaimedTurn, StorageProvider } from "@stet/core";
import {
  type Bench,
  claimItem,
  hears,
  mentions,
  needsTwoHandles,
  openTwice,
  register,
  run,
  running,
  twoWorkers,
} from "./bench.ts";
import { completion, continuedAsNew, HOUR, START, unwritable, work, workClaim } from "./builders.ts";

const appended = (
  { instanceId, key, execution }: Pick<ClaimedTurn, "instanceId" | "key" | "execution">,
  body: string,
  changes: Partial<AppendedOutput> = {},
): AppendedOutput => ({ instanceId, instance: key, execution, body, at: START, ...changes });

async function bodies(store: StorageProvider, instanceId: string): Promise<string[]> {
  return (await store.admin.readOutputs(instanceId, 0, 1_000)).map(({ body }) => body);
}

export function appendedOutputs(bench: Bench): void {
  describe("appended outputs", () => {
    test("appendOutputs() appends in order, between the outputs of turns, with growing offsets", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ outputs: [{ body: "1", at: START }] }));

      const outcomes = await store.appendOutputs(anna, [
        appended(turn, "2"),
        appended(turn, "3", { at: START + HOUR }),
      ]);
      await run(store, anna, turn, { outputs: [{ body: "4", at: START }], keep: true });

      const rows = await store.admin.readOutputs("a", 0, 10);
      assert.deepEqual(outcomes, ["committed", "committed"]);
      assert.deepEqual(
        rows.map(({ body, at }) => [body, at]),
        [
          ["1", START],
          ["2", START],
          ["3", START + HOUR],
          ["4", START],
        ],
      );
      assert.ok(rows.every(({ offset }, index) => offset > (rows[index - 1]?.offset ?? 0)));
    });

    test("appendOutputs() takes rows of many instances, and refuses those of others without harm to the rest", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const mine = await running(store, anna, "mine");
      const other = await running(store, ben, "other");

      const outcomes = await store.appendOutputs(anna, [
        appended(mine, "1"),
        appended(other, "not mine"),
        appended(mine, "2"),
      ]);

      assert.deepEqual(outcomes, ["committed", "notOwner", "committed"]);
      assert.deepEqual([await bodies(store, "mine"), await bodies(store, "other")], [["1", "2"], []]);
      assert.deepEqual(await store.appendOutputs(anna, []), []);
    });

    test("appendOutputs() refuses whoever has given the instance back, lost it, or was released", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const given = await running(store, anna, "given");
      await store.releaseInstances(anna, [given.key]);
      const lost = await running(store, ben, "lost");
      await store.releaseWorker(ben);

      assert.deepEqual(await store.appendOutputs(anna, [appended(given, "late")]), ["notOwner"]);
      assert.deepEqual(await store.appendOutputs(ben, [appended(lost, "late")]), ["notOwner"]);
      assert.deepEqual([await bodies(store, "given"), await bodies(store, "lost")], [[], []]);
    });

    test("appendOutputs() refuses an execution that is over, an instance that has ended or is gone", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a");
      await run(store, anna, first, { history: continuedAsNew(first), keep: true });
      const ended = await running(store, anna, "b");
      await run(store, anna, ended, { ended: { status: "completed" }, keep: true });
      const gone = await running(store, anna, "c");
      await store.admin.deleteTree("c", true);
      await running(store, anna, "c");

      const outcomes = await store.appendOutputs(anna, [
        appended(first, "1"),
        appended(ended, "2"),
        appended(gone, "3"),
      ]);

      assert.deepEqual(outcomes, ["notOwner", "notOwner", "notOwner"]);
      assert.deepEqual([await bodies(store, "a"), await bodies(store, "b"), await bodies(store, "c")], [[], [], []]);
    });

    test("appendOutputs() under an item asks who owns the item, not who owns the instance", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2)] }));
      const { key } = await claimItem(store, ben);

      assert.deepEqual(await store.appendOutputs(ben, [appended(turn, "1", { work: key })]), ["committed"]);
      assert.deepEqual(await store.appendOutputs(anna, [appended(turn, "2", { work: key })]), ["notOwner"]);
      assert.deepEqual(await store.appendOutputs(ben, [appended(turn, "3")]), ["notOwner"]);
      assert.deepEqual(await bodies(store, "a"), ["1"]);
    });

    test("appendOutputs() under an item is refused once that is answered, put off, given back or taken over", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [2, 3, 4, 5].map((id) => work(first, id)) }));
      const claimed = await store.claimWork(workClaim(ben));
      const keys = claimed.map(({ key }) => key);
      const [answered, delayed, back] = keys;
      assert.ok(answered !== undefined && delayed !== undefined && back !== undefined);
      await store.completeWork(ben, [completion(answered, "a")]);
      await store.retryWork(ben, [{ key: delayed, visibleAt: START, failure: "busy" }]);
      await store.abandonWork(ben, [back]);
      await store.releaseWorker(ben);
      await store.claimWork(workClaim(anna));

      const outcomes = await store.appendOutputs(
        ben,
        keys.map((key) => appended(turn, "late", { work: key })),
      );

      assert.deepEqual(outcomes, ["notOwner", "notOwner", "notOwner", "notOwner"]);
      assert.deepEqual(await bodies(store, "a"), []);
    });

    test("appendOutputs() writes all or nothing of what cannot be written", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");

      await store.appendOutputs(anna, [appended(turn, "1"), appended(turn, unwritable())]).then(
        () => t.skip("the store can write anything"),
        async () => assert.deepEqual(await bodies(store, "a"), []),
      );
    });

    test("onChange() tells of the instance when outputs are appended, and wakes nobody else", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const heard: boolean[] = [];
      t.after(store.onChange((change) => heard.push(change.turns || change.work)));

      await hears(
        bench,
        store,
        (change) => mentions(change, "a"),
        () => store.appendOutputs(anna, [appended(turn, "1")]),
      );

      assert.ok(!heard.includes(true), "Expected neither turns nor work to become ready by an output.");
    });

    test("appendOutputs() of one handle is seen and told of by the other", needsTwoHandles(bench), async (t) => {
      const [store, second] = await openTwice(bench, t);
      const anna = await register(store, "anna");
      const turn = await running(store, anna, "a");

      await hears(
        bench,
        second,
        (change) => mentions(change, "a"),
        () => store.appendOutputs(anna, [appended(turn, "1")]),
      );

      assert.deepEqual(await bodies(second, "a"), ["1"]);
    });
  });
}
