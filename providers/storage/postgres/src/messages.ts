/**
 * Sending and starting. A turn and a completion send the same way as a client does: by the functions here.
 *
 * Whoever sends holds the row of the addressee against its end and its deletion, but not against its turns: what was
 * sent is in the inbox, or the addressee had ended before.
 */
import type { OutgoingMessage, OutgoingStart, SendOutcome, StartOutcome } from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Database } from "./database.ts";
import { called, type Routine } from "./routines.ts";
import { firstEnded } from "./schema.ts";
import { toJson, toText } from "./values.ts";

/** Holds instances for writing to them. */
export const holdAddressees: Routine = {
  name: "hold_addressees",
  signature: "(p_ids text[]) RETURNS void",
  body: `BEGIN
    PERFORM 1 FROM instances WHERE id = ANY (p_ids) ORDER BY key FOR KEY SHARE;
  END`,
};

/** Writes messages into inboxes that are held, in their order. Each that has no taker is dropped. */
export const deliver: Routine = {
  name: "deliver",
  signature: "(p_messages json) RETURNS TABLE (place bigint, outcome text)",
  body: `BEGIN
    RETURN QUERY
    WITH message AS MATERIALIZED (
      SELECT m.*, i.key AS addressee, i.status,
        min(m.place) OVER (PARTITION BY i.key, m.idempotency_key) AS first_place
      FROM ROWS FROM (json_to_recordset(p_messages) AS (
          "instanceId" text, instance bigint, body text, at bigint, "idempotencyKey" text, answers json))
        WITH ORDINALITY AS m (instance_id, instance, body, at, idempotency_key, answers, place)
      LEFT JOIN instances i ON i.id =@ m.instance_id AND i.key = coalesce(m.instance, i.key)
    ), new_key AS (
      INSERT INTO message_keys (instance, idempotency_key)
      SELECT DISTINCT addressee, idempotency_key FROM message
      WHERE idempotency_key IS NOT NULL AND status < ${firstEnded} ORDER BY addressee, idempotency_key
      ON CONFLICT DO NOTHING RETURNING instance, idempotency_key
    ), judged AS MATERIALIZED (
      SELECT m.*, CASE WHEN addressee IS NULL THEN 'unknown' WHEN status >= ${firstEnded} THEN 'ended'
        WHEN idempotency_key IS NULL THEN 'sent'
        WHEN place = first_place AND (addressee, idempotency_key) IN (SELECT instance, idempotency_key FROM new_key)
        THEN 'sent' ELSE 'duplicate' END AS verdict
      FROM message m
    ), sent AS (
      INSERT INTO messages (instance, at, execution, event_id, body)
      SELECT addressee, at, (answers->>'execution')::integer, (answers->>'eventId')::integer, body
      FROM judged WHERE verdict = 'sent' ORDER BY place
    )
    SELECT place, verdict FROM judged;
  END`,
};

/**
 * Whether there is an instance by now, whatever was there when the statement began that asks. Whoever inserts one that is
 * there waits for the turn of it that is being committed, which may wait for what else is being inserted.
 */
export const isThere: Routine = {
  name: "is_there",
  signature: "(p_id text) RETURNS boolean",
  body: `BEGIN
    RETURN EXISTS (SELECT 1 FROM instances WHERE id = p_id);
  END`,
  asItsCaller: true,
};

/**
 * Makes instances, each with its first message. Parents are held, or made by the same call: then their children find
 * them in waves. Keys are given in the order of the call, rows are made in the order of ids. All that is to be sent
 * besides is sent with what the starts have to say, in one go.
 */
export const begin: Routine = {
  name: "begin_instances",
  signature: "(p_starts json, p_waves integer, p_messages json) RETURNS TABLE (place bigint, outcome text)",
  body: `DECLARE
    v_keys bigint[] := ARRAY(SELECT nextval('instances_key_seq') FROM generate_series(1, json_array_length(p_starts)));
    v_orphan record;
    v_answers json;
  BEGIN
    INSERT INTO instances (key, id, name, version, labels, created_at, updated_at, root, parent)
    SELECT s.* FROM (
      SELECT v_keys[s.place], s.id, s.name, s.version, s.labels, s.at, s.at, coalesce(p.root, p.key), p.key
      FROM ROWS FROM (json_to_recordset(p_starts) AS (
          "instanceId" text, name text, version text, "parentId" text, labels jsonb, at bigint))
        WITH ORDINALITY AS s (id, name, version, parent_id, labels, at, place)
      LEFT JOIN instances p ON p.id =@ s.parent_id
      ORDER BY s.id, s.place OFFSET 0) s
    WHERE NOT ${called("is_there")}(s.id) ON CONFLICT (id) DO NOTHING;
    FOR v_wave IN 1..p_waves LOOP
      UPDATE instances i SET root = coalesce(p.root, p.key), parent = p.key
      FROM ROWS FROM (json_to_recordset(p_starts) AS ("parentId" text, wave integer))
        WITH ORDINALITY AS s (parent_id, wave, place)
      JOIN instances p ON p.id =@ s.parent_id
      WHERE i.key =@ v_keys[s.place] AND s.wave = v_wave;
    END LOOP;
    INSERT INTO messages (instance, at, body)
    SELECT i.key, s.at, s.body
    FROM ROWS FROM (json_to_recordset(p_starts) AS (body text, at bigint)) WITH ORDINALITY AS s (body, at, place)
    JOIN instances i ON i.key =@ v_keys[s.place] ORDER BY s.place;

    SELECT s.id, s.parent_id INTO v_orphan
    FROM ROWS FROM (json_to_recordset(p_starts) AS ("instanceId" text, "parentId" text))
      WITH ORDINALITY AS s (id, parent_id, place)
    JOIN instances i ON i.key =@ v_keys[s.place] WHERE s.parent_id IS NOT NULL AND i.parent IS NULL LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'Expected the parent of % to exist, got %', v_orphan.id, v_orphan.parent_id;
    END IF;
    SELECT json_agg(s.answer ORDER BY s.place) INTO v_answers
    FROM ROWS FROM (json_to_recordset(p_starts) AS ("ifExists" json)) WITH ORDINALITY AS s (answer, place)
    WHERE s.answer IS NOT NULL AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.key =@ v_keys[s.place]);
    IF v_answers IS NOT NULL THEN
      SELECT json_agg(a.value) INTO p_messages FROM (
        SELECT value FROM json_array_elements(v_answers)
        UNION ALL SELECT value FROM json_array_elements(p_messages)) a;
    END IF;
    IF p_messages IS NOT NULL THEN PERFORM ${called("deliver")}(p_messages); END IF;
    RETURN QUERY
    SELECT s.place, CASE WHEN EXISTS (SELECT 1 FROM instances i WHERE i.key =@ s.key) THEN 'started' ELSE 'exists' END
    FROM unnest(v_keys) WITH ORDINALITY AS s (key, place);
  END`,
};

/** Sends for a client. */
export const sendMessages: Routine = {
  name: "send_messages",
  signature: "(p_messages json, p_ids text[]) RETURNS TABLE (place bigint, outcome text)",
  body: `BEGIN
    PERFORM ${called("hold_addressees")}(p_ids);
    RETURN QUERY SELECT * FROM ${called("deliver")}(p_messages) AS d (place, outcome);
  END`,
};

/** Starts for a client. */
export const startInstances: Routine = {
  name: "start_instances",
  signature: "(p_starts json, p_waves integer, p_ids text[]) RETURNS TABLE (place bigint, outcome text)",
  body: `BEGIN
    IF p_ids IS NOT NULL THEN PERFORM ${called("hold_addressees")}(p_ids); END IF;
    RETURN QUERY SELECT * FROM ${called("begin_instances")}(p_starts, p_waves, NULL) AS b (place, outcome);
  END`,
};

/** The verbs of clients. */
export interface Messages {
  sendMessages(messages: readonly OutgoingMessage[], change: ChangeSet): Promise<SendOutcome[]>;
  startInstances(starts: readonly OutgoingStart[], change: ChangeSet): Promise<StartOutcome[]>;
}

interface Outcome<Kind> {
  readonly place: number;
  readonly outcome: Kind;
}

/** Binds them to a database. */
export function bindMessages(db: Database): Messages {
  return {
    async sendMessages(messages, change) {
      if (messages.length === 0) return [];
      const rows = await db.call<Outcome<SendOutcome>>(sendMessages, [toJson(messages), addresseesOf(messages, [])]);
      const outcomes = inOrder(rows);
      if (outcomes.includes("sent")) change.turns = true;
      return outcomes;
    },

    async startInstances(starts, change) {
      if (starts.length === 0) return [];
      const [rows, waves] = startRows(starts);
      const held = addresseesOf([], starts);
      const values = [toJson(rows), waves, held.length === 0 ? null : held];
      const outcomes = inOrder(await db.call<Outcome<StartOutcome>>(startInstances, values));
      starts.forEach(({ instanceId, ifExists }, place) => {
        const started = outcomes[place] === "started";
        if (started) change.instances.push(instanceId);
        if (started || ifExists !== undefined) change.turns = true;
      });
      return outcomes;
    },
  };
}

function inOrder<Kind>(rows: readonly Outcome<Kind>[]): Kind[] {
  const outcomes: Kind[] = [];
  for (const { place, outcome } of rows) outcomes[place - 1] = outcome;
  return outcomes;
}

/** Starts as {@link begin} takes them, and the number of their last wave: a child comes in the wave after its parent. */
export function startRows(starts: readonly OutgoingStart[]): [rows: readonly object[], waves: number] {
  const waves = new Map<string, number>();
  let last = 0;
  const rows = starts.map((start) => {
    const wave = start.parentId === undefined ? 0 : (waves.get(start.parentId) ?? -1) + 1;
    if (!waves.has(start.instanceId)) waves.set(start.instanceId, wave);
    last = Math.max(last, wave);
    return { ...start, wave };
  });
  return [rows, last];
}

/** The ids of all that these write to, each once. */
export function addresseesOf(messages: readonly OutgoingMessage[], starts: readonly OutgoingStart[]): string[] {
  const ids = new Set(messages.map(({ instanceId }) => instanceId));
  for (const { parentId, ifExists } of starts) {
    if (parentId !== undefined) ids.add(parentId);
    if (ifExists !== undefined) ids.add(ifExists.instanceId);
  }
  return [...ids].map(toText);
}
