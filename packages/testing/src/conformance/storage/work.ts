/** Work items: who is handed what, and how they are answered (S4). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Bench,
  bodiesOf,
  claimBodies,
  claimIds,
  claimItem,
  claimTurn,
  ended,
  openStore,
  ownedBy,
  register,
  run,
  running,
  twoWorkers,
  workOf,
} from "./bench.ts";
import {
  ACTIVITY,
  completion,
  HOUR,
  message,
  MINUTE,
  MODEL,
  SECOND,
  START,
  timer,
  wait,
  work,
  workClaim,
} from "./builders.ts";

export function workItems(bench: Bench): void {
  describe("work items", () => {
    test("claimWork() hands an item out with all that the commit said about it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({
        work: [work(first, 7, { body: "pay 3", attempts: 2, heartbeat: "half", failure: "busy", tag: "gpu" })],
      }));

      const { key: _, ...item } = await claimItem(store, ben, { tags: ["gpu"] });

      assert.deepEqual(item, {
        instance: turn.key,
        instanceId: "a",
        rootId: "a",
        execution: 1,
        eventId: 7,
        body: "pay 3",
        kind: "activity",
        name: ACTIVITY,
        attempts: 3,
        heartbeat: "half",
        failure: "busy",
      });
    });

    test("claimWork() hands an item out without what the commit left out", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "root");
      const child = await ownedBy(store, anna, "child", { parentId: "root" });
      await run(store, anna, child, { work: [work(child, 2, { kind: "model", name: MODEL })] });

      const { key: _, ...item } = await claimItem(store, ben);

      assert.deepEqual(item, {
        instance: child.key,
        instanceId: "child",
        rootId: "root",
        execution: 1,
        eventId: 2,
        body: "work 2",
        kind: "model",
        name: MODEL,
        attempts: 1,
      });
    });

    test("claimWork() hands an item to one worker only", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));

      assert.deepEqual(await claimBodies(store, anna), ["work 2"]);
      assert.deepEqual(await claimBodies(store, ben), []);
      assert.deepEqual(await claimBodies(store, anna), []);
      assert.deepEqual(await claimBodies(store, ben, { now: START + 24 * HOUR }), []);
    });

    test("claimWork() at the same time hands each item to one of many workers", async (t) => {
      const store = await openStore(bench, t);
      const anna = await register(store, "anna");
      const eventIds = Array.from({ length: 40 }, (_, index) => index + 2);
      await running(store, anna, "a", (turn) => ({ work: eventIds.map((eventId) => work(turn, eventId)) }));
      const others = await Promise.all(["b", "c", "d", "e"].map((name) => register(store, name)));

      const claimed = await Promise.all(
        [...others, ...others, ...others].map((worker) => store.claimWork(workClaim(worker, { max: 7 }))),
      );

      const keys = claimed.flat().map(({ key }) => key);
      assert.equal(keys.length, 40);
      assert.equal(new Set(keys).size, 40);
    });

    test("claimWork() by a released worker takes nothing", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      await store.releaseWorker(ben);

      assert.deepEqual(await claimBodies(store, ben), []);
      assert.deepEqual(await claimBodies(store, anna), ["work 2"]);
    });

    test("claimWork() hands an item to its worker again when that does not know of it, as the same start", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2), work(turn, 3), work(turn, 4)] }));
      await claimItem(store, anna, { max: 1 });
      const known = await claimItem(store, ben, { max: 1 });
      const lost = await claimItem(store, ben, { max: 1 });

      const again = await claimItem(store, ben, { held: [known.key] });

      assert.deepEqual([known.body, lost.body], ["work 3", "work 4"]);
      assert.deepEqual(again, lost);
      assert.deepEqual(await claimBodies(store, ben, { held: [known.key, lost.key] }), []);
      assert.deepEqual(await claimBodies(store, ben), []);
    });

    test("claimWork() hands out what was lost besides what is new, by what the worker can run and no more", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({
        work: [work(turn, 2), work(turn, 3, { kind: "model", name: MODEL }), work(turn, 4), work(turn, 5)],
      }));
      await store.claimWork(workClaim(ben, { max: 3 }));

      assert.deepEqual(await claimBodies(store, ben, { held: [], activities: [] }), ["work 3"]);
      assert.deepEqual(await claimBodies(store, ben, { held: [], models: false, max: 2 }), ["work 2", "work 4"]);
      assert.deepEqual(await claimBodies(store, ben, { held: [], models: false }), ["work 2", "work 4", "work 5"]);
    });

    test("claimWork() hands out what was lost even when its time has not come", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2, { visibleAt: START + HOUR })] }));
      await claimItem(store, anna, { now: START + HOUR });

      assert.equal((await claimItem(store, anna, { held: [], now: START })).body, "work 2"); // the clock went back
    });

    test("claimWork() hands items out whoever owns their instance", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "kept", (turn) => ({ work: [work(turn, 2, { body: "of a kept one" })] }));
      await running(store, anna, "free", (turn) => ({ work: [work(turn, 2, { body: "of a free one" })], keep: false }));

      assert.deepEqual(await claimBodies(store, ben), ["of a kept one", "of a free one"]);
    });

    test("claimWork() hands items out in the order in which they were made", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "b", (turn) => ({
        work: [9, 5].map((eventId) => work(turn, eventId, { body: `b${eventId}` })),
      }));
      await running(store, anna, "a", (turn) => ({
        work: [3, 2].map((eventId) => work(turn, eventId, { body: `a${eventId}` })),
      }));

      assert.deepEqual(await claimBodies(store, ben), ["b9", "b5", "a3", "a2"]);
    });

    test("claimWork() hands out no more than asked for, the oldest first", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [2, 3, 4, 5].map((eventId) => work(turn, eventId)) }));

      assert.deepEqual(await claimBodies(store, ben, { max: 3 }), ["work 2", "work 3", "work 4"]);
      assert.deepEqual(await claimBodies(store, ben, { max: 3 }), ["work 5"]);
    });

    test("claimWork() hands an activity only to whoever has it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const names = ["refund", "Refund", "ref_nd", "refund%", "rückzahlung"];
      await running(store, anna, "a", (turn) => ({
        work: names.map((name, index) => work(turn, index + 2, { name, body: name })),
      }));

      assert.deepEqual(await claimBodies(store, ben, { activities: [] }), []);
      assert.deepEqual(await claimBodies(store, ben, { activities: ["ref_nd", "rückzahlung"] }), [
        "ref_nd",
        "rückzahlung",
      ]);
      assert.deepEqual(await claimBodies(store, ben, { activities: ["Refund", "nothing"] }), ["Refund"]);
    });

    test("claimWork() hands model calls to whoever makes them, whatever their model", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({
        work: [
          work(turn, 2, { kind: "model", name: "small", body: "model" }),
          work(turn, 3, { kind: "model", name: ACTIVITY, body: "model named like an activity" }),
          work(turn, 4, { body: "activity" }),
        ],
      }));

      assert.deepEqual(await claimBodies(store, ben, { models: false }), ["activity"]);
      assert.deepEqual(await claimBodies(store, ben, { activities: [] }), ["model", "model named like an activity"]);
    });

    test("items of other activities neither block nor are taken", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const strangers = Array.from({ length: 50 }, (_, index) => index + 2);
      await running(store, anna, "a", (turn) => ({
        work: [...strangers.map((eventId) => work(turn, eventId, { name: "other" })), work(turn, 99, { body: "mine" })],
      }));

      assert.deepEqual(await claimBodies(store, ben, { max: 1 }), ["mine"]);
      assert.equal((await claimBodies(store, anna, { activities: ["other"] })).length, 50);
    });

    test("delayed items wait for their time and hold up no others", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({
        work: [work(turn, 2, { visibleAt: START + MINUTE, body: "later" }), work(turn, 3, { body: "now" })],
      }));

      assert.deepEqual(await claimBodies(store, ben, { max: 1 }), ["now"]);
      assert.deepEqual(await claimBodies(store, ben, { now: START + MINUTE - 1 }), []);
      assert.deepEqual(await claimBodies(store, ben, { now: START + MINUTE }), ["later"]);
    });

    test("claimWork() hands out no more than asked for of items with and without a time together", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({
        work: [2, 3, 4, 5, 6].map((eventId) => work(turn, eventId, eventId % 2 === 0 ? { visibleAt: START } : {})),
      }));

      const claims = [await claimBodies(store, ben, { max: 3 }), await claimBodies(store, ben, { max: 3 })];

      assert.deepEqual(
        claims.map(({ length }) => length),
        [3, 2],
      );
      assert.equal(new Set(claims.flat()).size, 5);
    });

    test("items without a time are visible whatever the clock says", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)], at: START + HOUR }));

      assert.deepEqual(await claimBodies(store, ben, { now: START - HOUR }), ["work 2"]);
    });

    test("items that were delayed are not starved by those without a time, and the other way round", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      let turn = await running(store, anna, "a", (first) => ({
        work: [2, 3, 4, 5].map((eventId) => work(first, eventId, eventId < 4 ? { visibleAt: START } : {})),
      }));

      const seen = new Set<string>();
      for (let round = 0; round < 20; round++) {
        const bodies = await claimBodies(store, ben, { now: START + HOUR, max: 1 });
        for (const body of bodies) seen.add(body);
        turn = await run(store, anna, turn, { work: [work(turn, 10 + round, { body: "new" })], keep: true });
      }

      for (const body of ["work 2", "work 3", "work 4", "work 5"]) assert.ok(seen.has(body), `Expected ${body}.`);
    });

    test("completeWork() removes the item and sends its message", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2), work(first, 3)] }));
      const [first] = await store.claimWork(workClaim(ben));
      assert.ok(first);

      const answer = { key: first.key, message: message("a", "answer", { at: START + SECOND }) };
      assert.deepEqual(await store.completeWork(ben, [answer]), ["committed"]);

      assert.deepEqual(await workOf(store, turn.key, 1), [3]);
      const { messages } = await claimTurn(store, anna);
      assert.deepEqual(
        messages.map(({ body, at, timer: isTimer }) => ({ body, at, isTimer })),
        [{ body: "answer", at: START + SECOND, isTimer: false }],
      );
    });

    test("readWork() names a request from the item to the turn that takes its answer, whoever answers it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2), work(first, 3)] }));
      const [item] = await store.claimWork(workClaim(ben));
      assert.ok(item);
      const answers = { execution: 1, eventId: 2 };

      await store.completeWork(ben, [{ key: item.key, message: message("a", "answer", { answers }) }]);
      await store.sendMessages([message("a", "from memory", { answers: { execution: 1, eventId: 7 } })]);
      await store.sendMessages([message("a", "of another execution", { answers: { execution: 2, eventId: 8 } })]);
      assert.deepEqual(await workOf(store, turn.key, 1), [2, 3, 7]);

      const { messages } = await claimTurn(store, anna);
      await run(store, anna, turn, { consumed: messages.map(({ key }) => key), keep: true });
      assert.deepEqual(await workOf(store, turn.key, 1), [3]);
    });

    test("completeWork() answers for each item, and refused ones keep no others from being done", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [2, 3, 4].map((eventId) => work(turn, eventId)) }));
      const mine = await store.claimWork(workClaim(ben, { max: 2 }));
      const theirs = await claimItem(store, anna);

      const keys = [mine[0], theirs, mine[1]].map((item) => item?.key ?? assert.fail());
      const outcomes = await store.completeWork(
        ben,
        keys.map((key) => completion(key, "a", `answer ${key}`)),
      );

      assert.deepEqual(outcomes, ["committed", "notOwner", "committed"]);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), [`answer ${keys[0]}`, `answer ${keys[2]}`]);
    });

    test("completeWork() is refused the second time and sends nothing then", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, ben);
      await store.completeWork(ben, [completion(key, "a", "first")]);

      assert.deepEqual(await store.completeWork(ben, [completion(key, "a", "second")]), ["notOwner"]);

      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["first"]);
    });

    test("completeWork() accepts one of many answers to the same item", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, ben);

      const outcomes = await Promise.all(
        Array.from({ length: 10 }, () => store.completeWork(ben, [completion(key, "a")])),
      );

      assert.equal(outcomes.flat().filter((outcome) => outcome === "committed").length, 1);
      assert.equal((await claimTurn(store, anna)).messages.length, 1);
    });

    test("completeWork() is refused for an item that nobody has claimed", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2)] }));
      const { key } = await claimItem(store, ben);
      await store.abandonWork(ben, [key]);

      assert.deepEqual(await store.completeWork(ben, [completion(key, "a")]), ["notOwner"]);

      assert.deepEqual(await workOf(store, turn.key, 1), [2]);
      assert.deepEqual(await claimIds(store, anna), []);
    });

    test("completeWork() is refused for an item that was settled, and sends nothing", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2)] }));
      const { key } = await claimItem(store, ben);
      await run(store, anna, turn, { settled: [2], keep: true });

      assert.deepEqual(await store.completeWork(ben, [completion(key, "a")]), ["notOwner"]);

      assert.deepEqual(await claimIds(store, anna), []);
    });

    test("completeWork() removes the item when the receiver of its message is unknown or has ended", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await ended(store, anna, "over");
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2), work(first, 3)] }));
      const [first, second] = await store.claimWork(workClaim(ben));
      assert.ok(first && second);

      const outcomes = await store.completeWork(ben, [completion(first.key, "nobody"), completion(second.key, "over")]);

      assert.deepEqual(outcomes, ["committed", "committed"]);
      assert.deepEqual(await workOf(store, turn.key, 1), []);
      assert.deepEqual((await store.admin.stats(START)).messages, { ready: 0, delayed: 0 });
    });

    test("settling removes items, delayed, ready and running, and leaves the others", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({
        work: [2, 3, 4, 5].map((eventId) => work(first, eventId, { visibleAt: eventId === 4 ? START + HOUR : START })),
      }));
      assert.deepEqual(await claimBodies(store, ben, { max: 1 }), ["work 2"]);

      await run(store, anna, turn, { settled: [2, 3, 4], keep: true });

      assert.deepEqual(await workOf(store, turn.key, 1), [5]);
      assert.deepEqual(await claimBodies(store, ben, { now: START + HOUR }), ["work 5"]);
    });

    test("settling leaves items, timers and waits of other instances with the same event id", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const other = await running(store, ben, "b", (first) => ({
        work: [work(first, 2)],
        waits: [wait(3, "approval")],
      }));
      const turn = await running(store, anna, "a", (first) => ({
        work: [work(first, 2)],
        waits: [wait(3, "approval")],
      }));

      await run(store, anna, turn, { settled: [2, 3] });

      assert.deepEqual(await workOf(store, other.key, 1), [2]);
      assert.deepEqual(
        (await store.admin.listWaits({ limit: 9 })).rows.map(({ instanceId }) => instanceId),
        ["b"],
      );
    });

    test("settling one request leaves the others of every kind", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({
        work: [work(first, 2), work(first, 3)],
        timers: [timer(4, START + MINUTE), timer(5, START + HOUR)],
        waits: [wait(6, "one"), wait(7, "two")],
      }));

      await run(store, anna, turn, { settled: [2, 4, 6] });

      assert.deepEqual(await workOf(store, turn.key, 1), [3]);
      assert.equal(await store.nextWakeAt(START), START + HOUR);
      assert.deepEqual(
        (await store.admin.listWaits({ limit: 9 })).rows.map(({ name }) => name),
        ["two"],
      );
    });

    test("readWork() answers the requests that have an item, whoever runs it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({
        work: [work(first, 3), work(first, 2), work(first, 4, { visibleAt: START + HOUR })],
      }));
      await claimBodies(store, ben, { max: 1 });

      const eventIds = await workOf(store, turn.key, 1);

      assert.deepEqual(new Set(eventIds), new Set([2, 3, 4]));
      assert.equal(eventIds.length, 3);
      assert.deepEqual(await workOf(store, turn.key, 2), []);
    });

    test("readWork() answers for each execution it is asked of, in their order", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const a = await running(store, anna, "a", (first) => ({ work: [work(first, 2)] }));
      const b = await running(store, anna, "b", (first) => ({ work: [work(first, 3)] }));
      const asked = [b, { ...a, execution: 2 }, a, b].map(({ key, execution }) => ({ key, execution }));

      assert.deepEqual(await store.readWork(asked), [[3], [], [2], [3]]);
      assert.deepEqual(await store.readWork([]), []);
    });
  });
}
