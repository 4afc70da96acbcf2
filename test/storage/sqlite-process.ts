/**
 * Another process on the same SQLite file, for tests that need one: `open` opens and closes, `claim` claims instances
 * until there are none and prints their ids, `commit` commits turns without end. It says "ready" and waits for a line before it begins, so that several
 * begin together.
 */
import { once } from "node:events";
import type { ClaimedTurn, TurnCommit, WorkerKey } from "@stet/core";
import { sqlite } from "@stet/sqlite";

const [path = "", task = ""] = process.argv.slice(2);
process.stdout.write("ready\n");
await once(process.stdin, "data");

const store = sqlite(path);
await store.open();
if (task === "claim") process.stdout.write(`${(await claimAll()).join(" ")}\n`);
if (task === "commit") await commitForEver();
await store.close();
process.stdin.destroy();

async function claimAll(): Promise<string[]> {
  const worker = await register();
  const ids: string[] = [];
  for (;;) {
    const turns = await claim(worker, 5);
    const fresh = turns.filter((turn) => !ids.includes(turn.instanceId));
    if (fresh.length === 0) return ids;
    ids.push(...fresh.map((turn) => turn.instanceId));
    await store.commitTurns(
      worker,
      turns.map((turn) => commitOf(turn, 1)),
    );
  }
}

/** Turn n of each instance writes event n, the nth output and the state n. */
async function commitForEver(): Promise<void> {
  const worker = await register();
  const turns = await claim(worker, 1_000);
  for (let eventId = 1; ; eventId++) {
    await store.commitTurns(
      worker,
      turns.map((turn) => commitOf(turn, eventId)),
    );
    if (eventId === 10) process.stdout.write("ten\n");
  }
}

function register(): Promise<WorkerKey> {
  const capabilities = { orchestrations: ["order"], activities: [], models: false, tags: [] };
  return store.registerWorker({ name: "w", host: "h", pid: process.pid, capabilities, now: 1 });
}

function claim(worker: WorkerKey, max: number): Promise<ClaimedTurn[]> {
  return store.claimTurns({ worker, now: 1, max, orchestrations: ["order"], buildId: "b" });
}

function commitOf(turn: ClaimedTurn, eventId: number): TurnCommit {
  return {
    key: turn.key,
    execution: 1,
    expectedEventId: eventId - 1,
    history: [{ execution: 1, firstEventId: eventId, lastEventId: eventId, body: `${eventId}` }],
    consumed: eventId === 1 ? turn.messages.map(({ key }) => key) : [],
    payloads: [],
    timers: [],
    settled: [],
    work: [],
    messages: [],
    starts: [],
    state: [{ key: "n", value: `${eventId}` }],
    outputs: [{ body: `${eventId}`, at: 1 }],
    waits: [],
    unsettled: false,
    keep: true,
    at: 1,
  };
}
