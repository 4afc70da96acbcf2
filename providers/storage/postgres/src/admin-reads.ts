/**
 * What clients and operators ask. The queries that are many-shaped kysely writes.
 */
import type {
  ExecutionRecord,
  InstanceQuery,
  InstanceRecord,
  Page,
  StorageAdmin,
  WaitingCall,
  WaitRecord,
} from "@stet/core";
import { ConfigurationError } from "@stet/core";
import { sql, type Kysely, type RawBuilder } from "kysely";
import type { Clocks } from "./clocks.ts";
import type { Database } from "./database.ts";
import { storeNow } from "./routines.ts";
import { statuses } from "./schema.ts";
import { readStats } from "./stats.ts";
import { kyselyFor, rowsOf, type Tables } from "./tables.ts";
import { toJson, toText } from "./values.ts";

/** The reading half of the admin side. */
export type AdminReads = Pick<
  StorageAdmin,
  | "getInstances"
  | "listInstances"
  | "getTree"
  | "listExecutions"
  | "readHistory"
  | "listWaits"
  | "listWaitingCalls"
  | "readState"
  | "readOutputs"
  | "stats"
>;

/** Binds them to a database. */
export function bindAdminReads(db: Database, schema: string, clocks: Clocks): AdminReads {
  const tables = kyselyFor(schema);
  const instances = db.table("instances");
  const relatives = `LEFT JOIN ${instances} r ON r.key = i.root LEFT JOIN ${instances} p ON p.key = i.parent`;
  const byId = `SELECT ${instanceColumns} FROM ${instances} i ${relatives} WHERE i.id = ANY ($1::text[])`;
  const tree = `WITH RECURSIVE tree (key, depth) AS (
      SELECT key, 0 FROM ${instances} WHERE id = $1
      UNION ALL SELECT i.key, depth + 1 FROM tree JOIN ${instances} i ON i.parent = tree.key)
    SELECT ${instanceColumns} FROM tree JOIN ${instances} i ON i.key = tree.key ${relatives} ORDER BY depth, i.key`;
  const key = `(SELECT key FROM ${instances} WHERE id = $1)`;
  const history = `SELECT body FROM ${db.table("history")}
    WHERE instance = ${key} AND execution = $2 AND last_event_id >= $3 ORDER BY first_event_id`;
  const executions = `SELECT execution, event_count AS "eventCount", started_at AS "startedAt", updated_at AS "updatedAt"
    FROM ${db.table("executions")} WHERE instance = ${key}
    UNION ALL SELECT execution, last_event_id, started_at, updated_at FROM ${instances}
    WHERE id = $1 AND started_at IS NOT NULL ORDER BY 1`;
  const state = `SELECT name AS key, value FROM ${db.table("state")}
    WHERE instance = ${key} AND ($2::text[] IS NULL OR name = ANY ($2)) ORDER BY name`;
  const calls = `SELECT event_id AS "eventId", name AS line,
      CASE WHEN visible_at > 0 THEN visible_at - coalesce($2::bigint, ${storeNow}) END AS "visibleIn"
    FROM ${db.table("work")} WHERE instance = ${key} AND owner IS NULL AND kind = 'model' ORDER BY event_id`;
  const models = `SELECT m.name AS model, greatest(m.closed_until, m.next_at) - n.now AS "opensIn"
    FROM ${db.table("models")} m, (SELECT coalesce($1::bigint, ${storeNow}) AS now) n
    WHERE greatest(m.closed_until, m.next_at) > n.now ORDER BY m.name`;
  const outputs = `SELECT key AS offset, at, body FROM ${db.table("outputs")}
    WHERE instance = ${key} AND key > $2 ORDER BY key LIMIT $3`;
  return {
    async getInstances(ids) {
      return (await db.query<InstanceRow>(byId, [[...new Set(ids)].map(toText)])).map(toRecord);
    },
    listInstances: (query) => listInstances(db, tables, query),
    async getTree(instanceId) {
      return (await db.query<InstanceRow>(tree, [toText(instanceId)])).map(toRecord);
    },
    listExecutions: (instanceId) => db.query<ExecutionRecord>(executions, [toText(instanceId)]),
    async readHistory(instanceId, execution, fromEventId = 0) {
      const rows = await db.query<{ body: string }>(history, [toText(instanceId), execution, fromEventId]);
      return rows.map(({ body }) => body);
    },
    listWaits: (query) => listWaits(db, tables, query),
    async listWaitingCalls(instanceId, now) {
      type Call = Omit<WaitingCall, "visibleAt"> & { readonly visibleIn: number | null };
      const rows = await db.query<Call>(calls, [toText(instanceId), clocks.now(now)]);
      const closed = await db.query<{ model: string; opensIn: number }>(models, [clocks.now(now)]);
      return {
        calls: rows.map(({ visibleIn, ...call }) => ({
          ...call,
          ...(visibleIn !== null && { visibleAt: now + visibleIn }),
        })),
        models: closed.map(({ model, opensIn }) => ({ model, opensAt: now + opensIn })),
      };
    },
    readState: (instanceId, keys) =>
      db.query(state, [toText(instanceId), keys === undefined ? null : keys.map(toText)]),
    readOutputs: (instanceId, afterOffset, limit) => db.query(outputs, [toText(instanceId), afterOffset, limit]),
    stats: (now) => readStats(db, clocks.now(now)),
  };
}

interface InstanceRow {
  readonly key: number;
  readonly id: string;
  readonly root_id: string | null;
  readonly parent_id: string | null;
  readonly name: string;
  readonly version: string | null;
  readonly status: number;
  readonly execution: number;
  readonly last_event_id: number;
  readonly labels: Record<string, string> | null;
  readonly created_at: number;
  readonly updated_at: number;
  readonly custom_status: string | null;
  readonly output: string | null;
  readonly error: string | null;
  readonly blocked: string | null;
}

const instanceColumns = `i.key, i.id, r.id AS root_id, p.id AS parent_id, i.name, i.version, i.status, i.execution,
  i.last_event_id, i.labels, i.created_at, i.updated_at, i.custom_status, i.output, i.error, i.blocked`;

function toRecord(row: InstanceRow): InstanceRecord {
  return {
    instanceId: row.id,
    rootId: row.root_id ?? row.id,
    ...(row.parent_id !== null && { parentId: row.parent_id }),
    name: row.name,
    ...(row.version !== null && { version: row.version }),
    status: statuses[row.status]!,
    execution: row.execution,
    lastEventId: row.last_event_id,
    labels: row.labels ?? {},
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    ...(row.custom_status !== null && { customStatus: row.custom_status }),
    ...(row.output !== null && { output: row.output }),
    ...(row.error !== null && { error: row.error }),
    ...(row.blocked !== null && { blocked: row.blocked }),
  };
}

function selectInstances(tables: Kysely<Tables>) {
  return tables
    .selectFrom("instances as i")
    .leftJoin("instances as r", "r.key", "i.root")
    .leftJoin("instances as p", "p.key", "i.parent")
    .select([
      "i.key",
      "i.id",
      "r.id as root_id",
      "p.id as parent_id",
      "i.name",
      "i.version",
      "i.status",
      "i.execution",
      "i.last_event_id",
      "i.labels",
      "i.created_at",
      "i.updated_at",
      "i.custom_status",
      "i.output",
      "i.error",
      "i.blocked",
    ]);
}

/** The key of an instance, for the tables that know it only by that. */
function keyOf(tables: Kysely<Tables>, instanceId: string): RawBuilder<number> {
  return sql<number>`(${tables.selectFrom("instances").select("key").where("id", "=", instanceId)})`;
}

async function listInstances(
  db: Database,
  tables: Kysely<Tables>,
  query: InstanceQuery,
): Promise<Page<InstanceRecord>> {
  const { status, blocked, name, version, labels, idPrefix, parentId, createdAfter, createdBefore, cursor } = query;
  let select = selectInstances(tables);
  if (status !== undefined) {
    const wanted = status.map((each) => statuses.indexOf(each));
    select = select.where("i.status", "=", sql<number>`ANY (${wanted}::smallint[])`);
  }
  if (blocked !== undefined) select = select.where("i.blocked", blocked ? "is not" : "is", null);
  if (name !== undefined) select = select.where("i.name", "=", name);
  if (version !== undefined) select = select.where("i.version", "=", version);
  for (const [key, value] of Object.entries(labels ?? {})) {
    select = select.where(sql<boolean>`i.labels @> ${toJson({ [key]: value })}::jsonb`);
  }
  if (idPrefix !== undefined && idPrefix !== "") {
    select = select.where("i.id", ">=", idPrefix).where("i.id", "<", `${idPrefix}\u{10ffff}`);
  }
  if (parentId !== undefined) select = select.where("i.parent", "=", keyOf(tables, parentId));
  if (createdAfter !== undefined) select = select.where("i.created_at", ">", createdAfter);
  if (createdBefore !== undefined) select = select.where("i.created_at", "<", createdBefore);
  if (cursor !== undefined) select = select.where("i.key", "<", fromCursor(cursor, 1)[0]!);
  // Keys grow with every start and never change, so newest first is the order of keys and no write moves a row.
  const statement = select.orderBy("i.key", "desc").limit(query.limit + 1);
  const rows = await rowsOf(db, statement);
  return page(rows, query.limit, toRecord, (row) => [row.key]);
}

async function listWaits(
  db: Database,
  tables: Kysely<Tables>,
  query: Parameters<StorageAdmin["listWaits"]>[0],
): Promise<Page<WaitRecord>> {
  let select = tables
    .selectFrom("waits as w")
    .innerJoin("instances as i", "i.key", "w.instance")
    .leftJoin("instances as r", "r.key", "i.root")
    .select([
      "w.instance",
      "w.execution",
      "w.event_id",
      "w.name",
      "w.details",
      "w.since",
      "w.timeout_at",
      "i.id",
      "i.name as orchestration",
      "r.id as root_id",
    ]);
  if (query.instanceId !== undefined) select = select.where("w.instance", "=", keyOf(tables, query.instanceId));
  if (query.name !== undefined) select = select.where("w.name", "=", query.name);
  if (query.cursor !== undefined) {
    const [instance, execution, eventId] = fromCursor(query.cursor, 3);
    select = select.where(
      sql<boolean>`(w.instance, w.execution, w.event_id) > (${instance}, ${execution}, ${eventId})`,
    );
  }
  const statement = select
    .orderBy("w.instance")
    .orderBy("w.execution")
    .orderBy("w.event_id")
    .limit(query.limit + 1);
  const rows = await rowsOf(db, statement);
  const toWait = (row: (typeof rows)[number]): WaitRecord => ({
    instanceId: row.id,
    rootId: row.root_id ?? row.id,
    orchestration: row.orchestration,
    execution: row.execution,
    eventId: row.event_id,
    name: row.name,
    ...(row.details !== null && { details: row.details }),
    since: row.since,
    ...(row.timeout_at !== null && { timeoutAt: row.timeout_at }),
  });
  return page(rows, query.limit, toWait, (row) => [row.instance, row.execution, row.event_id]);
}

/** Cuts off the row that was read only to see whether there is another page. */
function page<Row, Record>(
  rows: readonly Row[],
  limit: number,
  toRecord: (row: Row) => Record,
  position: (row: Row) => readonly number[],
): Page<Record> {
  const kept = rows.slice(0, limit);
  const last = kept.at(-1);
  return {
    rows: kept.map(toRecord),
    ...(rows.length > limit && last !== undefined && { cursor: position(last).join(".") }),
  };
}

/** The position that {@link page} wrote. */
function fromCursor(cursor: string, parts: number): number[] {
  const position = cursor.split(".").map(Number);
  if (position.length !== parts || !position.every(Number.isSafeInteger)) {
    throw new ConfigurationError(
      `Expected the cursor to be one that a page before gave, got ${JSON.stringify(cursor)}`,
    );
  }
  return position;
}
