/** What operators do to instances, each one transaction: clearing a block, restarting, deleting, pruning. */
import type { PruneQuery } from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Database } from "./database.ts";
import { called, type Routine } from "./routines.ts";
import { anyBuild, firstEnded } from "./schema.ts";
import { toText } from "./values.ts";

/** Clears a block, and answers whether there was one. */
export const unblock: Routine = {
  name: "unblock",
  signature: "(p_id text) RETURNS TABLE (unblocked boolean)",
  body: `BEGIN
    PERFORM 1 FROM instances WHERE id = p_id FOR NO KEY UPDATE;
    PERFORM ${called("reopen")}(ARRAY(
      SELECT i.key FROM instances i WHERE i.id = p_id AND i.blocked_builds = '${anyBuild}'));
    UPDATE instances SET blocked = NULL, blocked_builds = NULL, attempts = 0 WHERE id = p_id AND blocked IS NOT NULL;
    RETURN QUERY SELECT FOUND;
  END`,
};

/** Begins the next execution of an ended instance. */
export const restart: Routine = {
  name: "restart",
  signature: "(p_id text, p_body text, p_at bigint) RETURNS TABLE (outcome text)",
  body: `DECLARE
    v_row record;
  BEGIN
    SELECT i.key, i.status INTO v_row FROM instances i WHERE i.id = p_id FOR UPDATE;
    IF NOT FOUND THEN RETURN QUERY SELECT 'unknown'; RETURN; END IF;
    IF v_row.status < ${firstEnded} THEN RETURN QUERY SELECT 'running'; RETURN; END IF;
    INSERT INTO executions (instance, execution, event_count, started_at, updated_at)
    SELECT i.key, i.execution, i.last_event_id, i.started_at, i.updated_at FROM instances i
    WHERE i.key = v_row.key AND i.last_event_id > 0;
    UPDATE instances SET status = 0, execution = execution + 1, last_event_id = 0, version = NULL, unsettled = false,
      attempts = 0, started_at = NULL, ended_at = NULL, output = NULL, error = NULL, updated_at = p_at
    WHERE key = v_row.key;
    INSERT INTO messages (instance, at, body) VALUES (v_row.key, p_at, p_body);
    RETURN QUERY SELECT 'restarted';
  END`,
};

/** The keys of an instance and all below it. */
export const treeOf: Routine = {
  name: "tree_of",
  signature: "(p_key bigint) RETURNS bigint[]",
  body: `BEGIN
    RETURN ARRAY(
      WITH RECURSIVE tree (key) AS (
        SELECT p_key UNION ALL SELECT i.key FROM tree JOIN instances i ON i.parent =@ tree.key)
      SELECT t.key FROM tree t ORDER BY t.key);
  END`,
};

/**
 * Removes the tree of a root unless something in it runs and it is not forced to. What is on its way to the tree waits
 * for its rows and then finds none. When children were made meanwhile it all begins anew: they might come before others.
 */
export const removeTree: Routine = {
  name: "remove_tree",
  signature: "(p_root bigint, p_force boolean) RETURNS TABLE (id text)",
  body: `DECLARE
    v_keys bigint[] := ${called("tree_of")}(p_root);
  BEGIN
    PERFORM 1 FROM instances WHERE key = ANY (v_keys) ORDER BY key FOR UPDATE;
    IF ${called("tree_of")}(p_root) <> v_keys THEN
      RAISE EXCEPTION 'The tree has grown.' USING ERRCODE = 'serialization_failure';
    END IF;
    IF NOT p_force AND EXISTS (SELECT 1 FROM instances WHERE key = ANY (v_keys) AND status < ${firstEnded}) THEN
      RETURN;
    END IF;
    PERFORM 1 FROM ${called("remove_requests")}(v_keys, NULL, NULL, NULL);
    DELETE FROM executions WHERE instance = ANY (v_keys);
    DELETE FROM history WHERE instance = ANY (v_keys);
    DELETE FROM message_keys WHERE instance = ANY (v_keys);
    DELETE FROM state WHERE instance = ANY (v_keys);
    DELETE FROM outputs WHERE instance = ANY (v_keys);
    DELETE FROM answers WHERE instance = ANY (v_keys);
    DELETE FROM budgets WHERE instance = ANY (v_keys);
    DELETE FROM bookings WHERE instance = ANY (v_keys);
    DELETE FROM payloads WHERE root = p_root;
    RETURN QUERY DELETE FROM instances WHERE key = ANY (v_keys) RETURNING id;
  END`,
};

/** Answers the ids of what was deleted, or one row that says why nothing was. */
export const deleteTree: Routine = {
  name: "delete_tree",
  signature: "(p_id text, p_force boolean) RETURNS TABLE (outcome text, id text)",
  body: `DECLARE
    v_row record;
  BEGIN
    SELECT i.key, i.parent INTO v_row FROM instances i WHERE i.id = p_id;
    IF NOT FOUND THEN RETURN QUERY SELECT 'unknown', NULL; RETURN; END IF;
    IF v_row.parent IS NOT NULL THEN RETURN QUERY SELECT 'notRoot', NULL; RETURN; END IF;
    RETURN QUERY SELECT 'deleted', r.id FROM ${called("remove_tree")}(v_row.key, p_force) AS r (id);
    IF NOT FOUND THEN
      RETURN QUERY SELECT CASE WHEN EXISTS (SELECT 1 FROM instances i WHERE i.key = v_row.key)
        THEN 'running' ELSE 'unknown' END, NULL;
    END IF;
  END`,
};

/** Removes executions that are over and older than the newest. */
export const pruneExecutions: Routine = {
  name: "prune_executions",
  signature: "(p_keep integer) RETURNS TABLE (removed bigint)",
  body: `BEGIN
    RETURN QUERY
    WITH old AS (
      DELETE FROM executions x USING (
        SELECT e.instance, e.execution FROM executions e JOIN instances i ON i.key =@ e.instance
        WHERE e.execution <= i.execution - p_keep FOR UPDATE OF e SKIP LOCKED) AS e
      WHERE x.instance =@ e.instance AND x.execution = e.execution RETURNING x.instance, x.execution
    ), gone AS (
      DELETE FROM history h USING old o WHERE h.instance =@ o.instance AND h.execution = o.execution)
    SELECT count(*) FROM old;
  END`,
};

/** The writing verbs of the admin side. */
export interface AdminWrites {
  unblock(ids: readonly string[], change: ChangeSet): Promise<string[]>;
  restart(
    restart: { readonly instanceId: string; readonly body: string; readonly at: number },
    change: ChangeSet,
  ): Promise<"restarted" | "unknown" | "running">;
  deleteTree(
    instanceId: string,
    force: boolean,
    change: ChangeSet,
  ): Promise<"deleted" | "unknown" | "running" | "notRoot">;
  prune(query: PruneQuery, change: ChangeSet): Promise<{ readonly trees: number; readonly executions: number }>;
}

/** Binds them to a database. */
export function bindAdminWrites(db: Database): AdminWrites {
  return {
    async unblock(ids, change) {
      // Each is a transaction of its own: whoever holds instances of several trees takes them otherwise.
      for (const id of ids) {
        const [answer] = await db.call<{ unblocked: boolean }>(unblock, [toText(id)]);
        if (answer!.unblocked) change.instances.push(id);
      }
      change.turns = change.instances.length > 0;
      return [...change.instances];
    },

    async restart({ instanceId, body, at }, change) {
      type Answer = { readonly outcome: Awaited<ReturnType<AdminWrites["restart"]>> };
      const [answer] = await db.call<Answer>(restart, [toText(instanceId), toText(body), at]);
      if (answer!.outcome === "restarted") {
        change.turns = true;
        change.instances.push(instanceId);
      }
      return answer!.outcome;
    },

    async deleteTree(instanceId, force, change) {
      type Answer = { readonly outcome: Awaited<ReturnType<AdminWrites["deleteTree"]>>; readonly id: string | null };
      const rows = await db.call<Answer>(deleteTree, [toText(instanceId), force]);
      for (const { id } of rows) if (id !== null) noteDeleted(id, change);
      return rows[0]!.outcome;
    },

    async prune({ endedBefore, keepExecutions, limit }, change) {
      const trees = endedBefore === undefined ? 0 : await pruneTrees(db, endedBefore, limit, change);
      if (keepExecutions === undefined) return { trees, executions: 0 };
      const [pruned] = await db.call<{ removed: number }>(pruneExecutions, [Math.max(1, keepExecutions)]);
      return { trees, executions: pruned!.removed };
    },
  };
}

/** Each tree is a transaction of its own, so that none waits for long, and nobody for two of them. */
async function pruneTrees(db: Database, before: number, limit: number, change: ChangeSet): Promise<number> {
  const endedRoots = `SELECT key, ended_at FROM ${db.table("instances")}
    WHERE ended_at IS NOT NULL AND parent IS NULL AND ended_at < $1 AND (ended_at, key) > ($2, $3)
    ORDER BY ended_at, key LIMIT $4`;
  let trees = 0;
  let last = { key: 0, ended_at: Number.MIN_SAFE_INTEGER };
  while (trees < limit) {
    const page = await db.query<typeof last>(endedRoots, [before, last.ended_at, last.key, limit]);
    for (const { key } of page) {
      if (trees >= limit) break;
      // A tree in which something still runs (a child that was abandoned) is left alone until that has ended too.
      const removed = await db.call<{ id: string }>(removeTree, [key, false]);
      for (const { id } of removed) noteDeleted(id, change);
      if (removed.length > 0) trees++;
    }
    if (page.length < limit) break;
    last = page[page.length - 1]!;
  }
  return trees;
}

function noteDeleted(id: string, change: ChangeSet): void {
  change.instances.push(id);
  change.ended.push(id);
}
