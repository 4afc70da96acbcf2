/** Model calls that wait for capacity: in which order they are handed out, and that no window sees too many. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CallClaim, OutgoingWork, StorageProvider, WorkerKey } from "@stet/core";
import {
  type Bench,
  claimBodies,
  hears,
  needsTwoHandles,
  openStore,
  openTwice,
  register,
  running,
  twoWorkers,
} from "./bench.ts";
import {
  ACTIVITY,
  call,
  callClaim,
  completion,
  HOUR,
  MINUTE,
  MODEL,
  SECOND,
  START,
  work,
  workClaim,
} from "./builders.ts";

const fiveASecond = [{ ms: SECOND, requests: 5 }];

/** The bodies that a claim hands out, and when the next could be had. */
async function claimed(
  store: StorageProvider,
  worker: WorkerKey,
  changes: Partial<CallClaim> = {},
): Promise<[bodies: string[], nextAt: number | undefined]> {
  const { calls, nextAt } = await store.claimCalls(callClaim(worker, changes));
  return [calls.map(({ body }) => body), nextAt];
}

/** So many calls that wait in the line of the usual model, `call 2` the first of them. */
async function waiting(
  store: StorageProvider,
  worker: WorkerKey,
  count: number,
  changes: Partial<OutgoingWork> = {},
): Promise<void> {
  await running(store, worker, "a", (turn) => ({
    work: Array.from({ length: count }, (_, index) => call(turn, index + 2, changes)),
  }));
}

function bodies(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => `call ${first + index}`);
}

export function capacity(bench: Bench): void {
  describe("capacity of models", () => {
    test("claimCalls() hands a call out with all that the commit said about it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", (first) => ({
        work: [call(first, 7, { attempts: 2, failure: "busy", rank: 5, tokens: 9 })],
      }));

      const [item, ...others] = (await store.claimCalls(callClaim(ben))).calls;

      assert.deepEqual(others, []);
      const { key: _, ...rest } = item ?? { key: 0 };
      assert.deepEqual(rest, {
        instance: turn.key,
        instanceId: "a",
        rootId: "a",
        execution: 1,
        eventId: 7,
        body: "call 7",
        kind: "model",
        name: MODEL,
        attempts: 3,
        failure: "busy",
      });
    });

    test("calls are handed out by their rank, and by their rows where it is the same", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const ranks = [30, 10, undefined, 20, 10, -5];
      await running(store, anna, "a", (turn) => ({
        work: ranks.map((rank, index) => call(turn, index + 2, rank === undefined ? {} : { rank })),
      }));

      assert.deepEqual((await claimed(store, ben, { max: 2 }))[0], ["call 7", "call 4"]);
      assert.deepEqual(await claimBodies(store, ben, { max: 2 }), ["call 3", "call 6"]);
      assert.deepEqual((await claimed(store, ben))[0], ["call 5", "call 2"]);
    });

    test("claimCalls() takes from the lines that it names, and claimWork() leaves those that it is to leave", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({
        work: [
          call(turn, 2, { name: "small" }),
          call(turn, 3, { name: "large, small" }),
          call(turn, 4),
          call(turn, 5, { name: "other" }),
          work(turn, 6),
        ],
      }));

      assert.deepEqual((await claimed(store, ben, { lines: [MODEL, "large, small"] }))[0], ["call 3", "call 4"]);
      assert.deepEqual((await claimed(store, ben, { lines: [ACTIVITY, "unknown"] }))[0], []);
      assert.deepEqual((await claimBodies(store, ben, { exceptLines: ["small"] })).sort(), ["call 5", "work 6"]);
      assert.deepEqual(await claimBodies(store, ben, { models: false }), []);
      assert.deepEqual(await claimBodies(store, ben, { exceptLines: [] }), ["call 2"]);
    });

    test("claimCalls() hands a call to one worker only, and to no released one", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await waiting(store, anna, 2);
      await store.releaseWorker(ben);

      assert.deepEqual(await claimed(store, ben, { windows: fiveASecond }), [[], undefined]);
      assert.deepEqual((await claimed(store, anna, { max: 1 }))[0], ["call 2"]);
      assert.deepEqual((await claimed(store, anna))[0], ["call 3"]);
      assert.deepEqual((await claimed(store, anna))[0], []);
    });

    test("no window sees more calls than it may, whoever claims them", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await waiting(store, anna, 13);
      const at = (ms: number) => ({ now: START + ms, windows: fiveASecond });

      assert.deepEqual(await claimed(store, anna, { ...at(0), max: 2 }), [bodies(2, 3), undefined]);
      assert.deepEqual(await claimed(store, ben, at(400)), [bodies(4, 6), START + SECOND]);
      assert.deepEqual(await claimed(store, anna, at(999)), [[], START + SECOND]);
      assert.deepEqual(await claimed(store, ben, at(1_000)), [bodies(7, 8), START + 1_400]);
      assert.deepEqual(await claimed(store, anna, at(1_399)), [[], START + 1_400]);
      assert.deepEqual(await claimed(store, anna, at(1_400)), [bodies(9, 11), START + 2_000]);
      assert.deepEqual(await claimed(store, ben, at(10_000)), [bodies(12, 14), undefined]);
    });

    test("all windows of a model hold, and other models have their own", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await waiting(store, anna, 9);
      const windows = [...fiveASecond, { ms: MINUTE, requests: 6 }];

      assert.deepEqual(await claimed(store, anna, { windows }), [bodies(2, 6), START + SECOND]);
      assert.deepEqual(await claimed(store, anna, { windows, now: START + SECOND }), [bodies(7, 7), START + MINUTE]);
      assert.deepEqual(await claimed(store, anna, { windows, model: "other", max: 2 }), [bodies(8, 9), undefined]);
    });

    test("a claim that finds nobody waiting takes no capacity", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      for (let i = 0; i < 10; i++) await claimed(store, anna, { windows: fiveASecond });
      await waiting(store, anna, 5);

      assert.deepEqual(await claimed(store, ben, { windows: fiveASecond }), [bodies(2, 6), undefined]);
    });

    test("calls start while tokens are left; what they are expected to use counts at once", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await waiting(store, anna, 5, { tokens: 400 });
      const windows = [{ ms: MINUTE, tokens: 1_000 }];

      assert.deepEqual(await claimed(store, anna, { windows }), [bodies(2, 4), START + MINUTE]);
      assert.deepEqual(await claimed(store, anna, { windows, now: START + MINUTE - 1 }), [[], START + MINUTE]);
      assert.deepEqual(await claimed(store, anna, { windows, now: START + MINUTE }), [bodies(5, 6), undefined]);
    });

    test("what a call has really used takes the place of what was expected", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await waiting(store, anna, 6, { tokens: 1_000 });
      const windows = [{ ms: MINUTE, tokens: 1_000 }];
      const used = (tokens: number, claimedAt = START) => ({ used: { model: MODEL, claimedAt, tokens } });

      const first = await store.claimCalls(callClaim(anna, { windows }));
      assert.equal(first.calls.length, 1);
      await store.completeWork(anna, [{ ...completion(first.calls[0]?.key ?? 0, "a"), ...used(300) }]);
      const second = await store.claimCalls(callClaim(anna, { windows, now: START + SECOND }));
      assert.deepEqual(
        second.calls.map(({ body }) => body),
        ["call 3"],
      );
      const key = second.calls[0]?.key ?? 0;
      const again = { key, visibleAt: START + HOUR, failure: "busy" };
      await store.retryWork(anna, [{ ...again, ...used(699, START + SECOND) }]);

      assert.deepEqual((await claimed(store, anna, { windows, now: START + 2 * SECOND }))[0], ["call 4"]);
      assert.deepEqual(await claimed(store, anna, { windows, now: START + 3 * SECOND }), [
        [],
        START + MINUTE + 2 * SECOND,
      ]);
    });

    test("a closed model answers nobody before its time", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await waiting(store, anna, 3);
      await store.closeModel(MODEL, START + MINUTE);
      await store.closeModel(MODEL, START + SECOND); // earlier: nothing changes

      assert.deepEqual(await claimed(store, ben, { now: START + MINUTE - 1 }), [[], START + MINUTE]);
      assert.deepEqual(await claimed(store, ben, { model: "other", max: 1 }), [["call 2"], undefined]);
      assert.deepEqual(await claimed(store, anna, { now: START + MINUTE }), [bodies(3, 4), undefined]);
    });

    test("closing a model is a change that is told", async (t) => {
      const store = await openStore(bench, t);
      await hears(
        bench,
        store,
        ({ work: changed }) => changed,
        () => store.closeModel(MODEL, START + MINUTE),
      );
    });

    test("a call that is put off waits for its time without holding up others, and nextWakeAt() tells it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({
        work: [call(turn, 2, { visibleAt: START + MINUTE, rank: -1 }), call(turn, 3), call(turn, 4)],
      }));

      assert.equal(await store.nextWakeAt(START), START + MINUTE);
      assert.deepEqual(await claimed(store, ben), [bodies(3, 4), undefined]);
      assert.deepEqual((await claimed(store, ben, { now: START + MINUTE }))[0], ["call 2"]);
    });

    test("retryWork() may put a call into another line and say how often it was started", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await waiting(store, anna, 1);
      const [item] = (await store.claimCalls(callClaim(anna))).calls;
      const retry = { key: item?.key ?? 0, visibleAt: START, failure: "busy", name: "small", attempts: 4 };
      assert.deepEqual(await store.retryWork(anna, [retry]), ["committed"]);

      assert.deepEqual((await claimed(store, anna))[0], []);
      const { calls } = await store.claimCalls(callClaim(anna, { lines: ["small"] }));
      assert.deepEqual(
        calls.map(({ name, attempts }) => [name, attempts]),
        [["small", 5]],
      );
    });

    test("a call that its worker does not know of is handed out again, and takes no capacity again", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await waiting(store, anna, 4);
      const windows = [{ ms: SECOND, requests: 2 }];
      const first = await store.claimCalls(callClaim(anna, { windows, max: 1 }));
      await store.claimCalls(callClaim(anna, { windows, max: 1 }));

      const held = first.calls.map(({ key }) => key);
      const again = await store.claimCalls(callClaim(anna, { windows, held }));

      assert.deepEqual(
        again.calls.map(({ body, attempts }) => [body, attempts]),
        [["call 3", 1]],
      );
      assert.equal(again.nextAt, START + SECOND);
    });

    test("calls of a worker that is gone wait again in their order", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await waiting(store, ben, 3);
      await claimed(store, anna, { max: 2 });
      await store.releaseWorker(anna);

      assert.deepEqual((await claimed(store, ben))[0], bodies(2, 4));
    });

    test("a clock that is put back does not close a model for as long", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await waiting(store, anna, 7);
      await claimed(store, anna, { now: START + HOUR, windows: fiveASecond });

      assert.deepEqual(await claimed(store, anna, { windows: fiveASecond }), [bodies(7, 8), undefined]);
    });

    test("listWaitingCalls() tells what waits where, and which models are out of capacity", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", (turn) => ({
        work: [call(turn, 2), call(turn, 3), call(turn, 4, { visibleAt: START + MINUTE }), work(turn, 5)],
      }));
      assert.deepEqual(await store.admin.listWaitingCalls("unknown", START), { calls: [], models: [] });
      await claimed(store, anna, { windows: [{ ms: SECOND, requests: 1 }] });
      await store.closeModel("other", START + HOUR);

      assert.deepEqual(await store.admin.listWaitingCalls("a", START), {
        calls: [
          { eventId: 3, line: MODEL },
          { eventId: 4, line: MODEL, visibleAt: START + MINUTE },
        ],
        models: [
          { model: MODEL, opensAt: START + SECOND },
          { model: "other", opensAt: START + HOUR },
        ],
      });
      assert.deepEqual((await store.admin.listWaitingCalls("a", START + SECOND)).models, [
        { model: "other", opensAt: START + HOUR },
      ]);
    });

    test("two handles together take no more than there is", needsTwoHandles(bench), async (t) => {
      const [one, two] = await openTwice(bench, t);
      const anna = await register(one, "anna");
      const ben = await register(two, "ben");
      await waiting(one, anna, 40);

      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          index % 2 === 0
            ? claimed(one, anna, { windows: fiveASecond, max: 1 })
            : claimed(two, ben, { windows: fiveASecond, max: 1 }),
        ),
      );

      assert.equal(answers.flatMap(([taken]) => taken).length, 5);
      assert.deepEqual((await one.claimWork(workClaim(anna, { exceptLines: [MODEL] }))).length, 0);
    });
  });
}
