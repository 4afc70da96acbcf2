/** Calls that are under way at once: a worker does not wait for one commit before it makes the next, of other instances. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ClaimedTurn, StorageProvider, StoredMessage, WorkerKey } from "@stet/core";
import { type Bench, needsTwoHandles, openStore, openTwice, register, run, running } from "./bench.ts";
import { commitOf, message, START, start, turnClaim, work, workClaim } from "./builders.ts";

export function overlapping(bench: Bench): void {
  describe("calls under way at once", () => {
    test("instances of one worker send to each other while their commits overlap: all arrives once, in the order of each sender", async (t) => {
      const store = await openStore(bench, t);
      const worker = await register(store, "anna");

      await converse([{ store, worker }]);
    });

    test("instances of two workers do so through two handles", needsTwoHandles(bench), async (t) => {
      const [one, two] = await openTwice(bench, t);

      await converse([
        { store: one, worker: await register(one, "anna") },
        { store: two, worker: await register(two, "ben") },
      ]);
    });

    test("of many overlapping commits that start the same child one does, and the other parents learn that it exists", async (t) => {
      const store = await openStore(bench, t);
      const anna = await register(store, "anna");
      const parents: ClaimedTurn[] = [];
      for (let n = 0; n < 10; n++) parents.push(await running(store, anna, `parent-${n}`));

      const outcomes = await Promise.all(
        parents.map((turn, n) => {
          const { instanceId: parentId } = turn;
          const children = n % 2 === 0 ? ["a", "b"] : ["b", "a"];
          const starts = children.map((id) => start(id, { parentId, ifExists: message(parentId, "exists") }));
          return store.commitTurns(anna, [commitOf(turn, { starts, keep: true })]);
        }),
      );

      assert.ok(outcomes.flat().every((outcome) => outcome === "committed"));
      const turns = await store.claimTurns(turnClaim(anna));
      assert.equal(turns.filter(({ instanceId }) => ["a", "b"].includes(instanceId)).length, 2);
      const told = turns.flatMap(({ messages }) => messages).filter(({ body }) => body === "exists");
      assert.equal(told.length, 2 * parents.length - 2);
    });

    test("what was sent while the instance ended was taken with it or refused, and its sender knows which", async (t) => {
      const store = await openStore(bench, t);
      const anna = await register(store, "anna");
      const turns: ClaimedTurn[] = [];
      for (let n = 0; n < 10; n++) turns.push(await running(store, anna, `i-${n}`));

      const results = await Promise.all(
        turns.map(async (turn) => {
          const ending = store.commitTurns(anna, [commitOf(turn, { ended: { status: "completed" } })]);
          const sending = store.sendMessages([message(turn.instanceId, "late", { idempotencyKey: "k" })]);
          const [[committed], [sent]] = await Promise.all([ending, sending]);
          return { committed, sent };
        }),
      );

      for (const { committed, sent } of results) {
        assert.equal(committed, "committed");
        assert.ok(sent === "sent" || sent === "ended", `Expected sent or ended, got ${sent}.`);
      }
      assert.equal((await store.admin.stats(START)).messages.ready, 0, "no message is left to an instance that ended");
    });

    test("a reader that goes on after the last offset skips nothing of what overlapping writers append", async (t) => {
      const store = await openStore(bench, t);
      const anna = await register(store, "anna");
      const turn = await running(store, anna, "a", (first) => ({
        work: Array.from({ length: 4 }, (_, n) => work(first, n + 2)),
      }));
      const items = await store.claimWork(workClaim(anna));
      let writing = true;
      const read: string[] = [];
      const reader = (async () => {
        for (let after = 0, last = false; !last;) {
          last = !writing;
          const rows = await store.admin.readOutputs("a", after, 1_000);
          read.push(...rows.map(({ body }) => body));
          after = rows.at(-1)?.offset ?? after;
        }
      })();

      const place = { instanceId: "a", instance: turn.key, execution: 1, at: START };
      const writers = items.map(async ({ key }, n) => {
        for (let i = 0; i < 15; i++) {
          const rows = [`${n}: ${i}`, `${n}: ${i} and more`].map((body) => ({ ...place, work: key, body }));
          assert.deepEqual(await store.appendOutputs(anna, rows), ["committed", "committed"]);
        }
      });
      const owner = (async () => {
        let now = turn;
        for (let i = 0; i < 15; i++) {
          const outputs = [`4: ${i}`, `4: ${i} and more`].map((body) => ({ body, at: START }));
          now = await run(store, anna, now, { outputs, keep: true });
        }
      })();
      await Promise.all([...writers, owner]);
      writing = false;
      await reader;

      for (let n = 0; n < 5; n++) {
        assert.deepEqual(
          read.filter((body) => body.startsWith(`${n}:`)),
          Array.from({ length: 15 }, (_, i) => [`${n}: ${i}`, `${n}: ${i} and more`]).flat(),
        );
      }
    });
  });
}

interface Party {
  readonly store: StorageProvider;
  readonly worker: WorkerKey;
}

/** An instance in a conversation. */
interface Speaker extends Party {
  readonly id: string;
  turn: ClaimedTurn;
  /** What has come and is not consumed yet, by its key. */
  readonly inbox: Map<StoredMessage["key"], string>;
  /** The keys of all that has come. */
  readonly known: Set<StoredMessage["key"]>;
  readonly heard: string[];
}

/** How many instances talk, how often each, and to how many others at a time. */
const [speakers, rounds, listeners] = [12, 8, 5];

/**
 * Every instance has a commit under way nearly all the time. Each sends to others in an order of its own, and takes from
 * its inbox what claims have brought, which go on meanwhile.
 */
async function converse(parties: readonly Party[]): Promise<void> {
  const all = new Map<string, Speaker>();
  for (let n = 0; n < speakers; n++) {
    const party = parties[n % parties.length]!;
    const id = `i-${n}`;
    all.set(id, {
      ...party,
      id,
      turn: await running(party.store, party.worker, id),
      ...{ inbox: new Map(), known: new Set(), heard: [] },
    });
  }
  const ids = [...all.keys()];
  let talking = true;
  const ears = Promise.all(
    parties.map(async (party) => {
      while (talking) await hear(all, party, 20);
      while ((await hear(all, party, 1_000)) > 0);
    }),
  );
  await Promise.all(ids.map((id, n) => talk(all.get(id)!, addressees(ids, n))));
  talking = false;
  await ears;

  const sent = ids.flatMap((id, n) => addressees(ids, n).map((to) => ({ id, to })));
  for (const { id, to } of sent) {
    const expected = Array.from({ length: rounds }, (_, round) => `${id} in ${round}`);
    const heard = all.get(to)!.heard.filter((body) => body.startsWith(`${id} `));
    assert.deepEqual(heard, expected, `what ${to} has heard of ${id}`);
  }
  assert.equal([...all.values()].flatMap(({ heard }) => heard).length, sent.length * rounds);
}

/** Half of them name the same others in the opposite order. */
function addressees(ids: readonly string[], n: number): string[] {
  const others = Array.from({ length: listeners }, (_, i) => ids[(2 * i + 1) % ids.length]!);
  return n % 2 === 0 ? others : others.reverse();
}

async function talk(speaker: Speaker, others: readonly string[]): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const { id, store, worker, turn, inbox } = speaker;
    const consumed = [...inbox.keys()];
    inbox.clear();
    const messages = others.map((to) => message(to, `${id} in ${round}`));
    speaker.turn = await run(store, worker, turn, { consumed, messages, keep: true });
  }
}

/** Takes in what a claim brings, and answers how much of it was new. */
async function hear(all: ReadonlyMap<string, Speaker>, { store, worker }: Party, max: number): Promise<number> {
  let news = 0;
  for (const { instanceId, messages } of await store.claimTurns(turnClaim(worker, { max }))) {
    const { inbox, heard, known } = all.get(instanceId)!;
    for (const { key, body } of messages) {
      if (known.has(key)) continue; // handed out again before the commit that takes it was there
      known.add(key);
      inbox.set(key, body);
      heard.push(body);
      news++;
    }
  }
  return news;
}
