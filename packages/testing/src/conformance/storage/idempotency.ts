/** Idempotency keys: the second message with a key to the same instance is dropped, by whatever way it comes. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Bench,
  bodiesOf,
  claimIds,
  claimItem,
  claimTurn,
  ownedBy,
  run,
  running,
  startAll,
  twoWorkers,
  workOf,
} from "./bench.ts";
import { completion, continuedAsNew, HOUR, message, START, start, work } from "./builders.ts";

const once = { idempotencyKey: "key-1" };

export function idempotency(bench: Bench): void {
  describe("idempotency keys", () => {
    test("sendMessages() drops the second message with a key", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "a");

      assert.deepEqual(await store.sendMessages([message("a", "1", once)]), ["sent"]);
      assert.deepEqual(await store.sendMessages([message("a", "2", once)]), ["duplicate"]);

      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of a", "1"]);
    });

    test("sendMessages() drops the second message with a key in one batch", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "a");
      const batch = [message("a", "1", once), message("a", "2", once), message("a", "3", { idempotencyKey: "key-2" })];

      assert.deepEqual(await store.sendMessages(batch), ["sent", "duplicate", "sent"]);

      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of a", "1", "3"]);
    });

    test("sendMessages() keeps messages without a key, however equal they are", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "a");

      assert.deepEqual(await store.sendMessages([message("a", "1"), message("a", "1")]), ["sent", "sent"]);

      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of a", "1", "1"]);
    });

    test("sendMessages() drops a message with a known key after the first was consumed", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a");
      await store.sendMessages([message("a", "1", once)]);
      await run(store, anna, await claimTurn(store, anna), { keep: true });

      const later = message("a", "2", { ...once, at: START + 24 * HOUR });
      assert.deepEqual(await store.sendMessages([later]), ["duplicate"]);

      assert.deepEqual(await claimIds(store, anna), []);
    });

    test("sendMessages() drops a message with a known key in a later execution too", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "a");
      await store.sendMessages([message("a", "1", once)]);
      const turn = await claimTurn(store, anna);
      await run(store, anna, turn, { history: continuedAsNew(turn) });

      assert.deepEqual(await store.sendMessages([message("a", "2", once)]), ["duplicate"]);
    });

    test("sendMessages() takes the same key to different instances for different messages", async (t) => {
      const { store } = await twoWorkers(bench, t);
      await startAll(store, "a", "b");

      assert.deepEqual(await store.sendMessages([message("a", "1", once), message("b", "1", once)]), ["sent", "sent"]);
    });

    test("sendMessages() with a key to nobody does not use the key up", async (t) => {
      const { store } = await twoWorkers(bench, t);
      assert.deepEqual(await store.sendMessages([message("a", "1", once)]), ["unknown"]);
      await startAll(store, "a");

      assert.deepEqual(await store.sendMessages([message("a", "1", once)]), ["sent"]);
    });

    test("keys are compared as they are", async (t) => {
      const { store } = await twoWorkers(bench, t);
      await startAll(store, "a");
      const keys = ["k", "K", "k ", "k%", "k_", "ключ", "🔑", "k'; --"];
      const batch = keys.map((idempotencyKey) => message("a", "1", { idempotencyKey }));

      assert.deepEqual(
        await store.sendMessages(batch),
        keys.map(() => "sent"),
      );
      assert.deepEqual(
        await store.sendMessages(batch),
        keys.map(() => "duplicate"),
      );
    });

    test("one of many messages with a key that are sent at the same time arrives", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "a");

      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, index) => store.sendMessages([message("a", `${index}`, once)])),
      );

      assert.equal(outcomes.flat().filter((outcome) => outcome === "sent").length, 1);
      assert.equal((await claimTurn(store, anna)).messages.length, 2);
    });

    test("commitTurns() drops a message whose key the receiver has seen, and commits the rest", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "b");
      const turn = await ownedBy(store, anna, "a");
      await store.sendMessages([message("b", "1", once)]);

      await run(store, anna, turn, { messages: [message("b", "2", once), message("b", "3")] });

      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of b", "1", "3"]);
    });

    test("sendMessages() drops a message whose key came with a commit", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "b");
      await running(store, anna, "a", () => ({ messages: [message("b", "1", once)] }));

      assert.deepEqual(await store.sendMessages([message("b", "2", once)]), ["duplicate"]);
    });

    test("completeWork() drops a message whose key the receiver has seen, and removes the item", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({ work: [work(first, 2)] }));
      await store.sendMessages([message("a", "1", once)]);
      const item = await claimItem(store, ben);

      const { key } = completion(item.key, "a");
      assert.deepEqual(await store.completeWork(ben, [{ key, message: message("a", "2", once) }]), ["committed"]);

      assert.deepEqual(await workOf(store, turn.key, 1), []);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["1"]);
    });

    test("startInstances() tells the parent of an existing instance once per key", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "parent");
      await startAll(store, "child");
      const again = start("child", { ifExists: message("parent", "exists", once) });

      await store.startInstances([again, again]);

      assert.deepEqual(bodiesOf(await claimTurn(store, anna, { instanceId: "parent" })), ["exists"]);
    });
  });
}
