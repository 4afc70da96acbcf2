/** Carried trees: a tree comes out as it stood at one moment, and goes into another store whole or not at all. */
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { StorageProvider, StoredInstance, StoredTree } from "@stet/core";
import {
  type Bench,
  bodiesOf,
  claimBodies,
  claimIds,
  claimItem,
  claimTurn,
  ended,
  hears,
  historyOf,
  idsOf,
  mayHaveEnded,
  needsTwoHandles,
  openStore,
  openTwice,
  picture,
  recordOf,
  refuses,
  register,
  run,
  running,
  startAll,
  twoWorkers,
  workOf,
} from "./bench.ts";
import {
  blockedBy,
  chunk,
  commitOf,
  completion,
  continuedAsNew,
  everything,
  HOUR,
  instanceQuery,
  message,
  MINUTE,
  SECOND,
  START,
  start,
  timer,
  unwritable,
  wait,
  work,
  workClaim,
} from "./builders.ts";

export function carriedTrees(bench: Bench): void {
  describe("carried trees", () => {
    test("importTree() puts back what exportTree() took, into another store", async (t) => {
      const { store } = await busyTree(bench, t);
      const tree = await exported(store, "root");
      const other = await openStore(bench, t);

      assert.equal(await other.admin.importTree(tree), "imported");

      assert.deepEqual(await exported(other, "root"), tree);
      const ids = tree.instances.map(({ instanceId }) => instanceId);
      const offsetless = async (from: StorageProvider) =>
        (await picture(from, ...ids)).instances.map((each) => ({ ...(each as object), outputs: undefined }));
      assert.deepEqual(await offsetless(other), await offsetless(store));
      assert.equal(await other.nextWakeAt(START), await store.nextWakeAt(START));
    });

    test("exportTree() takes all that a store keeps of an instance", async (t) => {
      const { store } = await busyTree(bench, t);

      const { instances, payloads } = await exported(store, "root");

      assert.deepEqual(
        instances.map(({ instanceId, parentId, status }) => [instanceId, parentId, status]),
        [
          ["root", undefined, "running"],
          ["child", "root", "pending"],
        ],
      );
      assert.deepEqual(payloads, [{ digest: "digest-1", body: "a large text" }]);
      const [root, child] = instances as [StoredInstance, StoredInstance];
      assert.deepEqual(root, {
        instanceId: "root",
        name: "order",
        version: "1",
        status: "running",
        labels: { customer: "7" },
        createdAt: START,
        updatedAt: START + MINUTE,
        customStatus: "half way",
        execution: 2,
        executions: [
          {
            execution: 1,
            startedAt: START,
            updatedAt: START + SECOND,
            history: [unnumbered(chunk(1, 0, 2)), unnumbered(chunk(1, 2))],
          },
          {
            execution: 2,
            startedAt: START + SECOND,
            updatedAt: START + MINUTE,
            history: [unnumbered(chunk(2, 0)), unnumbered(chunk(2, 1))],
          },
        ],
        messages: [
          { body: "first", at: START },
          { body: "second", at: START + SECOND },
        ],
        messageKeys: ["key-1"],
        timers: [{ eventId: 3, fireAt: START + HOUR, body: "timer 3" }],
        work: [
          {
            eventId: 4,
            kind: "activity",
            name: "charge",
            body: "work 4",
            attempts: 1,
            failure: "no answer",
            visibleAt: START + HOUR,
          },
          { eventId: 7, kind: "model", name: "large", body: "work 7", attempts: 1, heartbeat: "half done" },
          { eventId: 8, kind: "activity", name: "charge", tag: "gpu", session: "s", body: "work 8", attempts: 0 },
        ],
        waits: [
          { eventId: 5, name: "approval", since: START },
          { eventId: 6, name: "payment", since: START, details: "100", timeoutAt: START + HOUR },
        ],
        state: [{ key: "colour", value: "red" }],
        outputs: [{ body: "first output", at: START }],
      } satisfies StoredInstance);
      assert.deepEqual(child.messages, [{ body: "start of child", at: START }]);
      assert.deepEqual(child.executions, []);
    });

    test("exportTree() takes texts as they are", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const odd = `'"\\ %_ é é 🪿 {"$":1}\n`;
      await running(store, anna, "a", () => ({
        customStatus: odd,
        state: [{ key: odd, value: odd }],
        outputs: [{ body: odd, at: START }],
        payloads: [{ digest: "digest-1", body: odd }],
      }));
      const tree = await exported(store, "a");
      const other = await openStore(bench, t);
      await other.admin.importTree(tree);

      assert.deepEqual(await exported(other, "a"), tree);
      assert.equal((await recordOf(other, "a")).customStatus, odd);
    });

    test("exportTree() answers unknown for what is not there, and notRoot for what was started by another", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "root", () => ({ starts: [start("child", { parentId: "root" })] }));

      assert.equal(await store.admin.exportTree("nobody"), "unknown");
      assert.equal(await store.admin.exportTree("child"), "notRoot");
    });

    test("exportTree() changes nothing, and its owner goes on", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const before = await picture(store, "a");

      await exported(store, "a");

      assert.deepEqual(await picture(store, "a"), before);
      assert.deepEqual(await store.commitTurns(anna, [commitOf(turn)]), ["committed"]);
    });

    test("importTree() changes nothing when one of the instances is there", async (t) => {
      const { store } = await busyTree(bench, t);
      const tree = await exported(store, "root");
      const other = await openStore(bench, t);
      await startAll(other, "child");
      const before = await picture(other, "root", "child");

      assert.equal(await other.admin.importTree(tree), "exists");
      assert.equal(await store.admin.importTree(tree), "exists");

      assert.deepEqual(await picture(other, "root", "child"), before);
    });

    test("importTree() puts a tree in once, however many put it in at the same time", async (t) => {
      const { store } = await busyTree(bench, t);
      const tree = await exported(store, "root");
      const other = await openStore(bench, t);

      const outcomes = await Promise.all([1, 2, 3].map(() => other.admin.importTree(tree)));

      assert.deepEqual(outcomes.sort(), ["exists", "exists", "imported"]);
      assert.deepEqual(await exported(other, "root"), tree);
    });

    test("importTree() puts nothing in when a part cannot be written", async (t) => {
      const { store } = await busyTree(bench, t);
      const tree = await exported(store, "root");
      const parts: readonly Partial<StoredInstance>[] = [
        { customStatus: unwritable() },
        { state: [{ key: "a", value: unwritable() }] },
        { outputs: [{ body: unwritable(), at: START }] },
        { messages: [{ body: unwritable(), at: START }] },
        { timers: [{ eventId: 1, fireAt: START, body: unwritable() }] },
        { waits: [{ eventId: 1, name: unwritable(), since: START }] },
        { work: [{ eventId: 1, kind: "activity", name: "charge", body: unwritable(), attempts: 0 }] },
        { messageKeys: [unwritable()] },
      ];
      const [root, child] = tree.instances as [StoredInstance, StoredInstance];
      const trees: readonly StoredTree[] = [
        ...parts.map((part) => ({ ...tree, instances: [root, { ...child, ...part }] })),
        { ...tree, payloads: [...tree.payloads, { digest: "digest-2", body: unwritable() }] },
      ];
      const other = await openStore(bench, t);
      const before = await picture(other, "root", "child");

      for (const each of trees) {
        if (!(await refuses(() => other.admin.importTree(each)))) return t.skip("the store can write anything");
      }

      assert.deepEqual(await picture(other, "root", "child"), before);
      assert.equal(await other.admin.importTree(tree), "imported");
    });

    test("an imported instance that runs is handed out without a message, where it stood", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const other = await imported(bench, t, await exported(store, "a"));
      const ben = await register(other, "ben");

      const claimed = await claimTurn(other, ben);

      const { execution, lastEventId, version, rootId, unsettled, attempts, messages } = claimed;
      assert.deepEqual(
        { execution, lastEventId, version, rootId, unsettled, attempts, messages },
        {
          execution: 1,
          lastEventId: turn.lastEventId,
          version: "1",
          rootId: "a",
          unsettled: true,
          attempts: 1,
          messages: [],
        },
      );
      assert.deepEqual(await historyOf(other, claimed.key, 1), [chunk(1, 0).body]);
      await run(other, ben, claimed, { keep: true });
      assert.deepEqual(await historyOf(other, claimed.key, 1), [chunk(1, 0).body, chunk(1, 1).body]);
    });

    test("an imported instance that has not begun is handed out with its start", async (t) => {
      const { store } = await busyTree(bench, t);
      const other = await imported(bench, t, await exported(store, "root"));
      const ben = await register(other, "ben");

      const child = await claimTurn(other, ben, { instanceId: "child" });

      assert.deepEqual(bodiesOf(child), ["start of child"]);
      assert.equal(child.lastEventId, 0);
      assert.equal(child.rootId, "root");
    });

    test("an imported inbox is handed out in its order, and timers when they are due", async (t) => {
      const { store } = await busyTree(bench, t);
      const other = await imported(bench, t, await exported(store, "root"));
      const ben = await register(other, "ben");
      await other.sendMessages([message("root", "third")]);

      const early = await claimTurn(other, ben, { instanceId: "root" });
      const late = await claimTurn(other, ben, { instanceId: "root", now: START + HOUR });

      assert.deepEqual(bodiesOf(early), ["first", "second", "third"]);
      assert.deepEqual(
        late.messages.filter((each) => each.timer).map(({ body, at }) => ({ body, at })),
        [{ body: "timer 3", at: START + HOUR }],
      );
    });

    test("idempotency keys are carried: what was sent before is a duplicate", async (t) => {
      const { store } = await busyTree(bench, t);
      const other = await imported(bench, t, await exported(store, "root"));

      const outcomes = await other.sendMessages([
        message("root", "again", { idempotencyKey: "key-1" }),
        message("root", "new", { idempotencyKey: "key-2" }),
      ]);

      assert.deepEqual(outcomes, ["duplicate", "sent"]);
    });

    test("imported work is owned by nobody and goes on counting its attempts", async (t) => {
      const { store } = await busyTree(bench, t);
      const other = await imported(bench, t, await exported(store, "root"));
      const ben = await register(other, "ben");

      const model = await claimItem(other, ben);
      assert.deepEqual([model.body, model.attempts, model.heartbeat], ["work 7", 2, "half done"]);
      assert.deepEqual(await claimBodies(other, ben, { tags: ["gpu"] }), ["work 8"]);
      const late = await claimItem(other, ben, { now: START + HOUR });
      assert.deepEqual([late.body, late.attempts, late.failure], ["work 4", 2, "no answer"]);

      assert.deepEqual(await other.completeWork(ben, [completion(model.key, "root")]), ["committed"]);
      assert.ok(bodiesOf(await claimTurn(other, ben, { instanceId: "root" })).includes("completed"));
    });

    test("an imported answer in the inbox stands for its request, which has no row any more", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      await store.sendMessages([message("a", "answer", { answers: { execution: 1, eventId: 4 } })]);
      const other = await imported(bench, t, await exported(store, "a"));
      const ben = await register(other, "ben");

      const { key } = await claimTurn(other, ben);

      assert.deepEqual(await workOf(other, key, turn.execution), [4]);
      assert.deepEqual(await exported(other, "a"), await exported(store, "a"));
    });

    test("imported payloads are read under the root", async (t) => {
      const { store } = await busyTree(bench, t);
      const other = await imported(bench, t, await exported(store, "root"));

      assert.deepEqual(await other.readPayloads("root", ["digest-1"]), [{ digest: "digest-1", body: "a large text" }]);
      assert.deepEqual(await other.readPayloads("child", ["digest-1"]), []);
    });

    test("an imported instance that has ended stays ended, with its output or error", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a", { ended: { status: "completed", output: "42" }, at: START + MINUTE });
      await ended(store, anna, "b", { ended: { status: "failed", error: "no" }, at: START + HOUR });
      const other = await openStore(bench, t);
      const ben = await register(other, "ben");
      for (const id of ["a", "b"]) await other.admin.importTree(await exported(store, id));

      const [a, b] = [await recordOf(other, "a"), await recordOf(other, "b")];
      assert.deepEqual([a.status, a.output, b.status, b.error], ["completed", "42", "failed", "no"]);
      assert.deepEqual(await claimIds(other, ben), []);
      assert.deepEqual(await other.sendMessages([message("a", "late")]), ["ended"]);
      assert.deepEqual(await other.admin.prune({ endedBefore: START + HOUR, limit: 10 }), { trees: 1, executions: 0 });
      assert.deepEqual(idsOf((await other.admin.listInstances(instanceQuery())).rows), ["b"]);
    });

    test("an instance that was run again and has not begun is carried with its earlier executions", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a");
      await store.admin.restart({ instanceId: "a", body: "start again", at: START });
      const tree = await exported(store, "a");
      const other = await imported(bench, t, tree);
      const ben = await register(other, "ben");

      const turn = await claimTurn(other, ben);

      assert.deepEqual([turn.execution, turn.lastEventId, bodiesOf(turn)], [2, 0, ["start again"]]);
      assert.deepEqual(await other.admin.readHistory("a", 1), await store.admin.readHistory("a", 1));
      assert.deepEqual(await exported(other, "a").then(({ instances }) => instances[0]?.executions.length), 1);
    });

    test("an imported block shows, and any build may try", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      await run(store, anna, turn, blockedBy("build-1"));
      const other = await imported(bench, t, await exported(store, "a"));
      const ben = await register(other, "ben");

      assert.equal((await recordOf(other, "a")).blocked, "the code does not match the history");
      assert.deepEqual(await claimIds(other, ben, { buildId: "build-1" }), ["a"]);
    });

    test("an imported tree can be deleted and put in again", async (t) => {
      const { store } = await busyTree(bench, t);
      const tree = await exported(store, "root");
      const other = await imported(bench, t, tree);

      assert.equal(await other.admin.deleteTree("root", true), "deleted");
      assert.equal(await other.admin.importTree(tree), "imported");

      assert.deepEqual(await exported(other, "root"), tree);
    });

    test("importTree() tells of turns and work, and of what has ended", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 4)] }));
      await ended(store, anna, "b");
      const [a, b] = [await exported(store, "a"), await exported(store, "b")];
      const other = await openStore(bench, t);

      await hears(
        bench,
        other,
        (change) => change.turns && change.work,
        () => other.admin.importTree(a),
      );
      await hears(
        bench,
        other,
        (change) => mayHaveEnded(change, "b"),
        () => other.admin.importTree(b),
      );
    });

    test("importTree() is heard of by another handle", needsTwoHandles(bench), async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a");
      const tree = await exported(store, "a");
      const [one, another] = await openTwice(bench, t);

      await hears(
        bench,
        another,
        ({ turns }) => turns,
        () => one.admin.importTree(tree),
      );
    });
  });
}

/** A root in its second execution with a row of everything, and a child that has not begun. */
async function busyTree(bench: Bench, t: TestContext): Promise<{ store: StorageProvider }> {
  const { store, anna, ben } = await twoWorkers(bench, t);
  await startAll(store, start("root", { labels: { customer: "7" } }), "other");
  let turn = await claimTurn(store, anna, { instanceId: "root" });
  turn = await run(store, anna, turn, { history: [chunk(1, 0, 2)], keep: true });
  turn = await run(store, anna, turn, { history: continuedAsNew(turn), keep: true, at: START + SECOND });
  const parts = everything(turn, "other", "child");
  await run(store, anna, turn, {
    ...parts,
    work: [work(turn, 4), work(turn, 7, { kind: "model", name: "large" }), work(turn, 8, { tag: "gpu", session: "s" })],
    waits: [wait(5, "approval"), wait(6, "payment", { details: "100", timeoutAt: START + HOUR })],
    timers: [timer(3, START + HOUR)],
    keep: true,
  });
  for (const { key, body } of await store.claimWork(workClaim(ben))) {
    if (body === "work 4") await store.retryWork(ben, [{ key, visibleAt: START + HOUR, failure: "no answer" }]);
    else await store.saveHeartbeats(ben, [{ key, details: "half done", now: START }]);
  }
  await store.sendMessages([message("root", "first", { idempotencyKey: "key-1" })]);
  await store.sendMessages([message("root", "second", { at: START + SECOND })]);
  return { store };
}

async function exported(store: StorageProvider, instanceId: string): Promise<StoredTree> {
  const tree = await store.admin.exportTree(instanceId);
  assert.ok(typeof tree === "object", `Expected a tree, got ${String(tree)}.`);
  return tree;
}

/** A fresh store with this tree in it. */
async function imported(bench: Bench, t: TestContext, tree: StoredTree): Promise<StorageProvider> {
  const store = await openStore(bench, t);
  assert.equal(await store.admin.importTree(tree), "imported");
  return store;
}

function unnumbered({ firstEventId, lastEventId, body }: ReturnType<typeof chunk>) {
  return { firstEventId, lastEventId, body };
}
