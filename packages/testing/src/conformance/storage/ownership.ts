/** Ownership of instances (S1, S4): one writer, at the position it expects. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TurnCommit } from "@stet/core";
import {
  type Bench,
  bodiesOf,
  claimIds,
  claimTurn,
  historyOf,
  openStore,
  ownedBy,
  picture,
  register,
  run,
  running,
  startAll,
  twoWorkers,
} from "./bench.ts";
import { chunk, commitOf, everything, message, turnClaim } from "./builders.ts";

export function ownership(bench: Bench): void {
  describe("ownership", () => {
    test("claimTurns() hands an instance to one worker only", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await startAll(store, "a");

      assert.deepEqual(await claimIds(store, anna), ["a"]);
      assert.deepEqual(await claimIds(store, ben), []);
    });

    test("claimTurns() of one worker does not keep others from other instances", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await ownedBy(store, anna, "a");
      await startAll(store, "b");

      assert.deepEqual(await claimIds(store, ben), ["b"]);
    });

    test("claimTurns() hands messages that come while an instance is owned to its owner only", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await store.sendMessages([message("a", "late")]);

      assert.deepEqual(await claimIds(store, ben), []);

      await run(store, anna, turn, { keep: true });
      assert.deepEqual(await claimIds(store, ben), []);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["late"]);
    });

    test("claimTurns() by a released worker takes nothing", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await startAll(store, "a");
      await store.releaseWorker(anna);

      assert.deepEqual(await claimIds(store, anna), []);
      assert.deepEqual(await claimIds(store, ben), ["a"]);
    });

    test("claimTurns() at the same time hands each instance to one of many workers", async (t) => {
      const store = await openStore(bench, t);
      const names = Array.from({ length: 8 }, (_, index) => `worker-${index}`);
      const keys = await Promise.all(names.map((name) => register(store, name)));
      const ids = Array.from({ length: 40 }, (_, index) => `i-${index}`);
      await startAll(store, ...ids);

      const claims = await Promise.all(
        [...keys, ...keys].map((worker) => store.claimTurns(turnClaim(worker, { max: 5 }))),
      );

      const owners = new Map<string, Set<unknown>>();
      claims.forEach((turns, index) => {
        for (const { instanceId } of turns) {
          owners.set(instanceId, (owners.get(instanceId) ?? new Set()).add(keys[index % keys.length]));
        }
      });
      assert.deepEqual(
        [...owners].filter(([, workers]) => workers.size !== 1).map(([id]) => id),
        [],
      );
      assert.ok(owners.size > 0);
    });

    test("commitTurns() changes nothing when another worker owns the instance", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await startAll(store, "other");
      const turn = await ownedBy(store, anna, "a");
      const before = await picture(store, "a", "other", "child");

      const outcomes = await store.commitTurns(ben, [commitOf(turn, everything(turn, "other", "child"))]);

      assert.deepEqual(outcomes, ["notOwner"]);
      assert.deepEqual(await picture(store, "a", "other", "child"), before);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna, { instanceId: "a" })), ["start of a"]);
    });

    test("commitTurns() changes nothing when nobody owns the instance", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await store.releaseInstances(anna, [turn.key]);

      await changesNothing(store, anna, commitOf(turn, everything(turn, "a", "child")));
    });

    test("commitTurns() changes nothing when the worker was released", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await store.releaseWorker(anna);

      await changesNothing(store, anna, commitOf(turn, everything(turn, "a", "child")));
      assert.deepEqual(await claimIds(store, ben), ["a"]);
    });

    test("commitTurns() changes nothing when the worker was released and has registered again", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await store.releaseWorker(anna);
      const again = await register(store, "anna");

      await changesNothing(store, anna, commitOf(turn));
      await changesNothing(store, again, commitOf(turn));
    });

    test("commitTurns() changes nothing when a new owner has taken over", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await store.releaseWorker(anna);
      const taken = await claimTurn(store, ben);

      await changesNothing(store, anna, commitOf(turn));
      await run(store, ben, taken);
    });

    for (const [what, offset] of [
      ["behind", -1],
      ["ahead of", 1],
    ] as const) {
      test(`commitTurns() changes nothing when the expected event is ${what} the last one`, async (t) => {
        const { store, anna } = await twoWorkers(bench, t);
        const turn = await running(store, anna, "a");
        const expectedEventId = turn.lastEventId + offset;

        const history = [chunk(turn.execution, expectedEventId)];
        await changesNothing(store, anna, {
          ...commitOf(turn, everything(turn, "a", "child")),
          expectedEventId,
          history,
        });
      });
    }

    test("commitTurns() checks the position of a commit without history too", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");

      await changesNothing(
        store,
        anna,
        commitOf(turn, { ...everything(turn, "a", "child"), expectedEventId: 0, history: [] }),
      );
    });

    test("commitTurns() changes nothing when the execution is over", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const history = [chunk(1, turn.lastEventId), chunk(2, 0, turn.lastEventId)];
      await run(store, anna, turn, { history, keep: true });

      await changesNothing(store, anna, commitOf(turn, everything(turn, "a", "child")));
    });

    test("commitTurns() refuses the same commit the second time", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await run(store, anna, turn, { keep: true });

      await changesNothing(store, anna, commitOf(turn, { keep: true }));
    });

    test("commitTurns() refuses the second of two equal commits in one batch", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      const commit = commitOf(turn, { keep: true, outputs: [{ body: "once", at: 0 }] });

      const outcomes = await store.commitTurns(anna, [commit, commit]);

      assert.deepEqual(outcomes, ["committed", "notOwner"]);
      assert.equal((await store.admin.readOutputs("a", 0, 10)).length, 1);
    });

    test("commitTurns() accepts one of many commits for the same position", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");

      const outcomes = await Promise.all(
        Array.from({ length: 10 }, () => store.commitTurns(anna, [commitOf(turn, { keep: true })])),
      );

      assert.equal(outcomes.flat().filter((outcome) => outcome === "committed").length, 1);
      assert.deepEqual(await historyOf(store, turn.key, 1), [chunk(1, 0).body]);
    });

    test("commitTurns() commits the others of a batch with a stale commit, and answers in order", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await startAll(store, "a", "b", "c");
      const turns = await store.claimTurns(turnClaim(anna));
      const [stale, ...others] = turns;
      assert.ok(stale && others.length === 2);
      await store.releaseInstances(anna, [stale.key]);
      await claimTurn(store, ben);

      const commits = [others[0], stale, others[1]].map((turn) => commitOf(turn ?? assert.fail()));
      const outcomes = await store.commitTurns(anna, commits);

      assert.deepEqual(outcomes, ["committed", "notOwner", "committed"]);
      const records = await store.admin.getInstances(["a", "b", "c"]);
      const positions = new Map(records.map(({ instanceId, lastEventId }) => [instanceId, lastEventId]));
      assert.equal(positions.get(stale.instanceId), 0);
      assert.deepEqual(
        others.map(({ instanceId }) => positions.get(instanceId)),
        [1, 1],
      );
    });

    test("commitTurns() leaves the instance with its worker when told to keep it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a");

      const second = await run(store, anna, first, { keep: true });
      await run(store, anna, second, { keep: true });
      await store.sendMessages([message("a", "more")]);

      assert.deepEqual(await claimIds(store, ben), []);
      assert.equal((await claimTurn(store, anna)).lastEventId, 3);
    });

    test("commitTurns() gives the instance back when told not to keep it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ keep: false }));
      await changesNothing(store, anna, commitOf(turn));
      await store.sendMessages([message("a", "more")]);

      assert.deepEqual(bodiesOf(await claimTurn(store, ben)), ["more"]);
    });

    test("commitTurns() of no commits answers nothing", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);

      assert.deepEqual(await store.commitTurns(anna, []), []);
    });

    test("releaseInstances() lets others take over at once what has messages", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await startAll(store, "a", "b", "c");
      const turns = await store.claimTurns(turnClaim(anna));
      const given = turns.filter(({ instanceId }) => instanceId !== "b").map(({ key }) => key);

      await store.releaseInstances(anna, given);

      assert.deepEqual(await claimIds(store, ben), ["a", "c"]);
    });

    test("releaseInstances() leaves alone what another worker owns", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");

      await store.releaseInstances(ben, [turn.key]);

      assert.deepEqual(await claimIds(store, ben), []);
      await run(store, anna, turn);
    });
  });
}

/** Asserts that a commit for the instance `a` is refused and leaves no trace. */
async function changesNothing(
  store: Parameters<typeof picture>[0],
  worker: Parameters<typeof store.commitTurns>[0],
  commit: TurnCommit,
): Promise<void> {
  const before = await picture(store, "a", "child");
  assert.deepEqual(await store.commitTurns(worker, [commit]), ["notOwner"]);
  assert.deepEqual(await picture(store, "a", "child"), before);
}
