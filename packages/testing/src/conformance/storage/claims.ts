/** What a claim of turns hands out, how much of it, and how often (S3, S5). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Bench,
  bodiesOf,
  claimIds,
  claimItem,
  claimTurn,
  openStore,
  ownedBy,
  register,
  run,
  running,
  startAll,
  twoWorkers,
} from "./bench.ts";
import { blockedBy, commitOf, completion, HOUR, message, start, START, timer, turnClaim, work } from "./builders.ts";

export function claims(bench: Bench): void {
  describe("claims of turns", () => {
    test("claimTurns() answers nothing when nothing is there", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);

      assert.deepEqual(await store.claimTurns(turnClaim(anna)), []);
    });

    test("claimTurns() hands out a new instance at the beginning of its first execution", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, start("a", { name: "order", body: "go", at: START + 7 }));

      const { key: _, messages, ...turn } = await claimTurn(store, anna);

      assert.deepEqual(turn, {
        instanceId: "a",
        rootId: "a",
        name: "order",
        execution: 1,
        lastEventId: 0,
        attempts: 1,
        unsettled: false,
      });
      assert.deepEqual(
        messages.map(({ key: _key, ...told }) => told),
        [{ body: "go", at: START + 7, timer: false }],
      );
    });

    test("claimTurns() hands out where the last commit left the instance", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ version: "1" }));
      await run(store, anna, turn);
      await store.sendMessages([message("a", "more")]);

      const { key, messages, ...again } = await claimTurn(store, ben);

      assert.equal(key, turn.key);
      assert.deepEqual(
        messages.map(({ body }) => body),
        ["more"],
      );
      assert.deepEqual(again, {
        instanceId: "a",
        rootId: "a",
        name: "order",
        version: "1",
        execution: 1,
        lastEventId: 2,
        attempts: 1,
        unsettled: false,
      });
    });

    test("claimTurns() leaves alone what has no message", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "idle", () => ({ keep: false }));
      await running(store, anna, "kept");

      assert.deepEqual(await claimIds(store, anna), []);
      assert.deepEqual(await claimIds(store, ben, { now: START + HOUR }), []);
    });

    test("claimTurns() hands out all messages that are there, in the order in which they were sent", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const sender = await ownedBy(store, ben, "sender");
      await startAll(store, "a");
      await store.sendMessages([message("a", "1", { at: START + 9 }), message("a", "2", { at: START + 3 })]);
      const running = await run(store, ben, sender, {
        messages: [message("a", "3", { at: START - HOUR })],
        work: [work(sender, 2)],
        keep: true,
      });
      const item = await claimItem(store, ben);
      await store.completeWork(ben, [completion(item.key, "a", "4")]);
      await run(store, ben, running, { messages: [message("a", "5"), message("a", "6", { at: 0 })] });

      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of a", "1", "2", "3", "4", "5", "6"]);
    });

    test("claimTurns() hands the owner the same messages again until they are consumed", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await ownedBy(store, anna, "a");
      await store.sendMessages([message("a", "late")]);

      const second = await claimTurn(store, anna);

      assert.deepEqual(second.messages.slice(0, 1), first.messages);
      assert.deepEqual(bodiesOf(second), ["start of a", "late"]);
    });

    test("claimTurns() hands out no more messages than asked for, the oldest first, and the rest later", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "a");
      await store.sendMessages(["1", "2", "3", "4"].map((body) => message("a", body)));

      const first = await claimTurn(store, anna, { max: 2 });
      await run(store, anna, first, { keep: true });
      const second = await claimTurn(store, anna, { max: 2 });
      await run(store, anna, second);
      const third = await claimTurn(store, anna, { max: 2 });

      assert.deepEqual([first, second, third].map(bodiesOf), [["start of a", "1"], ["2", "3"], ["4"]]);
    });

    test("claimTurns() hands out no more messages than asked for over many instances", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const ids = ["a", "b", "c", "d", "e"];
      await startAll(store, ...ids);
      await store.sendMessages(ids.map((id) => message(id, "second")));

      const seen: string[] = [];
      for (let claim = 0; claim < 10 && seen.length < 10; claim++) {
        const turns = await store.claimTurns(turnClaim(anna, { max: 3 }));
        const bodies = turns.flatMap((turn) => bodiesOf(turn).map((body) => `${turn.instanceId}: ${body}`));
        assert.ok(bodies.length <= 3 && bodies.length > 0, `Expected 1 to 3 messages, got ${bodies.length}.`);
        seen.push(...bodies);
        await store.commitTurns(
          anna,
          turns.map((turn) => commitOf(turn)),
        );
      }

      assert.deepEqual(seen.sort(), ids.flatMap((id) => [`${id}: second`, `${id}: start of ${id}`]).sort());
    });

    test("claimTurns() counts due timers among the messages that it was asked for", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const timers = [2, 3, 4].map((eventId) => timer(eventId, START));
      await running(store, anna, "a", () => ({ timers }));
      await store.sendMessages(["1", "2", "3", "4"].map((body) => message("a", body)));

      const seen: string[] = [];
      for (let claim = 0; claim < 5 && seen.length < 7; claim++) {
        const turn = await claimTurn(store, anna, { max: 4 });
        assert.ok(turn.messages.length <= 4, `Expected at most 4 messages, got ${turn.messages.length}.`);
        seen.push(...bodiesOf(turn));
        await run(store, anna, turn, { keep: true });
      }

      assert.deepEqual(seen.toSorted(), ["1", "2", "3", "4", "timer 2", "timer 3", "timer 4"]);
    });

    test("claimTurns() with room for one gives many workers one instance each", async (t) => {
      const store = await openStore(bench, t);
      await startAll(store, "a", "b", "c");

      const claimed: string[] = [];
      for (const name of ["anna", "ben", "carl", "dora"]) {
        claimed.push(...(await claimIds(store, await register(store, name), { max: 1 })));
      }

      assert.deepEqual(claimed.sort(), ["a", "b", "c"]);
    });

    test("attempts count the claims that changed the owner", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await startAll(store, "a");

      const first = await claimTurn(store, anna);
      const again = await claimTurn(store, anna);
      await store.releaseWorker(anna);
      const second = await claimTurn(store, ben);
      await store.releaseWorker(ben);
      const third = await claimTurn(store, await register(store, "carl"));

      assert.deepEqual(
        [first, again, second, third].map(({ attempts }) => attempts),
        [1, 1, 2, 3],
      );
    });

    test("attempts begin anew after a commit", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await ownedBy(store, anna, "a");
      await store.releaseWorker(anna);
      const second = await claimTurn(store, ben);
      await run(store, ben, second);
      await store.sendMessages([message("a", "more")]);

      assert.equal((await claimTurn(store, ben)).attempts, 1);
    });

    test("attempts begin anew after a commit that keeps the instance", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a");
      await store.sendMessages([message("a", "more")]);
      assert.ok((await claimTurn(store, anna)).attempts <= 1);
      await store.releaseWorker(anna);

      assert.equal((await claimTurn(store, ben)).attempts, 1);
    });

    test("attempts begin anew after the turn of a worker that took the instance over", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a");
      await store.sendMessages([message("a", "more")]);
      await store.releaseWorker(anna);
      const taken = await claimTurn(store, ben);
      await run(store, ben, taken, { keep: true });
      await store.sendMessages([message("a", "still more")]);
      await store.releaseWorker(ben);

      assert.deepEqual([taken.attempts, (await claimTurn(store, await register(store, "carl"))).attempts], [1, 1]);
    });

    test("attempts of one instance say nothing about another", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await ownedBy(store, anna, "a");
      await store.releaseWorker(anna);
      await startAll(store, "b");

      const turns = await store.claimTurns(turnClaim(ben));

      const attempts = new Map(turns.map((turn) => [turn.instanceId, turn.attempts]));
      assert.deepEqual([attempts.get("a"), attempts.get("b")], [2, 1]);
    });

    test("attempts are kept by a commit that was refused", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await store.releaseWorker(anna);
      await store.commitTurns(anna, [commitOf(turn)]);

      assert.equal((await claimTurn(store, ben)).attempts, 2);
    });

    test("attempts do not count a claim that was given back, and count one that was released with its worker", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const { key } = await ownedBy(store, anna, "a");
      await store.releaseWorker(anna);
      const taken = await claimTurn(store, ben);
      await store.releaseInstances(ben, [key]);
      const again = await claimTurn(store, ben);

      assert.deepEqual([taken.attempts, again.attempts], [2, 2]);
    });

    test("attempts begin anew after a block, so that another build has as many", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await run(store, anna, turn, blockedBy("build-1"));

      assert.equal((await claimTurn(store, ben, { buildId: "build-2" })).attempts, 1);
    });

    test("an unsettled instance is taken over without a message once its owner is released", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ unsettled: true }));
      assert.deepEqual(await claimIds(store, ben), []);

      await store.releaseWorker(anna);

      const turn = await claimTurn(store, ben);
      assert.deepEqual([turn.unsettled, bodiesOf(turn), turn.lastEventId], [true, [], 1]);
    });

    test("an unsettled instance is taken over without a message once it is given back", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ unsettled: true }));

      await store.releaseInstances(anna, [turn.key]);

      assert.deepEqual(await claimIds(store, ben), ["a"]);
    });

    test("an unsettled instance is not handed to its owner again and again", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ unsettled: true }));
      assert.deepEqual(await claimIds(store, anna), []);
      await store.releaseWorker(anna);
      await claimTurn(store, ben);

      assert.deepEqual(await claimIds(store, ben), []);
    });

    test("an unsettled instance is handed to its owner again when that does not know of it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const known = await running(store, anna, "known", () => ({ unsettled: true }));
      await running(store, anna, "settled");
      await running(store, ben, "theirs", () => ({ unsettled: true }));
      await running(store, anna, "lost", () => ({ unsettled: true }));

      const turn = await claimTurn(store, anna, { held: [known.key] });

      assert.deepEqual([turn.instanceId, turn.unsettled, turn.attempts, bodiesOf(turn)], ["lost", true, 0, []]);
      assert.deepEqual(await claimIds(store, anna, { held: [known.key, turn.key] }), []);
      assert.deepEqual(await claimIds(store, anna), []);
    });

    test("a claim that is made again because its answer was lost hands out the same, and is one attempt", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ unsettled: true }));
      await store.releaseWorker(anna);
      const lost = await claimTurn(store, ben);

      const again = await claimTurn(store, ben, { held: [] });

      assert.deepEqual(again, lost);
    });

    test("an unsettled instance with a message is handed out as unsettled", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ unsettled: true }));
      await store.sendMessages([message("a", "more")]);

      const turn = await claimTurn(store, anna);

      assert.deepEqual([turn.unsettled, bodiesOf(turn)], [true, ["more"]]);
    });

    test("a settled instance without messages stays alone when its owner is released", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a");
      await running(store, anna, "b", () => ({ unsettled: true }));
      await store.releaseWorker(anna);

      assert.deepEqual(await claimIds(store, ben), ["b"]);
    });

    test("an instance is settled again by the commit that says so", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ unsettled: true }));
      await run(store, anna, turn, { unsettled: false, keep: true });
      await store.releaseWorker(anna);

      assert.deepEqual(await claimIds(store, ben), []);
    });

    test("unsettled instances are not starved by messages of other instances", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const unsettled = ["u1", "u2", "u3"];
      for (const id of unsettled) await running(store, anna, id, () => ({ unsettled: true }));
      await startAll(store, "a", "b", "c", "d");
      await store.releaseWorker(anna);

      const seen = new Set<string>();
      for (let round = 0; round < 20; round++) {
        const turns = await store.claimTurns(turnClaim(ben, { max: 2 }));
        for (const { instanceId } of turns) seen.add(instanceId);
        await store.commitTurns(
          ben,
          turns.map((turn) => commitOf(turn, { keep: true })),
        );
        await store.sendMessages(
          turns.filter((turn) => turn.messages.length > 0).map((turn) => message(turn.instanceId, "more")),
        );
      }

      assert.deepEqual(
        unsettled.filter((id) => !seen.has(id)),
        [],
      );
    });
  });
}
