/** What a worker does with instances besides claiming and committing: reading what a turn needs, and giving back. */
import type { ExecutionKey, InstanceKey, StoredPayload, WorkerKey } from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Database } from "./database.ts";
import type { Routine } from "./routines.ts";
import { toText } from "./values.ts";

/** Gives instances back, as if they had not been claimed. */
export const releaseInstances: Routine = {
  name: "release_instances",
  signature: "(p_worker bigint, p_keys bigint[]) RETURNS TABLE (released bigint)",
  body: `BEGIN
    PERFORM 1 FROM workers WHERE key = p_worker FOR KEY SHARE;
    IF NOT FOUND THEN RETURN QUERY SELECT 0::bigint; RETURN; END IF;
    RETURN QUERY
    WITH given AS (
      UPDATE instances i SET owner = NULL, attempts = greatest(0, i.attempts - 1)
      FROM (SELECT h.key FROM instances h WHERE h.key = ANY (p_keys) AND h.owner IS NOT DISTINCT FROM p_worker
        ORDER BY h.key FOR NO KEY UPDATE) AS held
      WHERE i.key =@ held.key RETURNING 1)
    SELECT count(*) FROM given;
  END`,
};

/** The smaller verbs of turns. */
export interface Turns {
  readHistory(executions: readonly ExecutionKey[]): Promise<string[][]>;
  readPayloads(rootId: string, digests: readonly string[]): Promise<StoredPayload[]>;
  readWork(executions: readonly ExecutionKey[]): Promise<number[][]>;
  releaseInstances(worker: WorkerKey, keys: readonly InstanceKey[], change: ChangeSet): Promise<void>;
}

/** Binds them to a database. */
export function bindTurns(db: Database): Turns {
  const asked = "unnest($1::bigint[], $2::integer[]) WITH ORDINALITY AS e (key, execution, place)";
  const history = `SELECT e.place, h.body FROM ${asked}
    JOIN ${db.table("history")} h ON h.instance = e.key AND h.execution = e.execution
    ORDER BY e.place, h.first_event_id`;
  const payloads = `SELECT digest, body FROM ${db.table("payloads")}
    WHERE root = (SELECT key FROM ${db.table("instances")} WHERE id = $1) AND digest = ANY ($2::text[])`;
  const work = `SELECT e.place, w.event_id FROM ${asked}
      JOIN ${db.table("work")} w ON w.instance = e.key AND w.execution = e.execution
    UNION SELECT e.place, m.event_id FROM ${asked}
      JOIN ${db.table("messages")} m ON m.instance = e.key AND m.execution = e.execution
    ORDER BY 1, 2`;
  return {
    async readHistory(executions) {
      const rows = await db.query<{ place: number; body: string }>(history, columns(executions));
      return grouped(executions.length, rows, ({ body }) => body);
    },
    async readPayloads(rootId, digests) {
      return digests.length === 0 ? [] : db.query<StoredPayload>(payloads, [toText(rootId), digests.map(toText)]);
    },
    async readWork(executions) {
      const rows = await db.query<{ place: number; event_id: number }>(work, columns(executions));
      return grouped(executions.length, rows, ({ event_id }) => event_id);
    },
    async releaseInstances(worker, keys, change) {
      if (keys.length === 0) return;
      const [answer] = await db.call<{ released: number }>(releaseInstances, [worker, [...keys]]);
      if (answer!.released > 0) change.turns = true;
    },
  };
}

function columns(executions: readonly ExecutionKey[]): [(number | string)[], number[]] {
  return [executions.map(({ key }) => key), executions.map(({ execution }) => execution)];
}

function grouped<Row extends { readonly place: number }, Value>(
  count: number,
  rows: readonly Row[],
  valueOf: (row: Row) => Value,
): Value[][] {
  const groups: Value[][] = Array.from({ length: count }, () => []);
  for (const row of rows) groups[row.place - 1]!.push(valueOf(row));
  return groups;
}
