/** What a worker does with instances besides claiming and committing: reading what a turn needs, and giving back. */
import type { InstanceKey, StoredPayload, WorkerKey } from "@stet/core";
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
      FROM (SELECT h.key FROM instances h WHERE h.key = ANY (p_keys) AND h.owner = p_worker
        ORDER BY h.key FOR NO KEY UPDATE) AS held
      WHERE i.key = held.key RETURNING 1)
    SELECT count(*) FROM given;
  END`,
};

/** The smaller verbs of turns. */
export interface Turns {
  readHistory(key: InstanceKey, execution: number): Promise<string[]>;
  readPayloads(rootId: string, digests: readonly string[]): Promise<StoredPayload[]>;
  readWork(key: InstanceKey, execution: number): Promise<number[]>;
  releaseInstances(worker: WorkerKey, keys: readonly InstanceKey[], change: ChangeSet): Promise<void>;
}

/** Binds them to a database. */
export function bindTurns(db: Database): Turns {
  const history = `SELECT body FROM ${db.table("history")} WHERE instance = $1 AND execution = $2 ORDER BY first_event_id`;
  const payloads = `SELECT digest, body FROM ${db.table("payloads")}
    WHERE root = (SELECT key FROM ${db.table("instances")} WHERE id = $1) AND digest = ANY ($2::text[])`;
  const work = `SELECT event_id FROM ${db.table("work")} WHERE instance = $1 AND execution = $2
    UNION SELECT event_id FROM ${db.table("messages")} WHERE instance = $1 AND execution = $2 ORDER BY event_id`;
  return {
    async readHistory(key, execution) {
      return (await db.query<{ body: string }>(history, [key, execution])).map(({ body }) => body);
    },
    async readPayloads(rootId, digests) {
      return digests.length === 0 ? [] : db.query<StoredPayload>(payloads, [toText(rootId), digests.map(toText)]);
    },
    async readWork(key, execution) {
      return (await db.query<{ event_id: number }>(work, [key, execution])).map(({ event_id }) => event_id);
    },
    async releaseInstances(worker, keys, change) {
      if (keys.length === 0) return;
      const [answer] = await db.call<{ released: number }>(releaseInstances, [worker, [...keys]]);
      if (answer!.released > 0) change.turns = true;
    },
  };
}
