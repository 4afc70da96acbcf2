/**
 * Whole trees as data, out of a store and into another: what stands in the tables without the keys, which are a store's
 * own. Each verb is one transaction, so a tree is read as it stood at one moment and put in whole or not at all.
 */
import type {
  StorageAdmin,
  StoredBooking,
  StoredExecution,
  StoredInstance,
  StoredTree,
  StoredWait,
  StoredWork,
} from "@stet/core";
import { type BudgetRow, type Budgets, recordOf } from "./budgets.ts";
import type { ChangeSet } from "./changes.ts";
import type { Database } from "./database.ts";
import { prepareReadChunks } from "./history.ts";
import { treeSql } from "./lineage.ts";
import { isRefusal } from "./schema.ts";
import { firstEnded, statuses } from "./statuses.ts";
import { insertWorkSql, workValues, type WorkValues } from "./turn-parts.ts";

/** The verbs that carry trees. */
export interface Trees {
  exportTree(instanceId: string): Awaited<ReturnType<StorageAdmin["exportTree"]>>;
  importTree(tree: StoredTree, change: ChangeSet): Awaited<ReturnType<StorageAdmin["importTree"]>>;
}

/** Prepares them for a connection. */
export function prepareTrees(db: Database, budgets: Budgets): Trees {
  return { exportTree: prepareExport(db), importTree: prepareImport(db, budgets) };
}

interface InstanceRow {
  readonly key: number;
  readonly id: string;
  readonly parent_id: string | null;
  readonly name: string;
  readonly version: string | null;
  readonly status: number;
  readonly execution: number;
  readonly labels: string | null;
  readonly created_at: number;
  readonly updated_at: number;
  readonly custom_status: string | null;
  readonly output: string | null;
  readonly error: string | null;
  readonly blocked: string | null;
}

interface MessageRow {
  readonly body: string;
  readonly at: number;
  readonly execution: number | null;
  readonly eventId: number | null;
}

/** What the row of an instance holds of it. */
type InstanceColumns = Omit<
  StoredInstance,
  | "execution"
  | "executions"
  | "messages"
  | "messageKeys"
  | "timers"
  | "work"
  | "waits"
  | "state"
  | "outputs"
  | "budget"
  | "bookings"
>;

/** A record as a row holds it: what is absent is NULL. */
type Nullable<Stored> = { readonly [Member in keyof Stored]-?: Stored[Member] | null };

function present<Stored extends object>(row: Nullable<Stored>): Stored {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)) as Stored;
}

function prepareExport(db: Database): Trees["exportTree"] {
  const find = db.prepare<[string], { key: number; parent: number | null }>(
    "SELECT key, parent FROM instances WHERE id = ?",
  );
  const tree = db.prepare<[string], InstanceRow>(
    `${treeSql} SELECT i.key, i.id, p.id AS parent_id, i.name, i.version, i.status, i.execution, i.labels, i.created_at,
       i.updated_at, i.custom_status, i.output, i.error, i.blocked
     FROM tree CROSS JOIN instances i ON i.key = tree.key LEFT JOIN instances p ON p.key = i.parent`,
  );
  const executions = db.prepare<[number, number], Omit<StoredExecution, "history">>(
    `SELECT execution, started_at AS startedAt, updated_at AS updatedAt FROM executions WHERE instance = ?
     UNION ALL
     SELECT execution, started_at, updated_at FROM instances WHERE key = ? AND last_chunk IS NOT NULL
     ORDER BY 1`,
  );
  const readChunks = prepareReadChunks(db);
  const partOf = <Row>(sql: string) => db.prepare<[number], Row>(sql);
  const messages = partOf<MessageRow>(
    `SELECT m.body, m.at, m.execution, m.event_id AS eventId FROM messages m
     WHERE m.instance = ? AND NOT ${isRefusal} ORDER BY m.key`,
  );
  const messageKeys = db
    .prepare<[number], string>("SELECT idempotency_key FROM message_keys WHERE instance = ? ORDER BY 1")
    .pluck();
  const timers = partOf<StoredInstance["timers"][number]>(
    "SELECT event_id AS eventId, fire_at AS fireAt, body FROM timers WHERE instance = ? ORDER BY event_id",
  );
  const work = partOf<Nullable<StoredWork>>(
    `SELECT event_id AS eventId, kind, name, tag, session, body, CASE WHEN visible_at > 0 THEN visible_at END AS visibleAt,
       attempts, heartbeat, failure, nullif(rank, 0) AS rank, nullif(tokens, 0) AS tokens FROM work WHERE instance = ? ORDER BY key`,
  );
  const waits = partOf<Nullable<StoredWait>>(
    `SELECT event_id AS eventId, name, details, since, timeout_at AS timeoutAt FROM waits WHERE instance = ?
     ORDER BY event_id`,
  );
  const state = partOf<StoredInstance["state"][number]>(
    "SELECT name AS key, value FROM state WHERE instance = ? ORDER BY name",
  );
  const outputs = partOf<StoredInstance["outputs"][number]>(
    "SELECT body, at FROM outputs WHERE instance = ? ORDER BY key",
  );
  const budget = partOf<BudgetRow>("SELECT * FROM budgets WHERE instance = ?");
  const bookings = partOf<StoredBooking>(
    `SELECT event_id AS eventId, tokens, nano_usd AS nanoUsd, calls FROM bookings
     WHERE instance = ? AND refusal IS NULL ORDER BY event_id`,
  );
  const payloads = partOf<StoredTree["payloads"][number]>(
    "SELECT digest, body FROM payloads WHERE root = ? ORDER BY key",
  );

  const exported = (row: InstanceRow): StoredInstance => ({
    ...present<InstanceColumns>({
      instanceId: row.id,
      parentId: row.parent_id,
      name: row.name,
      version: row.version,
      status: statuses[row.status]!,
      labels: row.labels === null ? {} : (JSON.parse(row.labels) as Record<string, string>),
      createdAt: row.created_at,
      updatedAt: row.updated_at,
      customStatus: row.custom_status,
      output: row.output,
      error: row.error,
      blocked: row.blocked,
    }),
    execution: row.execution,
    executions: executions.all(row.key, row.key).map((each) => ({
      ...each,
      history: readChunks({ key: row.key, execution: each.execution }),
    })),
    messages: messages.all(row.key).map(({ body, at, execution, eventId }) => ({
      body,
      at,
      ...(execution !== null && eventId !== null && { answers: { execution, eventId } }),
    })),
    messageKeys: messageKeys.all(row.key),
    timers: timers.all(row.key),
    work: work.all(row.key).map((item) => present<StoredWork>(item)),
    waits: waits.all(row.key).map((wait) => present<StoredWait>(wait)),
    state: state.all(row.key),
    outputs: outputs.all(row.key),
    ...budgetIn(budget.get(row.key)),
    ...bookingsIn(bookings.all(row.key)),
  });

  return db.transaction((instanceId: string): ReturnType<Trees["exportTree"]> => {
    const root = find.get(instanceId);
    if (root === undefined) return "unknown";
    if (root.parent !== null) return "notRoot";
    return { instances: tree.all(instanceId).map(exported), payloads: payloads.all(root.key) };
  });
}

function budgetIn(row: BudgetRow | undefined): Pick<StoredInstance, "budget"> {
  if (row === undefined) return {};
  const { limits, spent, openedAt } = recordOf(row);
  return { budget: { limits, spent, openedAt } };
}

function bookingsIn(bookings: readonly StoredBooking[]): Pick<StoredInstance, "bookings"> {
  return bookings.length === 0 ? {} : { bookings };
}

function prepareImport(db: Database, budgets: Budgets): Trees["importTree"] {
  const keyOf = db.prepare<[string], number>("SELECT key FROM instances WHERE id = ?").pluck();
  const insertInstance = db.prepare<(string | number | null)[]>(
    `INSERT INTO instances (id, root, parent, name, version, status, labels, created_at, updated_at, custom_status,
       output, error, blocked, execution, unsettled, ended_at, last_event_id, attempts)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)`,
  );
  const insertChunk = db.prepare<[number | bigint | null, number, number, number, number, string]>(
    `INSERT INTO history (previous, instance, execution, first_event_id, last_event_id, body) VALUES (?, ?, ?, ?, ?, ?)`,
  );
  const stand = db.prepare<[number | bigint | null, number, number, number]>(
    "UPDATE instances SET last_chunk = ?, last_event_id = ?, started_at = ? WHERE key = ?",
  );
  const insertExecution = db.prepare<[number, number, number | bigint | null, number, number, number]>(
    `INSERT INTO executions (instance, execution, last_chunk, event_count, started_at, updated_at)
     VALUES (?, ?, ?, ?, ?, ?)`,
  );
  const insertMessage = db.prepare(
    "INSERT INTO messages (instance, at, execution, event_id, body) VALUES (?, ?, ?, ?, ?)",
  );
  const insertKey = db.prepare("INSERT INTO message_keys (instance, idempotency_key) VALUES (?, ?)");
  const insertTimer = db.prepare(
    "INSERT INTO timers (instance, execution, event_id, fire_at, body) VALUES (?, ?, ?, ?, ?)",
  );
  const insertWork = db.prepare<WorkValues>(insertWorkSql);
  const insertWait = db.prepare(
    "INSERT INTO waits (instance, execution, event_id, name, details, since, timeout_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  const insertState = db.prepare("INSERT INTO state (instance, name, value) VALUES (?, ?, ?)");
  const insertOutput = db.prepare("INSERT INTO outputs (instance, at, body) VALUES (?, ?, ?)");
  const insertPayload = db.prepare("INSERT INTO payloads (root, digest, body) VALUES (?, ?, ?)");

  const insertHistories = (key: number, { execution: current, executions }: StoredInstance): void => {
    for (const { execution, startedAt, updatedAt, history } of executions) {
      let last: number | bigint | null = null;
      for (const { firstEventId, lastEventId, body } of history) {
        last = insertChunk.run(last, key, execution, firstEventId, lastEventId, body).lastInsertRowid;
      }
      const count = history.at(-1)?.lastEventId ?? 0;
      if (execution === current) stand.run(last, count, startedAt, key);
      else insertExecution.run(key, execution, last, count, startedAt, updatedAt);
    }
  };
  const insertParts = (key: number, instance: StoredInstance): void => {
    const { execution } = instance;
    for (const { at, body, answers } of instance.messages) {
      insertMessage.run(key, at, answers?.execution ?? null, answers?.eventId ?? null, body);
    }
    for (const messageKey of instance.messageKeys) insertKey.run(key, messageKey);
    for (const { eventId, fireAt, body } of instance.timers) insertTimer.run(key, execution, eventId, fireAt, body);
    for (const item of instance.work) {
      insertWork.run(...workValues(key, { ...item, execution, instanceId: instance.instanceId }, null));
    }
    for (const { eventId, name, details = null, since, timeoutAt = null } of instance.waits) {
      insertWait.run(key, execution, eventId, name, details, since, timeoutAt);
    }
    for (const { key: name, value } of instance.state) insertState.run(key, name, value);
    for (const { at, body } of instance.outputs) insertOutput.run(key, at, body);
  };

  const insert = (instance: StoredInstance, root: number | null): number => {
    const { instanceId, parentId, name, version = null, createdAt, updatedAt, customStatus = null } = instance;
    const { output = null, error = null, blocked = null, labels, execution } = instance;
    const status = statuses.indexOf(instance.status);
    const key = Number(
      insertInstance.run(
        instanceId,
        root,
        parentId === undefined ? null : keyOf.get(parentId)!,
        name,
        version,
        status,
        Object.keys(labels).length === 0 ? null : JSON.stringify(labels),
        createdAt,
        updatedAt,
        customStatus,
        output,
        error,
        blocked,
        execution,
        instance.status === "running" ? 1 : 0,
        status < firstEnded ? null : updatedAt,
      ).lastInsertRowid,
    );
    insertHistories(key, instance);
    insertParts(key, instance);
    budgets.restore(key, instance);
    return key;
  };

  const importTree = db.transaction(({ instances, payloads }: StoredTree, change: ChangeSet) => {
    if (instances.some(({ instanceId }) => keyOf.get(instanceId) !== undefined)) return "exists";
    let root: number | null = null;
    for (const instance of instances) {
      const key = insert(instance, root);
      root ??= key;
      change.instances.push(instance.instanceId);
      if (statuses.indexOf(instance.status) >= firstEnded) change.ended.push(instance.instanceId);
      if (instance.work.length > 0) change.work = true;
    }
    for (const { digest, body } of payloads) insertPayload.run(root, digest, body);
    change.turns = true;
    return "imported";
  });
  return (tree, change) => importTree.immediate(tree, change);
}
