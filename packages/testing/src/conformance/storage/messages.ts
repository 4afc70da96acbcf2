/** Messages: what becomes of them, and in which order they reach the inbox (S3). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Bench,
  bodiesOf,
  claimIds,
  claimTurn,
  ended,
  ownedBy,
  picture,
  run,
  running,
  startAll,
  twoWorkers,
} from "./bench.ts";
import {
  commitOf,
  completion,
  HOUR,
  message,
  SECOND,
  START,
  start,
  timer,
  turnClaim,
  work,
  workClaim,
} from "./builders.ts";

export function messages(bench: Bench): void {
  describe("messages", () => {
    test("sendMessages() answers for each message what became of it", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "over");
      await startAll(store, "a");

      const outcomes = await store.sendMessages([
        message("nobody", "1"),
        message("a", "2"),
        message("over", "3"),
        message("a", "4"),
      ]);

      assert.deepEqual(outcomes, ["unknown", "sent", "ended", "sent"]);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of a", "2", "4"]);
    });

    test("sendMessages() of no messages answers nothing", async (t) => {
      const { store } = await twoWorkers(bench, t);

      assert.deepEqual(await store.sendMessages([]), []);
    });

    test("sendMessages() to an unknown instance leaves nothing behind that could reach or delay others", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      for (let count = 0; count < 5; count++) await store.sendMessages([message("later", `early ${count}`)]);
      assert.deepEqual((await store.admin.stats(START)).messages, { ready: 0, delayed: 0 });

      await startAll(store, "later");

      assert.deepEqual(bodiesOf(await claimTurn(store, anna, { max: 1 })), ["start of later"]);
    });

    test("sendMessages() to an ended instance wakes nobody", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a");
      const before = await picture(store, "a");

      assert.deepEqual(await store.sendMessages([message("a", "too late")]), ["ended"]);

      assert.deepEqual(await picture(store, "a"), before);
      assert.deepEqual(await claimIds(store, anna), []);
    });

    test("a message for one very instance does not reach another that was made anew under its id", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const { key } = await running(store, anna, "a");
      const letter = message("a", "for the first", { instance: key, idempotencyKey: "k" });
      assert.deepEqual(await store.sendMessages([letter]), ["sent"]);
      await store.admin.deleteTree("a", true);
      await startAll(store, "a");

      assert.deepEqual(await store.sendMessages([letter]), ["unknown"]);

      assert.deepEqual(await store.sendMessages([message("a", "for any", { idempotencyKey: "k" })]), ["sent"]);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of a", "for any"]);
    });

    test("sendMessages() reaches an instance that no turn has run for yet", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "a");
      await store.sendMessages([message("a", "early")]);

      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of a", "early"]);
    });

    test("messages come with the time at which they were sent", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a");
      await store.sendMessages([message("a", "1", { at: START + 5 }), message("a", "2", { at: START - HOUR })]);

      const { messages } = await claimTurn(store, anna);

      assert.deepEqual(
        messages.map(({ body, at, timer: isTimer }) => [body, at, isTimer]),
        [
          ["1", START + 5, false],
          ["2", START - HOUR, false],
        ],
      );
    });

    test("messages keep their keys from claim to claim, and no two share one", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ timers: [timer(2, START + 1), timer(3, START + 2)] }));
      await store.sendMessages([message("a", "1"), message("a", "2")]);

      const first = await claimTurn(store, anna, { now: START + SECOND });
      const second = await claimTurn(store, anna, { now: START + SECOND });

      assert.deepEqual(second.messages, first.messages);
      assert.equal(new Set(first.messages.map(({ key }) => key)).size, 4);
    });

    test("messages are visible whatever the clock says", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, start("a", { at: START + HOUR }));
      await store.sendMessages([message("a", "from tomorrow", { at: START + 24 * HOUR })]);

      const turn = await claimTurn(store, anna, { now: START - HOUR });

      assert.deepEqual(bodiesOf(turn), ["start of a", "from tomorrow"]);
    });

    test("messages are visible when the clock jumps back an hour while the instance lives", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ at: START + HOUR }));
      await store.sendMessages([message("a", "1", { at: START + HOUR })]);
      const second = await claimTurn(store, anna, { now: START });
      await run(store, anna, second, { at: START });
      await store.sendMessages([message("a", "2", { at: START })]);

      assert.deepEqual(bodiesOf(await claimTurn(store, anna, { now: START - HOUR })), ["2"]);
    });

    test("commitTurns() removes the messages it consumed and no others", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ keep: false }));
      await running(store, anna, "b", () => ({ keep: false }));
      await store.sendMessages(["1", "2", "3"].flatMap((body) => [message("a", body), message("b", body)]));
      const turn = await claimTurn(store, anna, { instanceId: "a" });
      await store.sendMessages([message("a", "4")]);

      const taken = turn.messages.filter(({ body }) => body !== "2").map(({ key }) => key);
      await run(store, anna, turn, { consumed: taken });
      await store.releaseWorker(anna);

      const left = await store.claimTurns(turnClaim(ben));
      assert.deepEqual(Object.fromEntries(left.map((each) => [each.instanceId, bodiesOf(each)])), {
        a: ["2", "4"],
        b: ["1", "2", "3"],
      });
    });

    test("commitTurns() sends to others, in order", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "b");
      await running(store, anna, "a", () => ({
        messages: [message("b", "1", { at: START + 2 }), message("b", "2", { at: START + 1 })],
      }));

      const { messages } = await claimTurn(store, anna);

      assert.deepEqual(
        messages.map(({ body, at }) => [body, at]),
        [
          ["1", START + 2],
          ["2", START + 1],
        ],
      );
    });

    test("commitTurns() sends to its own instance for a later turn", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ messages: [message("a", "to myself")] }));

      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["to myself"]);
    });

    test("commitTurns() does without messages to instances that are unknown or have ended", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "over");
      await running(store, anna, "b");
      const letters = [message("nobody", "1"), message("over", "2"), message("b", "3")];
      await running(store, anna, "a", () => ({ messages: letters }));

      assert.deepEqual((await store.admin.stats(START)).messages, { ready: 1, delayed: 0 });
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["3"]);
    });

    test("commitTurns() that sends to another instance does not write into its row", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const other = await running(store, ben, "other", () => ({ at: START }));
      const before = await store.admin.getInstances(["other"]);
      await running(store, anna, "a", () => ({ messages: [message("other", "1")], at: START + HOUR }));

      assert.deepEqual(await store.admin.getInstances(["other"]), before);
      await run(store, ben, other);
    });

    test("commitTurns() that starts an instance can send to it at once", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      const commit = commitOf(turn, {
        starts: [start("child", { parentId: "a" })],
        messages: [message("child", "hi")],
      });
      await store.commitTurns(anna, [commit]);

      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of child", "hi"]);
    });

    test("completeWork() sends the messages of a batch in the order of the batch", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [2, 3, 4].map((eventId) => work(turn, eventId)) }));
      const items = await store.claimWork(workClaim(anna));

      const completions = items.toReversed().map(({ key, body }) => completion(key, "a", `answer to ${body}`));
      assert.deepEqual(await store.completeWork(anna, completions), ["committed", "committed", "committed"]);

      assert.deepEqual(
        bodiesOf(await claimTurn(store, anna)),
        completions.map((each) => each.message.body),
      );
    });
  });
}
