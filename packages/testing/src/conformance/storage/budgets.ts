/** Budgets: what is booked fits, what does not fit is refused in the same transaction, and sums are right whatever ends. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type {
  Amounts,
  Booking,
  BudgetChanges,
  BudgetLimits,
  BudgetRecord,
  ClaimedTurn,
  Shortage,
  StorageProvider,
  TurnCommit,
  TurnOutcome,
  WorkerKey,
} from "@stet/core";
import {
  type Bench,
  bodiesOf,
  claimBodies,
  claimIds,
  claimTurn,
  openStore,
  ownedBy,
  recordOf,
  run,
  running,
  startAll,
  twoWorkers,
} from "./bench.ts";
import { commitOf, continuedAsNew, message, MINUTE, MODEL, SECOND, START, start, timer, work } from "./builders.ts";

const nothing: Amounts = { tokens: 0, nanoUsd: 0, calls: 0 };
const call: Amounts = { tokens: 100, nanoUsd: 1_000, calls: 1 };

/** Asks for room for a call. Its refusal says by what it was refused. */
function booking(eventId: number, changes: Partial<Booking> = {}): Booking {
  return { eventId, amounts: call, refusal: (shortage) => `refused ${eventId}: ${reason(shortage)}`, ...changes };
}

function reason(shortage: Shortage | undefined): string {
  if (shortage === undefined) return "no amounts";
  const { instanceId, member, limit, spent, reserved, wanted } = shortage;
  return `${instanceId} ${member} ${limit} ${spent} ${reserved} ${wanted}`;
}

function changes(budget: Partial<BudgetChanges>): Partial<TurnCommit> {
  return { keep: true, budget: { settled: [], bookings: [], ...budget } };
}

/** A running instance with a budget of its own. */
function budgeted(store: StorageProvider, worker: WorkerKey, id: string, opened: BudgetLimits): Promise<ClaimedTurn> {
  return running(store, worker, id, () => changes({ opened }));
}

/** A running child, with a budget of its own or without. */
async function child(
  store: StorageProvider,
  worker: WorkerKey,
  parent: ClaimedTurn,
  id: string,
  opened?: BudgetLimits,
): Promise<[ClaimedTurn, ClaimedTurn]> {
  const after = await run(store, worker, parent, { keep: true, starts: [start(id, { parentId: parent.instanceId })] });
  const turn = await claimTurn(store, worker, { instanceId: id });
  return [after, await run(store, worker, turn, changes(opened === undefined ? {} : { opened }))];
}

/** One more turn that books. Answers the requests that were refused. */
async function book(
  store: StorageProvider,
  worker: WorkerKey,
  turn: ClaimedTurn,
  bookings: readonly Booking[],
  more: Partial<TurnCommit> = {},
): Promise<{ readonly turn: ClaimedTurn; readonly refused: readonly number[] }> {
  const commit = commitOf(turn, { ...changes({ bookings }), ...more });
  const [outcome] = (await store.commitTurns(worker, [commit])) as [TurnOutcome];
  assert.notEqual(outcome, "notOwner");
  const lastEventId = commit.history.at(-1)?.lastEventId ?? turn.lastEventId;
  return {
    turn: { ...turn, lastEventId, messages: [] },
    refused: typeof outcome === "object" ? outcome.refused : [],
  };
}

async function budgetOf(store: StorageProvider, instanceId: string): Promise<BudgetRecord> {
  const record = await store.admin.readBudget(instanceId);
  assert.ok(record, `Expected ${instanceId} to have a budget.`);
  return record;
}

async function sums(store: StorageProvider, instanceId: string): Promise<[spent: Amounts, reserved: Amounts]> {
  const { spent, reserved } = await budgetOf(store, instanceId);
  return [spent, reserved];
}

function times(amounts: Amounts, n: number): Amounts {
  return { tokens: amounts.tokens * n, nanoUsd: amounts.nanoUsd * n, calls: amounts.calls * n };
}

/** Suspends the instance for the refusals in its inbox. */
async function suspend(store: StorageProvider, worker: WorkerKey, turn: ClaimedTurn): Promise<void> {
  const refusals = turn.messages.map(({ key }) => key);
  const commit = commitOf(turn, {
    history: [],
    consumed: [],
    unsettled: true,
    suspended: { error: "used up", refusals },
  });
  assert.deepEqual(await store.commitTurns(worker, [commit]), ["committed"]);
}

export function budgets(bench: Bench): void {
  describe("budgets", () => {
    test("a budget is opened once and is as it was opened", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await budgeted(store, anna, "a", { calls: 2, timeMs: MINUTE });
      await run(store, anna, turn, { ...changes({ opened: { calls: 9 } }), at: START + SECOND });
      await running(store, anna, "free");

      assert.deepEqual(await budgetOf(store, "a"), {
        limits: { calls: 2, timeMs: MINUTE },
        spent: nothing,
        reserved: nothing,
        openedAt: START,
      });
      assert.equal(await store.admin.readBudget("free"), undefined);
      assert.equal(await store.admin.readBudget("unknown"), undefined);
    });

    test("of many bookings in one commit those are granted that fit, in their order, and the others refused", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await budgeted(store, anna, "a", { tokens: 250, calls: 10 });
      const row = (eventId: number) => work(turn, eventId, { kind: "model", name: MODEL, attempts: 1 });

      const { refused } = await book(store, anna, turn, [
        booking(2, { work: row(2) }),
        booking(3),
        booking(4, { work: row(4) }),
        booking(5, { amounts: { ...call, tokens: 50 } }),
        booking(6),
      ]);

      assert.deepEqual(refused, [4, 6]);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), [
        "refused 4: a tokens 250 0 200 100",
        "refused 6: a tokens 250 0 250 100",
      ]);
      assert.deepEqual((await sums(store, "a"))[1], { tokens: 250, nanoUsd: 3_000, calls: 3 });
      assert.deepEqual(await store.readWork([{ key: turn.key, execution: 1 }]), [[2, 4, 6]]);
      assert.deepEqual(await claimBodies(store, anna), ["work 2"], "what is refused has no row");
    });

    test("each member holds, and what is not limited is only counted", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      for (const [member, limit] of Object.entries({ tokens: 99, nanoUsd: 999, calls: 0 })) {
        const turn = await budgeted(store, anna, member, { [member]: limit });
        assert.deepEqual((await book(store, anna, turn, [booking(2)])).refused, [2], member);
        await store.admin.topUp({ instanceId: member, amounts: { [member]: 1 } });
        assert.deepEqual((await book(store, anna, { ...turn, lastEventId: 2 }, [booking(3)])).refused, [], member);
      }
    });

    test("time that has passed refuses, and a booking without amounts is always refused", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await budgeted(store, anna, "a", { timeMs: MINUTE });
      const first = await book(store, anna, turn, [booking(2)], { at: START + MINUTE });
      const { amounts: _, ...unknown } = booking(4);
      const second = await book(store, anna, first.turn, [booking(3), unknown], { at: START + MINUTE + 1 });

      assert.deepEqual([first.refused, second.refused], [[], [3, 4]]);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), [
        "refused 3: a timeMs 60000 60001 0 0",
        "refused 4: no amounts",
      ]);
    });

    test("a booking must fit above as well, and the nearest budget that is short is named", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const parent = await budgeted(store, anna, "p", { calls: 3 });
      const [p, a] = await child(store, anna, parent, "a", { calls: 2 });
      const [, b] = await child(store, anna, p, "b");

      const ofA = await book(store, anna, a, [booking(2), booking(3), booking(4)]);
      const ofB = await book(store, anna, b, [booking(2), booking(3)]);

      assert.deepEqual([ofA.refused, ofB.refused], [[4], [3]]);
      const refusals = await Promise.all(["a", "b"].map((id) => claimAll(store, anna, id)));
      assert.deepEqual(refusals, [["refused 4: a calls 2 0 2 1"], ["refused 3: p calls 3 0 3 1"]]);
      assert.deepEqual((await sums(store, "p"))[1], times(call, 3));
      assert.deepEqual((await sums(store, "a"))[1], times(call, 2));
    });

    test("settling replaces what was reserved by what was used, everywhere, once", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const parent = await budgeted(store, anna, "p", { calls: 9 });
      const [, a] = await child(store, anna, parent, "a", { calls: 9 });
      const { turn } = await book(store, anna, a, [booking(2), booking(3)]);
      const used = { tokens: 7, calls: 1 };

      const after = await run(store, anna, turn, changes({ settled: [{ eventId: 2, used }] }));
      const expected = [{ tokens: 7, nanoUsd: 1_000, calls: 1 }, call];
      assert.deepEqual([await sums(store, "a"), await sums(store, "p")], [expected, expected]);
      await run(store, anna, after, changes({ settled: [2, 99].map((eventId) => ({ eventId, used })) }));
      assert.deepEqual(await sums(store, "a"), expected, "a request without a booking changes nothing");
    });

    test("what a commit settles is free for what it books", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await book(store, anna, await budgeted(store, anna, "a", { tokens: 100 }), [booking(2)]);
      const settled = [{ eventId: 2, used: { tokens: 1 } }];
      const fits = booking(3, { amounts: { ...call, tokens: 99 } });

      const { refused } = await book(store, anna, first.turn, [], changes({ settled, bookings: [fits] }));

      assert.deepEqual(refused, []);
    });

    test("a request that is booked stays booked, and its row counts its start; a new one was never started", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const { turn } = await book(store, anna, await budgeted(store, anna, "a", { calls: 2 }), [booking(2)]);
      const row = (eventId: number) => work(turn, eventId, { kind: "model", name: MODEL, attempts: 1 });
      const lost = [2, 3].map((eventId) => booking(eventId, { work: row(eventId) }));

      await book(store, anna, turn, lost);

      assert.deepEqual((await sums(store, "a"))[1], times(call, 2));
      const claimed = await store.claimWork({
        worker: anna,
        now: START,
        max: 10,
        activities: [],
        models: true,
        tags: [],
        sessionIdleMs: 0,
      });
      assert.deepEqual(
        claimed.map(({ eventId, attempts }) => [eventId, attempts]),
        [
          [2, 2],
          [3, 1],
        ],
      );
    });

    test("a stale commit books and settles nothing", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const { turn } = await book(store, anna, await budgeted(store, anna, "a", { calls: 2 }), [booking(2)]);
      const stale = commitOf(turn, changes({ settled: [{ eventId: 2, used: nothing }], bookings: [booking(3)] }));

      assert.deepEqual(await store.commitTurns(ben, [stale]), ["notOwner"]);

      assert.deepEqual(await sums(store, "a"), [nothing, call]);
    });

    test("what is left is released when an instance ends, and when it goes on to the next execution", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const parent = await budgeted(store, anna, "p", { calls: 9 });
      const [p, a] = await child(store, anna, parent, "a");
      const [, b] = await child(store, anna, p, "b");
      const ofA = await book(store, anna, a, [booking(2), booking(3)]);
      const ofB = await book(store, anna, b, [booking(2)]);

      await run(store, anna, ofA.turn, { ...changes({}), keep: false, ended: { status: "terminated" } });
      assert.deepEqual(await sums(store, "p"), [nothing, call]);
      await run(store, anna, ofB.turn, { ...changes({}), history: continuedAsNew(ofB.turn) });
      assert.deepEqual(await sums(store, "p"), [nothing, nothing]);
    });

    test("a suspended instance is left alone by every build until a message comes that is no refusal", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await book(store, anna, await budgeted(store, anna, "a", { calls: 0 }), [booking(2)], {
        timers: [timer(3, START + MINUTE)],
        unsettled: true,
      });
      await suspend(store, anna, await claimTurn(store, anna));

      for (const buildId of ["build-1", "build-2"]) assert.deepEqual(await claimIds(store, anna, { buildId }), []);
      assert.equal((await recordOf(store, "a")).blocked, "used up");
      assert.equal((await store.admin.stats(START)).blocked, 1);

      await store.sendMessages([message("a", "news")]);
      const woken = await claimTurn(store, anna);
      assert.deepEqual(bodiesOf(woken), ["news"]);
      await run(store, anna, woken, { keep: true });
      const again = await claimTurn(store, anna);
      assert.deepEqual(bodiesOf(again), ["refused 2: a calls 0 0 0 1"]);
      await suspend(store, anna, again);
      assert.deepEqual(await claimIds(store, anna, { now: START + MINUTE }), ["a"], "its timer is due");
    });

    for (const how of ["topUp", "unblock"] as const) {
      test(`${how}() drops the refusals of a suspended instance, so that they are asked for anew`, async (t) => {
        const { store, anna } = await twoWorkers(bench, t);
        const parent = await budgeted(store, anna, "p", { calls: 0, tokens: 500 });
        const [, a] = await child(store, anna, parent, "a");
        await book(store, anna, a, [booking(2)], { unsettled: true });
        await suspend(store, anna, await claimTurn(store, anna, { instanceId: "a" }));

        if (how === "unblock") assert.deepEqual(await store.admin.unblock(["a"]), ["a"]);
        else {
          const amounts = { calls: 1, nanoUsd: 5 };
          assert.equal(await store.admin.topUp({ instanceId: "p", amounts }), "toppedUp");
          assert.deepEqual((await budgetOf(store, "p")).limits, { calls: 1, tokens: 500 });
        }

        const turn = await claimTurn(store, anna, { instanceId: "a" });
        assert.deepEqual([bodiesOf(turn), turn.unsettled], [[], true]);
        assert.deepEqual(await store.readWork([{ key: turn.key, execution: 1 }]), [[]]);
        assert.equal((await recordOf(store, "a")).blocked, undefined);
        const { refused } = await book(store, anna, turn, [booking(2)], { history: [] });
        assert.deepEqual(refused, how === "topUp" ? [] : [2]);
      });
    }

    test("a suspension that comes after the top-up leaves the instance free, without its refusals", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await book(store, anna, await budgeted(store, anna, "a", { calls: 0 }), [booking(2)]);
      const turn = await claimTurn(store, anna);

      await store.admin.topUp({ instanceId: "a", amounts: { calls: 1 } });
      await suspend(store, anna, turn);

      const free = await claimTurn(store, anna);
      assert.deepEqual([bodiesOf(free), free.unsettled], [[], true]);
      assert.equal((await recordOf(store, "a")).blocked, undefined);
    });

    for (const order of ["before", "with", "after"] as const) {
      test(`what only reservations kept out is asked again when a call of the tree is settled, ${order} its suspension`, async (t) => {
        const { store, anna } = await twoWorkers(bench, t);
        const parent = await budgeted(store, anna, "p", { tokens: 150 });
        const [after, a] = await child(store, anna, parent, "a");
        const [, b] = await child(store, anna, after, "b");
        const ofA = await book(store, anna, a, [booking(2)]);
        const settled = commitOf(ofA.turn, changes({ settled: [{ eventId: 2, used: { tokens: 50 } }] }));
        const asked = commitOf(b, { ...changes({ bookings: [booking(2)] }), unsettled: true });
        if (order === "with") await store.commitTurns(anna, [asked, settled]);
        else await store.commitTurns(anna, [asked]);
        const refused = await claimTurn(store, anna, { instanceId: "b" });
        assert.deepEqual(bodiesOf(refused), ["refused 2: p tokens 150 0 100 100"]);
        if (order === "before") await store.commitTurns(anna, [settled]);
        await suspend(store, anna, refused);
        if (order === "after") {
          assert.deepEqual(await claimIds(store, anna), []);
          await store.commitTurns(anna, [settled]);
          await suspend(store, anna, await claimTurn(store, anna, { instanceId: "b" }));
        }

        const free = await claimTurn(store, anna, { instanceId: "b" });
        assert.deepEqual([bodiesOf(free), free.unsettled], [[], true]);
        assert.deepEqual((await book(store, anna, free, [booking(2)], { history: [] })).refused, []);
        assert.deepEqual(await sums(store, "p"), [{ tokens: 50, nanoUsd: 1_000, calls: 1 }, call]);
      });
    }

    test("what would not fit without reservations either is left alone, and so are other trees", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const [one, two] = [
        await budgeted(store, anna, "one", { calls: 2, tokens: 150 }),
        await budgeted(store, anna, "two", { calls: 1 }),
      ];
      const ofOne = await book(store, anna, one, [booking(2), booking(3, { amounts: times(call, 2) })]);
      await book(store, anna, two, [booking(2), booking(3)]);
      for (const id of ["one", "two"]) await suspend(store, anna, await claimTurn(store, anna, { instanceId: id }));
      await store.sendMessages([message("one", "news")]);
      const woken = await claimTurn(store, anna);
      assert.deepEqual(bodiesOf(woken), ["news"]);
      assert.deepEqual(ofOne.refused, [3]);
      await run(store, anna, woken, changes({ settled: [{ eventId: 2, used: {} }] }));
      await suspend(store, anna, await claimTurn(store, anna));

      assert.deepEqual(await claimIds(store, anna), []);
      assert.equal((await store.admin.stats(START)).blocked, 2);
    });

    test("a refusal that is taken is no longer known", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await book(store, anna, await budgeted(store, anna, "a", { calls: 0 }), [booking(2)]);
      const turn = await claimTurn(store, anna);
      await run(store, anna, turn, changes({ settled: [{ eventId: 2, used: call }] }));

      assert.deepEqual(await sums(store, "a"), [nothing, nothing]);
      assert.deepEqual(await claimIds(store, anna), []);
    });

    test("each top-up adds; what cannot be topped up is said", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await budgeted(store, anna, "a", { calls: 1 });
      await startAll(store, "free");
      const topUp = (instanceId: string) => store.admin.topUp({ instanceId, amounts: { calls: 2 } });

      const outcomes = [await topUp("a"), await topUp("a"), await topUp("free"), await topUp("unknown")];

      assert.deepEqual(outcomes, ["toppedUp", "toppedUp", "noBudget", "unknown"]);
      assert.deepEqual((await budgetOf(store, "a")).limits, { calls: 5 });
    });

    test("a restarted instance keeps its budget; a deleted one leaves none behind", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const { turn } = await book(store, anna, await budgeted(store, anna, "a", { calls: 2 }), [booking(2)]);
      await run(store, anna, turn, {
        ...changes({ settled: [{ eventId: 2, used: call }] }),
        ended: { status: "failed" },
      });
      await store.admin.restart({ instanceId: "a", body: "again", at: START });
      await run(store, anna, await claimTurn(store, anna), changes({ opened: { calls: 9 } }));
      assert.deepEqual([(await budgetOf(store, "a")).limits, await sums(store, "a")], [{ calls: 2 }, [call, nothing]]);

      await store.admin.deleteTree("a", true);
      assert.equal(await store.admin.readBudget("a"), undefined);
      await ownedBy(store, anna, "a");
      assert.equal(await store.admin.readBudget("a"), undefined);
    });

    test("a tree is carried with its budgets and bookings, and without its refusals", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const parent = await budgeted(store, anna, "p", { calls: 3, timeMs: MINUTE });
      const [, a] = await child(store, anna, parent, "a", { tokens: 500 });
      const first = await book(store, anna, a, [
        ...[booking(2), booking(3), booking(4)],
        booking(5, { amounts: { ...nothing, calls: 4 } }),
      ]);
      await run(store, anna, first.turn, changes({ settled: [{ eventId: 2, used: { tokens: 9 } }] }));
      const tree = await store.admin.exportTree("p");
      assert.ok(typeof tree === "object");
      const other = await openStore(bench, t);

      assert.equal(await other.admin.importTree(tree), "imported");

      assert.deepEqual(await other.admin.exportTree("p"), tree);
      for (const id of ["p", "a"]) assert.deepEqual(await budgetOf(other, id), await budgetOf(store, id));
      assert.deepEqual(tree.instances[1]?.messages, []);
      assert.deepEqual(
        tree.instances[1]?.bookings?.map(({ eventId }) => eventId),
        [3, 4],
      );
    });
  });
}

/** The bodies in the inbox of one instance of several. */
async function claimAll(store: StorageProvider, worker: WorkerKey, instanceId: string): Promise<string[]> {
  return bodiesOf(await claimTurn(store, worker, { instanceId }));
}
