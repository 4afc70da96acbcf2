/**
 * Where a test gets its store from, and the steps that many tests begin with. Each step goes through the contract only
 * and fails where the provider answers something else than the step needs.
 */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import type {
  ClaimedTurn,
  ClaimedWork,
  InstanceKey,
  InstanceRecord,
  OutgoingStart,
  StorageChange,
  StorageProvider,
  StorageStats,
  TurnClaim,
  TurnCommit,
  WorkClaim,
  WorkerKey,
  WorkerRegistration,
} from "@stet/core";
import { commitOf, registration, start, turnClaim, workClaim } from "./builders.ts";

/** What the caller of the suite has told about the provider, as the chapters use it. */
export interface Bench {
  /** A handle of a store that nobody has used, not opened yet: the test closes it as often as it opens it. */
  fresh(): Promise<StorageProvider>;
  /** Another handle of the same store, not opened yet. Absent when a store can have one only. */
  readonly another?: (first: StorageProvider) => Promise<StorageProvider>;
  /** How long a change in another handle may take to be noticed, in milliseconds. */
  readonly noticeMs: number;
  /** Whether the provider measures silence by a clock of its own. */
  readonly ownClock: boolean;
}

/** One chapter of the suite: registers its tests. */
export type Chapter = (bench: Bench) => void;

/** A fresh store, open until the test is over. */
export async function openStore(bench: Bench, t: TestContext): Promise<StorageProvider> {
  const store = await bench.fresh();
  await store.open();
  t.after(() => store.close());
  return store;
}

/** Two open handles of one fresh store. Only for tests that {@link needsTwoHandles} lets run. */
export async function openTwice(bench: Bench, t: TestContext): Promise<[StorageProvider, StorageProvider]> {
  const first = await openStore(bench, t);
  assert.ok(bench.another, "Expected the suite to be given `openSecond`.");
  const second = await bench.another(first);
  await second.open();
  t.after(() => second.close());
  return [first, second];
}

/** The options of tests that only make sense when a store can be opened twice. */
export function needsTwoHandles(bench: Bench): { skip: string | false } {
  return { skip: bench.another ? false : "no `openSecond`: the store has one handle only" };
}

export function register(
  store: StorageProvider,
  name: string,
  changes: Partial<WorkerRegistration> = {},
): Promise<WorkerKey> {
  return store.registerWorker(registration(name, changes));
}

/** A store with two registered workers, which is where most tests begin. */
export async function twoWorkers(
  bench: Bench,
  t: TestContext,
): Promise<{ store: StorageProvider; anna: WorkerKey; ben: WorkerKey }> {
  const store = await openStore(bench, t);
  return { store, anna: await register(store, "anna"), ben: await register(store, "ben") };
}

/** Starts instances that do not exist yet. */
export async function startAll(store: StorageProvider, ...starts: readonly (string | OutgoingStart)[]): Promise<void> {
  const all = starts.map((each) => (typeof each === "string" ? start(each) : each));
  const outcomes = await store.startInstances(all);
  assert.deepEqual(
    outcomes,
    all.map(() => "started"),
  );
}

/** The only instance that a claim hands out, or the one called `instanceId` of several. */
export async function claimTurn(
  store: StorageProvider,
  worker: WorkerKey,
  changes: Partial<TurnClaim> & { readonly instanceId?: string } = {},
): Promise<ClaimedTurn> {
  const { instanceId, ...claim } = changes;
  const turns = await store.claimTurns(turnClaim(worker, claim));
  const wanted = instanceId === undefined ? turns : turns.filter((turn) => turn.instanceId === instanceId);
  const [turn] = wanted;
  assert.ok(turn && wanted.length === 1, `Expected one claimed instance, got ${idsOf(turns).join(", ") || "none"}.`);
  return turn;
}

/** The ids of the instances that a claim hands out, sorted. They are owned by the worker from then on. */
export async function claimIds(
  store: StorageProvider,
  worker: WorkerKey,
  changes: Partial<TurnClaim> = {},
): Promise<string[]> {
  return idsOf(await store.claimTurns(turnClaim(worker, changes)));
}

export function idsOf(turns: readonly { readonly instanceId: string }[]): string[] {
  return turns.map(({ instanceId }) => instanceId).sort();
}

export function bodiesOf(turn: ClaimedTurn): string[] {
  return turn.messages.map(({ body }) => body);
}

/** A new instance that the worker owns, with its start message. */
export async function ownedBy(
  store: StorageProvider,
  worker: WorkerKey,
  instanceId: string,
  changes: Partial<OutgoingStart> = {},
): Promise<ClaimedTurn> {
  await startAll(store, start(instanceId, changes));
  return claimTurn(store, worker, { instanceId });
}

/** Commits one turn, which must succeed. Answers the turn as it stands then. */
export async function run(
  store: StorageProvider,
  worker: WorkerKey,
  turn: ClaimedTurn,
  changes: Partial<TurnCommit> = {},
): Promise<ClaimedTurn> {
  const commit = commitOf(turn, changes);
  assert.deepEqual(await store.commitTurns(worker, [commit]), ["committed"]);
  const last = commit.history.at(-1);
  return {
    ...turn,
    ...(commit.version !== undefined && { version: commit.version }),
    ...(last && { execution: last.execution, lastEventId: last.lastEventId }),
    messages: [],
  };
}

/** A new instance after its first turn, which made `changes`. The worker goes on owning it unless they say otherwise. */
export async function running(
  store: StorageProvider,
  worker: WorkerKey,
  instanceId: string,
  changes: (turn: ClaimedTurn) => Partial<TurnCommit> = () => ({}),
): Promise<ClaimedTurn> {
  const turn = await ownedBy(store, worker, instanceId);
  return run(store, worker, turn, { keep: true, ...changes(turn) });
}

/** A new instance that has ended. */
export async function ended(
  store: StorageProvider,
  worker: WorkerKey,
  instanceId: string,
  changes: Partial<TurnCommit> = {},
): Promise<ClaimedTurn> {
  const turn = await ownedBy(store, worker, instanceId);
  return run(store, worker, turn, { ended: { status: "completed" }, ...changes });
}

/** The only work item that a claim hands out. */
export async function claimItem(
  store: StorageProvider,
  worker: WorkerKey,
  changes: Partial<WorkClaim> = {},
): Promise<ClaimedWork> {
  const items = await store.claimWork(workClaim(worker, changes));
  const [item] = items;
  const bodies = items.map(({ body }) => body).join(", ");
  assert.ok(item && items.length === 1, `Expected one claimed work item, got ${bodies || "none"}.`);
  return item;
}

/** The bodies of the work items that a claim hands out, in its order. */
export async function claimBodies(
  store: StorageProvider,
  worker: WorkerKey,
  changes: Partial<WorkClaim> = {},
): Promise<string[]> {
  return (await store.claimWork(workClaim(worker, changes))).map(({ body }) => body);
}

/** The row of an instance that must exist. */
export async function recordOf(store: StorageProvider, instanceId: string): Promise<InstanceRecord> {
  const [record] = await store.admin.getInstances([instanceId]);
  assert.ok(record, `Expected ${instanceId} to exist.`);
  return record;
}

/** Whether a verb fails, which S6 keeps for trouble. */
export async function refuses(verb: () => Promise<unknown>): Promise<boolean> {
  try {
    await verb();
    return false;
  } catch {
    return true; // what kind of error it is, is the provider's to say
  }
}

/** All that the contract lets anybody see, for comparison before and after. */
export interface Picture {
  readonly instances: readonly unknown[];
  readonly stats: StorageStats;
  readonly wakeAt: number | undefined;
}

/** What there is to see of these instances and of the store. */
export async function picture(store: StorageProvider, ...ids: readonly string[]): Promise<Picture> {
  const { admin } = store;
  const instances = await Promise.all(
    ids.map(async (id) => {
      const executions = await admin.listExecutions(id);
      return {
        id,
        record: await admin.getInstances([id]),
        tree: idsOf(await admin.getTree(id)),
        executions,
        histories: await Promise.all(executions.map(({ execution }) => admin.readHistory(id, execution))),
        waits: (await admin.listWaits({ instanceId: id, limit: 100 })).rows,
        state: await admin.readState(id),
        outputs: await admin.readOutputs(id, 0, 100),
        payloads: await store.readPayloads(id, ["digest-1", "digest-2"]),
      };
    }),
  );
  const stats = await admin.stats(START_OF_TIME);
  return { instances, stats, wakeAt: await store.nextWakeAt(START_OF_TIME) };
}

/** So early that every timer is still to come. */
const START_OF_TIME = 0;

/**
 * Does something and waits, within bounds, until the store has told of a change that answers `wanted`. The only real
 * time in the suite.
 */
export async function hears<Result>(
  bench: Bench,
  store: StorageProvider,
  wanted: (change: StorageChange) => boolean,
  action: () => Promise<Result>,
): Promise<Result> {
  const heard: StorageChange[] = [];
  let found = (): void => {};
  const told = new Promise<void>((resolve) => (found = resolve));
  const end = store.onChange((change) => {
    heard.push(change);
    if (wanted(change)) found();
  });
  const patience = new AbortController();
  try {
    const result = await action();
    const timeout = setTimeout(bench.noticeMs, "late", { signal: patience.signal });
    const outcome = await Promise.race([told, timeout]);
    assert.notEqual(outcome, "late", `Expected another change, got ${JSON.stringify(heard)}.`);
    return result;
  } finally {
    patience.abort();
    end();
  }
}

/** Whether an instance may have ended or been deleted by a change. */
export function mayHaveEnded(change: StorageChange, instanceId: string): boolean {
  return mentions(change, instanceId) && (change.ended === undefined || change.ended.includes(instanceId));
}

/** Whether a change may have touched an instance. */
export function mentions(change: StorageChange, instanceId: string): boolean {
  return change.instances === undefined || change.instances.includes(instanceId);
}

/** The chunks of one execution. */
export async function historyOf(store: StorageProvider, key: InstanceKey, execution: number): Promise<string[]> {
  const [chunks, ...others] = await store.readHistory([{ key, execution }]);
  assert.deepEqual(others, [], "one answer for one execution");
  assert.ok(chunks);
  return chunks;
}

/** Event ids of the requests of one execution that have a row or an answer in the inbox. */
export async function workOf(store: StorageProvider, key: InstanceKey, execution: number): Promise<number[]> {
  const [eventIds, ...others] = await store.readWork([{ key, execution }]);
  assert.deepEqual(others, [], "one answer for one execution");
  assert.ok(eventIds);
  return eventIds;
}
