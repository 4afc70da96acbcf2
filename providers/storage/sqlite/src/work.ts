/**
 * Work items. Activities are handed out in the order of their rows among those that are visible, model calls in that of
 * their ranks; one that waits for its time holds up none, and one whose session belongs to another worker is passed over.
 */
import type {
  ClaimedWork,
  CommitOutcome,
  SavedWork,
  UsedCapacity,
  WorkClaim,
  WorkCompletion,
  WorkKey,
  WorkRetry,
  WorkerKey,
} from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import { limitMax, readThenWrite, type Database } from "./database.ts";
import type { Mail } from "./messages.ts";
import { insertWorkSql, workValues, type WorkValues } from "./turn-parts.ts";

/** The verbs of work. */
export interface Work {
  saveWork(worker: WorkerKey, work: readonly SavedWork[], change: ChangeSet): (WorkKey | undefined)[];
  claimWork(claim: WorkClaim): ClaimedWork[];
  completeWork(worker: WorkerKey, completions: readonly WorkCompletion[], change: ChangeSet): CommitOutcome[];
  retryWork(worker: WorkerKey, retries: readonly WorkRetry[], change: ChangeSet): CommitOutcome[];
  abandonWork(worker: WorkerKey, keys: readonly WorkKey[], change: ChangeSet): void;
  saveHeartbeats(
    worker: WorkerKey,
    beats: readonly { readonly key: WorkKey; readonly details: string; readonly now: number }[],
  ): void;
}

/** What this worker may run. A session is another's while that one used it lately or runs one of its items. */
const canPerform = "w.rank IS NULL AND w.name IN (SELECT value FROM json_each(:activities))";
const mayRun = `w.owner IS NULL AND ${canPerform}
  AND (w.tag IS NULL OR w.tag IN (SELECT value FROM json_each(:tags)))
  AND (w.session IS NULL OR NOT EXISTS (
    SELECT 1 FROM sessions s WHERE s.name = w.session AND s.worker <> :worker AND (
      s.used_at > :idleSince OR EXISTS (SELECT 1 FROM work r WHERE r.owner = s.worker AND r.session = s.name))))`;

/** What is read of an item that is handed out. */
export const claimed = `w.key, w.instance, i.id AS instance_id, r.id AS root_id, w.execution, w.event_id,
  w.body, w.kind, w.name, w.attempts, w.heartbeat, w.failure, w.session`;

/** Where it is read from. CROSS JOIN keeps SQLite from turning the order of the loops around. */
export const items = "work w CROSS JOIN instances i ON i.key = w.instance LEFT JOIN instances r ON r.key = i.root";

const atOnceSql = `SELECT ${claimed} FROM ${items} WHERE w.visible_at = 0 AND ${mayRun} ORDER BY w.key ${limitMax}`;
const dueSql = `SELECT ${claimed} FROM ${items} WHERE w.visible_at > 0 AND w.visible_at <= :now AND ${mayRun}
  ORDER BY w.visible_at ${limitMax}`;
const callsSql = `SELECT ${claimed} FROM ${items} WHERE w.owner IS NULL AND w.rank IS NOT NULL AND w.visible_at <= :now
  AND w.name NOT IN (SELECT value FROM json_each(:exceptLines))
  AND (w.tag IS NULL OR w.tag IN (SELECT value FROM json_each(:tags))) ORDER BY w.rank, w.key ${limitMax}`;
const forgottenSql = `SELECT ${claimed} FROM ${items} WHERE w.owner = :worker
  AND CASE WHEN w.rank IS NULL THEN ${canPerform} ELSE :models AND w.name NOT IN (SELECT value FROM json_each(:exceptLines)) END
  AND w.key NOT IN (SELECT value FROM json_each(:held)) ORDER BY w.key ${limitMax}`;

interface ClaimBinding {
  readonly worker: WorkerKey;
  readonly activities: string;
  readonly models: number;
  readonly exceptLines: string;
  readonly tags: string;
  readonly now: number;
  readonly idleSince: number;
  readonly max: number;
}

type ForgottenBinding = Omit<ClaimBinding, "tags" | "now" | "idleSince"> & { readonly held: string };

/** An item as it is read. */
export interface WorkRow {
  readonly key: number;
  readonly instance: number;
  readonly instance_id: string;
  readonly root_id: string | null;
  readonly execution: number;
  readonly event_id: number;
  readonly body: string;
  readonly kind: "activity" | "model";
  readonly name: string;
  readonly attempts: number;
  readonly heartbeat: string | null;
  readonly failure: string | null;
  readonly session: string | null;
}

/** Prepares them for a connection. */
export function prepareWork(db: Database, mail: Mail): Work {
  const owned = db.prepare<[WorkKey, WorkerKey, number], number>(
    "SELECT 1 FROM instances WHERE key = ? AND owner = ? AND execution <= ?",
  );
  const insert = db.prepare<WorkValues>(insertWorkSql);
  const holdSession = db.prepare<[string, WorkerKey]>(
    "INSERT INTO sessions (name, worker, used_at) VALUES (?, ?, 0) ON CONFLICT DO NOTHING",
  );
  const touchSession = db.prepare<[number, string, WorkerKey]>(
    "UPDATE sessions SET used_at = max(used_at, ?) WHERE name = ? AND worker = ?",
  );
  const complete = db
    .prepare<[WorkKey, WorkerKey], string | null>("DELETE FROM work WHERE key = ? AND owner = ? RETURNING session")
    .pluck();
  const retry = db.prepare<[number, string | null, string | null, number | null, WorkKey, WorkerKey]>(
    `UPDATE work SET owner = NULL, visible_at = ?, failure = coalesce(?, failure), name = coalesce(?, name), attempts = coalesce(?, attempts)
     WHERE key = ? AND owner = ?`,
  );
  const correct = db.prepare<[number, string, number, WorkKey]>(
    "UPDATE model_starts SET tokens = ? WHERE model = ? AND at = ? AND work = ?",
  );
  const settle = (key: WorkKey, used: UsedCapacity | undefined) => {
    if (used !== undefined) correct.run(used.tokens, used.model, used.claimedAt, key);
  };
  const abandon = db.prepare<[WorkKey, WorkerKey]>(
    "UPDATE work SET owner = NULL, attempts = max(0, attempts - 1) WHERE key = ? AND owner = ?",
  );
  const saveDetails = db.prepare<[string, WorkKey, WorkerKey]>(
    "UPDATE work SET heartbeat = ? WHERE key = ? AND owner = ?",
  );

  const saveAll = db.transaction((worker: WorkerKey, work: readonly SavedWork[], change: ChangeSet) =>
    work.map((item) => {
      // An item of an execution that is over would never be settled.
      if (owned.get(item.instance, worker, item.execution) === undefined) return undefined;
      if (item.owned && item.session !== undefined) holdSession.run(item.session, worker);
      if (!item.owned) change.work = true;
      return Number(insert.run(...workValues(item.instance, item, item.owned ? worker : null)).lastInsertRowid);
    }),
  );
  const completeAll = db.transaction(
    (worker: WorkerKey, completions: readonly WorkCompletion[], change: ChangeSet): CommitOutcome[] =>
      completions.map(({ key, message, used }) => {
        settle(key, used);
        const session = complete.get(key, worker);
        if (session === undefined) return "notOwner";
        if (session !== null) {
          touchSession.run(message.at, session, worker);
          change.work = true; // what waited for the session may be claimed when it becomes idle
        }
        mail.post(message, change);
        return "committed";
      }),
  );
  const retryAll = db.transaction(
    (worker: WorkerKey, retries: readonly WorkRetry[], change: ChangeSet): CommitOutcome[] =>
      retries.map(({ key, visibleAt, failure = null, name = null, attempts = null, used }) => {
        settle(key, used);
        if (retry.run(visibleAt, failure, name, attempts, key, worker).changes === 0) return "notOwner";
        change.work = true;
        return "committed";
      }),
  );
  const abandonAll = db.transaction((worker: WorkerKey, keys: readonly WorkKey[], change: ChangeSet) => {
    for (const key of keys) if (abandon.run(key, worker).changes > 0) change.work = true;
  });
  const saveBeats = db.transaction((worker: WorkerKey, beats: Parameters<Work["saveHeartbeats"]>[1]) => {
    for (const { key, details } of beats) saveDetails.run(details, key, worker);
  });

  return {
    saveWork: (worker, work, change) => (work.length === 0 ? [] : saveAll.immediate(worker, work, change)),
    claimWork: prepareClaim(db),
    completeWork: (worker, completions, change) =>
      completions.length === 0 ? [] : completeAll.immediate(worker, completions, change),
    retryWork: (worker, retries, change) => (retries.length === 0 ? [] : retryAll.immediate(worker, retries, change)),
    abandonWork: (worker, keys, change) => {
      if (keys.length > 0) abandonAll.immediate(worker, keys, change);
    },
    saveHeartbeats: (worker, beats) => {
      if (beats.length > 0) saveBeats.immediate(worker, beats);
    },
  };
}

function prepareClaim(db: Database): (claim: WorkClaim) => ClaimedWork[] {
  const registered = db.prepare<[WorkerKey], number>("SELECT 1 FROM workers WHERE key = ?").pluck();
  const atOnce = db.prepare<[ClaimBinding], WorkRow>(atOnceSql);
  const due = db.prepare<[ClaimBinding], WorkRow>(dueSql);
  const calls = db.prepare<[ClaimBinding], WorkRow>(callsSql);
  const forgotten = db.prepare<[ForgottenBinding], WorkRow>(forgottenSql);
  const own = db.prepare<[WorkerKey, WorkKey]>("UPDATE work SET owner = ?, attempts = attempts + 1 WHERE key = ?");
  const takeSession = db.prepare<[string, WorkerKey, number]>(
    `INSERT INTO sessions (name, worker, used_at) VALUES (?, ?, ?)
     ON CONFLICT (name) DO UPDATE SET worker = excluded.worker, used_at = excluded.used_at`,
  );
  const forgetSessions = db.prepare<[number]>(
    `DELETE FROM sessions WHERE name IN (
       SELECT s.name FROM sessions s WHERE s.used_at <= ?
         AND NOT EXISTS (SELECT 1 FROM work r WHERE r.owner = s.worker AND r.session = s.name)
       ORDER BY s.used_at LIMIT 8)`,
  );

  return readThenWrite(db, (claim: WorkClaim) => {
    if (registered.get(claim.worker) === undefined) return []; // nobody would ever release what it took
    const idleSince = claim.now - claim.sessionIdleMs;
    const binding = {
      worker: claim.worker,
      activities: JSON.stringify(claim.activities),
      models: claim.models ? 1 : 0,
      exceptLines: JSON.stringify(claim.exceptLines ?? []),
      tags: JSON.stringify(claim.tags),
      now: claim.now,
      idleSince,
      max: claim.max,
    };
    const again = claim.held === undefined ? [] : forgotten.all({ ...binding, held: JSON.stringify(claim.held) });
    binding.max -= again.length;
    const rows = claim.activities.length === 0 ? [] : atOnce.all(binding);
    const dueRows = claim.activities.length === 0 ? [] : due.all(binding);
    const activities = dueRows.length === 0 ? rows : [...rows, ...dueRows].sort((a, b) => a.key - b.key);
    const inOrder = claim.models ? [...activities, ...calls.all(binding)] : activities;
    let sessions = 0;
    const taken = inOrder.slice(0, binding.max);
    for (const row of taken) {
      own.run(claim.worker, row.key);
      if (row.session !== null) {
        takeSession.run(row.session, claim.worker, claim.now);
        sessions++;
      }
    }
    if (sessions > 0) forgetSessions.run(idleSince); // as many go as come, so that the table stays small
    return [...again.map((row) => itemOf(row, row.attempts)), ...taken.map((row) => itemOf(row, row.attempts + 1))];
  });
}

/** An item as the seam has it. */
export function itemOf(row: WorkRow, attempts: number): ClaimedWork {
  return {
    key: row.key,
    instance: row.instance,
    instanceId: row.instance_id,
    rootId: row.root_id ?? row.instance_id,
    execution: row.execution,
    eventId: row.event_id,
    body: row.body,
    kind: row.kind,
    name: row.name,
    attempts,
    ...(row.heartbeat !== null && { heartbeat: row.heartbeat }),
    ...(row.failure !== null && { failure: row.failure }),
  };
}
