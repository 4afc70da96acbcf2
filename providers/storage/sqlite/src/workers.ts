/**
 * Registrations. One heartbeat stands for all a worker owns; ending a registration gives all of it back in one
 * transaction, which is the only way anything changes hands without its owner.
 */
import type { Capabilities, WorkerHeartbeat, WorkKey, WorkerKey, WorkerRecord, WorkerRegistration } from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Database } from "./database.ts";

/** The verbs of a worker's life. */
export interface Workers {
  registerWorker(registration: WorkerRegistration): WorkerKey;
  heartbeat(beat: WorkerHeartbeat): { stands: boolean; lost: WorkKey[] };
  listWorkers(now: number): WorkerRecord[];
  releaseWorker(worker: WorkerKey, change: ChangeSet): void;
}

/** A heartbeat that lies further ahead was written by a clock that has been put back since. */
const clockJumpMs = 60_000;

interface WorkerRow {
  readonly key: number;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly process_start: string | null;
  readonly capabilities: string;
  readonly registered_at: number;
  readonly heartbeat_at: number;
  readonly busy: number;
}

/** Prepares them for a connection. */
export function prepareWorkers(db: Database): Workers {
  const insert = db.prepare(
    `INSERT INTO workers (name, host, pid, process_start, capabilities, registered_at, heartbeat_at)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
  );
  const beat = db.prepare<[number, number, WorkerKey]>("UPDATE workers SET heartbeat_at = ?, busy = ? WHERE key = ?");
  const putBack = db.prepare<[number, number]>("UPDATE workers SET heartbeat_at = ? WHERE heartbeat_at > ?");
  const lost = db
    .prepare<[string, WorkerKey], WorkKey>(
      `SELECT value FROM json_each(?) AS named
     WHERE NOT EXISTS (SELECT 1 FROM work w WHERE w.key = named.value AND w.owner = ?)`,
    )
    .pluck();
  const useSessions = db.prepare<[number, WorkerKey, WorkerKey]>(
    `UPDATE sessions SET used_at = max(used_at, ?)
     WHERE name IN (SELECT session FROM work WHERE owner = ? AND session IS NOT NULL) AND worker = ?`,
  );
  const list = db.prepare<[], WorkerRow>("SELECT * FROM workers ORDER BY key");
  const releaseInstances = db.prepare<[WorkerKey]>("UPDATE instances SET owner = NULL WHERE owner = ?");
  const releaseWork = db.prepare<[WorkerKey]>("UPDATE work SET owner = NULL WHERE owner = ?");
  const deleteSessions = db.prepare<[WorkerKey]>("DELETE FROM sessions WHERE worker = ?");
  const deleteWorker = db.prepare<[WorkerKey]>("DELETE FROM workers WHERE key = ?");

  const heartbeat = db.transaction(({ worker, now, work, busy = 0 }: WorkerHeartbeat) => {
    const stands = beat.run(now, busy, worker).changes > 0;
    putBack.run(now, now + clockJumpMs);
    if (work.length === 0) return { stands, lost: [] };
    useSessions.run(now, worker, worker);
    return { stands, lost: lost.all(JSON.stringify(work), worker) };
  });
  const release = db.transaction((worker: WorkerKey, change: ChangeSet) => {
    if (releaseInstances.run(worker).changes > 0) change.turns = true;
    if (releaseWork.run(worker).changes > 0) change.work = true;
    // Work that waited for the worker's sessions may go elsewhere now.
    if (deleteSessions.run(worker).changes > 0) change.work = true;
    deleteWorker.run(worker);
  });

  return {
    registerWorker({ name, host, pid, processStart = null, capabilities, now }) {
      const inserted = insert.run(name, host, pid, processStart, JSON.stringify(capabilities), now, now);
      return Number(inserted.lastInsertRowid);
    },
    heartbeat: (beat) => heartbeat.immediate(beat),
    listWorkers: (now) =>
      list.all().map((row) => ({
        key: row.key,
        name: row.name,
        host: row.host,
        pid: row.pid,
        ...(row.process_start !== null && { processStart: row.process_start }),
        capabilities: JSON.parse(row.capabilities) as Capabilities,
        registeredAt: row.registered_at,
        silentForMs: Math.max(0, now - row.heartbeat_at),
        busy: row.busy,
      })),
    releaseWorker: (worker, change) => release.immediate(worker, change),
  };
}
