/**
 * What becomes of work items. Whoever answers one holds the row of its instance before that of the item, as the owner of
 * the instance does when it drops the item.
 */
import type { CommitOutcome, SavedWork, UsedCapacity, WorkCompletion, WorkKey, WorkRetry, WorkerKey } from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Clocks } from "./clocks.ts";
import type { Database } from "./database.ts";
import { addresseesOf } from "./messages.ts";
import { called, storeNow, type Routine } from "./routines.ts";
import { workRow } from "./turn-parts.ts";
import { toJson } from "./values.ts";

/** Writes items, each for its owner or for anybody. An item of an execution that is over would never be settled. */
export const saveWork: Routine = {
  name: "save_work",
  signature: "(p_worker bigint, p_work json, p_instances bigint[]) RETURNS TABLE (place bigint, key bigint)",
  body: `DECLARE
    v_places bigint[];
    v_work json;
  BEGIN
    PERFORM 1 FROM workers WHERE key = p_worker FOR KEY SHARE;
    IF NOT FOUND THEN RETURN; END IF;
    PERFORM 1 FROM instances WHERE key = ANY (p_instances) ORDER BY key FOR KEY SHARE;
    SELECT json_agg(n.item ORDER BY n.place), array_agg(n.place ORDER BY n.place) INTO v_work, v_places
    FROM json_array_elements(p_work) WITH ORDINALITY AS n (item, place)
    JOIN instances i ON i.key = ANY (ARRAY[(n.item->>'instance')::bigint])
    WHERE i.owner IS NOT DISTINCT FROM p_worker AND i.execution <= (n.item->>'execution')::integer;
    IF v_work IS NULL THEN RETURN; END IF;
    PERFORM ${called("remove_requests")}(NULL, NULL, NULL, v_work);
    RETURN QUERY SELECT v_places[k.place], k.key FROM ${called("insert_work")}(v_work, p_worker) AS k (place, key);
    INSERT INTO sessions (name, worker, used_at)
    SELECT DISTINCT n.session, p_worker, 0 FROM json_to_recordset(v_work) AS n (session text, owned boolean)
    WHERE n.owned AND n.session IS NOT NULL ORDER BY n.session ON CONFLICT DO NOTHING;
  END`,
};

/** Answers items: each goes, and its message comes. */
export const completeWork: Routine = {
  name: "complete_work",
  signature: `(p_worker bigint, p_keys bigint[], p_messages json, p_ids text[], p_by_store boolean, p_used json)
    RETURNS TABLE (key bigint, session text)`,
  body: `DECLARE
    v_messages json;
    v_keys bigint[];
    v_sessions text[];
  BEGIN
    PERFORM 1 FROM workers WHERE key = p_worker FOR KEY SHARE;
    IF NOT FOUND THEN RETURN; END IF;
    PERFORM ${called("hold_addressees")}(p_ids);
    WITH held AS MATERIALIZED (
      SELECT w.key FROM work w WHERE w.key = ANY (p_keys) AND w.owner IS NOT DISTINCT FROM p_worker ORDER BY w.key FOR UPDATE
    ), gone AS (
      DELETE FROM work w USING held h WHERE w.key =@ h.key RETURNING w.key, w.session)
    SELECT array_agg(g.key), array_agg(g.session) INTO v_keys, v_sessions FROM gone g;
    IF p_used IS NOT NULL THEN PERFORM ${called("settle_capacity")}(p_used); END IF;
    IF v_keys IS NULL THEN RETURN; END IF;
    IF cardinality(v_keys) = cardinality(p_keys) THEN v_messages := p_messages;
    ELSE
      SELECT json_agg(m.message ORDER BY m.place) INTO v_messages
      FROM json_array_elements(p_messages) WITH ORDINALITY AS m (message, place)
      WHERE p_keys[m.place] = ANY (v_keys);
    END IF;
    PERFORM ${called("deliver")}(v_messages);
    UPDATE sessions s SET used_at = greatest(s.used_at, used.at)
    FROM (SELECT g.session, max(CASE WHEN p_by_store THEN ${storeNow}
        ELSE (p_messages->(array_position(p_keys, g.key) - 1)->>'at')::bigint END) AS at
      FROM unnest(v_keys, v_sessions) AS g (key, session) WHERE g.session IS NOT NULL
      GROUP BY g.session ORDER BY g.session) AS used
    WHERE s.name =@ used.session AND s.worker = p_worker;
    RETURN QUERY SELECT g.key, g.session FROM unnest(v_keys, v_sessions) AS g (key, session);
  END`,
};

/** Changes items that a worker owns, and answers which. */
function changeWork(name: string, columns: string, members: string): Routine {
  return {
    name,
    signature: "(p_worker bigint, p_items json, p_used json) RETURNS TABLE (key bigint)",
    body: `BEGIN
      PERFORM 1 FROM workers WHERE key = p_worker FOR KEY SHARE;
      IF NOT FOUND THEN RETURN; END IF;
      PERFORM 1 FROM work w WHERE w.key = ANY (ARRAY(SELECT n.key FROM json_to_recordset(p_items) AS n (key bigint)))
        ORDER BY w.key FOR NO KEY UPDATE;
      IF p_used IS NOT NULL THEN PERFORM ${called("settle_capacity")}(p_used); END IF;
      RETURN QUERY
      UPDATE work w SET ${columns} FROM json_to_recordset(p_items) AS n (key bigint${members})
      WHERE w.key =@ n.key AND w.owner IS NOT DISTINCT FROM p_worker RETURNING w.key;
    END`,
  };
}

/** Another attempt later. */
export const retryWork: Routine = changeWork(
  "retry_work",
  `owner = NULL, visible_at = n."visibleAt", failure = coalesce(n.failure, w.failure), name = coalesce(n.name, w.name),
    attempts = coalesce(n.attempts, w.attempts)`,
  `, "visibleAt" bigint, failure text, name text, attempts integer`,
);

/** Gives items back unstarted. */
export const abandonWork: Routine = changeWork(
  "abandon_work",
  "owner = NULL, attempts = greatest(0, w.attempts - 1)",
  "",
);

/** Keeps the details of attempts. */
export const saveHeartbeats: Routine = changeWork("save_heartbeats", "heartbeat = n.details", ", details text");

/** The verbs of work besides claiming. */
export interface Work {
  saveWork(worker: WorkerKey, work: readonly SavedWork[], change: ChangeSet): Promise<(WorkKey | undefined)[]>;
  completeWork(worker: WorkerKey, completions: readonly WorkCompletion[], change: ChangeSet): Promise<CommitOutcome[]>;
  retryWork(worker: WorkerKey, retries: readonly WorkRetry[], change: ChangeSet): Promise<CommitOutcome[]>;
  abandonWork(worker: WorkerKey, keys: readonly WorkKey[], change: ChangeSet): Promise<void>;
  saveHeartbeats(
    worker: WorkerKey,
    beats: readonly { readonly key: WorkKey; readonly details: string; readonly now: number }[],
  ): Promise<void>;
}

interface Changed {
  readonly key: WorkKey;
}

interface Saved extends Changed {
  readonly place: number;
}

interface Completed extends Changed {
  readonly session: string | null;
}

/** Binds them to a database. */
export function bindWork(db: Database, clocks: Clocks): Work {
  return {
    async saveWork(worker, work, change) {
      if (work.length === 0) return [];
      const rows = work.map((item) => workRow(item.instance, item, worker, clocks));
      const instances = [...new Set(work.map(({ instance }) => instance))];
      const keys: (WorkKey | undefined)[] = work.map(() => undefined);
      for (const { place, key } of await db.call<Saved>(saveWork, [worker, toJson(rows), instances])) {
        keys[place - 1] = key;
        if (!work[place - 1]!.owned) change.work = true;
      }
      return keys;
    },

    async completeWork(worker, completions, change) {
      if (completions.length === 0) return [];
      const messages = completions.map(({ message }) => message);
      const rows = await db.call<Completed>(completeWork, [
        worker,
        completions.map(({ key }) => key),
        toJson(messages),
        addresseesOf(messages, []),
        clocks.now(0) === null,
        usedRows(completions),
      ]);
      if (rows.length > 0) change.turns = true;
      // What waited for the session may be claimed when it becomes idle.
      if (rows.some(({ session }) => session !== null)) change.work = true;
      return outcomesOf(completions, rows);
    },

    async retryWork(worker, retries, change) {
      if (retries.length === 0) return [];
      const items = retries.map((retry) => ({ ...retry, visibleAt: clocks.toStore(worker, retry.visibleAt) }));
      const rows = await db.call<Changed>(retryWork, [worker, toJson(items), usedRows(retries)]);
      if (rows.length > 0) change.work = true;
      return outcomesOf(retries, rows);
    },

    async abandonWork(worker, keys, change) {
      if (keys.length === 0) return;
      const rows = await db.call<Changed>(abandonWork, [worker, toJson(keys.map((key) => ({ key }))), null]);
      if (rows.length > 0) change.work = true;
    },

    async saveHeartbeats(worker, beats) {
      if (beats.length > 0) await db.call(saveHeartbeats, [worker, toJson(beats), null]);
    },
  };
}

function usedRows(ended: readonly { readonly key: WorkKey; readonly used?: UsedCapacity }[]): string | null {
  const rows = ended.flatMap(({ key, used }) => (used === undefined ? [] : [{ ...used, work: key }]));
  return rows.length === 0 ? null : toJson(rows);
}

function outcomesOf(asked: readonly Changed[], changed: readonly Changed[]): CommitOutcome[] {
  const keys = new Set(changed.map(({ key }) => key));
  return asked.map(({ key }) => (keys.delete(key) ? "committed" : "notOwner"));
}
