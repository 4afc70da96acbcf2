/**
 * Registrations. One heartbeat stands for all a worker owns; ending a registration gives all of it back in one
 * transaction, which is the only way anything changes hands without its owner.
 */
import type { Capabilities, WorkerHeartbeat, WorkKey, WorkerKey, WorkerRecord, WorkerRegistration } from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Clocks } from "./clocks.ts";
import type { Database } from "./database.ts";
import { storeNow, type Routine } from "./routines.ts";
import { toJson, toText } from "./values.ts";

/** A heartbeat that lies further ahead was written by a clock that has been put back since. */
const clockJumpMs = 60_000;

/**
 * How long a worker waits for the answer to its heartbeat, and to who else is there. Two in a row that never come leave it
 * time for a third, on another connection, before its silence is taken for its death.
 */
const beatWithinMs = 2_500;

/** Adds a registration. */
export const registerWorker: Routine = {
  name: "register_worker",
  signature: `(p_name text, p_host text, p_pid integer, p_process_start text, p_capabilities text, p_registered_at bigint,
    p_now bigint) RETURNS TABLE (key bigint, store_now bigint)`,
  body: `BEGIN
    RETURN QUERY
    INSERT INTO workers (name, host, pid, process_start, capabilities, registered_at, heartbeat_at)
    VALUES (p_name, p_host, p_pid, p_process_start, p_capabilities, p_registered_at, coalesce(p_now, ${storeNow}))
    RETURNING workers.key, ${storeNow};
  END`,
};

/** Says that a worker lives, and answers which of the items it names are not its own. */
export const heartbeat: Routine = {
  name: "heartbeat",
  signature: `(p_worker bigint, p_now bigint, p_work bigint[], p_busy double precision)
    RETURNS TABLE (stands boolean, lost bigint[], store_now bigint)`,
  body: `DECLARE
    v_now bigint := coalesce(p_now, ${storeNow});
    v_stands boolean;
  BEGIN
    UPDATE workers SET heartbeat_at = v_now, busy = p_busy WHERE key = p_worker;
    v_stands := FOUND;
    UPDATE workers w SET heartbeat_at = v_now
    FROM (SELECT h.key FROM workers h WHERE h.heartbeat_at > v_now + ${clockJumpMs}
      FOR NO KEY UPDATE SKIP LOCKED) AS ahead -- who holds one beats or ends it
    WHERE w.key =@ ahead.key;
    IF p_work IS NOT NULL THEN
      UPDATE sessions s SET used_at = greatest(s.used_at, v_now)
      FROM (SELECT h.name FROM sessions h WHERE h.worker = p_worker AND h.name = ANY (ARRAY(
          SELECT w.session FROM work w WHERE w.owner = p_worker AND w.session IS NOT NULL))
        ORDER BY h.name FOR UPDATE) AS used
      WHERE s.name =@ used.name;
    END IF;
    RETURN QUERY SELECT v_stands, ARRAY(SELECT n FROM unnest(p_work) AS n
      WHERE NOT EXISTS (SELECT 1 FROM work w WHERE w.key =@ n AND w.owner IS NOT DISTINCT FROM p_worker)), ${storeNow};
  END`,
};

/**
 * Ends a registration. The row of the worker goes first: whoever writes for the worker holds it, so that nobody does
 * while this looks for what the worker owns.
 */
export const releaseWorker: Routine = {
  name: "release_worker",
  signature: "(p_worker bigint) RETURNS TABLE (turns boolean, work boolean)",
  body: `DECLARE
    v_turns boolean;
    v_work boolean;
  BEGIN
    DELETE FROM workers WHERE key = p_worker;
    UPDATE instances i SET owner = NULL
    FROM (SELECT h.key FROM instances h WHERE h.owner = p_worker ORDER BY h.key FOR NO KEY UPDATE) AS held
    WHERE i.key =@ held.key;
    v_turns := FOUND;
    UPDATE work w SET owner = NULL
    FROM (SELECT h.key FROM work h WHERE h.owner = p_worker ORDER BY h.key FOR NO KEY UPDATE) AS held
    WHERE w.key =@ held.key;
    v_work := FOUND;
    DELETE FROM sessions WHERE name = ANY (ARRAY(
      SELECT s.name FROM sessions s WHERE s.worker = p_worker ORDER BY s.name FOR UPDATE));
    RETURN QUERY SELECT v_turns, v_work OR FOUND; -- work that waited for the sessions may go elsewhere now
  END`,
};

/** The verbs of a worker's life. */
export interface Workers {
  registerWorker(registration: WorkerRegistration): Promise<WorkerKey>;
  heartbeat(beat: WorkerHeartbeat): Promise<{ stands: boolean; lost: WorkKey[] }>;
  listWorkers(now: number): Promise<WorkerRecord[]>;
  releaseWorker(worker: WorkerKey, change: ChangeSet): Promise<void>;
}

interface WorkerRow {
  readonly key: number;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly process_start: string | null;
  readonly capabilities: string;
  readonly registered_at: number;
  readonly silent_ms: number;
  readonly busy: number;
}

/** Binds them to a database. */
export function bindWorkers(db: Database, clocks: Clocks): Workers {
  const list = `SELECT key, name, host, pid, process_start, capabilities, registered_at, busy,
      coalesce($1::bigint, ${storeNow}) - heartbeat_at AS silent_ms
    FROM ${db.table("workers")} ORDER BY key`;
  return {
    async registerWorker({ name, host, pid, processStart, capabilities, now }) {
      const values = [
        toText(name),
        toText(host),
        pid,
        processStart === undefined ? null : toText(processStart),
        toJson(capabilities),
        now,
        clocks.now(now),
      ];
      const ask = async () => (await db.call<{ key: number; store_now: number }>(registerWorker, values))[0]!;
      return (await clocks.learn(now, ask, ({ key }) => key)).key;
    },

    async heartbeat({ worker, now, work, busy = 0 }) {
      type Answer = { readonly stands: boolean; readonly lost: number[]; readonly store_now: number };
      const values = [worker, clocks.now(now), work.length === 0 ? null : [...work], busy];
      const ask = async () => (await db.call<Answer>(heartbeat, values, beatWithinMs))[0]!;
      const { stands, lost } = await clocks.learn(now, ask, () => worker);
      if (!stands) clocks.forget(worker);
      return { stands, lost };
    },

    async listWorkers(now) {
      const rows = await db.query<WorkerRow>(list, [clocks.now(now)], beatWithinMs);
      return rows.map((row) => ({
        key: row.key,
        name: row.name,
        host: row.host,
        pid: row.pid,
        ...(row.process_start !== null && { processStart: row.process_start }),
        capabilities: JSON.parse(row.capabilities) as Capabilities,
        registeredAt: row.registered_at,
        silentForMs: Math.max(0, row.silent_ms),
        busy: row.busy,
      }));
    },

    async releaseWorker(worker, change) {
      const [released] = await db.call<{ turns: boolean; work: boolean }>(releaseWorker, [worker]);
      if (released!.turns) change.turns = true;
      if (released!.work) change.work = true;
      clocks.forget(worker);
    },
  };
}
