/**
 * What operators do to instances, each one synchronous transaction: clearing a block, restarting, deleting, pruning.
 */
import type { PruneQuery } from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Budgets } from "./budgets.ts";
import { limitMax, type Database } from "./database.ts";
import { prepareRemoveHistory } from "./history.ts";
import { treeSql } from "./lineage.ts";
import { anyBuild } from "./schema.ts";
import { firstEnded } from "./statuses.ts";

/** The writing verbs of the admin side. */
export interface AdminWrites {
  unblock(ids: readonly string[], change: ChangeSet): string[];
  topUp: Budgets["topUp"];
  restart(
    restart: { readonly instanceId: string; readonly body: string; readonly at: number },
    change: ChangeSet,
  ): "restarted" | "unknown" | "running";
  deleteTree(instanceId: string, force: boolean, change: ChangeSet): "deleted" | "unknown" | "running" | "notRoot";
  prune(query: PruneQuery, change: ChangeSet): { readonly trees: number; readonly executions: number };
}

/** A page of roots that ended before a time, after the last one of the page before. */
interface EndedRoots {
  readonly before: number;
  readonly endedAt: number;
  readonly key: number;
  readonly max: number;
}

interface EndedRoot {
  readonly key: number;
  readonly id: string;
  readonly endedAt: number;
}

interface TreeRow {
  readonly key: number;
  readonly id: string;
  readonly status: number;
}

/** Prepares them for a connection. */
export function prepareAdminWrites(db: Database, budgets: Budgets): AdminWrites {
  const unblockOne = db.prepare<[string]>(
    `UPDATE instances SET blocked = NULL, blocked_builds = NULL, attempts = 0 WHERE id = ? AND blocked IS NOT NULL`,
  );
  const suspended = db
    .prepare<[string], number>(`SELECT key FROM instances WHERE id = ? AND blocked_builds = '${anyBuild}'`)
    .pluck();
  const find = db.prepare<[string], { key: number; status: number; parent: number | null }>(
    "SELECT key, status, parent FROM instances WHERE id = ?",
  );
  const reopen = db.prepare<[number, number]>(
    `UPDATE instances SET status = 0, execution = execution + 1, last_event_id = 0, version = NULL, unsettled = 0,
       attempts = 0, last_chunk = NULL, started_at = NULL, ended_at = NULL, output = NULL, error = NULL, updated_at = ?
     WHERE key = ?`,
  );
  const close = db.prepare<[number]>(
    `INSERT INTO executions (instance, execution, last_chunk, event_count, started_at, updated_at)
     SELECT key, execution, last_chunk, last_event_id, started_at, updated_at FROM instances
     WHERE key = ? AND last_chunk IS NOT NULL`,
  );
  const insertMessage = db.prepare<[number, number, string]>(
    "INSERT INTO messages (instance, at, body) VALUES (?, ?, ?)",
  );
  const removeTree = prepareRemoveTree(db);
  const prune = preparePrune(db, removeTree);

  const unblock = (id: string): boolean => {
    const key = suspended.get(id);
    if (key !== undefined) budgets.reopen(key);
    return unblockOne.run(id).changes > 0;
  };
  const unblockAll = db.transaction((ids: readonly string[]) => ids.filter(unblock));
  const topUp = db.transaction((request: Parameters<AdminWrites["topUp"]>[0], change: ChangeSet) =>
    budgets.topUp(request, change),
  );
  const restart = db.transaction(
    ({ instanceId, body, at }: Parameters<AdminWrites["restart"]>[0]): ReturnType<AdminWrites["restart"]> => {
      const row = find.get(instanceId);
      if (row === undefined) return "unknown";
      if (row.status < firstEnded) return "running";
      close.run(row.key);
      reopen.run(at, row.key);
      insertMessage.run(row.key, at, body);
      return "restarted";
    },
  );
  const deleteTree = db.transaction(
    (instanceId: string, force: boolean, change: ChangeSet): ReturnType<AdminWrites["deleteTree"]> => {
      const row = find.get(instanceId);
      if (row === undefined) return "unknown";
      if (row.parent !== null) return "notRoot";
      return removeTree(instanceId, force, change) ? "deleted" : "running";
    },
  );

  return {
    unblock(ids, change) {
      const cleared = unblockAll.immediate(ids);
      if (cleared.length > 0) change.turns = true;
      change.instances.push(...cleared);
      return cleared;
    },
    topUp: (request, change) => topUp.immediate(request, change),
    restart(request, change) {
      const outcome = restart.immediate(request);
      if (outcome === "restarted") {
        change.turns = true;
        change.instances.push(request.instanceId);
      }
      return outcome;
    },
    deleteTree: (instanceId, force, change) => deleteTree.immediate(instanceId, force, change),
    prune,
  };
}

/** Removes a tree unless something in it runs and `force` is off. Answers whether it is gone. */
function prepareRemoveTree(db: Database): (rootId: string, force: boolean, change: ChangeSet) => boolean {
  const tree = db.prepare<[string], TreeRow>(
    `${treeSql} SELECT i.key, i.id, i.status FROM tree CROSS JOIN instances i ON i.key = tree.key`,
  );
  const executions = db
    .prepare<[number, number], number>(
      "SELECT execution FROM instances WHERE key = ? UNION ALL SELECT execution FROM executions WHERE instance = ?",
    )
    .pluck();
  const removeHistory = prepareRemoveHistory(db);
  const ofInstance = [
    "executions",
    "messages",
    "message_keys",
    "timers",
    "work",
    "waits",
    "state",
    "outputs",
    "answers",
    "budgets",
    "bookings",
  ].map((table) => db.prepare<[number]>(`DELETE FROM ${table} WHERE instance = ?`));
  const deletePayloads = db.prepare<[number]>("DELETE FROM payloads WHERE root = ?");
  const deleteInstance = db.prepare<[number]>("DELETE FROM instances WHERE key = ?");

  return (rootId, force, change) => {
    const rows = tree.all(rootId);
    if (!force && rows.some((row) => row.status < firstEnded)) return false;
    for (const { key, id } of rows) {
      for (const execution of executions.all(key, key)) removeHistory(key, execution);
      for (const statement of ofInstance) statement.run(key);
      deletePayloads.run(key);
      deleteInstance.run(key);
      change.instances.push(id);
      change.ended.push(id);
    }
    return true;
  };
}

function preparePrune(
  db: Database,
  removeTree: (rootId: string, force: boolean, change: ChangeSet) => boolean,
): AdminWrites["prune"] {
  const endedRoots = db.prepare<[EndedRoots], EndedRoot>(
    `SELECT key, id, ended_at AS endedAt FROM instances
     WHERE ended_at IS NOT NULL AND parent IS NULL AND ended_at < :before AND (ended_at, key) > (:endedAt, :key)
     ORDER BY ended_at, key ${limitMax}`,
  );
  const oldExecutions = db.prepare<[number], { instance: number; execution: number }>(
    `SELECT e.instance, e.execution FROM executions e CROSS JOIN instances i ON i.key = e.instance
     WHERE e.execution <= i.execution - ?`,
  );
  const removeHistory = prepareRemoveHistory(db);
  const removeExecution = db.prepare<[number, number]>("DELETE FROM executions WHERE instance = ? AND execution = ?");

  const pruneTrees = db.transaction((before: number, limit: number, change: ChangeSet) => {
    let trees = 0;
    let last = { key: 0, endedAt: Number.MIN_SAFE_INTEGER };
    while (trees < limit) {
      const page = endedRoots.all({ before, max: limit, key: last.key, endedAt: last.endedAt });
      // A tree in which something still runs (a child that was abandoned) is left alone until that has ended too.
      for (const { id } of page) if (trees < limit && removeTree(id, false, change)) trees++;
      if (page.length < limit) break;
      last = page[page.length - 1]!;
    }
    return trees;
  });
  const pruneExecutions = db.transaction((keep: number) => {
    const old = oldExecutions.all(keep);
    for (const { instance, execution } of old) {
      removeHistory(instance, execution);
      removeExecution.run(instance, execution);
    }
    return old.length;
  });

  return ({ endedBefore, keepExecutions, limit }, change) => ({
    trees: endedBefore === undefined ? 0 : pruneTrees.immediate(endedBefore, limit, change),
    executions: keepExecutions === undefined ? 0 : pruneExecutions.immediate(Math.max(1, keepExecutions)),
  });
}
