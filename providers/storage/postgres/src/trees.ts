/**
 * Whole trees as data, out of a store and into another: what stands in the tables without the keys, which are a store's
 * own. Each verb is one statement, so a tree is read as it stood at one moment and put in whole or not at all.
 */
import type { StorageAdmin, StoredInstance, StoredTree } from "@stet/core";
import { HeldBudgets, openBudgets } from "./budgets.ts";
import type { ChangeSet } from "./changes.ts";
import type { Clocks } from "./clocks.ts";
import type { Database } from "./database.ts";
import { isTaken } from "./errors.ts";
import { called, type Routine } from "./routines.ts";
import { firstEnded, statuses } from "./schema.ts";
import { workRow } from "./turn-parts.ts";
import { toJson, toText } from "./values.ts";

/** The verbs that carry trees. */
export interface Trees {
  exportTree(instanceId: string): ReturnType<StorageAdmin["exportTree"]>;
  importTree(tree: StoredTree, change: ChangeSet): ReturnType<StorageAdmin["importTree"]>;
}

function keyedPart(part: string): string {
  return `${called("keyed")}(p_parts->'${part}', v_keys)`;
}

/** Puts instances in with all that they have. Rows name their instance by its place in the tree. */
export const importTree: Routine = {
  name: "import_tree",
  signature: "(p_instances json, p_parts json) RETURNS TABLE (key bigint)",
  body: `DECLARE
    v_keys bigint[] := ARRAY(
      SELECT nextval('instances_key_seq') FROM generate_series(1, json_array_length(p_instances)));
  BEGIN
    IF json_array_length(p_parts->'outputs') > 0 THEN PERFORM ${called("hold_streams")}(v_keys); END IF;
    INSERT INTO instances (key, id, root, parent, name, version, status, labels, created_at, updated_at, started_at,
      ended_at, custom_status, output, error, blocked, execution, last_event_id, unsettled)
    SELECT v_keys[n.place], n.id, CASE WHEN n.place > 1 THEN v_keys[1] END, v_keys[n.parent_place], n.name, n.version,
      n.status, n.labels, n.created_at, n.updated_at, n.started_at,
      CASE WHEN n.status >= ${firstEnded} THEN n.updated_at END, n.custom_status, n.output, n.error, n.blocked,
      n.execution, n.last_event_id, n.unsettled
    FROM ROWS FROM (json_to_recordset(p_instances) AS ("instanceId" text, "parentPlace" integer, name text,
        version text, status smallint, labels jsonb, "createdAt" bigint, "updatedAt" bigint, "startedAt" bigint,
        "customStatus" text, output text, error text, blocked text, execution integer, "lastEventId" integer,
        unsettled boolean))
      WITH ORDINALITY AS n (id, parent_place, name, version, status, labels, created_at, updated_at, started_at,
        custom_status, output, error, blocked, execution, last_event_id, unsettled, place)
    ORDER BY n.id;
    INSERT INTO history (instance, execution, first_event_id, last_event_id, body)
    SELECT v_keys[r.place], r.execution, r."firstEventId", r."lastEventId", r.body
    FROM json_to_recordset(p_parts->'history') AS r (
      place integer, execution integer, "firstEventId" integer, "lastEventId" integer, body text);
    INSERT INTO executions (instance, execution, event_count, started_at, updated_at)
    SELECT v_keys[r.place], r.execution, r."eventCount", r."startedAt", r."updatedAt"
    FROM json_to_recordset(p_parts->'executions') AS r (
      place integer, execution integer, "eventCount" integer, "startedAt" bigint, "updatedAt" bigint);
    INSERT INTO messages (instance, at, execution, event_id, body)
    SELECT v_keys[r.place], r.at, (r.answers->>'execution')::integer, (r.answers->>'eventId')::integer, r.body
    FROM ROWS FROM (json_to_recordset(p_parts->'messages') AS (place integer, at bigint, answers json, body text))
      WITH ORDINALITY AS r (place, at, answers, body, nth)
    ORDER BY r.nth;
    INSERT INTO message_keys (instance, idempotency_key)
    SELECT v_keys[r.place], r.key FROM json_to_recordset(p_parts->'messageKeys') AS r (place integer, key text);
    PERFORM ${called("insert_parts")}(NULL, ${["payloads", "timers", "work", "waits"].map(keyedPart).join(", ")}, NULL,
      ${["state", "outputs"].map(keyedPart).join(", ")});
    RETURN QUERY SELECT unnest(v_keys);
  END`,
};

/** Rows that name their instance by its key instead of its place. */
export const keyed: Routine = {
  name: "keyed",
  signature: "(p_rows json, p_keys bigint[]) RETURNS json",
  body: `BEGIN
    RETURN coalesce((SELECT json_agg(r.value::jsonb || jsonb_build_object('instance', p_keys[(r.value->>'place')::integer])
        ORDER BY r.nth)
      FROM json_array_elements(p_rows) WITH ORDINALITY AS r (value, nth)), '[]');
  END`,
};

/** Binds them to a database. */
export function bindTrees(db: Database, clocks: Clocks): Trees {
  const exportSql = exportStatement(db);
  return {
    async exportTree(instanceId) {
      const [row] = await db.query<Exported>(exportSql, [toText(instanceId)]);
      if (row === undefined) return "unknown";
      if (row.parent !== null) return "notRoot";
      return { instances: row.instances.map(toStored), payloads: row.payloads };
    },

    async importTree(tree, change) {
      const { instances } = tree;
      const ids = instances.map(({ instanceId }) => toText(instanceId));
      const known = `SELECT 1 FROM ${db.table("instances")} WHERE id = ANY ($1::text[]) LIMIT 1`;
      if ((await db.query(known, [ids])).length > 0) return "exists";
      try {
        await db.transaction(async (held) => {
          const rows = [toJson(instances.map(instanceRow(instances))), toJson(partsOf(tree, clocks))];
          const keys = (await held.call<{ key: number }>(importTree, rows)).map(({ key }) => key);
          await importBudgets(held, clocks, instances, keys);
        });
      } catch (error) {
        if (isTaken(error)) return "exists"; // by somebody who was here at the same time
        throw error;
      }
      for (const { instanceId, status, work } of instances) {
        change.instances.push(instanceId);
        if (statuses.indexOf(status) >= firstEnded) change.ended.push(instanceId);
        if (work.length > 0) change.work = true;
      }
      change.turns = true;
      return "imported";
    },
  };
}

interface Exported {
  readonly parent: number | null;
  readonly instances: readonly ExportedInstance[];
  readonly payloads: StoredTree["payloads"];
}

/** A record as a row holds it: what is absent is null. */
type Nullable<Stored> = { readonly [Member in keyof Stored]: Stored[Member] | null };

type ExportedInstance = Nullable<Omit<StoredInstance, "status" | "labels">> & {
  readonly status: number;
  readonly labels: StoredInstance["labels"] | null;
};

/** Lists of records, which lose the members that are null. */
const lists = ["executions", "messages", "timers", "work", "waits", "state", "outputs"] as const;

function toStored(row: ExportedInstance): StoredInstance {
  const stored: Record<string, unknown> = { ...present(row), status: statuses[row.status], labels: row.labels ?? {} };
  for (const list of lists) stored[list] = (row[list] ?? []).map((each) => present(each));
  stored["messageKeys"] = row.messageKeys ?? [];
  return stored as unknown as StoredInstance;
}

function present(row: object): object {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));
}

/** All of a tree in one statement, and so of one moment. */
function exportStatement(db: Database): string {
  const instances = db.table("instances");
  const list = (table: string, columns: string, order: string): string =>
    `(SELECT json_agg(row_to_json(r) ORDER BY ${order}) FROM (
      SELECT ${columns} FROM ${db.table(table)} t WHERE t.instance = i.key) r)`;
  const history = `(SELECT json_agg(json_build_object('firstEventId', h.first_event_id, 'lastEventId', h.last_event_id,
      'body', h.body) ORDER BY h.first_event_id)
    FROM ${db.table("history")} h WHERE h.instance = i.key AND h.execution = e.execution)`;
  return `WITH RECURSIVE tree (key, depth) AS (
      SELECT key, 0 FROM ${instances} WHERE id = $1
      UNION ALL SELECT i.key, depth + 1 FROM tree JOIN ${instances} i ON i.parent = tree.key)
    SELECT root.parent,
      (SELECT json_agg(json_build_object(
          'instanceId', i.id, 'parentId', p.id, 'name', i.name, 'version', i.version, 'status', i.status,
          'labels', i.labels, 'createdAt', i.created_at, 'updatedAt', i.updated_at, 'customStatus', i.custom_status,
          'output', i.output, 'error', i.error, 'blocked', i.blocked, 'execution', i.execution,
          'executions', (SELECT json_agg(json_build_object('execution', e.execution, 'startedAt', e.started_at,
              'updatedAt', e.updated_at, 'history', coalesce(${history}, '[]')) ORDER BY e.execution)
            FROM (SELECT execution, started_at, updated_at FROM ${db.table("executions")} WHERE instance = i.key
              UNION ALL SELECT i.execution, i.started_at, i.updated_at WHERE i.last_event_id > 0) e),
          'messages', (SELECT json_agg(json_build_object('body', m.body, 'at', m.at, 'answers',
              CASE WHEN m.event_id IS NOT NULL
                THEN json_build_object('execution', m.execution, 'eventId', m.event_id) END) ORDER BY m.key)
            FROM ${db.table("messages")} m WHERE m.instance = i.key AND NOT EXISTS (
              SELECT 1 FROM ${db.table("bookings")} b WHERE b.instance = m.instance AND b.refusal = m.key)),
          'budget', (SELECT json_build_object('openedAt', b.opened_at,
              'limits', json_strip_nulls(json_build_object('tokens', b.tokens_limit, 'nanoUsd', b.nano_usd_limit,
                'calls', b.calls_limit, 'timeMs', b.time_limit)),
              'spent', json_build_object('tokens', b.tokens_spent, 'nanoUsd', b.nano_usd_spent, 'calls', b.calls_spent))
            FROM ${db.table("budgets")} b WHERE b.instance = i.key),
          'bookings', (SELECT json_agg(json_build_object('eventId', b.event_id, 'tokens', b.tokens,
              'nanoUsd', b.nano_usd, 'calls', b.calls) ORDER BY b.event_id)
            FROM ${db.table("bookings")} b WHERE b.instance = i.key AND b.refusal IS NULL),
          'messageKeys', (SELECT json_agg(k.idempotency_key ORDER BY k.idempotency_key)
            FROM ${db.table("message_keys")} k WHERE k.instance = i.key),
          'timers', ${list("timers", 'event_id AS "eventId", fire_at AS "fireAt", body', '"eventId"')},
          'work', (SELECT json_agg(json_build_object('eventId', w.event_id, 'kind', w.kind, 'name', w.name,
              'tag', w.tag, 'session', w.session, 'body', w.body, 'visibleAt', CASE WHEN w.visible_at > 0 THEN w.visible_at END,
              'attempts', w.attempts, 'heartbeat', w.heartbeat, 'failure', w.failure, 'rank', nullif(w.rank, 0), 'tokens', nullif(w.tokens, 0)) ORDER BY w.key)
            FROM ${db.table("work")} w WHERE w.instance = i.key),
          'waits', ${list("waits", 'event_id AS "eventId", name, details, since, timeout_at AS "timeoutAt"', '"eventId"')},
          'state', ${list("state", "name AS key, value", "key")},
          'outputs', (SELECT json_agg(json_build_object('body', o.body, 'at', o.at) ORDER BY o.key)
            FROM ${db.table("outputs")} o WHERE o.instance = i.key)) ORDER BY tree.depth, i.key)
        FROM tree JOIN ${instances} i ON i.key = tree.key LEFT JOIN ${instances} p ON p.key = i.parent) AS instances,
      coalesce((SELECT json_agg(json_build_object('digest', l.digest, 'body', l.body) ORDER BY l.digest)
        FROM ${db.table("payloads")} l WHERE l.root = root.key), '[]') AS payloads
    FROM ${instances} root WHERE root.id = $1`;
}

/** Puts back what instances were carried with: what is spent goes to the budget of its own, as it was a sum there. */
async function importBudgets(
  db: Database,
  clocks: Clocks,
  instances: readonly StoredInstance[],
  keys: readonly number[],
): Promise<void> {
  const own = instances.flatMap(({ budget }, i) => (budget === undefined ? [] : [{ instance: keys[i]!, ...budget }]));
  const booked = instances.flatMap(({ bookings = [] }, i) => (bookings.length > 0 ? [keys[i]!] : []));
  if (own.length === 0 && booked.length === 0) return;
  await openBudgets(
    db,
    own.map(({ instance, openedAt, limits }) => ({ instance, at: openedAt, limits })),
  );
  await db.query(
    `UPDATE ${db.table("budgets")} b SET tokens_spent = r.tokens, nano_usd_spent = r."nanoUsd", calls_spent = r.calls
     FROM json_to_recordset($1::json) AS r (instance bigint, tokens bigint, "nanoUsd" bigint, calls bigint)
     WHERE b.instance = r.instance`,
    [toJson(own.map(({ instance, spent }) => ({ instance, ...spent })))],
  );
  const held = await HeldBudgets.hold(db, clocks, booked);
  instances.forEach(({ execution, bookings = [] }, i) => {
    for (const { eventId, ...amounts } of bookings) held.reserve(keys[i]!, execution, eventId, amounts);
  });
  await held.write();
}

/** The row of an instance whose parent is named by its place. */
function instanceRow(instances: readonly StoredInstance[]): (instance: StoredInstance) => object {
  const places = new Map(instances.map(({ instanceId }, i) => [instanceId, i + 1]));
  return (instance) => {
    const { instanceId, parentId, name, version, createdAt, updatedAt, customStatus, output, error, blocked } =
      instance;
    const current = instance.executions.find(({ execution }) => execution === instance.execution);
    return {
      ...{ instanceId, name, version, createdAt, updatedAt, customStatus, output, error, blocked },
      ...(parentId !== undefined && { parentPlace: places.get(parentId) }),
      ...(Object.keys(instance.labels).length > 0 && { labels: instance.labels }),
      status: statuses.indexOf(instance.status),
      execution: instance.execution,
      lastEventId: current?.history.at(-1)?.lastEventId ?? 0,
      startedAt: current?.startedAt,
      unsettled: instance.status === "running",
    };
  };
}

/** The rows of all instances, by the table they go to. */
function partsOf({ instances, payloads }: StoredTree, clocks: Clocks): Record<string, object[]> {
  const each = <Row extends object>(rowsOf: (instance: StoredInstance) => readonly Row[]): object[] =>
    instances.flatMap((instance, i) => rowsOf(instance).map((row) => ({ ...row, place: i + 1 })));
  return {
    history: each(({ executions }) =>
      executions.flatMap(({ execution, history }) => history.map((chunk) => ({ ...chunk, execution }))),
    ),
    executions: each((instance) =>
      instance.executions
        .filter(({ execution }) => execution !== instance.execution)
        .map(({ execution, startedAt, updatedAt, history }) => ({
          ...{ execution, startedAt, updatedAt },
          eventCount: history.at(-1)?.lastEventId ?? 0,
        })),
    ),
    messages: each(({ messages }) => messages),
    messageKeys: each(({ messageKeys }) => messageKeys.map((key) => ({ key }))),
    timers: each(({ timers, execution }) => timers.map((timer) => ({ ...timer, execution, visibleAt: timer.fireAt }))),
    work: each(({ work, execution, instanceId }) =>
      work.map((item) => workRow(0, { ...item, execution, instanceId }, 0, clocks)),
    ),
    waits: each(({ waits, execution }) => waits.map((wait) => ({ ...wait, execution }))),
    state: each(({ state }) => state),
    outputs: each(({ outputs }) => outputs),
    payloads: payloads.map((payload) => ({ ...payload, place: 1 })),
  };
}
