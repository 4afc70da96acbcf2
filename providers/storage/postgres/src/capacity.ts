/**
 * Model calls that wait for capacity. How much a model has left is counted from what was claimed of it; whoever claims
 * holds the model, counts, takes the rows and books them, so that all workers together never take more than there is.
 */
import type { CallClaim, ClaimedCalls } from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import { claimedColumns, claimedRow, itemOf, type WorkRow } from "./claim-work.ts";
import { holdClaimer, type ClaimRounds } from "./claim-rounds.ts";
import type { Clocks } from "./clocks.ts";
import type { Database } from "./database.ts";
import { called, storeNow, type Routine } from "./routines.ts";
import { toJson, toText } from "./values.ts";

/** A start that lies further ahead was booked by a clock that has been put back since. */
const clockJumpMs = 60_000;

const inLines = "w.rank IS NOT NULL AND w.name = ANY (p_lines)";
const counted = `s.model = p_model AND s.at > p_now - v_window.ms AND s.at <= p_now + ${clockJumpMs}`;

/** When all windows of a model let the next call start, if not now. */
export const capacityAt: Routine = {
  name: "capacity_at",
  signature: "(p_model text, p_windows json, p_now bigint) RETURNS bigint",
  body: `DECLARE
    v_window record;
    v_latest bigint;
  BEGIN
    FOR v_window IN SELECT * FROM json_to_recordset(p_windows) AS w (ms bigint, requests integer, tokens bigint) LOOP
      IF v_window.requests IS NOT NULL THEN
        v_latest := greatest(v_latest, (SELECT s.at + v_window.ms FROM model_starts s WHERE ${counted}
          ORDER BY s.at DESC OFFSET greatest(v_window.requests, 1) - 1 LIMIT 1));
      END IF;
      IF v_window.tokens IS NOT NULL THEN
        v_latest := greatest(v_latest, (SELECT min(d.at) + v_window.ms FROM (
          SELECT s.at, sum(s.tokens) OVER () AS used, sum(s.tokens) OVER (ORDER BY s.at, s.work) AS forgotten
          FROM model_starts s WHERE ${counted}) d
          WHERE d.used >= v_window.tokens AND d.used - d.forgotten < v_window.tokens));
      END IF;
    END LOOP;
    RETURN v_latest;
  END`,
};

/** Answers calls in their order, and in each row when the next could be claimed. Without a call one row says it. */
export const claimCalls: Routine = {
  name: "claim_calls",
  signature: `(p_worker bigint, p_now bigint, p_claimed_at bigint, p_max integer, p_model text, p_lines text[],
      p_windows json, p_held bigint[], p_round integer)
    RETURNS TABLE (next_in bigint, ${claimedRow})`,
  body: `DECLARE
    v_now bigint := coalesce(p_now, ${storeNow});
    v_taken bigint[] := '{}';
    v_again integer;
    v_row record;
    v_left boolean := false;
    v_next bigint;
  BEGIN
    IF p_held IS NOT NULL THEN PERFORM ${called("begin_round")}(p_worker, p_round); END IF;
    IF p_held IS NOT NULL THEN
      v_taken := ARRAY(SELECT w.key FROM work w WHERE w.owner = p_worker AND ${inLines} AND NOT w.key = ANY (p_held)
        ORDER BY w.key LIMIT p_max);
    END IF;
    v_again := cardinality(v_taken);
    IF EXISTS (SELECT 1 FROM work w WHERE w.owner IS NULL AND ${inLines} AND w.visible_at <= v_now) THEN
      ${holdClaimer};
      IF NOT FOUND THEN RETURN; END IF; -- nobody would ever release what it took
      INSERT INTO models (name, closed_until, next_at) VALUES (p_model, 0, 0) ON CONFLICT DO NOTHING;
      SELECT CASE WHEN m.closed_until > v_now THEN m.closed_until END INTO v_next
      FROM models m WHERE m.name = p_model FOR UPDATE;
      FOR v_row IN
        SELECT w.key, w.tokens FROM work w WHERE w.owner IS NULL AND ${inLines} AND w.visible_at <= v_now
        ORDER BY w.rank, w.key LIMIT p_max - v_again + 1 FOR UPDATE SKIP LOCKED -- one more shows that some are left
      LOOP
        v_next := coalesce(v_next, ${called("capacity_at")}(p_model, p_windows, v_now));
        v_left := v_next IS NOT NULL OR cardinality(v_taken) = p_max;
        EXIT WHEN v_left;
        v_taken := v_taken || v_row.key;
        IF json_array_length(p_windows) > 0 THEN
          INSERT INTO model_starts AS s (model, work, claimed_at, at, tokens)
          VALUES (p_model, v_row.key, p_claimed_at, v_now, v_row.tokens)
          ON CONFLICT (model, work, claimed_at) DO UPDATE SET at = excluded.at, tokens = excluded.tokens;
        END IF;
      END LOOP;
      UPDATE work w SET owner = p_worker, attempts = w.attempts + 1
      FROM unnest(v_taken[v_again + 1:]) AS t (key) WHERE w.key =@ t.key;
      IF json_array_length(p_windows) > 0 AND cardinality(v_taken) > v_again THEN
        DELETE FROM model_starts s USING (
          SELECT s.work, s.claimed_at FROM model_starts s WHERE s.model = p_model
            AND (s.at <= v_now - (SELECT max(w.ms) FROM json_to_recordset(p_windows) AS w (ms bigint))
              OR s.at > v_now + ${clockJumpMs}) FOR UPDATE SKIP LOCKED) AS f
        WHERE s.model = p_model AND s.work =@ f.work AND s.claimed_at = f.claimed_at;
      END IF;
      IF v_left AND v_next IS NOT NULL THEN
        UPDATE models SET next_at = v_next WHERE name = p_model AND next_at <> v_next;
      ELSE
        v_next := NULL;
      END IF;
    END IF;
    IF v_taken = '{}' AND v_next IS NOT NULL THEN
      RETURN QUERY SELECT v_next - v_now, NULL::bigint, NULL::bigint, NULL, NULL, NULL::integer, NULL::integer, NULL, NULL,
        NULL, NULL::integer, NULL, NULL;
    END IF;
    RETURN QUERY
    SELECT v_next - v_now, ${claimedColumns}
    FROM unnest(v_taken) WITH ORDINALITY AS t (key, place)
    JOIN work w ON w.key =@ t.key JOIN instances i ON i.key =@ w.instance LEFT JOIN instances r ON r.key =@ i.root
    ORDER BY t.place;
  END`,
};

/** Closes a model until a time, unless it is closed for longer. */
export const closeModel: Routine = {
  name: "close_model",
  signature: "(p_model text, p_until bigint) RETURNS TABLE (closed boolean)",
  body: `BEGIN
    INSERT INTO models AS m (name, closed_until, next_at) VALUES (p_model, p_until, 0)
    ON CONFLICT (name) DO UPDATE SET closed_until = excluded.closed_until
    WHERE m.closed_until < excluded.closed_until;
    RETURN QUERY SELECT FOUND;
  END`,
};

/** Puts what calls have used in the place of what was expected. */
export const settleCapacity: Routine = {
  name: "settle_capacity",
  signature: "(p_used json) RETURNS void",
  body: `BEGIN
    PERFORM 1 FROM json_to_recordset(p_used) AS u (model text, work bigint, "claimedAt" bigint)
      JOIN model_starts s ON s.model =@ u.model AND s.work = u.work AND s.claimed_at = u."claimedAt"
      ORDER BY s.model, s.work, s.claimed_at FOR NO KEY UPDATE OF s;
    UPDATE model_starts s SET tokens = u.tokens
    FROM json_to_recordset(p_used) AS u (model text, work bigint, "claimedAt" bigint, tokens bigint)
    WHERE s.model =@ u.model AND s.work = u.work AND s.claimed_at = u."claimedAt";
  END`,
};

/** The verbs of capacity. */
export interface Capacity {
  claimCalls(claim: CallClaim): Promise<ClaimedCalls>;
  closeModel(model: string, until: number, change: ChangeSet): Promise<void>;
}

type Row = { readonly next_in: number | null } & (WorkRow | { readonly key: null });

/** Binds them to a database. */
export function bindCapacity(db: Database, clocks: Clocks, claimRounds: ClaimRounds): Capacity {
  return {
    async claimCalls({ worker, now, max, model, lines, windows, held }) {
      const rows = await db.call<Row>(claimCalls, [
        worker,
        clocks.now(now),
        now,
        Math.max(0, max),
        toText(model),
        lines.map(toText),
        toJson(windows),
        held === undefined ? null : [...held],
        claimRounds.of(worker, held !== undefined),
      ]);
      const nextIn = rows[0]?.next_in ?? null;
      return {
        calls: rows.flatMap((row) => (row.key === null ? [] : [itemOf(row)])),
        ...(nextIn !== null && { nextAt: now + nextIn }),
      };
    },

    async closeModel(model, until, change) {
      const [answer] = await db.call<{ closed: boolean }>(closeModel, [toText(model), clocks.toStoreOfAny(until)]);
      if (answer!.closed) change.work = true;
    },
  };
}
