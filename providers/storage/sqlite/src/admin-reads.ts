/**
 * What clients and operators ask. These queries are many-shaped and not hot, so kysely builds them, but for the
 * few that clients ask again and again while they wait.
 */
import type {
  ExecutionRecord,
  InstanceQuery,
  InstanceRecord,
  InstanceStatus,
  ModelRecord,
  OutputRecord,
  Page,
  StorageAdmin,
  StorageStats,
  WaitingCall,
  WaitRecord,
} from "@stet/core";
import { ConfigurationError } from "@stet/core";
import { sql, type Kysely, type RawBuilder } from "kysely";
import { treeSql } from "./lineage.ts";
import type { Database } from "./database.ts";
import { prepareReadHistory } from "./history.ts";
import { firstEnded, statuses } from "./statuses.ts";
import { kyselyOver, type Tables } from "./tables.ts";

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

/** Binds them to a connection. */
export function prepareAdminReads(db: Database): AdminReads {
  const tables = kyselyOver(db);
  const keyOfId = db.prepare<[string], number>("SELECT key FROM instances WHERE id = ?").pluck();
  const readHistory = prepareReadHistory(db);
  const byId = db.prepare<[string], InstanceRow>(
    `SELECT ${instanceColumns} FROM json_each(?) AS wanted CROSS JOIN instances i ON i.id = wanted.value ${relatives}`,
  );
  const tree = db.prepare<[string], InstanceRow>(
    `${treeSql} SELECT ${instanceColumns} FROM tree CROSS JOIN instances i ON i.key = tree.key ${relatives}`,
  );
  const waitingCalls = db.prepare<[string], WaitingCall & { readonly visibleAt: number | null }>(
    `SELECT w.event_id AS eventId, w.name AS line, CASE WHEN w.visible_at > 0 THEN w.visible_at END AS visibleAt
     FROM instances i CROSS JOIN work w ON w.instance = i.key
     WHERE i.id = ? AND w.owner IS NULL AND w.kind = 'model' ORDER BY w.event_id`,
  );
  const closedModels = db.prepare<[number], ModelRecord>(
    `SELECT name AS model, max(closed_until, next_at) AS opensAt FROM models
     WHERE max(closed_until, next_at) > ? ORDER BY name`,
  );
  return {
    getInstances: async (ids) => byId.all(JSON.stringify([...new Set(ids)])).map(toRecord),
    listInstances: (query) => listInstances(tables, query),
    getTree: async (instanceId) => tree.all(instanceId).map(toRecord),
    listExecutions: (instanceId) => listExecutions(tables, instanceId),
    readHistory: async (instanceId, execution, fromEventId = 0) => {
      const key = keyOfId.get(instanceId);
      return key === undefined ? [] : readHistory({ key, execution, from: fromEventId });
    },
    listWaits: (query) => listWaits(tables, query),
    listWaitingCalls: async (instanceId, now) => ({
      calls: waitingCalls
        .all(instanceId)
        .map(({ eventId, line, visibleAt }) => ({ eventId, line, ...(visibleAt !== null && { visibleAt }) })),
      models: closedModels.all(now),
    }),
    readState: (instanceId, keys) => readState(tables, instanceId, keys),
    readOutputs: (instanceId, afterOffset, limit) => readOutputs(tables, instanceId, afterOffset, limit),
    stats: (now) => stats(tables, now),
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
  readonly labels: string | null;
  readonly created_at: number;
  readonly updated_at: number;
  readonly custom_status: string | null;
  readonly output: string | null;
  readonly error: string | null;
  readonly blocked: string | null;
}

const instanceColumns = `i.key, i.id, r.id AS root_id, p.id AS parent_id, i.name, i.version, i.status, i.execution,
  i.last_event_id, i.labels, i.created_at, i.updated_at, i.custom_status, i.output, i.error, i.blocked`;
const relatives = "LEFT JOIN instances r ON r.key = i.root LEFT JOIN instances p ON p.key = i.parent";

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
    labels: row.labels === null ? {} : (JSON.parse(row.labels) as Record<string, string>),
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

/** A list of any length as one parameter. */
function listed(values: readonly string[] | readonly number[]): RawBuilder<never> {
  return sql`(SELECT value FROM json_each(${JSON.stringify(values)}))`;
}

/** The key of an instance, for the tables that know it only by that. */
function keyOf(instanceId: string): RawBuilder<number> {
  return sql<number>`(SELECT key FROM instances WHERE id = ${instanceId})`;
}

async function listInstances(tables: Kysely<Tables>, query: InstanceQuery): Promise<Page<InstanceRecord>> {
  const { status, blocked, name, version, labels, idPrefix, parentId, createdAfter, createdBefore, cursor } = query;
  let select = selectInstances(tables);
  if (status !== undefined) {
    const wanted = status.map((each) => statuses.indexOf(each));
    // One status is read in the order of its index. Several would be sorted for each page: the plus keeps them out of it.
    select =
      wanted.length === 1
        ? select.where("i.status", "=", wanted[0]!)
        : select.where(sql<boolean>`+i.status IN ${listed(wanted)}`);
  }
  if (blocked !== undefined) select = select.where("i.blocked", blocked ? "is not" : "is", null);
  if (name !== undefined) select = select.where("i.name", "=", name);
  if (version !== undefined) select = select.where("i.version", "=", version);
  for (const [key, value] of Object.entries(labels ?? {})) {
    select = select.where(sql<boolean>`(SELECT value FROM json_each(i.labels) WHERE key = ${key}) = ${value}`);
  }
  if (idPrefix !== undefined && idPrefix !== "") {
    select = select.where("i.id", ">=", idPrefix).where("i.id", "<", `${idPrefix}\u{10ffff}`);
  }
  if (parentId !== undefined) select = select.where("i.parent", "=", keyOf(parentId));
  if (createdAfter !== undefined) select = select.where("i.created_at", ">", createdAfter);
  if (createdBefore !== undefined) select = select.where("i.created_at", "<", createdBefore);
  if (cursor !== undefined) select = select.where("i.key", "<", fromCursor(cursor, 1)[0]!);
  // Keys grow with every start and never change, so newest first is the order of keys and no write moves a row.
  const rows = await select
    .orderBy("i.key", "desc")
    .limit(query.limit + 1)
    .execute();
  return page(rows, query.limit, toRecord, (row) => [row.key]);
}

async function listExecutions(tables: Kysely<Tables>, instanceId: string): Promise<ExecutionRecord[]> {
  return tables
    .selectFrom("executions")
    .select(["execution", "event_count as eventCount", "started_at as startedAt", "updated_at as updatedAt"])
    .where("instance", "=", keyOf(instanceId))
    .unionAll(
      tables
        .selectFrom("instances")
        .select(["execution", "last_event_id as eventCount", "started_at as startedAt", "updated_at as updatedAt"])
        .where("id", "=", instanceId)
        .where("started_at", "is not", null)
        .$narrowType<{ startedAt: number }>(),
    )
    .orderBy("execution")
    .execute();
}

async function listWaits(
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
  if (query.instanceId !== undefined) select = select.where("w.instance", "=", keyOf(query.instanceId));
  if (query.name !== undefined) select = select.where("w.name", "=", query.name);
  if (query.cursor !== undefined) {
    const [instance, execution, eventId] = fromCursor(query.cursor, 3);
    select = select.where(
      sql<boolean>`(w.instance, w.execution, w.event_id) > (${instance}, ${execution}, ${eventId})`,
    );
  }
  const rows = await select
    .orderBy("w.instance")
    .orderBy("w.execution")
    .orderBy("w.event_id")
    .limit(query.limit + 1)
    .execute();
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

async function readState(
  tables: Kysely<Tables>,
  instanceId: string,
  keys: readonly string[] | undefined,
): Promise<{ readonly key: string; readonly value: string }[]> {
  let select = tables.selectFrom("state").select(["name as key", "value"]).where("instance", "=", keyOf(instanceId));
  if (keys !== undefined) select = select.where("name", "in", listed(keys));
  return select.orderBy("name").execute();
}

async function readOutputs(
  tables: Kysely<Tables>,
  instanceId: string,
  afterOffset: number,
  limit: number,
): Promise<OutputRecord[]> {
  return tables
    .selectFrom("outputs")
    .select(["key as offset", "at", "body"])
    .where("instance", "=", keyOf(instanceId))
    .where("key", ">", afterOffset)
    .orderBy("key")
    .limit(limit)
    .execute();
}

async function stats(tables: Kysely<Tables>, now: number): Promise<StorageStats> {
  const counts = await tables
    .selectFrom("instances")
    .select((eb) => ["status", eb.fn.countAll<number>().as("count")])
    .groupBy("status")
    .execute();
  const running = await tables
    .selectFrom("instances")
    .select((eb) => ["name", "version", eb.fn.count<number>("blocked").as("blocked")])
    .where("status", "<", firstEnded)
    .groupBy(["name", "version"])
    .execute();
  const queues = await tables
    .selectNoFrom([
      sql<number>`(SELECT count(*) FROM messages)`.as("messages"),
      sql<number>`(SELECT count(*) FROM timers WHERE fire_at <= ${now})`.as("due"),
      sql<number>`(SELECT count(*) FROM timers WHERE fire_at > ${now})`.as("sleeping"),
      sql<number>`(SELECT count(*) FROM work WHERE owner IS NULL AND visible_at <= ${now})`.as("ready"),
      sql<number>`(SELECT count(*) FROM work WHERE owner IS NULL AND visible_at > ${now})`.as("delayed"),
      sql<number>`(SELECT count(*) FROM work WHERE owner IS NOT NULL)`.as("running"),
      sql<number>`(SELECT count(*) FROM work WHERE kind = 'model' AND owner IS NULL AND visible_at <= ${now})`.as(
        "calls",
      ),
    ])
    .executeTakeFirstOrThrow();
  const activities = await tables
    .selectFrom("work")
    .select(["name", "tag"])
    .distinct()
    .where("kind", "=", "activity")
    .where("owner", "is", null)
    .where("visible_at", "<=", now)
    .orderBy("name")
    .orderBy("tag")
    .execute();
  const owned = await tables
    .selectFrom("workers as o")
    .select([
      "o.key as worker",
      sql<number>`(SELECT count(*) FROM instances WHERE owner = o.key)`.as("instances"),
      sql<number>`(SELECT count(*) FROM work WHERE owner = o.key)`.as("work"),
    ])
    .orderBy("o.key")
    .execute();

  const countOf = (status: InstanceStatus): number =>
    counts.find((row) => row.status === statuses.indexOf(status))?.count ?? 0;
  return {
    instances: {
      pending: countOf("pending"),
      running: countOf("running"),
      completed: countOf("completed"),
      failed: countOf("failed"),
      cancelled: countOf("cancelled"),
      terminated: countOf("terminated"),
    },
    blocked: running.reduce((sum, row) => sum + row.blocked, 0),
    messages: { ready: queues.messages + queues.due, delayed: queues.sleeping },
    work: { ready: queues.ready, delayed: queues.delayed, running: queues.running },
    neededOrchestrations: running.map((row) => (row.version === null ? row.name : `${row.name}@${row.version}`)).sort(),
    neededActivities: activities.map(({ name, tag }) => ({ name, ...(tag !== null && { tag }) })),
    readyModelCalls: queues.calls,
    owned,
  };
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
