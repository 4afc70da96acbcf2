/** Endings: what an instance leaves behind when it is over, and what goes with it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Ending } from "@stet/core";
import {
  type Bench,
  claimIds,
  claimItem,
  ended,
  ownedBy,
  picture,
  recordOf,
  register,
  run,
  running,
  twoWorkers,
  workOf,
} from "./bench.ts";
import { chunk, commitOf, completion, HOUR, message, MINUTE, SECOND, START, timer, wait, work } from "./builders.ts";

export function endings(bench: Bench): void {
  describe("endings", () => {
    const all: readonly Ending[] = [
      { status: "completed", output: '{"total":3}' },
      { status: "completed" },
      { status: "failed", error: '{"message":"no stock"}' },
      { status: "cancelled", error: "by the customer" },
      { status: "terminated", error: "by an operator" },
    ];
    for (const ending of all) {
      const kept = Object.keys(ending).slice(1).join() || "nothing else";
      test(`an instance that is ${ending.status} keeps its status and ${kept}`, async (t) => {
        const { store, anna } = await twoWorkers(bench, t);
        await ended(store, anna, "a", { ended: ending, at: START + MINUTE });

        const { status, output, error, updatedAt, lastEventId } = await recordOf(store, "a");

        assert.deepEqual(
          { status, ...(output !== undefined && { output }), ...(error !== undefined && { error }) },
          ending,
        );
        assert.deepEqual([updatedAt, lastEventId], [START + MINUTE, 1]);
      });
    }

    test("an ended instance keeps its history, state and outputs", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({
        state: [{ key: "colour", value: "red" }],
        outputs: [{ body: "early", at: START }],
        customStatus: "half way",
      }));
      await run(store, anna, first, { outputs: [{ body: "late", at: START }], ended: { status: "completed" } });

      assert.deepEqual(await store.admin.readHistory("a", 1), [chunk(1, 0).body, chunk(1, 1).body]);
      assert.deepEqual(await store.admin.readState("a"), [{ key: "colour", value: "red" }]);
      assert.deepEqual(
        (await store.admin.readOutputs("a", 0, 9)).map(({ body }) => body),
        ["early", "late"],
      );
      assert.equal((await recordOf(store, "a")).customStatus, "half way");
    });

    test("an ended instance drops its whole inbox, what came during the last turn included", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await store.sendMessages([message("a", "too late")]);

      await run(store, anna, turn, { ended: { status: "completed" } });

      assert.deepEqual((await store.admin.stats(START)).messages, { ready: 0, delayed: 0 });
      assert.deepEqual(await claimIds(store, anna), []);
      assert.deepEqual(await claimIds(store, ben), []);
    });

    test("an ended instance drops its timers, those due included", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const timers = [timer(2, START + SECOND), timer(3, START + HOUR)];
      const turn = await running(store, anna, "a", () => ({ timers }));

      await run(store, anna, turn, { ended: { status: "failed" } });

      assert.equal(await store.nextWakeAt(START), undefined);
      assert.deepEqual(await claimIds(store, anna, { now: START + 2 * HOUR }), []);
      assert.deepEqual((await store.admin.stats(START)).messages, { ready: 0, delayed: 0 });
    });

    test("an ended instance drops its waits", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ waits: [wait(2, "approval")] }));

      await run(store, anna, turn, { ended: { status: "cancelled" } });

      assert.deepEqual((await store.admin.listWaits({ limit: 10 })).rows, []);
    });

    test("an ended instance drops its work, waiting and running, and those who run it learn it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({
        work: [work(first, 2), work(first, 3, { visibleAt: START + HOUR })],
      }));
      const item = await claimItem(store, ben);

      await run(store, anna, turn, { ended: { status: "terminated" } });

      assert.deepEqual(await workOf(store, turn.key, 1), []);
      assert.deepEqual((await store.admin.stats(START)).work, { ready: 0, delayed: 0, running: 0 });
      assert.deepEqual((await store.heartbeat({ worker: ben, now: START, work: [item.key] })).lost, [item.key]);
    });

    test("an ended instance ignores late completions without an error", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2)] }));
      const item = await claimItem(store, ben);
      await run(store, anna, turn, { ended: { status: "completed" } });
      const before = await picture(store, "a");

      const [outcome] = await store.completeWork(ben, [completion(item.key, "a", "too late")]);

      assert.ok(outcome === "committed" || outcome === "notOwner");
      assert.deepEqual(await picture(store, "a"), before);
      assert.deepEqual(await claimIds(store, anna), []);
    });

    test("an ended instance ignores late retries, abandons and heartbeat details without an error", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2)] }));
      const { key } = await claimItem(store, ben);
      await run(store, anna, turn, { ended: { status: "completed" } });
      const before = await picture(store, "a");

      assert.deepEqual(await store.retryWork(ben, [{ key, visibleAt: START, failure: "late" }]), ["notOwner"]);
      await store.abandonWork(ben, [key]);
      await store.saveHeartbeats(ben, [{ key, details: "late", now: START }]);

      assert.deepEqual(await picture(store, "a"), before);
    });

    test("an ended instance takes no more commits", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ended(store, anna, "a");
      const before = await picture(store, "a");

      assert.deepEqual(await store.commitTurns(anna, [commitOf(turn)]), ["notOwner"]);

      assert.deepEqual(await picture(store, "a"), before);
    });

    test("an ended instance takes no more work", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ended(store, anna, "a");

      const keys = await store.saveWork(anna, [{ ...work(turn, 2), instance: turn.key, owned: false }]);

      assert.deepEqual(keys, [undefined]);
      assert.deepEqual(await workOf(store, turn.key, 1), []);
    });

    test("an ended instance is nobody's, even when its commit says that the worker keeps it", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ended(store, anna, "a", { keep: true, unsettled: true });

      assert.deepEqual(await store.commitTurns(anna, [commitOf(turn)]), ["notOwner"]);
      assert.deepEqual(await store.saveWork(anna, [{ ...work(turn, 2), instance: turn.key, owned: true }]), [
        undefined,
      ]);
      await store.releaseWorker(anna);
      assert.deepEqual(await claimIds(store, await register(store, "carl")), []);
    });

    test("an ended instance is nobody's, and nobody takes it over", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ unsettled: true }));
      await run(store, anna, turn, { ended: { status: "completed" } });
      await store.releaseWorker(anna);

      assert.deepEqual(await claimIds(store, ben), []);
      assert.deepEqual(await claimIds(store, await register(store, "carl"), { buildId: "build-9" }), []);
    });

    test("a commit that ends its instance sends to others and drops what it sends to itself", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "b");
      const turn = await ownedBy(store, anna, "a");

      await run(store, anna, turn, {
        messages: [message("a", "to myself"), message("b", "farewell")],
        ended: { status: "completed" },
      });

      assert.deepEqual(await claimIds(store, anna), ["b"]);
      assert.deepEqual((await store.admin.stats(START)).messages, { ready: 1, delayed: 0 });
    });

    test("a commit that ends its instance leaves no work, timer or wait of its own making", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");

      await run(store, anna, turn, {
        work: [work(turn, 2)],
        timers: [timer(3, START + HOUR)],
        waits: [wait(4, "approval")],
        ended: { status: "completed" },
      });

      const { messages, work: items } = await store.admin.stats(START);
      assert.deepEqual([messages.delayed, items.ready], [0, 0]);
      assert.deepEqual((await store.admin.listWaits({ limit: 10 })).rows, []);
      assert.equal(await store.nextWakeAt(START), undefined);
    });

    test("the end of one instance leaves others alone", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const other = await running(store, anna, "other", (first) => ({
        work: [work(first, 2)],
        timers: [timer(3, START + HOUR)],
        waits: [wait(4, "approval")],
        messages: [message("other", "to myself")],
      }));
      await ended(store, anna, "a");

      assert.deepEqual(await workOf(store, other.key, 1), [2]);
      assert.equal(await store.nextWakeAt(START), START + HOUR);
      assert.equal((await store.admin.listWaits({ limit: 10 })).rows.length, 1);
      assert.deepEqual(await claimIds(store, anna), ["other"]);
    });

    test("the end of an instance by a stale worker does not end it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await store.releaseWorker(anna);

      await store.commitTurns(anna, [commitOf(turn, { ended: { status: "completed" } })]);

      assert.equal((await recordOf(store, "a")).status, "pending");
      assert.deepEqual(await claimIds(store, ben), ["a"]);
    });
  });
}
