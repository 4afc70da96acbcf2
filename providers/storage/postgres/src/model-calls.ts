/** What model calls leave in the store besides their place in history: what they write while they speak, and answers kept. */
import type { AnswerKey, AppendedOutput, CommitOutcome, SavedAnswer, WorkerKey } from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Clocks } from "./clocks.ts";
import type { Database } from "./database.ts";
import { called, type Routine } from "./routines.ts";
import { toJson } from "./values.ts";

/** Appends to output streams, and answers the places of what was appended. */
export const appendOutputs: Routine = {
  name: "append_outputs",
  signature: "(p_worker bigint, p_outputs json, p_instances bigint[]) RETURNS TABLE (place bigint)",
  body: `DECLARE
    v_places bigint[];
  BEGIN
    PERFORM 1 FROM workers WHERE key = p_worker FOR KEY SHARE;
    IF NOT FOUND THEN RETURN; END IF;
    PERFORM 1 FROM instances WHERE key = ANY (p_instances) ORDER BY key FOR KEY SHARE;
    PERFORM ${called("hold_streams")}(p_instances);
    v_places := ARRAY(
      SELECT o.place
      FROM ROWS FROM (json_to_recordset(p_outputs) AS (instance bigint, execution integer, work bigint))
        WITH ORDINALITY AS o (instance, execution, work, place)
      WHERE CASE WHEN o.work IS NULL
        THEN EXISTS (SELECT 1 FROM instances i
          WHERE i.key =@ o.instance AND i.execution = o.execution AND i.owner IS NOT DISTINCT FROM p_worker)
        ELSE EXISTS (SELECT 1 FROM work w
          WHERE w.key =@ o.work AND w.instance = o.instance AND w.execution = o.execution
            AND w.owner IS NOT DISTINCT FROM p_worker) END);
    INSERT INTO outputs (instance, at, body)
    SELECT o.instance, o.at, o.body
    FROM ROWS FROM (json_to_recordset(p_outputs) AS (instance bigint, at bigint, body text))
      WITH ORDINALITY AS o (instance, at, body, place)
    WHERE o.place = ANY (v_places) ORDER BY o.place;
    RETURN QUERY SELECT unnest(v_places);
  END`,
};

/** Keeps answers. More that have expired go than come, so that the table stays small. */
export const saveAnswers: Routine = {
  name: "save_answers",
  signature: "(p_answers json, p_now bigint) RETURNS void",
  body: `BEGIN
    PERFORM 1 FROM instances i
      WHERE i.key = ANY (ARRAY(SELECT a.instance FROM json_to_recordset(p_answers) AS a (instance bigint)))
      ORDER BY i.key FOR KEY SHARE;
    INSERT INTO answers (instance, execution, digest, expires_at, body)
    SELECT DISTINCT ON (coalesce(a.instance, 0), coalesce(a.execution, 0), a.digest) coalesce(a.instance, 0),
      coalesce(a.execution, 0), a.digest, a.expires_at, a.body
    FROM ROWS FROM (json_to_recordset(p_answers) AS (
        instance bigint, execution integer, digest text, "expiresAt" bigint, body text))
      WITH ORDINALITY AS a (instance, execution, digest, expires_at, body, place)
    WHERE a.instance IS NULL OR EXISTS (SELECT 1 FROM instances i WHERE i.key =@ a.instance)
    ORDER BY coalesce(a.instance, 0), coalesce(a.execution, 0), a.digest, a.place DESC
    ON CONFLICT (instance, execution, digest) DO UPDATE SET expires_at = excluded.expires_at, body = excluded.body;
    DELETE FROM answers g USING (
      SELECT k.instance, k.execution, k.digest
      FROM json_to_recordset(p_answers) AS a (instance bigint, execution integer)
      JOIN answers k ON k.instance =@ a.instance AND k.execution > 0 AND k.execution < a.execution
      FOR UPDATE OF k SKIP LOCKED) AS e
    WHERE g.instance =@ e.instance AND g.execution = e.execution AND g.digest = e.digest;
    DELETE FROM answers g USING (
      SELECT k.instance, k.execution, k.digest FROM answers k WHERE k.expires_at <= p_now
      ORDER BY k.expires_at LIMIT 2 * json_array_length(p_answers) FOR UPDATE SKIP LOCKED) AS e
    WHERE g.instance =@ e.instance AND g.execution = e.execution AND g.digest = e.digest;
  END`,
};

/** The verbs of model calls. */
export interface ModelCalls {
  appendOutputs(worker: WorkerKey, outputs: readonly AppendedOutput[], change: ChangeSet): Promise<CommitOutcome[]>;
  readAnswers(keys: readonly AnswerKey[], now: number): Promise<(string | undefined)[]>;
  saveAnswers(answers: readonly SavedAnswer[], now: number): Promise<void>;
}

/** Binds them to a database. */
export function bindModelCalls(db: Database, clocks: Clocks): ModelCalls {
  const find = `SELECT k.place, a.body
    FROM ROWS FROM (json_to_recordset($1::json) AS (instance bigint, execution integer, digest text))
      WITH ORDINALITY AS k (instance, execution, digest, place)
    JOIN ${db.table("answers")} a ON a.instance = coalesce(k.instance, 0) AND a.execution = coalesce(k.execution, 0)
      AND a.digest = k.digest
    WHERE a.expires_at IS NULL OR a.expires_at > $2`;
  return {
    async appendOutputs(worker, outputs, change) {
      if (outputs.length === 0) return [];
      const instances = [...new Set(outputs.map(({ instance }) => instance))];
      const rows = await db.call<{ place: number }>(appendOutputs, [worker, toJson(outputs), instances]);
      const outcomes = outputs.map((): CommitOutcome => "notOwner");
      for (const { place } of rows) {
        outcomes[place - 1] = "committed";
        change.instances.push(outputs[place - 1]!.instanceId);
      }
      return outcomes;
    },

    async readAnswers(keys, now) {
      const bodies = keys.map((): string | undefined => undefined);
      if (keys.length === 0) return bodies;
      const rows = await db.query<{ place: number; body: string }>(find, [toJson(keys), clocks.toStoreOfAny(now)]);
      for (const { place, body } of rows) bodies[place - 1] = body;
      return bodies;
    },

    async saveAnswers(answers, now) {
      if (answers.length === 0) return;
      const rows = answers.map(({ expiresAt, ...answer }) => ({
        ...answer,
        ...(expiresAt !== undefined && { expiresAt: clocks.toStoreOfAny(expiresAt) }),
      }));
      await db.call(saveAnswers, [toJson(rows), clocks.toStoreOfAny(now)]);
    },
  };
}
