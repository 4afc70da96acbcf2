/**
 * Atomicity (S2): all that a verb changes becomes visible together or not at all. Trouble is made by a text that cannot
 * be written, put into each part of a commit in turn.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ClaimedTurn, TurnCommit } from "@stet/core";
import {
  type Bench,
  bodiesOf,
  claimBodies,
  claimItem,
  claimTurn,
  ended,
  historyOf,
  ownedBy,
  picture,
  recordOf,
  refuses,
  register,
  run,
  running,
  startAll,
  twoWorkers,
  workOf,
} from "./bench.ts";
import {
  chunk,
  commitOf,
  completion,
  everything,
  HOUR,
  message,
  MINUTE,
  START,
  start,
  timer,
  unwritable,
  wait,
  work,
} from "./builders.ts";

/** Each part of a commit, with a text in it that cannot be written. */
const troubles: readonly (readonly [part: string, (turn: ClaimedTurn) => Partial<TurnCommit>])[] = [
  ["history", (turn) => ({ history: [chunk(1, turn.lastEventId), { ...chunk(2, 0), body: unwritable() }] })],
  ["payload", () => ({ payloads: [{ digest: "digest-2", body: unwritable() }] })],
  ["timer", () => ({ timers: [timer(3, START + HOUR), timer(8, START + HOUR, unwritable())] })],
  ["work item", (turn) => ({ work: [work(turn, 4), work(turn, 9, { body: unwritable() })] })],
  ["message", () => ({ messages: [message("other", "hello"), message("other", unwritable())] })],
  ["start", () => ({ starts: [start("child"), start("child-2", { body: unwritable() })] })],
  [
    "state",
    () => ({
      state: [
        { key: "colour", value: "blue" },
        { key: "size", value: unwritable() },
      ],
    }),
  ],
  [
    "output",
    () => ({
      outputs: [
        { body: "first", at: START },
        { body: unwritable(), at: START },
      ],
    }),
  ],
  ["wait", () => ({ waits: [wait(5, "approval"), wait(6, "payment", { details: unwritable() })] })],
  ["custom status", () => ({ customStatus: unwritable() })],
  ["output of the end", () => ({ ended: { status: "completed", output: unwritable() } })],
];

export function atomicity(bench: Bench): void {
  describe("atomicity", () => {
    test("commitTurns() makes all of a commit visible", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "other", () => ({ keep: false }));
      const turn = await ownedBy(store, anna, "a");

      await run(store, anna, turn, { ...everything(turn, "other", "child"), keep: true });

      const { status, lastEventId, customStatus, updatedAt } = await recordOf(store, "a");
      assert.deepEqual([status, lastEventId, customStatus, updatedAt], ["running", 1, "half way", START + MINUTE]);
      assert.deepEqual(await historyOf(store, turn.key, 1), [chunk(1, 0).body]);
      assert.deepEqual(await workOf(store, turn.key, 1), [4]);
      assert.equal((await store.readPayloads("a", ["digest-1"])).length, 1);
      assert.deepEqual(await store.admin.readState("a"), [{ key: "colour", value: "red" }]);
      assert.equal((await store.admin.readOutputs("a", 0, 9)).length, 1);
      assert.equal((await store.admin.listWaits({ limit: 9 })).rows.length, 1);
      assert.equal(await store.nextWakeAt(START), START + HOUR);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna, { instanceId: "other" })), ["hello"]);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna, { instanceId: "child" })), ["start of child"]);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna, { instanceId: "a", now: START + HOUR })), ["timer 3"]);
    });

    for (const [part, trouble] of troubles) {
      test(`commitTurns() changes nothing when its ${part} cannot be written`, async (t) => {
        const { store, anna, ben } = await twoWorkers(bench, t);
        await startAll(store, "other");
        const first = await running(store, anna, "a", (turn) => ({
          work: [work(turn, 2)],
          state: [{ key: "size", value: "small" }],
        }));
        await store.sendMessages([message("a", "more")]);
        const turn = await claimTurn(store, anna, { instanceId: "a" });
        const before = await picture(store, "a", "other", "child", "child-2");

        const commit = commitOf(turn, { ...everything(turn, "other", "child"), settled: [2], ...trouble(turn) });
        if (!(await refuses(() => store.commitTurns(anna, [commit])))) return t.skip("this store can write anything");

        assert.deepEqual(await picture(store, "a", "other", "child", "child-2"), before);
        assert.deepEqual(await workOf(store, turn.key, 1), [2]);
        assert.deepEqual(bodiesOf(await claimTurn(store, anna, { instanceId: "a" })), ["more"]);
        assert.deepEqual(await store.commitTurns(ben, [commitOf(turn)]), ["notOwner"]);
        await run(store, anna, { ...first, messages: turn.messages });
      });
    }

    test("commitTurns() with one commit that cannot be written leaves each of the others whole", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turns = [await ownedBy(store, anna, "a"), await ownedBy(store, anna, "b"), await ownedBy(store, anna, "c")];

      const commits = turns.map((turn) =>
        commitOf(turn, { outputs: [{ body: turn.instanceId === "b" ? unwritable() : "out", at: START }] }),
      );
      if (!(await refuses(() => store.commitTurns(anna, commits)))) return t.skip("this store can write anything");

      for (const { instanceId, key } of turns) {
        const { lastEventId } = await recordOf(store, instanceId);
        assert.equal((await historyOf(store, key, 1)).length, lastEventId);
        assert.equal((await store.admin.readOutputs(instanceId, 0, 9)).length, lastEventId);
      }
      assert.equal((await recordOf(store, "b")).lastEventId, 0);
    });

    test("startInstances() makes no instance whose start message cannot be written", async (t) => {
      const { store } = await twoWorkers(bench, t);

      const made = start("a", { body: unwritable() });
      if (!(await refuses(() => store.startInstances([made])))) return t.skip("this store can write anything");

      assert.deepEqual(await store.admin.getInstances(["a"]), []);
      await startAll(store, "a");
    });

    test("sendMessages() uses up no key of a message that cannot be written", async (t) => {
      const { store } = await twoWorkers(bench, t);
      await startAll(store, "a");

      const letter = message("a", unwritable(), { idempotencyKey: "k" });
      if (!(await refuses(() => store.sendMessages([letter])))) return t.skip("this store can write anything");

      assert.deepEqual(await store.sendMessages([message("a", "1", { idempotencyKey: "k" })]), ["sent"]);
    });

    test("completeWork() keeps the item when its message cannot be written", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, ben);
      const before = await picture(store, "a");

      const answer = completion(key, "a", unwritable());
      if (!(await refuses(() => store.completeWork(ben, [answer])))) return t.skip("this store can write anything");

      assert.deepEqual(await picture(store, "a"), before);
      assert.deepEqual(await store.completeWork(ben, [completion(key, "a")]), ["committed"]);
    });

    test("retryWork() keeps the item with its worker when the failure cannot be written", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, ben);

      const again = { key, visibleAt: START, failure: unwritable() };
      if (!(await refuses(() => store.retryWork(ben, [again])))) return t.skip("this store can write anything");

      assert.deepEqual(await claimBodies(store, anna), []);
      assert.deepEqual(await store.completeWork(ben, [completion(key, "a")]), ["committed"]);
    });

    test("saveWork() keeps the earlier item when the new one cannot be written", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2, { body: "old" })] }));

      const saved = { ...work(turn, 2, { body: unwritable() }), instance: turn.key, owned: false };
      if (!(await refuses(() => store.saveWork(anna, [saved])))) return t.skip("this store can write anything");

      assert.deepEqual(await claimBodies(store, ben), ["old"]);
    });

    test("restart() leaves the instance ended when the start message cannot be written", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a");
      const before = await picture(store, "a");

      const again = { instanceId: "a", body: unwritable(), at: START };
      if (!(await refuses(() => store.admin.restart(again)))) return t.skip("this store can write anything");

      assert.deepEqual(await picture(store, "a"), before);
    });

    test("a store goes on working after trouble", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      for (let count = 0; count < 3; count++) {
        await refuses(() => store.commitTurns(anna, [commitOf(turn, { customStatus: unwritable() })]));
        await refuses(() => store.sendMessages([message("a", unwritable())]));
      }

      await startAll(store, "b");
      await store.releaseWorker(anna);
      const carl = await register(store, "carl");
      await run(store, carl, await claimTurn(store, carl, { instanceId: "b" }));
      assert.equal((await recordOf(store, "b")).lastEventId, 1);
    });
  });
}
