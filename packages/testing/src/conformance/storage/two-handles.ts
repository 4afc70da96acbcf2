/** Two handles of one store, as two processes would have them: what one does holds for the other. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StorageProvider } from "@stet/core";
import {
  type Bench,
  bodiesOf,
  claimBodies,
  claimIds,
  claimItem,
  claimTurn,
  hears,
  historyOf,
  idsOf,
  mayHaveEnded,
  needsTwoHandles,
  openTwice,
  ownedBy,
  recordOf,
  register,
  run,
  running,
  startAll,
} from "./bench.ts";
import {
  blockedBy,
  commitOf,
  completion,
  HOUR,
  message,
  MINUTE,
  SECOND,
  START,
  start,
  timer,
  turnClaim,
  work,
  workClaim,
} from "./builders.ts";

export function twoHandles(bench: Bench): void {
  describe("two handles of one store", needsTwoHandles(bench), () => {
    test("what one handle has written, the other reads", async (t) => {
      const [one, two] = await openTwice(bench, t);
      const anna = await register(one, "anna");
      const turn = await running(one, anna, "a", () => ({ state: [{ key: "colour", value: "red" }] }));

      assert.deepEqual(await two.admin.readState("a"), [{ key: "colour", value: "red" }]);
      assert.deepEqual(await historyOf(two, turn.key, 1), await historyOf(one, turn.key, 1));
      assert.deepEqual(await two.admin.getInstances(["a"]), await one.admin.getInstances(["a"]));
      assert.equal((await two.listWorkers(START)).length, 1);
    });

    test("workers of both handles have different keys", async (t) => {
      const handles = await openTwice(bench, t);

      const keys = await Promise.all(
        Array.from({ length: 20 }, (_, index) => register(handles[index % 2] ?? handles[0], "anna")),
      );

      assert.equal(new Set(keys).size, 20);
    });

    test("claims through both handles at the same time share no instance", async (t) => {
      const handles = await openTwice(bench, t);
      const ids = Array.from({ length: 60 }, (_, index) => `i-${index}`);
      await startAll(handles[0], ...ids);
      const workers = await Promise.all([0, 1, 0, 1].map((index) => register(at(handles, index), "w")));

      const claims = await Promise.all(
        Array.from({ length: 12 }, (_, index) => {
          const worker = workers[index % 4] ?? assert.fail();
          return at(handles, index).claimTurns(turnClaim(worker, { max: 10 }));
        }),
      );

      const owners = new Map<string, Set<number>>();
      claims.forEach((turns, index) => {
        for (const { instanceId } of turns) {
          owners.set(instanceId, (owners.get(instanceId) ?? new Set()).add(index % 4));
        }
      });
      for (const [id, workersOfId] of owners) assert.equal(workersOfId.size, 1, `Expected one owner of ${id}.`);
      assert.ok(owners.size > 0);
    });

    test("claims of work through both handles at the same time share no item", async (t) => {
      const handles = await openTwice(bench, t);
      const anna = await register(handles[0], "anna");
      const eventIds = Array.from({ length: 60 }, (_, index) => index + 2);
      await running(handles[0], anna, "a", (turn) => ({ work: eventIds.map((eventId) => work(turn, eventId)) }));
      const workers = [anna, await register(handles[1], "ben")];

      const claims = await Promise.all(
        Array.from({ length: 12 }, (_, index) =>
          at(handles, index).claimWork(workClaim(workers[index % 2] ?? anna, { max: 5 })),
        ),
      );

      const keys = claims.flat().map(({ key }) => key);
      assert.equal(keys.length, 60);
      assert.equal(new Set(keys).size, 60);
    });

    test("one of many starts of an id through both handles at the same time is the first", async (t) => {
      const handles = await openTwice(bench, t);

      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, index) => at(handles, index).startInstances([start("a", { body: `${index}` })])),
      );

      assert.equal(outcomes.flat().filter((outcome) => outcome === "started").length, 1);
      const anna = await register(handles[0], "anna");
      assert.equal((await claimTurn(handles[0], anna)).messages.length, 1);
    });

    test("one of many messages with a key through both handles at the same time is sent", async (t) => {
      const handles = await openTwice(bench, t);
      await startAll(handles[0], "a");

      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          at(handles, index).sendMessages([message("a", `${index}`, { idempotencyKey: "k" })]),
        ),
      );

      assert.equal(outcomes.flat().filter((outcome) => outcome === "sent").length, 1);
    });

    test("one of many commits for a position through both handles at the same time is accepted", async (t) => {
      const handles = await openTwice(bench, t);
      const anna = await register(handles[0], "anna");
      const turn = await ownedBy(handles[0], anna, "a");

      const outcomes = await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          at(handles, index).commitTurns(anna, [commitOf(turn, { keep: true })]),
        ),
      );

      assert.equal(outcomes.flat().filter((outcome) => outcome === "committed").length, 1);
      assert.equal((await historyOf(handles[1], turn.key, 1)).length, 1);
    });

    test("many writes through both handles at the same time all arrive", async (t) => {
      const handles = await openTwice(bench, t);
      const anna = await register(handles[0], "anna");
      const ben = await register(handles[1], "ben");
      await running(handles[0], anna, "inbox");
      const writers = [
        { store: handles[0], worker: anna, turn: await running(handles[0], anna, "i-0") },
        { store: handles[1], worker: ben, turn: await running(handles[1], ben, "i-1") },
      ];

      await Promise.all(
        writers.map(async ({ store, worker, turn }) => {
          let next = turn;
          for (let count = 0; count < 30; count++) {
            const messages = [message("inbox", `${count} of ${turn.instanceId}`)];
            next = await run(store, worker, next, { messages, keep: true });
          }
        }),
      );

      assert.equal((await recordOf(handles[0], "i-1")).lastEventId, 31);
      assert.equal((await recordOf(handles[1], "i-0")).lastEventId, 31);
      const inbox = bodiesOf(await claimTurn(handles[0], anna));
      for (const id of ["i-0", "i-1"]) {
        const expected = Array.from({ length: 30 }, (_, count) => `${count} of ${id}`);
        assert.deepEqual(
          inbox.filter((body) => body.endsWith(id)),
          expected,
        );
      }
    });

    test("a worker that the other handle has released owns nothing any more", async (t) => {
      const [one, two] = await openTwice(bench, t);
      const anna = await register(one, "anna");
      const turn = await running(one, anna, "a", (first) => ({ work: [work(first, 2)], unsettled: true }));
      const { key } = await claimItem(one, anna);

      await two.releaseWorker(anna);

      assert.deepEqual(await one.heartbeat({ worker: anna, now: START, work: [key] }), { stands: false, lost: [key] });
      assert.deepEqual(await one.commitTurns(anna, [commitOf(turn)]), ["notOwner"]);
      assert.deepEqual(await one.completeWork(anna, [completion(key, "a")]), ["notOwner"]);
      const ben = await register(two, "ben");
      assert.deepEqual(await claimIds(two, ben), ["a"]);
      assert.deepEqual(await claimBodies(two, ben), ["work 2"]);
    });

    test("a heartbeat through one handle is seen through the other", { skip: bench.ownClock }, async (t) => {
      const [one, two] = await openTwice(bench, t);
      const anna = await register(one, "anna");
      await one.heartbeat({ worker: anna, now: START + MINUTE, work: [] });

      const [record] = await two.listWorkers(START + MINUTE + SECOND);

      assert.deepEqual([record?.key, record?.silentForMs], [anna, SECOND]);
    });

    test("a commit is refused after the other handle has deleted the tree", async (t) => {
      const [one, two] = await openTwice(bench, t);
      const anna = await register(one, "anna");
      const turn = await running(one, anna, "a", (first) => ({ work: [work(first, 2)] }));
      const { key } = await claimItem(one, anna);
      assert.equal(await two.admin.deleteTree("a", true), "deleted");
      await startAll(two, "a");

      assert.deepEqual(await one.commitTurns(anna, [commitOf(turn)]), ["notOwner"]);
      assert.deepEqual(await one.completeWork(anna, [completion(key, "a", "old")]), ["notOwner"]);

      assert.deepEqual(bodiesOf(await claimTurn(two, await register(two, "ben"))), ["start of a"]);
    });

    test("sessions, blocks and timers hold for both handles", async (t) => {
      const [one, two] = await openTwice(bench, t);
      const anna = await register(one, "anna");
      const ben = await register(two, "ben");
      await running(one, anna, "a", (turn) => ({
        work: [work(turn, 2, { session: "s" }), work(turn, 3, { session: "s" })],
        timers: [timer(4, START + HOUR)],
        keep: false,
      }));
      await run(one, anna, await ownedBy(one, anna, "b"), blockedBy("build-1"));
      await claimBodies(one, anna, { max: 1 });

      assert.deepEqual(await claimBodies(two, ben), []);
      assert.deepEqual(await claimIds(two, ben), []);
      assert.equal(await two.nextWakeAt(START), START + HOUR);
      await two.admin.unblock(["b"]);
      assert.deepEqual(await claimIds(one, anna), ["b"]);
    });

    test("a listing that one handle begins goes on in the other", async (t) => {
      const [one, two] = await openTwice(bench, t);
      await startAll(one, "a", "b", "c", "d");
      const first = await one.admin.listInstances({ limit: 2 });

      const second = await two.admin.listInstances({ limit: 2, cursor: first.cursor ?? assert.fail("no cursor") });

      assert.deepEqual(idsOf([...first.rows, ...second.rows]), ["a", "b", "c", "d"]);
    });

    test("onChange() of one handle tells soon of turns that the other has made ready", async (t) => {
      const [one, two] = await openTwice(bench, t);

      await hears(
        bench,
        two,
        ({ turns }) => turns,
        () => startAll(one, "a"),
      );
      await hears(
        bench,
        two,
        ({ turns }) => turns,
        () => one.sendMessages([message("a", "1")]),
      );
    });

    test("onChange() of one handle tells soon of work that the other has made ready", async (t) => {
      const [one, two] = await openTwice(bench, t);
      const anna = await register(one, "anna");
      const turn = await running(one, anna, "a");

      await hears(
        bench,
        two,
        ({ work: items }) => items,
        () => run(one, anna, turn, { work: [work(turn, 2)] }),
      );
    });

    test("onChange() of one handle tells soon of an end that the other has committed", async (t) => {
      const [one, two] = await openTwice(bench, t);
      const anna = await register(one, "anna");
      const turn = await running(one, anna, "a");

      await hears(
        bench,
        two,
        (change) => mayHaveEnded(change, "a"),
        () => run(one, anna, turn, { ended: { status: "failed" } }),
      );

      assert.equal((await recordOf(two, "a")).status, "failed");
    });

    test("onChange() of one handle tells soon of a worker that the other has released", async (t) => {
      const [one, two] = await openTwice(bench, t);
      const anna = await register(one, "anna");
      await ownedBy(one, anna, "a");

      await hears(
        bench,
        two,
        ({ turns }) => turns,
        () => one.releaseWorker(anna),
      );
    });
  });
}

function at(handles: readonly [StorageProvider, StorageProvider], index: number): StorageProvider {
  return handles[index % 2] ?? handles[0];
}
