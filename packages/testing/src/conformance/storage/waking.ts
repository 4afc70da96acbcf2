/** When to look again: `nextWakeAt()`. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Bench, claimItem, openStore, run, running, twoWorkers, register } from "./bench.ts";
import { HOUR, message, MINUTE, SECOND, START, timer, work } from "./builders.ts";

export function waking(bench: Bench): void {
  describe("waking up", () => {
    test("nextWakeAt() answers nothing when nothing waits for its time", async (t) => {
      const store = await openStore(bench, t);
      assert.equal(await store.nextWakeAt(START), undefined);

      const anna = await register(store, "anna");
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)], messages: [message("a", "1")] }));

      assert.equal(await store.nextWakeAt(START), undefined);
    });

    test("nextWakeAt() answers the earliest timer to come, of any instance", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ timers: [timer(2, START + 3 * MINUTE), timer(3, START + 2 * MINUTE)] }));
      await running(store, ben, "b", () => ({ timers: [timer(2, START + 4 * MINUTE)], keep: false }));

      assert.equal(await store.nextWakeAt(START), START + 2 * MINUTE);
      assert.equal(await store.nextWakeAt(START + 2 * MINUTE + SECOND), START + 3 * MINUTE);
      assert.equal(await store.nextWakeAt(START + 3 * MINUTE + SECOND), START + 4 * MINUTE);
      assert.equal(await store.nextWakeAt(START + HOUR), undefined);
    });

    test("nextWakeAt() looks past what is due already", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ timers: [timer(2, START - HOUR), timer(3, START + HOUR)] }));

      assert.equal(await store.nextWakeAt(START), START + HOUR);
    });

    test("nextWakeAt() answers the earliest delayed work item when it comes before all timers", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({
        work: [work(turn, 2, { visibleAt: START + MINUTE }), work(turn, 3, { visibleAt: START + 2 * MINUTE })],
        timers: [timer(4, START + HOUR)],
      }));

      assert.equal(await store.nextWakeAt(START), START + MINUTE);
      assert.equal(await store.nextWakeAt(START + 2 * MINUTE + SECOND), START + HOUR);
    });

    test("nextWakeAt() answers when a work item is to be tried again", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, anna);
      await store.retryWork(anna, [{ key, visibleAt: START + MINUTE, failure: "busy" }]);

      assert.equal(await store.nextWakeAt(START), START + MINUTE);
    });

    test("nextWakeAt() forgets what was settled", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({
        work: [work(first, 2, { visibleAt: START + MINUTE })],
        timers: [timer(3, START + 2 * MINUTE), timer(4, START + HOUR)],
      }));

      await run(store, anna, turn, { settled: [2, 3] });

      assert.equal(await store.nextWakeAt(START), START + HOUR);
    });
  });
}
