/**
 * Handing out turns. The inbox is read in its own order and each message asks its instance whether this worker may have
 * it, so instances that sleep, wait or have ended cost nothing. Half of a claim is kept for due timers: neither a flood
 * of messages nor a flood of timers holds up the other.
 *
 * A claim that finds only what its worker owns already writes nothing. One that finds something free passes over what
 * another claim is about to take, so that claims of many workers do not wait for each other.
 */
import type { ClaimedTurn, InstanceKey, StoredMessage, TurnClaim } from "@stet/core";
import { holdClaimer, type ClaimRounds } from "./claim-rounds.ts";
import type { Clocks } from "./clocks.ts";
import type { Database } from "./database.ts";
import { called, storeNow, type Routine } from "./routines.ts";
import { anyBuild, blockedBuild, firstEnded } from "./schema.ts";
import { timerKey } from "./turn-parts.ts";
import { toText } from "./values.ts";

const handler = "CASE WHEN i.version IS NULL THEN i.name ELSE i.name || '@' || i.version END";

/**
 * The instances that a claim may have, whoever owns them. Not to be found by their status: an index of that would walk
 * all that run, for each message.
 *
 * @param whenSuspended - What makes it worth to have one that is suspended.
 */
const canRun = (whenSuspended: string): string => `i.status + 0 < ${firstEnded}
  AND ${handler} = ANY (p_handlers)
  AND (i.blocked_builds IS NULL OR CASE i.blocked_builds WHEN '${anyBuild}' THEN ${whenSuspended}
    ELSE strpos(i.blocked_builds, p_build) = 0 END)`;

/** Whether the message `m` is no refusal, or one that a top-up has overtaken. */
const isNoRefusal = `NOT EXISTS (SELECT 1 FROM bookings b
  WHERE b.instance = m.instance AND b.execution = m.execution AND b.event_id = m.event_id AND b.refusal = m.key)`;

const isOwn = "i.owner IS NOT DISTINCT FROM p_worker";
const isFree = `i.owner IS NULL AND (p_leave IS NULL OR ${handler} <> ALL (p_leave))`;
const take = "FOR NO KEY UPDATE OF i SKIP LOCKED";

const ofMessages = "messages m JOIN instances i ON i.key =@ m.instance";
const ofTimers = "timers t JOIN instances i ON i.key =@ t.instance";

/** Answers a row for each message, and one for each instance without. */
export const claimTurns: Routine = {
  name: "claim_turns",
  signature: `(p_worker bigint, p_now bigint, p_max integer, p_handlers text[], p_build text, p_leave text[],
    p_held bigint[], p_round integer)
    RETURNS TABLE (key bigint, id text, root_id text, name text, version text, execution integer, last_event_id integer,
      attempts integer, unsettled boolean, message bigint, event_id integer, timer_execution integer, at bigint,
      body text)`,
  body: `DECLARE
    v_now bigint := coalesce(p_now, ${storeNow});
    v_messages bigint[];
    v_due bigint[][];
    v_orphans bigint[];
    v_known bigint[];
    v_free boolean;
    v_ready_kept integer;
    v_due_kept integer;
    v_room integer;
  BEGIN
    IF p_held IS NOT NULL THEN PERFORM ${called("begin_round")}(p_worker, p_round); END IF;
    SELECT array_agg(c.key), bool_or(c.free) INTO v_messages, v_free FROM (
      SELECT m.key, i.owner IS NULL AS free FROM ${ofMessages}
      WHERE (${isFree} OR i.owner = p_worker) AND ${canRun(isNoRefusal)} ORDER BY m.key LIMIT p_max) c;
    SELECT array_agg(ARRAY[c.instance, c.execution, c.event_id] ORDER BY c.visible_at),
      coalesce(v_free, false) OR coalesce(bool_or(c.free), false) INTO v_due, v_free FROM (
      SELECT t.instance, t.execution, t.event_id, t.visible_at, i.owner IS NULL AS free FROM ${ofTimers}
      WHERE t.visible_at <= v_now AND (${isFree} OR i.owner = p_worker) AND ${canRun("true")}
      ORDER BY t.visible_at LIMIT p_max) c;
    SELECT array_agg(c.key) INTO v_orphans FROM (
      SELECT i.key FROM instances i WHERE i.unsettled AND ${isFree} AND ${canRun("false")} LIMIT p_max) c;

    IF v_messages IS NULL AND v_due IS NULL AND v_orphans IS NULL AND p_held IS NULL THEN RETURN; END IF;
    IF v_free OR v_orphans IS NOT NULL THEN
      ${holdClaimer};
      IF NOT FOUND THEN RETURN; END IF; -- nobody would ever release what it took
      -- Nobody waits for the disk: a claim that a crash of the server takes along was never made, and its turns are refused.
      PERFORM set_config('synchronous_commit', 'off', true);
      IF v_messages IS NOT NULL THEN
        SELECT array_agg(c.key) INTO v_messages FROM (
          SELECT key FROM (
            (SELECT m.key FROM unnest(v_messages) AS k (key)
             JOIN messages m ON m.key =@ k.key JOIN instances i ON i.key =@ m.instance WHERE ${isOwn})
            UNION ALL
            (SELECT f.key FROM (SELECT m.key FROM ${ofMessages} WHERE ${isFree} AND ${canRun(isNoRefusal)} ORDER BY m.key LIMIT p_max ${take}) f)) u
          ORDER BY key LIMIT p_max) c;
      END IF;
      IF v_due IS NOT NULL THEN
        SELECT array_agg(ARRAY[c.instance, c.execution, c.event_id] ORDER BY c.visible_at) INTO v_due FROM (
          SELECT * FROM (
            (SELECT t.instance, t.execution, t.event_id, t.visible_at FROM ${ofTimers}
             WHERE t.visible_at <= v_now AND ${isOwn} AND ${canRun("true")} ORDER BY t.visible_at LIMIT p_max)
            UNION ALL
            (SELECT * FROM (SELECT t.instance, t.execution, t.event_id, t.visible_at FROM ${ofTimers}
             WHERE t.visible_at <= v_now AND ${isFree} AND ${canRun("true")} ORDER BY t.visible_at LIMIT p_max ${take}) f)) u
          ORDER BY visible_at LIMIT p_max) c;
      END IF;
    END IF;

    v_due_kept := least(coalesce(array_length(v_due, 1), 0),
      greatest(p_max - coalesce(cardinality(v_messages), 0), p_max / 2));
    v_ready_kept := least(coalesce(cardinality(v_messages), 0), p_max - v_due_kept);
    v_messages := v_messages[1:v_ready_kept];
    -- Orphans have no message that counts, but some must come through however full the inbox is.
    v_room := greatest(1, p_max - v_ready_kept - v_due_kept);
    IF v_orphans IS NOT NULL THEN
      v_orphans := ARRAY(SELECT i.key FROM instances i WHERE i.unsettled AND ${isFree} AND ${canRun("false")} LIMIT v_room ${take});
    END IF;
    v_known := v_orphans;
    IF p_held IS NOT NULL THEN
      v_known := v_known || ARRAY(
        SELECT i.key FROM instances i WHERE i.owner = p_worker AND i.unsettled AND ${canRun("false")}
          AND NOT i.key = ANY (p_held) LIMIT v_room);
    END IF;

    IF v_free OR v_orphans IS NOT NULL THEN
      UPDATE instances i SET owner = p_worker, attempts = i.attempts + 1
      FROM (SELECT h.key FROM instances h WHERE h.owner IS NULL AND h.key = ANY (ARRAY(
          SELECT unnest(v_orphans)
          UNION SELECT m.instance FROM unnest(v_messages) AS k (key) JOIN messages m ON m.key =@ k.key
          UNION SELECT v_due[n][1] FROM generate_series(1, v_due_kept) AS n))
        FOR NO KEY UPDATE SKIP LOCKED) AS taken -- one that was ours has been given back meanwhile, and is not held yet
      WHERE i.key =@ taken.key;
    END IF;

    RETURN QUERY
    SELECT i.key, i.id, r.id, i.name, i.version, i.execution, i.last_event_id, i.attempts, i.unsettled,
      c.message, c.event_id, c.timer_execution, c.at, c.body
    FROM (
      SELECT m.instance, m.key AS message, NULL::integer AS event_id, NULL::integer AS timer_execution, m.at, m.body
      FROM unnest(v_messages) AS k (key) JOIN messages m ON m.key =@ k.key
      UNION ALL
      SELECT t.instance, NULL, t.event_id, t.execution, t.fire_at, t.body
      FROM generate_series(1, v_due_kept) AS n
      JOIN timers t ON t.instance =@ v_due[n][1] AND t.execution = v_due[n][2] AND t.event_id = v_due[n][3]
      UNION ALL
      SELECT unnest(v_known), NULL, NULL, NULL, NULL, NULL) c
    JOIN instances i ON i.key =@ c.instance LEFT JOIN instances r ON r.key =@ i.root
    WHERE i.owner IS NOT DISTINCT FROM p_worker;
  END`,
};

interface Row {
  readonly key: InstanceKey;
  readonly id: string;
  readonly root_id: string | null;
  readonly name: string;
  readonly version: string | null;
  readonly execution: number;
  readonly last_event_id: number;
  readonly attempts: number;
  readonly unsettled: boolean;
  readonly message: number | null;
  readonly event_id: number | null;
  readonly timer_execution: number | null;
  readonly at: number;
  readonly body: string;
}

/** Binds `claimTurns` to a database. */
export function bindClaimTurns(
  db: Database,
  clocks: Clocks,
  claimRounds: ClaimRounds,
): (claim: TurnClaim) => Promise<ClaimedTurn[]> {
  return async ({ worker, now, max, orchestrations, buildId, leave, held }) => {
    if (max <= 0) return [];
    const rows = await db.call<Row>(claimTurns, [
      worker,
      clocks.now(now),
      max,
      orchestrations.map(toText),
      blockedBuild(buildId),
      leave === undefined ? null : leave.map(toText),
      held === undefined ? null : [...held],
      claimRounds.of(worker, held !== undefined),
    ]);
    const turns = new Map<InstanceKey, ClaimedTurn & { readonly messages: StoredMessage[] }>();
    for (const row of rows) {
      let turn = turns.get(row.key);
      if (turn === undefined) turns.set(row.key, (turn = turnOf(row)));
      const message = messageOf(row);
      if (message !== undefined) turn.messages.push(message);
    }
    return [...turns.values()];
  };
}

function turnOf(row: Row): ClaimedTurn & { readonly messages: StoredMessage[] } {
  return {
    key: row.key,
    instanceId: row.id,
    rootId: row.root_id ?? row.id,
    name: row.name,
    ...(row.version !== null && { version: row.version }),
    execution: row.execution,
    lastEventId: row.last_event_id,
    attempts: row.attempts,
    unsettled: row.unsettled,
    messages: [],
  };
}

function messageOf({ message, event_id, timer_execution, at, body }: Row): StoredMessage | undefined {
  if (message !== null) return { key: message, body, at, timer: false };
  if (event_id === null || timer_execution === null) return undefined;
  return { key: timerKey(timer_execution, event_id), body, at, timer: true };
}
