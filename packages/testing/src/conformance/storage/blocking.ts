/** Blocked instances: what could not be run is left as it was, until other code or an operator comes. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Bench,
  bodiesOf,
  claimIds,
  claimTurn,
  historyOf,
  ownedBy,
  picture,
  recordOf,
  run,
  running,
  startAll,
  twoWorkers,
} from "./bench.ts";
import { blockedBy, chunk, commitOf, everything, HOUR, instanceQuery, message, START, timer } from "./builders.ts";

export function blocking(bench: Bench): void {
  describe("blocked instances", () => {
    test("a block leaves messages and history untouched and gives the instance back", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a");
      await store.sendMessages([message("a", "1"), message("a", "2")]);
      const turn = await claimTurn(store, anna);

      await run(store, anna, { ...turn, messages: [] }, { ...blockedBy("build-1"), keep: true });

      assert.deepEqual(await store.commitTurns(anna, [commitOf(first)]), ["notOwner"]);
      const again = await claimTurn(store, ben, { buildId: "build-2" });
      assert.deepEqual([bodiesOf(again), again.execution, again.lastEventId], [["1", "2"], 1, 1]);
      assert.deepEqual(await historyOf(store, turn.key, 1), [chunk(1, 0).body]);
    });

    test("a block ignores whatever else its commit asks for", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      const { blocked } = blockedBy("build-1");

      await store.commitTurns(anna, [
        commitOf(turn, { ...everything(turn, "a", "child"), ...(blocked && { blocked }) }),
      ]);

      const again = await claimTurn(store, ben, { buildId: "build-2" });
      assert.deepEqual([bodiesOf(again), again.lastEventId], [["start of a"], 0]);
      assert.deepEqual(await historyOf(store, turn.key, 1), []);
    });

    test("a block by another worker than the owner changes nothing", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      const before = await picture(store, "a");

      assert.deepEqual(await store.commitTurns(ben, [commitOf(turn, blockedBy("build-1"))]), ["notOwner"]);

      assert.deepEqual(await picture(store, "a"), before);
      await run(store, anna, turn);
    });

    test("a block at another position than the expected one changes nothing", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const stale = commitOf(turn, { ...blockedBy("build-1"), expectedEventId: 0 });

      assert.deepEqual(await store.commitTurns(anna, [stale]), ["notOwner"]);

      assert.equal((await recordOf(store, "a")).blocked, undefined);
    });

    test("a blocked instance is not handed to the build that blocked it, however many messages come", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ timers: [timer(2, START + 1)] }));
      await run(store, anna, turn, blockedBy("build-1"));
      await store.sendMessages([message("a", "more")]);

      assert.deepEqual(await claimIds(store, anna, { now: START + HOUR }), []);
      assert.deepEqual(await claimIds(store, ben, { now: START + HOUR }), []);
    });

    test("a blocked unsettled instance is not handed to the build that blocked it when workers go", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ unsettled: true }));
      await run(store, anna, turn, { ...blockedBy("build-1"), unsettled: true });
      await store.releaseWorker(anna);

      assert.deepEqual(await claimIds(store, ben), []);
      assert.deepEqual(await claimIds(store, ben, { buildId: "build-2" }), ["a"]);
    });

    test("blocked instances do not stand in the way of others", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      for (let index = 0; index < 20; index++) {
        const turn = await ownedBy(store, anna, `blocked-${index}`);
        await run(store, anna, turn, blockedBy("build-1"));
      }
      await startAll(store, "free");

      assert.deepEqual(await claimIds(store, anna, { max: 1 }), ["free"]);
    });

    test("a blocked instance is running and tells why it cannot go on", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      await run(store, anna, turn, blockedBy("build-1", "event 3 is a timer"));

      const { status, blocked } = await recordOf(store, "a");

      assert.deepEqual([status, blocked], ["running", "event 3 is a timer"]);
      assert.equal((await store.admin.stats(START)).blocked, 1);
    });

    test("a blocked instance that another build could run is blocked no more", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await run(store, anna, turn, blockedBy("build-1"));
      await run(store, ben, await claimTurn(store, ben, { buildId: "build-2" }));
      await store.sendMessages([message("a", "more")]);

      assert.equal((await recordOf(store, "a")).blocked, undefined);
      assert.equal((await store.admin.stats(START)).blocked, 0);
      assert.deepEqual(await claimIds(store, anna, { buildId: "build-1" }), ["a"]);
    });

    test("a block that another build repeats tells the newer error and keeps that build away", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await run(store, anna, turn, blockedBy("build-1", "first"));
      const again = await claimTurn(store, ben, { buildId: "build-2" });
      await run(store, ben, again, blockedBy("build-2", "second"));

      assert.equal((await recordOf(store, "a")).blocked, "second");
      assert.deepEqual(await claimIds(store, ben, { buildId: "build-2" }), []);
    });

    test("builds are compared as they are", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "a");

      for (const buildId of ["build-1", "build-10", "build", "BUILD", "b|u", "u", "%", "größe", "[]", '"']) {
        await run(store, anna, await claimTurn(store, anna, { buildId }), blockedBy(buildId));
        assert.deepEqual(await claimIds(store, anna, { buildId }), []);
      }
    });

    test("unblock() lets the same build try again, and answers which instances were blocked", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await run(store, anna, turn, blockedBy("build-1"));
      await running(store, anna, "free");

      assert.deepEqual(await store.admin.unblock(["a", "free", "unknown"]), ["a"]);

      assert.equal((await recordOf(store, "a")).blocked, undefined);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of a"]);
      assert.deepEqual(await store.admin.unblock(["a"]), []);
    });

    test("unblock() gives an unsettled instance back to anybody without a message", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ unsettled: true }));
      await run(store, anna, turn, { ...blockedBy("build-1"), unsettled: true });

      await store.admin.unblock(["a"]);

      assert.equal((await claimTurn(store, anna)).unsettled, true);
    });

    test("listInstances() tells blocked instances from the others", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "stuck");
      await run(store, anna, turn, blockedBy("build-1"));
      await running(store, anna, "free");

      const stuck = await store.admin.listInstances(instanceQuery({ blocked: true }));
      const free = await store.admin.listInstances(instanceQuery({ blocked: false }));

      assert.deepEqual(
        [stuck, free].map(({ rows }) => rows.map(({ instanceId }) => instanceId)),
        [["stuck"], ["free"]],
      );
    });
  });
}
