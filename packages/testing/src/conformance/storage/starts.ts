/** Starts: an instance comes to be once, and what asks for it again learns that it exists. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Bench,
  bodiesOf,
  claimIds,
  claimTurn,
  ended,
  openStore,
  ownedBy,
  picture,
  recordOf,
  run,
  running,
  startAll,
  twoWorkers,
} from "./bench.ts";
import { commitOf, message, MINUTE, START, start } from "./builders.ts";

export function starts(bench: Bench): void {
  describe("starts", () => {
    test("startInstances() makes a pending instance with its start message", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);

      const outcomes = await store.startInstances([start("a", { at: START + 5, labels: { customer: "c-1" } })]);

      assert.deepEqual(outcomes, ["started"]);
      assert.deepEqual(await recordOf(store, "a"), {
        instanceId: "a",
        rootId: "a",
        name: "order",
        status: "pending",
        execution: 1,
        lastEventId: 0,
        labels: { customer: "c-1" },
        createdAt: START + 5,
        updatedAt: START + 5,
      });
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of a"]);
    });

    test("startInstances() answers for each start what became of it", async (t) => {
      const store = await openStore(bench, t);
      await startAll(store, "b");

      assert.deepEqual(await store.startInstances([start("a"), start("b"), start("c")]), [
        "started",
        "exists",
        "started",
      ]);
      assert.deepEqual(await store.startInstances([]), []);
    });

    test("startInstances() starts an id once when a batch has it twice", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);

      const outcomes = await store.startInstances([start("a", { body: "first" }), start("a", { body: "second" })]);

      assert.deepEqual(outcomes, ["started", "exists"]);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["first"]);
    });

    test("startInstances() starts an id once when many ask at the same time", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);

      const outcomes = await Promise.all(Array.from({ length: 20 }, () => store.startInstances([start("a")])));

      assert.equal(outcomes.flat().filter((outcome) => outcome === "started").length, 1);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of a"]);
    });

    test("startInstances() never touches a pending instance of the same id", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, start("a", { labels: { size: "small" } }));
      const before = await picture(store, "a");

      await store.startInstances([different("a")]);

      assert.deepEqual(await picture(store, "a"), before);
      assert.deepEqual(bodiesOf(await claimTurn(store, anna)), ["start of a"]);
    });

    test("startInstances() never touches a running instance of the same id", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const before = await picture(store, "a");

      await store.startInstances([different("a")]);

      assert.deepEqual(await picture(store, "a"), before);
      await run(store, anna, turn);
    });

    test("startInstances() never touches an ended instance of the same id", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a");
      const before = await picture(store, "a");

      assert.deepEqual(await store.startInstances([different("a")]), ["exists"]);

      assert.deepEqual(await picture(store, "a"), before);
      assert.deepEqual(await claimIds(store, anna, { orchestrations: ["order", "order@1", "other", "other@9"] }), []);
    });

    test("startInstances() tells the one named by ifExists that the instance exists", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "parent");
      await ended(store, anna, "child");

      const again = start("child", {
        parentId: "parent",
        ifExists: message("parent", "child exists", { at: START + 3 }),
      });
      assert.deepEqual(await store.startInstances([again]), ["exists"]);

      const { messages } = await claimTurn(store, anna);
      assert.deepEqual(
        messages.map(({ body, at }) => [body, at]),
        [["child exists", START + 3]],
      );
    });

    test("startInstances() does not send what ifExists holds when the instance is new", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "parent");

      await startAll(store, start("child", { ifExists: message("parent", "child exists") }));

      assert.deepEqual(await claimIds(store, anna), ["child"]);
    });

    test("startInstances() does without telling a parent that has ended or is unknown", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "parent");
      await running(store, anna, "child");

      const outcomes = await store.startInstances([
        start("child", { ifExists: message("parent", "child exists") }),
        start("child", { ifExists: message("nobody", "child exists") }),
      ]);

      assert.deepEqual(outcomes, ["exists", "exists"]);
      assert.deepEqual((await store.admin.stats(START)).messages, { ready: 0, delayed: 0 });
    });

    test("commitTurns() starts children with their parent and root", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ starts: [start("b", { parentId: "a" })] }));
      const child = await claimTurn(store, anna);
      await run(store, anna, child, { starts: [start("c", { parentId: "b" }), start("d")] });

      const turns = await Promise.all(["b", "c", "d"].map((id) => recordOf(store, id)));

      assert.deepEqual(
        turns.map(({ instanceId, parentId, rootId, status }) => [instanceId, parentId, rootId, status]),
        [
          ["b", "a", "a", "running"],
          ["c", "b", "a", "pending"],
          ["d", undefined, "d", "pending"],
        ],
      );
      assert.equal((await claimTurn(store, anna, { instanceId: "c" })).rootId, "a");
    });

    test("commitTurns() never touches an existing instance, and its own inbox learns of it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const child = await running(store, ben, "child");
      const { instances: before } = await picture(store, "child");

      await running(store, anna, "parent", () => ({
        starts: [{ ...different("child"), parentId: "parent", ifExists: message("parent", "child exists") }],
        at: START + MINUTE,
      }));

      assert.deepEqual(bodiesOf(await claimTurn(store, anna, { instanceId: "parent" })), ["child exists"]);
      assert.deepEqual((await picture(store, "child")).instances, before);
      await run(store, ben, child);
    });

    test("commitTurns() that ends its instance still starts others", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");

      await run(store, anna, turn, { starts: [start("b")], ended: { status: "completed" } });

      assert.deepEqual(await claimIds(store, anna), ["b"]);
    });

    test("commitTurns() that begins another execution still starts others", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      const first = commitOf(turn);

      const history = [...first.history, { execution: 2, firstEventId: 1, lastEventId: 1, body: "[]" }];
      await run(store, anna, turn, { history, starts: [start("b")] });

      assert.deepEqual(await claimIds(store, anna), ["b"]);
    });

    test("commitTurns() of the parent does not write into the rows of its children", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const parent = await running(store, anna, "a", () => ({ starts: [start("b", { parentId: "a" })] }));
      const before = await recordOf(store, "b");
      await run(store, anna, parent, { ended: { status: "completed" }, at: START + MINUTE });

      assert.deepEqual(await recordOf(store, "b"), before);
      assert.deepEqual(await claimIds(store, anna), ["b"]);
    });
  });
}

/** Another start of the same id, different in everything. */
function different(id: string): ReturnType<typeof start> {
  return start(id, {
    name: "other",
    version: "9",
    labels: { size: "large" },
    body: "another start",
    at: START + MINUTE,
  });
}
