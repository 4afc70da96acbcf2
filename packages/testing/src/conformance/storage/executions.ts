/** History, and executions that follow one another: what continue-as-new keeps and what it drops. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ExecutionRecord, StorageProvider } from "@stet/core";
import {
  type Bench,
  bodiesOf,
  claimIds,
  claimItem,
  claimTurn,
  historyOf,
  ownedBy,
  recordOf,
  run,
  running,
  twoWorkers,
  workOf,
} from "./bench.ts";
import {
  chunk,
  completion,
  continuedAsNew,
  HOUR,
  message,
  SECOND,
  START,
  timer,
  wait,
  work,
  workClaim,
} from "./builders.ts";

export function executions(bench: Bench): void {
  describe("history and executions", () => {
    test("readHistory() answers the chunks of an execution in order, each as it was written", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ history: [{ ...chunk(1, 0, 3), body: "one to three" }] }));
      const second = await run(store, anna, first, { history: [{ ...chunk(1, 3), body: "four" }], keep: true });
      await run(store, anna, second, { history: [{ ...chunk(1, 4, 20), body: "five to twenty-four" }] });

      assert.deepEqual(await historyOf(store, first.key, 1), ["one to three", "four", "five to twenty-four"]);
      assert.equal((await recordOf(store, "a")).lastEventId, 24);
    });

    test("readHistory() answers nothing for what has no history", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");

      assert.deepEqual(await historyOf(store, turn.key, 1), []);
      assert.deepEqual(await historyOf(store, turn.key, 2), []);
    });

    test("readHistory() keeps instances and executions apart", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const a = await running(store, anna, "a", () => ({ history: [{ ...chunk(1, 0), body: "a1" }] }));
      const b = await running(store, anna, "b", () => ({ history: [{ ...chunk(1, 0), body: "b1" }] }));
      await run(store, anna, a, {
        history: [
          { ...chunk(1, 1), body: "a1, the end" },
          { ...chunk(2, 0), body: "a2" },
        ],
      });

      const asked = [
        { key: b.key, execution: 1 },
        { key: a.key, execution: 2 },
        { key: b.key, execution: 2 },
        { key: a.key, execution: 1 },
        { key: b.key, execution: 1 },
      ];
      assert.deepEqual(await store.readHistory(asked), [["b1"], ["a2"], [], ["a1", "a1, the end"], ["b1"]]);
      assert.deepEqual(await store.readHistory([]), []);
    });

    test("commitTurns() without history leaves the position where it was and writes the rest", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");

      const same = await run(store, anna, turn, { history: [], work: [work(turn, 2)], keep: true });

      assert.deepEqual(await workOf(store, turn.key, 1), [2]);
      await run(store, anna, same);
      assert.equal((await recordOf(store, "a")).lastEventId, 2);
    });

    test("continue-as-new begins the next execution at its own first event", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const next = await run(store, anna, turn, { history: [chunk(1, 1), chunk(2, 0, 3)] });
      await store.sendMessages([message("a", "more")]);

      const claimed = await claimTurn(store, ben);

      assert.deepEqual([claimed.execution, claimed.lastEventId], [2, 3]);
      await run(store, ben, { ...claimed, messages: next.messages });
      const { execution, lastEventId, status } = await recordOf(store, "a");
      assert.deepEqual([execution, lastEventId, status], [2, 4, "running"]);
    });

    test("continue-as-new may pass through several executions in one turn", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const history = [chunk(1, 1), chunk(2, 0, 2), chunk(3, 0, 5)];

      const next = await run(store, anna, turn, { history, work: [{ ...work(turn, 4), execution: 3 }], keep: true });

      assert.deepEqual(await historyOf(store, turn.key, 2), [chunk(2, 0, 2).body]);
      assert.deepEqual(await workOf(store, turn.key, 3), [4]);
      assert.deepEqual(
        (await executionsOf(store, "a")).map(({ execution, eventCount }) => [execution, eventCount]),
        [
          [1, 2],
          [2, 2],
          [3, 5],
        ],
      );
      await run(store, anna, next);
    });

    test("continue-as-new keeps ordinary messages that were not consumed", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      await store.sendMessages([message("a", "1"), message("a", "2")]);

      await run(store, anna, turn, { history: continuedAsNew(turn) });

      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["1", "2"]);
    });

    test("continue-as-new drops timers of the old execution, those due included", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const timers = [timer(2, START + SECOND), timer(3, START + HOUR)];
      const turn = await running(store, anna, "a", () => ({ timers }));

      await run(store, anna, turn, { history: continuedAsNew(turn) });

      assert.equal(await store.nextWakeAt(START), undefined);
      assert.deepEqual(await claimIds(store, anna, { now: START + 2 * HOUR }), []);
    });

    test("continue-as-new drops work of the old execution, that of running workers included", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2), work(first, 3)] }));
      const [item] = await store.claimWork(workClaim(ben, { max: 1 }));
      assert.ok(item);

      await run(store, anna, turn, { history: continuedAsNew(turn) });

      assert.deepEqual(await workOf(store, turn.key, 1), []);
      assert.deepEqual((await store.admin.stats(START)).work, { ready: 0, delayed: 0, running: 0 });
      assert.deepEqual((await store.heartbeat({ worker: ben, now: START, work: [item.key] })).lost, [item.key]);
      assert.deepEqual(await store.completeWork(ben, [completion(item.key, "a")]), ["notOwner"]);
      assert.deepEqual(await claimIds(store, anna), []);
    });

    test("continue-as-new drops waits of the old execution", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ waits: [wait(2, "approval"), wait(3, "payment")] }));

      await run(store, anna, turn, { history: continuedAsNew(turn), waits: [wait(1, "next")] });

      const { rows } = await store.admin.listWaits({ instanceId: "a", limit: 10 });
      assert.deepEqual(
        rows.map(({ name, execution }) => [name, execution]),
        [["next", 2]],
      );
    });

    test("continue-as-new keeps what the same commit makes for the next execution, whatever event ids it has", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({
        work: [work(first, 2, { body: "old work" })],
        timers: [timer(3, START + SECOND, "old timer")],
        waits: [wait(4, "old")],
      }));

      await run(store, anna, turn, {
        history: continuedAsNew(turn),
        settled: [2, 3, 4],
        work: [work({ instanceId: "a", execution: 2 }, 2, { body: "new work" })],
        timers: [timer(3, START + SECOND, "new timer")],
        waits: [wait(4, "new")],
      });

      assert.deepEqual(await workOf(store, turn.key, 2), [2]);
      assert.equal((await claimItem(store, anna)).body, "new work");
      assert.deepEqual(bodiesOf(await claimTurn(store, anna, { now: START + HOUR })), ["new timer"]);
      const { rows } = await store.admin.listWaits({ limit: 10 });
      assert.deepEqual(
        rows.map(({ name }) => name),
        ["new"],
      );
    });

    test("continue-as-new leaves other instances alone", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const other = await running(store, anna, "other", (first) => ({
        work: [work(first, 2)],
        timers: [timer(3, START + HOUR)],
        waits: [wait(4, "approval")],
      }));
      const turn = await running(store, anna, "a");

      await run(store, anna, turn, { history: continuedAsNew(turn) });

      assert.deepEqual(await workOf(store, other.key, 1), [2]);
      assert.equal(await store.nextWakeAt(START), START + HOUR);
      assert.equal((await store.admin.listWaits({ limit: 10 })).rows.length, 1);
    });

    test("continue-as-new keeps work that the next turns settle by its execution", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const next = await run(store, anna, turn, {
        history: continuedAsNew(turn),
        work: [work({ instanceId: "a", execution: 2 }, 2)],
        timers: [timer(3, START + HOUR)],
        keep: true,
      });

      await run(store, anna, next, { settled: [2, 3] });

      assert.deepEqual(await workOf(store, turn.key, 2), []);
      assert.equal(await store.nextWakeAt(START), undefined);
    });

    test("listExecutions() tells how long each is and when it was written", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ history: [chunk(1, 0, 2)], at: START + SECOND }));
      const second = await run(store, anna, first, {
        history: [chunk(1, 2), chunk(2, 0, 4)],
        keep: true,
        at: START + HOUR,
      });
      await run(store, anna, second, { at: START + 2 * HOUR });

      const rows = await executionsOf(store, "a");

      assert.deepEqual(
        rows.map(({ execution, eventCount, updatedAt }) => [execution, eventCount, updatedAt]),
        [
          [1, 3, START + HOUR],
          [2, 5, START + 2 * HOUR],
        ],
      );
      for (const { startedAt, updatedAt } of rows) assert.ok(startedAt >= START && startedAt <= updatedAt);
    });

    test("listExecutions() of an unknown instance answers nothing", async (t) => {
      const { store } = await twoWorkers(bench, t);

      assert.deepEqual(await store.admin.listExecutions("nobody"), []);
    });

    test("admin.readHistory() answers the chunks from the one that holds an event on", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({ history: [{ ...chunk(1, 0, 3), body: "1-3" }] }));
      const second = await run(store, anna, first, { history: [{ ...chunk(1, 3, 3), body: "4-6" }], keep: true });
      await run(store, anna, second, { history: [{ ...chunk(1, 6), body: "7" }] });

      const from = (eventId?: number): Promise<string[]> => store.admin.readHistory("a", 1, eventId);

      assert.deepEqual(await from(), ["1-3", "4-6", "7"]);
      assert.deepEqual(await from(1), ["1-3", "4-6", "7"]);
      assert.deepEqual(await from(3), ["1-3", "4-6", "7"]);
      assert.deepEqual(await from(4), ["4-6", "7"]);
      assert.deepEqual(await from(5), ["4-6", "7"]);
      assert.deepEqual(await from(7), ["7"]);
      assert.deepEqual(await from(8), []);
    });

    test("admin.readHistory() answers nothing for unknown instances and executions", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a");

      assert.deepEqual(await store.admin.readHistory("nobody", 1), []);
      assert.deepEqual(await store.admin.readHistory("a", 2), []);
    });
  });
}

/** The executions of an instance, oldest first. */
async function executionsOf(store: StorageProvider, instanceId: string): Promise<ExecutionRecord[]> {
  const rows = await store.admin.listExecutions(instanceId);
  return rows.toSorted((one, two) => one.execution - two.execution);
}
