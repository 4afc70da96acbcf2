/** Change notification within one handle: told after the change, and told of all that others wait for. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StorageChange, StorageProvider } from "@stet/core";
import {
  type Bench,
  claimItem,
  ended,
  hears,
  mayHaveEnded,
  mentions,
  ownedBy,
  recordOf,
  run,
  running,
  startAll,
  twoWorkers,
} from "./bench.ts";
import { blockedBy, completion, HOUR, message, START, start, timer, turnClaim, work } from "./builders.ts";

const turns = (change: StorageChange): boolean => change.turns;
const items = (change: StorageChange): boolean => change.work;

export function changes(bench: Bench): void {
  describe("change notification", () => {
    test("onChange() tells of turns when an instance is started", async (t) => {
      const { store } = await twoWorkers(bench, t);

      await hears(bench, store, turns, () => startAll(store, "a"));
    });

    test("onChange() tells of turns when a message is sent", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a");

      await hears(bench, store, turns, () => store.sendMessages([message("a", "1")]));
    });

    test("onChange() tells of turns when a commit sends or starts something", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "other");
      const turn = await running(store, anna, "a");

      const next = await hears(bench, store, turns, () =>
        run(store, anna, turn, { messages: [message("other", "1")], keep: true }),
      );
      await hears(bench, store, turns, () => run(store, anna, next, { starts: [start("child")], keep: true }));
    });

    test("onChange() tells of turns when a commit sets a timer", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");

      await hears(bench, store, turns, () => run(store, anna, turn, { timers: [timer(2, START + HOUR)], keep: true }));
    });

    test("onChange() tells of work when a commit makes some", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");

      await hears(bench, store, items, () => run(store, anna, turn, { work: [work(turn, 2)], keep: true }));
    });

    test("onChange() tells of work when some is saved for others", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");

      const saved = { ...work(turn, 2), instance: turn.key, owned: false };
      await hears(bench, store, items, () => store.saveWork(anna, [saved]));
    });

    test("onChange() tells of work when some is to be tried again or is given back", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, anna);

      await hears(bench, store, items, () => store.retryWork(anna, [{ key, visibleAt: START, failure: "busy" }]));
      await claimItem(store, anna);
      await hears(bench, store, items, () => store.abandonWork(anna, [key]));
    });

    test("onChange() tells of turns when work is completed", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({ work: [work(turn, 2)] }));
      const { key } = await claimItem(store, anna);

      await hears(bench, store, turns, () => store.completeWork(anna, [completion(key, "a")]));
    });

    test("onChange() tells of turns and work when a worker is released", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, ben, "a", (turn) => ({ work: [work(turn, 2)] }));
      await claimItem(store, anna);
      await startAll(store, "b");
      await store.claimTurns(turnClaim(anna));

      const heard: StorageChange[] = [];
      t.after(store.onChange((change) => heard.push(change)));
      await hears(
        bench,
        store,
        () => heard.some(turns) && heard.some(items),
        () => store.releaseWorker(anna),
      );
    });

    test("onChange() tells of turns when instances with messages are given back", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");

      await hears(bench, store, turns, () => store.releaseInstances(anna, [turn.key]));
    });

    test("onChange() tells of turns when a commit gives back an instance that has more messages", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await store.sendMessages([message("a", "late")]);

      await hears(bench, store, turns, () => run(store, anna, turn));
    });

    test("onChange() tells of turns when an instance is unblocked or restarted", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await ownedBy(store, anna, "a");
      await run(store, anna, turn, blockedBy("build-1"));
      await ended(store, anna, "b");

      await hears(bench, store, turns, () => store.admin.unblock(["a"]));
      await hears(bench, store, turns, () => store.admin.restart({ instanceId: "b", body: "again", at: START }));
    });

    test("onChange() tells which instance has ended, after it has", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const seen: Promise<string>[] = [];
      t.after(
        store.onChange((change) => {
          if (mayHaveEnded(change, "a")) seen.push(recordOf(store, "a").then(({ status }) => status));
        }),
      );

      await hears(
        bench,
        store,
        (change) => mayHaveEnded(change, "a"),
        () => run(store, anna, turn, { ended: { status: "completed" } }),
      );

      assert.ok((await Promise.all(seen)).includes("completed"));
    });

    test("onChange() tells no other output of what has completed than the one that is stored", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const told = new Map<string, string | undefined>();
      t.after(
        store.onChange(({ completed = new Map<string, string | undefined>() }) => {
          for (const [id, output] of completed) told.set(id, output);
        }),
      );
      const endings = {
        a: { status: "completed", output: "out of a" },
        b: { status: "completed" },
        c: { status: "failed", error: "not out of c" },
      } as const;
      for (const [id, ended] of Object.entries(endings)) {
        const turn = await running(store, anna, id);
        await hears(
          bench,
          store,
          (change) => mayHaveEnded(change, id),
          () => run(store, anna, turn, { ended }),
        );
      }

      assert.ok(!told.has("c"));
      for (const [id, output] of told) assert.equal(output, (await recordOf(store, id)).output);
    });

    test("onChange() tells which instance has a new status, output, wait or block", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      let turn = await running(store, anna, "a");
      for (const change of [
        { customStatus: "half way" },
        { outputs: [{ body: "out", at: START }] },
        { waits: [{ eventId: 9, name: "approval", since: START }] },
        { state: [{ key: "colour", value: "red" }] },
      ]) {
        turn = await hears(
          bench,
          store,
          (each) => mentions(each, "a"),
          () => run(store, anna, turn, { ...change, keep: true }),
        );
      }
      await hears(
        bench,
        store,
        (each) => mentions(each, "a"),
        () => run(store, anna, turn, blockedBy("build-1")),
      );
    });

    test("onChange() tells which instances were deleted", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ended(store, anna, "a");

      await hears(
        bench,
        store,
        (change) => mayHaveEnded(change, "a"),
        () => store.admin.deleteTree("a", false),
      );
    });

    test("onChange() names no instance as ended that goes on", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a");
      const other = await running(store, anna, "b");
      const heard: StorageChange[] = [];
      t.after(store.onChange((change) => heard.push(change)));
      await hears(bench, store, items, () =>
        run(store, anna, turn, { work: [work(turn, 2)], customStatus: "half way" }),
      );

      await hears(
        bench,
        store,
        (change) => mayHaveEnded(change, "b"),
        () => run(store, anna, other, { ended: { status: "completed" } }),
      );

      assert.equal(
        heard.some(({ ended: named }) => named?.includes("a")),
        false,
      );
    });

    test("onChange() stops calling a listener that was ended, and goes on calling the others", async (t) => {
      const { store } = await twoWorkers(bench, t);
      let calls = 0;
      const end = store.onChange(() => calls++);
      await hears(bench, store, turns, () => startAll(store, "a"));
      end();
      end();
      const before = calls;

      await hears(bench, store, turns, () => startAll(store, "b"));

      assert.ok(before > 0);
      assert.equal(calls, before);
    });

    test("onChange() calls the same listener for each time it listens", async (t) => {
      const { store } = await twoWorkers(bench, t);
      let calls = 0;
      const listener = (): void => void calls++;
      const ends = [store.onChange(listener), store.onChange(listener)];
      ends[0]?.();

      await hears(
        bench,
        store,
        () => calls > 0,
        () => startAll(store, "a"),
      );

      ends[1]?.();
    });

    test("a burst of changes is heard of to the last", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a");
      const inbox = async (provider: StorageProvider): Promise<number> =>
        (await provider.admin.stats(START)).messages.ready;
      let last = 0;
      const counts: Promise<void>[] = [];
      t.after(
        store.onChange(() => void counts.push(inbox(store).then((count) => void (last = Math.max(last, count))))),
      );

      for (let count = 0; count < 50; count++) await store.sendMessages([message("a", `${count}`)]);

      await hears(bench, store, turns, () => store.sendMessages([message("a", "last")]));
      await Promise.all(counts);
      assert.equal(last, 51);
    });
  });
}
