/** What a turn writes beside its instance, its history and its mail. An empty part costs nothing. */
import type { InstanceKey, OutgoingWork, TurnCommit, WorkerKey } from "@stet/core";
import type { Clocks } from "./clocks.ts";
import { called, type Routine } from "./routines.ts";

/** `visible_at` of what is visible at once: activities, and model calls. */
const atOnce = 0;
const inLine = -1;

/** A work item of a worker's instance as functions take it. */
export function workRow(instance: InstanceKey, work: OutgoingWork, worker: WorkerKey, clocks: Clocks): object {
  const isCall = work.kind === "model";
  const visibleAt = work.visibleAt === undefined ? (isCall ? inLine : atOnce) : clocks.toStore(worker, work.visibleAt);
  return { rank: isCall ? 0 : undefined, tokens: isCall ? 0 : undefined, ...work, instance, visibleAt };
}

/** Writes work rows. Earlier rows of the same requests are removed already. */
export const insertWork: Routine = {
  name: "insert_work",
  signature: "(p_work json, p_owner bigint) RETURNS TABLE (place bigint, key bigint)",
  body: `DECLARE
    v_keys bigint[] := ARRAY(SELECT nextval('work_key_seq') FROM generate_series(1, json_array_length(p_work)));
  BEGIN
    INSERT INTO work (key, instance, execution, event_id, owner, visible_at, attempts, kind, name, tag, session,
      heartbeat, failure, rank, tokens, body)
    SELECT DISTINCT ON (n.instance, n.execution, n.event_id) v_keys[n.place], n.instance, n.execution, n.event_id,
      CASE WHEN n.owned THEN p_owner END, n.visible_at, n.attempts, n.kind, n.name, n.tag, n.session, n.heartbeat,
      n.failure, n.rank, n.tokens, n.body
    FROM ROWS FROM (json_to_recordset(p_work) AS (instance bigint, execution integer, "eventId" integer, owned boolean,
        "visibleAt" bigint, attempts integer, kind text, name text, tag text, session text, heartbeat text, failure text,
        rank bigint, tokens bigint, body text))
      WITH ORDINALITY AS n (instance, execution, event_id, owned, visible_at, attempts, kind, name, tag, session,
        heartbeat, failure, rank, tokens, body, place)
    ORDER BY n.instance, n.execution, n.event_id, n.place DESC;
    RETURN QUERY SELECT k.place, k.key FROM unnest(v_keys) WITH ORDINALITY AS k (key, place);
  END`,
};

/**
 * Deletes the rows of requests: all of some instances, those of executions that were left, single ones, and those of work
 * that is about to be written again, so that whoever runs it loses it. Others hold many items too, so they go in order.
 */
export const removeRequests: Routine = {
  name: "remove_requests",
  signature: "(p_ended bigint[], p_left json, p_settled json, p_replaced json) RETURNS SETOF bigint",
  body: `BEGIN
    IF p_ended IS NOT NULL THEN
      DELETE FROM messages WHERE instance = ANY (p_ended);
      DELETE FROM timers WHERE instance = ANY (p_ended);
      DELETE FROM waits WHERE instance = ANY (p_ended);
    END IF;
    IF p_left IS NOT NULL THEN
      DELETE FROM timers r USING json_to_recordset(p_left) AS l (instance bigint, execution integer)
        WHERE r.instance =@ l.instance AND r.execution < l.execution;
      DELETE FROM waits r USING json_to_recordset(p_left) AS l (instance bigint, execution integer)
        WHERE r.instance =@ l.instance AND r.execution < l.execution;
    END IF;
    DELETE FROM work WHERE key = ANY (ARRAY(
      SELECT w.key FROM work w WHERE w.key = ANY (ARRAY(
        SELECT w.key FROM work w WHERE w.instance = ANY (p_ended)
        UNION ALL
        SELECT w.key FROM json_to_recordset(p_left) AS l (instance bigint, execution integer)
        JOIN work w ON w.instance =@ l.instance AND w.execution < l.execution
        UNION ALL
        SELECT w.key FROM json_to_recordset(p_settled) AS s (instance bigint, execution integer, "eventId" integer)
        JOIN work w ON w.instance =@ s.instance AND w.execution = s.execution AND w.event_id = s."eventId"
        UNION ALL
        SELECT w.key FROM json_to_recordset(p_replaced) AS n (instance bigint, execution integer, "eventId" integer)
        JOIN work w ON w.instance =@ n.instance AND w.execution = n.execution AND w.event_id = n."eventId"))
      ORDER BY w.key FOR UPDATE));
    IF p_settled IS NOT NULL THEN
      DELETE FROM timers r
        USING json_to_recordset(p_settled) AS s (instance bigint, execution integer, "eventId" integer)
        WHERE r.instance =@ s.instance AND r.execution = s.execution AND r.event_id = s."eventId";
      RETURN QUERY DELETE FROM waits r
        USING json_to_recordset(p_settled) AS s (instance bigint, execution integer, "eventId" integer)
        WHERE r.instance =@ s.instance AND r.execution = s.execution AND r.event_id = s."eventId"
        RETURNING r.instance;
    END IF;
  END`,
};

/**
 * Holds output streams, in buckets: rows that become visible later have higher offsets, whoever writes them. The number
 * of locks is bounded, for the server has room for few.
 */
export const holdStreams: Routine = {
  name: "hold_streams",
  signature: "(p_instances bigint[]) RETURNS void",
  body: `BEGIN
    PERFORM pg_advisory_xact_lock(hashtext(current_schema()), b.bucket)
    FROM (SELECT DISTINCT (i % 64)::integer AS bucket FROM unnest(p_instances) AS i ORDER BY 1) b;
  END`,
};

/** Writes what turns add, as arrays of rows, each with the instance that it belongs to. */
export const insertParts: Routine = {
  name: "insert_parts",
  signature: `(p_consumed json, p_payloads json, p_timers json, p_work json, p_waits json, p_unset json, p_set json,
    p_outputs json) RETURNS void`,
  body: `BEGIN
    IF p_consumed IS NOT NULL THEN
      DELETE FROM messages m USING json_to_recordset(p_consumed) AS c (instance bigint, key bigint)
      WHERE m.key =@ c.key AND m.instance = c.instance;
    END IF;
    IF p_payloads IS NOT NULL THEN
      INSERT INTO payloads (root, digest, body)
      SELECT DISTINCT ON (coalesce(i.root, i.key), p.digest) coalesce(i.root, i.key), p.digest, p.body
      FROM json_to_recordset(p_payloads) AS p (instance bigint, digest text, body text)
      JOIN instances i ON i.key =@ p.instance
      ORDER BY coalesce(i.root, i.key), p.digest ON CONFLICT DO NOTHING;
    END IF;
    IF p_timers IS NOT NULL THEN
      INSERT INTO timers (instance, execution, event_id, fire_at, visible_at, body)
      SELECT instance, execution, "eventId", "fireAt", "visibleAt", body
      FROM json_to_recordset(p_timers) AS t (
        instance bigint, execution integer, "eventId" integer, "fireAt" bigint, "visibleAt" bigint, body text)
      ON CONFLICT (instance, execution, event_id)
      DO UPDATE SET fire_at = excluded.fire_at, visible_at = excluded.visible_at, body = excluded.body;
    END IF;
    IF p_work IS NOT NULL THEN
      PERFORM ${called("insert_work")}(p_work, NULL);
    END IF;
    IF p_waits IS NOT NULL THEN
      INSERT INTO waits (instance, execution, event_id, name, details, since, timeout_at)
      SELECT instance, execution, "eventId", name, details, since, "timeoutAt"
      FROM json_to_recordset(p_waits) AS w (instance bigint, execution integer, "eventId" integer, name text,
        details text, since bigint, "timeoutAt" bigint)
      ON CONFLICT (instance, execution, event_id) DO UPDATE SET name = excluded.name, details = excluded.details,
        since = excluded.since, timeout_at = excluded.timeout_at;
    END IF;
    IF p_unset IS NOT NULL THEN
      DELETE FROM state s USING json_to_recordset(p_unset) AS u (instance bigint, key text)
      WHERE s.instance =@ u.instance AND s.name = u.key;
    END IF;
    IF p_set IS NOT NULL THEN
      INSERT INTO state (instance, name, value)
      SELECT instance, key, value
      FROM json_to_recordset(p_set) AS s (instance bigint, key text, value text)
      ON CONFLICT (instance, name) DO UPDATE SET value = excluded.value;
    END IF;
    IF p_outputs IS NOT NULL THEN
      PERFORM ${called("hold_streams")}(ARRAY(
        SELECT o.instance FROM json_to_recordset(p_outputs) AS o (instance bigint)));
      INSERT INTO outputs (instance, at, body)
      SELECT o.instance, o.at, o.body
      FROM ROWS FROM (json_to_recordset(p_outputs) AS (instance bigint, at bigint, body text))
        WITH ORDINALITY AS o (instance, at, body, place)
      ORDER BY o.place;
    END IF;
  END`,
};

/** What turns write besides, in the order in which functions take it. */
export const partNames = [
  "closed",
  "left",
  "settled",
  "replaced",
  "consumed",
  "payloads",
  "timers",
  "work",
  "waits",
  "unset",
  "set",
  "outputs",
] as const;

/** Rows by the part they belong to. A part without rows is absent. */
export type Parts = { [Part in (typeof partNames)[number]]?: object[] };

/** Adds a row to a part. */
export function addPart(parts: Parts, part: keyof Parts, row: object): void {
  (parts[part] ??= []).push(row);
}

/** Adds what a turn writes to the parts of its batch. Answers whether clients can see a difference for sure. */
export function addParts(parts: Parts, worker: WorkerKey, turn: TurnCommit, clocks: Clocks): boolean {
  const { key: instance, history } = turn;
  const add = (part: keyof Parts, row: object): void => addPart(parts, part, row);
  for (const { digest, body } of turn.payloads) add("payloads", { instance, digest, body });
  for (const [key, value] of lastValues(turn)) add(value === undefined ? "unset" : "set", { instance, key, value });
  for (const { at, body } of turn.outputs) add("outputs", { instance, at, body });
  if (turn.ended !== undefined) return true;

  for (const key of turn.consumed) {
    if (typeof key === "number") add("consumed", { instance, key });
    else add("settled", firedTimer(instance, key));
  }
  const execution = history[history.length - 1]?.execution ?? turn.execution;
  if (execution > turn.execution) add("left", { instance, execution });
  else for (const eventId of turn.settled) add("settled", { instance, execution, eventId });
  for (const { eventId, fireAt, body } of turn.timers) {
    add("timers", { instance, execution, eventId, fireAt, visibleAt: clocks.toStore(worker, fireAt), body });
  }
  for (const work of turn.work) add("work", workRow(instance, work, worker, clocks));
  for (const { execution, eventId } of [...turn.work, ...bookedWork(turn)]) {
    add("replaced", { instance, execution, eventId });
  }
  for (const wait of turn.waits) add("waits", { ...wait, instance, execution });
  return turn.state.length > 0 || turn.outputs.length > 0 || turn.waits.length > 0;
}

/** Written with its booking, after all else. */
function bookedWork({ budget }: TurnCommit): OutgoingWork[] {
  return budget?.bookings.flatMap(({ work }) => (work === undefined ? [] : [work])) ?? [];
}

/** Of several changes of a key the last counts. */
function lastValues({ state }: TurnCommit): Map<string, string | undefined> {
  return new Map(state.map(({ key, value }) => [key, value]));
}

/** The key of a timer in a claim, as `consumed` gives it back. Keys of messages are numbers. */
export function timerKey(execution: number, eventId: number): string {
  return `${execution}.${eventId}`;
}

function firedTimer(instance: InstanceKey, key: string): object {
  const [execution, eventId] = key.split(".").map(Number);
  return { instance, execution, eventId };
}
