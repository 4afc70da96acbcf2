/** Timers: messages to come, neither before their time nor starved by those that are there already. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ClaimedTurn } from "@stet/core";
import { type Bench, bodiesOf, claimIds, claimTurn, ownedBy, run, running, startAll, twoWorkers } from "./bench.ts";
import { commitOf, HOUR, message, MINUTE, SECOND, START, timer, turnClaim } from "./builders.ts";

export function timers(bench: Bench): void {
  describe("timers", () => {
    test("a timer is handed out when it is due and not before", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ timers: [timer(2, START + MINUTE, "ring")] }));

      assert.deepEqual(await claimIds(store, anna, { now: START + MINUTE - 1 }), []);
      const { messages } = await claimTurn(store, anna, { now: START + MINUTE });

      assert.deepEqual(
        messages.map(({ key: _, ...told }) => told),
        [{ body: "ring", at: START + MINUTE, timer: true }],
      );
    });

    test("a timer of the past is due at once", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ timers: [timer(2, START - HOUR)] }));

      assert.deepEqual(await claimIds(store, anna), ["a"]);
    });

    test("a timer waits when the clock jumps back", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ timers: [timer(2, START + MINUTE)] }));

      assert.deepEqual(await claimIds(store, anna, { now: START - HOUR }), []);
      assert.deepEqual(await claimIds(store, anna, { now: START + HOUR }), ["a"]);
    });

    test("a timer wakes an instance that nobody owns, and then has its instance owned", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ timers: [timer(2, START + MINUTE)], keep: false }));

      assert.deepEqual(await claimIds(store, anna, { now: START + HOUR }), ["a"]);
      assert.deepEqual(await claimIds(store, ben, { now: START + HOUR }), []);
    });

    test("a timer of an instance that another worker owns goes to that worker only", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ timers: [timer(2, START + MINUTE)] }));

      assert.deepEqual(await claimIds(store, ben, { now: START + HOUR }), []);
      assert.deepEqual(await claimIds(store, anna, { now: START + HOUR }), ["a"]);
    });

    test("timers are handed out in the order in which they are due", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const made = [timer(2, START + 3 * SECOND), timer(3, START + SECOND), timer(4, START + 2 * SECOND)];
      await running(store, anna, "a", () => ({ timers: made }));

      const turn = await claimTurn(store, anna, { now: START + HOUR });

      assert.deepEqual(bodiesOf(turn), ["timer 3", "timer 4", "timer 2"]);
    });

    test("timers that are not due stay when others are handed out", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const first = await running(store, anna, "a", () => ({
        timers: [timer(2, START + SECOND), timer(3, START + HOUR)],
      }));
      const turn = await claimTurn(store, anna, { now: START + MINUTE });
      assert.deepEqual(bodiesOf(turn), ["timer 2"]);
      await run(store, anna, turn, { keep: true });

      assert.equal(first.key, turn.key);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna, { now: START + HOUR })), ["timer 3"]);
    });

    test("a consumed timer does not come again", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ timers: [timer(2, START + SECOND)] }));
      await run(store, anna, await claimTurn(store, anna, { now: START + MINUTE }), { keep: true });

      assert.deepEqual(await claimIds(store, anna, { now: START + HOUR }), []);
      assert.equal(await store.nextWakeAt(START), undefined);
    });

    test("consuming a timer leaves the messages, and the other way round", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      for (const id of ["a", "b"]) {
        await running(store, anna, id, () => ({ timers: [timer(2, START + SECOND)] }));
        await store.sendMessages([message(id, "letter")]);
      }
      const now = START + MINUTE;
      const turns = await store.claimTurns(turnClaim(anna, { now }));
      const takeOnly = (turn: ClaimedTurn, wanted: boolean): readonly ClaimedTurn["messages"][number]["key"][] =>
        turn.messages.filter((each) => each.timer === wanted).map(({ key }) => key);
      for (const turn of turns) await run(store, anna, turn, { consumed: takeOnly(turn, turn.instanceId === "a") });

      const left = await store.claimTurns(turnClaim(anna, { now }));

      const bodies = Object.fromEntries(left.map((turn) => [turn.instanceId, bodiesOf(turn)]));
      assert.deepEqual(bodies, { a: ["letter"], b: ["timer 2"] });
    });

    test("a settled timer never comes, due or not", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({
        timers: [timer(2, START + SECOND), timer(3, START + HOUR), timer(4, START + 2 * HOUR)],
      }));

      await run(store, anna, turn, { settled: [2, 3] });

      assert.equal(await store.nextWakeAt(START), START + 2 * HOUR);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna, { now: START + 3 * HOUR })), ["timer 4"]);
    });

    test("settling a timer leaves timers of other instances with the same event id", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "b", () => ({ timers: [timer(2, START + HOUR)] }));
      const turn = await running(store, anna, "a", () => ({ timers: [timer(2, START + MINUTE)] }));

      await run(store, anna, turn, { settled: [2] });

      assert.equal(await store.nextWakeAt(START), START + HOUR);
    });

    test("settling what has no timer, work or wait is no error", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");

      await run(store, anna, turn, { settled: [1, 2, 99] });
    });

    test("timers survive the release of their owner", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ timers: [timer(2, START + MINUTE)] }));
      await store.releaseWorker(anna);

      assert.deepEqual(bodiesOf(await claimTurn(store, ben, { now: START + HOUR })), ["timer 2"]);
    });

    test("due timers of one instance are handed out beside its messages, however many there are", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ timers: [timer(2, START + SECOND, "ring")] }));
      await store.sendMessages(Array.from({ length: 20 }, (_, index) => message("a", `${index}`)));

      let rang = false;
      for (let turns = 0; turns < 25 && !rang; turns++) {
        const turn = await claimTurn(store, anna, { now: START + MINUTE, max: 2 });
        rang = bodiesOf(turn).includes("ring");
        // As many come as go, so that waiting for an empty inbox would be waiting for ever.
        await store.sendMessages(
          turn.messages.map((_, index) => message("a", `${turns}.${index}`, { at: START + HOUR })),
        );
        await run(store, anna, turn, { keep: true });
      }

      assert.ok(rang, "Expected the timer within 25 turns of 2 messages, 20 messages being before it.");
    });

    test("due timers are not starved by messages of other instances", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const sleepers = Array.from({ length: 4 }, (_, index) => `sleeper-${index}`);
      for (const id of sleepers)
        await running(store, anna, id, () => ({ timers: [timer(2, START + SECOND)], keep: false }));
      await startAll(store, ...Array.from({ length: 8 }, (_, index) => `busy-${index}`));

      const seen = new Set<string>();
      for (let round = 1; round <= 25; round++) {
        const now = START + round * MINUTE;
        const turns = await store.claimTurns(turnClaim(anna, { now, max: 2 }));
        for (const { instanceId } of turns) seen.add(instanceId);
        const busy = turns.filter(({ instanceId }) => instanceId.startsWith("busy"));
        await store.commitTurns(
          anna,
          turns.map((turn) => commitOf(turn, { at: now })),
        );
        await store.sendMessages(busy.map(({ instanceId }) => message(instanceId, "more", { at: now })));
      }

      assert.deepEqual(
        sleepers.filter((id) => !seen.has(id)),
        [],
      );
    });

    test("messages are not starved by due timers of other instances", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      for (let index = 0; index < 8; index++) {
        await running(store, anna, `ticking-${index}`, () => ({ timers: [timer(2, START + SECOND)], keep: false }));
      }
      const quiet = ["quiet-0", "quiet-1", "quiet-2", "quiet-3"];
      await startAll(store, ...quiet);

      const seen = new Set<string>();
      for (let round = 1; round <= 25; round++) {
        const now = START + round * MINUTE;
        const turns = await store.claimTurns(turnClaim(anna, { now, max: 2 }));
        for (const { instanceId } of turns) seen.add(instanceId);
        const commits = turns.map((turn) =>
          commitOf(turn, { at: now, ...(turn.instanceId.startsWith("tick") && { timers: [timer(round + 2, now)] }) }),
        );
        await store.commitTurns(anna, commits);
      }

      assert.deepEqual(
        quiet.filter((id) => !seen.has(id)),
        [],
      );
    });
  });
}
