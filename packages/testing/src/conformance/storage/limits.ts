/** Sizes and alphabets: bodies are any text of any size, and verbs take many. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StorageProvider, WorkerKey } from "@stet/core";
import {
  type Bench,
  bodiesOf,
  claimIds,
  claimItem,
  claimTurn,
  historyOf,
  idsOf,
  ownedBy,
  recordOf,
  run,
  running,
  startAll,
  twoWorkers,
  workOf,
} from "./bench.ts";
import {
  call,
  callClaim,
  chunk,
  commitOf,
  completion,
  HOUR,
  instanceQuery,
  message,
  START,
  start,
  timer,
  turnClaim,
  wait,
  work,
  workClaim,
} from "./builders.ts";

const nothing = { tokens: 0, nanoUsd: 0, calls: 0 };

const texts: readonly (readonly [what: string, text: string])[] = [
  ["empty", ""],
  ["of 4 MiB", "0123456789abcdef".repeat(262_144)],
  ["of many alphabets", "Grüße, 世界, мир, שלום, مرحبا, 🎈👩‍👩‍👧‍👦, e\u0301 \u00e9"],
  ["full of quotes and escapes", `'; DROP TABLE instances; -- " \\ \` $1 ? :name %s \${x} {"json":"\\u0000"}`],
  ["of white space", " \t\r\n\u2028\u2029\u00a0\ufeff "],
  ["a number", "0001.50"],
  ["null", "null"],
];

const ids = [
  "a b",
  "a/b",
  "a\\b",
  "a'b",
  'a"b',
  "größe",
  "gro\u0308ße",
  "鍵🔑",
  "A",
  "a ",
  "a",
  "%",
  "_",
  "0",
  "00",
  "-1",
  "null",
  "a\nb",
];

export function limits(bench: Bench): void {
  describe("sizes and alphabets", () => {
    for (const [what, text] of texts) {
      test(`bodies come back as they were written when they are ${what}`, async (t) => {
        const { store, anna } = await twoWorkers(bench, t);

        assert.deepEqual(await roundTrip(store, anna, text), {
          start: text,
          history: text,
          clientHistory: text,
          message: text,
          timer: text,
          work: text,
          failure: text,
          heartbeat: text,
          payload: text,
          state: text,
          output: text,
          details: text,
          customStatus: text,
          label: text,
          result: text,
          error: text,
        });
      });
    }

    test("ids of instances are compared as they are", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const long = "i".repeat(1_000);
      await startAll(store, ...ids, long);
      assert.deepEqual(await store.startInstances([start("größe"), start(long)]), ["exists", "exists"]);
      await store.sendMessages(ids.map((id) => message(id, `to ${id}`)));

      const turns = await store.claimTurns(turnClaim(anna));

      assert.deepEqual(idsOf(turns), [...ids, long].sort());
      for (const turn of turns) {
        if (turn.instanceId !== long) assert.deepEqual(bodiesOf(turn).slice(1), [`to ${turn.instanceId}`]);
        assert.equal((await recordOf(store, turn.instanceId)).instanceId, turn.instanceId);
      }
      assert.equal((await store.admin.getInstances(["a", "A", "a "])).length, 3);
      assert.deepEqual(await store.admin.getInstances(["B", "b", " a"]), []);
    });

    test("trees of oddly named instances are deleted like others", async (t) => {
      const { store } = await twoWorkers(bench, t);
      await startAll(store, ...ids, ...ids.map((id) => start(`child of ${id}`, { parentId: id })));

      for (const id of ids) {
        assert.deepEqual(idsOf(await store.admin.getTree(id)), [id, `child of ${id}`].sort());
        assert.equal(await store.admin.deleteTree(id, true), "deleted");
      }
      assert.deepEqual(await store.admin.listInstances(instanceQuery()), { rows: [] });
    });

    test("times may be anywhere from 1970 to 9999", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const end = Date.UTC(9999, 11, 31);
      await startAll(store, start("a", { at: 0 }));
      const turn = await claimTurn(store, anna, { now: 0 });
      await run(store, anna, turn, {
        timers: [timer(2, end)],
        waits: [wait(3, "w", { since: 0, timeoutAt: end })],
        at: end,
      });

      assert.equal(await store.nextWakeAt(START), end);
      assert.deepEqual(await claimIds(store, anna, { now: end - 1 }), []);
      const { messages } = await claimTurn(store, anna, { now: end });
      assert.equal(messages[0]?.at, end);
      const { createdAt, updatedAt } = await recordOf(store, "a");
      assert.deepEqual([createdAt, updatedAt], [0, end]);
    });

    test("numbers may be as large as whole numbers can be told apart", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const most = Number.MAX_SAFE_INTEGER;
      const ranks = [most, START + 2, -most, START, START + 1];
      await startAll(store, "a");
      const first = await claimTurn(store, anna);
      const budget = { opened: { tokens: most, nanoUsd: most - 1 }, settled: [], bookings: [] };
      await run(store, anna, first, {
        work: ranks.map((rank, n) => call(first, n + 2, { rank, tokens: most - n, body: `${rank}` })),
        ...{ outputs: [{ body: "o", at: START }], budget, keep: true },
      });

      const tree = await store.admin.exportTree("a");
      assert.ok(typeof tree !== "string");
      assert.deepEqual(
        tree.instances[0]?.work.map(({ rank, tokens }) => [rank, tokens]),
        ranks.map((rank, n) => [rank, most - n]),
      );
      assert.deepEqual(await store.admin.readBudget("a"), {
        limits: { tokens: most, nanoUsd: most - 1 },
        ...{ spent: nothing, reserved: nothing, openedAt: START },
      });
      const { calls } = await store.claimCalls(callClaim(anna));
      assert.deepEqual(
        calls.map(({ body }) => Number(body)),
        [...ranks].sort((a, b) => a - b),
      );
      assert.deepEqual(await store.admin.readOutputs("a", most, 10), []);
      assert.equal(await store.nextWakeAt(START), undefined);
    });

    test("amounts near the largest are settled exactly", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const most = Number.MAX_SAFE_INTEGER;
      const budget = { opened: { tokens: most, nanoUsd: most }, settled: [], bookings: [] };
      const turn = await running(store, anna, "a", () => ({ budget }));
      const amounts = { tokens: most - 2, nanoUsd: most - 1, calls: 1 };
      const booked = await run(store, anna, turn, {
        budget: { settled: [], bookings: [{ eventId: 2, amounts, refusal: () => "refused" }] },
        keep: true,
      });
      assert.deepEqual((await store.admin.readBudget("a"))?.reserved, amounts);

      const used = { tokens: most - 4 };
      await run(store, anna, booked, { budget: { settled: [{ eventId: 2, used }], bookings: [] }, keep: true });

      const { spent, reserved } = (await store.admin.readBudget("a")) ?? {};
      assert.deepEqual([spent, reserved], [{ ...amounts, ...used }, nothing]);
    });

    test("thousands of messages wait in one inbox and are drained in order", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a");
      const bodies = Array.from({ length: 3_000 }, (_, index) => `${index}`);
      const outcomes = await store.sendMessages(bodies.map((body) => message("a", body)));
      assert.ok(outcomes.every((outcome) => outcome === "sent"));

      const seen: string[] = [];
      for (let claim = 0; claim < 10 && seen.length < bodies.length; claim++) {
        const turn = await claimTurn(store, anna, { max: 1_100 });
        seen.push(...bodiesOf(turn));
        await run(store, anna, turn, { keep: true });
      }

      assert.deepEqual(seen, bodies);
      assert.deepEqual(await claimIds(store, anna), []);
    });

    test("thousands of instances are started, claimed, committed and read at once", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const many = Array.from({ length: 2_000 }, (_, index) => `i-${index}`);
      await startAll(store, ...many);

      const turns = await store.claimTurns(turnClaim(anna, { max: 5_000 }));
      assert.equal(turns.length, 2_000);
      const outcomes = await store.commitTurns(
        anna,
        turns.map((turn) => commitOf(turn, { keep: true })),
      );
      assert.ok(outcomes.every((outcome) => outcome === "committed"));

      assert.equal((await store.admin.getInstances(many)).length, 2_000);
      assert.equal((await store.admin.listInstances(instanceQuery({ limit: 3_000 }))).rows.length, 2_000);
      assert.deepEqual(await store.admin.unblock(many), []);
      await store.releaseInstances(
        anna,
        turns.map(({ key }) => key),
      );
    });

    test("thousands of requests are made, answered and settled at once", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const eventIds = Array.from({ length: 2_000 }, (_, index) => index + 2);
      const turn = await running(store, anna, "a", (first) => ({
        work: eventIds.map((eventId) => work(first, eventId)),
        timers: eventIds.map((eventId) => timer(eventId + 5_000, START + HOUR)),
        waits: eventIds.map((eventId) => wait(eventId + 10_000, "w")),
      }));
      const items = await store.claimWork(workClaim(anna, { max: 1_500 }));
      assert.equal(items.length, 1_500);
      const keys = items.map(({ key }) => key);
      assert.deepEqual((await store.heartbeat({ worker: anna, now: START, work: keys })).lost, []);
      await store.saveHeartbeats(
        anna,
        keys.map((key) => ({ key, details: "row 1", now: START })),
      );
      const done = await store.completeWork(
        anna,
        keys.slice(0, 1_000).map((key) => completion(key, "a")),
      );
      assert.ok(done.every((outcome) => outcome === "committed"));
      await store.abandonWork(anna, keys.slice(1_000));
      assert.equal((await workOf(store, turn.key, 1)).length, 1_000);

      const all = [...eventIds, ...eventIds.map((id) => id + 5_000), ...eventIds.map((id) => id + 10_000)];
      await run(store, anna, turn, { settled: all, keep: true });

      assert.deepEqual(await workOf(store, turn.key, 1), []);
      assert.equal(await store.nextWakeAt(START), undefined);
      assert.deepEqual(await store.admin.listWaits({ limit: 10 }), { rows: [] });
      assert.equal((await claimTurn(store, anna, { max: 2_000 })).messages.length, 1_000);
    });

    test("a history of ten thousand events in a thousand turns reads back whole", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      let turn = await running(store, anna, "a", () => ({ history: [chunk(1, 0, 10)] }));
      for (let count = 1; count < 1_000; count++) {
        turn = await run(store, anna, turn, { history: [chunk(1, turn.lastEventId, 10)], keep: true });
      }

      const bodies = await historyOf(store, turn.key, 1);

      const events = bodies.flatMap((body) => JSON.parse(body) as { readonly id: number }[]);
      assert.deepEqual(
        events.map(({ id }) => id),
        Array.from({ length: 10_000 }, (_, index) => index + 1),
      );
      assert.deepEqual(await store.admin.readHistory("a", 1, 9_985), bodies.slice(998));
    });
  });
}

/** Writes a text wherever a text can be, and reads all of them. */
async function roundTrip(store: StorageProvider, worker: WorkerKey, text: string): Promise<Record<string, unknown>> {
  const first = await ownedBy(store, worker, "a", { body: text, labels: { label: text } });
  const second = await run(store, worker, first, {
    history: [{ ...chunk(1, 0), body: text }],
    payloads: [{ digest: "digest-1", body: text }],
    timers: [timer(2, START + 1, text)],
    work: [work(first, 3, { body: text, failure: text, heartbeat: text })],
    state: [{ key: "key", value: text }],
    outputs: [{ body: text, at: START }],
    waits: [wait(4, "wait", { details: text })],
    customStatus: text,
    keep: true,
  });
  await store.sendMessages([message("a", text)]);
  const [letter] = (await claimTurn(store, worker)).messages;
  const ring = (await claimTurn(store, worker, { now: START + 1 })).messages.find((each) => each.timer);
  const item = await claimItem(store, worker);
  const { rows } = await store.admin.listWaits({ limit: 1 });
  const [chunkOfClient] = await store.admin.readHistory("a", 1);
  const [output] = await store.admin.readOutputs("a", 0, 1);
  await run(store, worker, second, { ended: { status: "completed", output: text, error: text } });
  const record = await recordOf(store, "a");
  return {
    start: first.messages[0]?.body,
    history: (await historyOf(store, first.key, 1))[0],
    clientHistory: chunkOfClient,
    message: letter?.body,
    timer: ring?.body,
    work: item.body,
    failure: item.failure,
    heartbeat: item.heartbeat,
    payload: (await store.readPayloads("a", ["digest-1"]))[0]?.body,
    state: (await store.admin.readState("a"))[0]?.value,
    output: output?.body,
    details: rows[0]?.details,
    customStatus: record.customStatus,
    label: record.labels["label"],
    result: record.output,
    error: record.error,
  };
}
