/**
 * Handing out work. Activities come in the order of their rows among those that are visible, model calls in that of their
 * ranks; one that waits for its time holds up none, and one whose session belongs to another worker is passed over, as is one that another claim is about
 * to take.
 */
import type { ClaimedWork, InstanceKey, WorkClaim, WorkKey } from "@stet/core";
import { holdClaimer, type ClaimRounds } from "./claim-rounds.ts";
import type { Clocks } from "./clocks.ts";
import type { Database } from "./database.ts";
import { called, storeNow, type Routine } from "./routines.ts";
import { toText } from "./values.ts";

const canPerform = "w.rank IS NULL AND w.name = ANY (p_activities)";

/** What this worker may run. A session is another's while that one used it lately or runs one of its items. */
const mayRun = `w.owner IS NULL AND ${canPerform} AND (w.tag IS NULL OR w.tag = ANY (p_tags))
  AND (w.session IS NULL OR NOT EXISTS (
    SELECT 1 FROM sessions s WHERE s.name =@ w.session AND s.worker <> p_worker AND (
      s.used_at > v_idle_since OR EXISTS (SELECT 1 FROM work r WHERE r.owner = s.worker AND r.session = s.name))))`;

/** What is read of an item that is handed out. */
export const claimedColumns = `w.key, w.instance, i.id, r.id, w.execution, w.event_id, w.body, w.kind, w.name, w.attempts,
      w.heartbeat, w.failure`;

/** What it is called where it is answered. */
export const claimedRow = `key bigint, instance bigint, instance_id text, root_id text, execution integer,
      event_id integer, body text, kind text, name text, attempts integer, heartbeat text, failure text`;

/**
 * Answers items that the worker has forgotten, as they are, and new ones. A session that is taken for one item of a
 * claim is taken before the next claim of anybody looks.
 */
export const claimWork: Routine = {
  name: "claim_work",
  signature: `(p_worker bigint, p_now bigint, p_max integer, p_activities text[], p_models boolean,
      p_except_lines text[], p_tags text[], p_idle_ms bigint, p_held bigint[],
      p_round integer)
    RETURNS TABLE (${claimedRow})`,
  body: `DECLARE
    v_now bigint := coalesce(p_now, ${storeNow});
    v_idle_since bigint := v_now - p_idle_ms;
    v_again bigint[] := '{}';
    v_taken bigint[];
    v_sessions text[];
  BEGIN
    IF p_held IS NOT NULL THEN PERFORM ${called("begin_round")}(p_worker, p_round); END IF;
    IF p_held IS NOT NULL THEN
      v_again := ARRAY(SELECT w.key FROM work w
        WHERE w.owner = p_worker
          AND CASE WHEN w.rank IS NULL THEN ${canPerform} ELSE p_models AND NOT w.name = ANY (p_except_lines) END
          AND NOT w.key = ANY (p_held) ORDER BY w.key LIMIT p_max);
      p_max := p_max - cardinality(v_again);
    END IF;
    SELECT array_agg(c.key ORDER BY c.key), array_agg(DISTINCT c.session) FILTER (WHERE c.session IS NOT NULL)
    INTO v_taken, v_sessions FROM (
      SELECT * FROM (
        SELECT * FROM (SELECT w.key, w.session FROM work w
          WHERE w.visible_at = 0 AND ${mayRun} ORDER BY w.key LIMIT p_max FOR UPDATE OF w SKIP LOCKED) ready
        UNION ALL
        SELECT * FROM (SELECT w.key, w.session FROM work w
          WHERE w.visible_at > 0 AND w.visible_at <= v_now AND ${mayRun}
          ORDER BY w.visible_at LIMIT p_max FOR UPDATE OF w SKIP LOCKED) due) u
      ORDER BY key LIMIT p_max) c;
    IF p_models THEN
      v_taken := v_taken || ARRAY(SELECT c.key FROM (
        SELECT w.key FROM work w
        WHERE w.owner IS NULL AND w.rank IS NOT NULL AND w.visible_at <= v_now AND NOT w.name = ANY (p_except_lines)
          AND (w.tag IS NULL OR w.tag = ANY (p_tags))
        ORDER BY w.rank, w.key LIMIT p_max - coalesce(cardinality(v_taken), 0) FOR UPDATE SKIP LOCKED) c);
    END IF;
    IF v_taken <> '{}' THEN
      ${holdClaimer} SKIP LOCKED;
      IF NOT FOUND THEN RETURN; END IF; -- nobody would ever release what it took, or somebody is about to
      IF v_sessions IS NOT NULL THEN
        v_sessions := ${called("take_sessions")}(p_worker, v_sessions, v_now, v_idle_since);
        v_taken := ARRAY(SELECT w.key FROM unnest(v_taken) AS t (key) JOIN work w ON w.key =@ t.key
          WHERE w.session IS NULL OR w.session = ANY (v_sessions));
      END IF;
      UPDATE work w SET owner = p_worker, attempts = w.attempts + 1
      FROM unnest(v_taken) AS t (key) WHERE w.key =@ t.key;
    END IF;
    IF coalesce(v_taken, '{}') = '{}' AND v_again = '{}' THEN RETURN; END IF;
    RETURN QUERY
    SELECT ${claimedColumns}
    FROM unnest(v_again || v_taken) WITH ORDINALITY AS t (key, place)
    JOIN work w ON w.key =@ t.key JOIN instances i ON i.key =@ w.instance LEFT JOIN instances r ON r.key =@ i.root
    ORDER BY t.place;
  END`,
};

/** Takes sessions, and answers those that no other worker took first. As many idle ones go as come, and more. */
export const takeSessions: Routine = {
  name: "take_sessions",
  signature: "(p_worker bigint, p_names text[], p_now bigint, v_idle_since bigint) RETURNS text[]",
  body: `DECLARE
    v_taken text[];
  BEGIN
    INSERT INTO sessions AS s (name, worker, used_at)
    SELECT n, p_worker, p_now FROM unnest(p_names) AS n ORDER BY n
    ON CONFLICT (name) DO UPDATE SET worker = p_worker, used_at = p_now
    WHERE s.worker = p_worker OR NOT (s.used_at > v_idle_since
      OR EXISTS (SELECT 1 FROM work r WHERE r.owner = s.worker AND r.session = s.name));
    v_taken := ARRAY(SELECT s.name FROM unnest(p_names) AS n JOIN sessions s ON s.name =@ n AND s.worker = p_worker);
    DELETE FROM sessions WHERE name = ANY (ARRAY(
      SELECT s.name FROM sessions s WHERE s.used_at <= v_idle_since AND NOT s.name = ANY (v_taken)
        AND NOT EXISTS (SELECT 1 FROM work r WHERE r.owner = s.worker AND r.session = s.name)
      ORDER BY s.used_at LIMIT 8 FOR UPDATE SKIP LOCKED));
    RETURN v_taken;
  END`,
};

/** An item as it is read. */
export interface WorkRow {
  readonly key: WorkKey;
  readonly instance: InstanceKey;
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
}

/** Binds `claimWork` to a database. */
export function bindClaimWork(
  db: Database,
  clocks: Clocks,
  claimRounds: ClaimRounds,
): (claim: WorkClaim) => Promise<ClaimedWork[]> {
  return async ({ worker, now, max, activities, models, exceptLines = [], tags, sessionIdleMs, held }) => {
    const rows = await db.call<WorkRow>(claimWork, [
      worker,
      clocks.now(now),
      Math.max(0, max),
      activities.map(toText),
      models,
      exceptLines.map(toText),
      tags.map(toText),
      sessionIdleMs,
      held === undefined ? null : [...held],
      claimRounds.of(worker, held !== undefined),
    ]);
    return rows.map(itemOf);
  };
}

/** An item as the seam has it. */
export function itemOf(row: WorkRow): ClaimedWork {
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
    attempts: row.attempts,
    ...(row.heartbeat !== null && { heartbeat: row.heartbeat }),
    ...(row.failure !== null && { failure: row.failure }),
  };
}
