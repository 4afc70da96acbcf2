/**
 * The instance row and the history of a commit. The row moves in one statement that also checks owner and position
 * (S1), and only the columns that the turn changes are in it: an index costs only the turns that touch its column.
 *
 * Chunks are chained: the update keeps the end of the chain as it was in `earlier_chunk`, where the append finds it.
 */
import type { InstanceKey, TurnCommit, WorkerKey } from "@stet/core";
import type { Database } from "./database.ts";
import { anyBuild, blockedBuild } from "./schema.ts";
import { statuses } from "./statuses.ts";

type Value = string | number | null;

/** Moves an instance and appends its history from the key `chunk` on, unless the check fails. */
export interface MoveInstance {
  /** One more chunk of an execution that goes on, owned as before. Answers whether it did. */
  advance(worker: WorkerKey, turn: TurnCommit, chunk: number): boolean;
  /** Any turn. Answers the id of the instance. */
  move(worker: WorkerKey, turn: TurnCommit, chunk: number): string | undefined;
}

const check = "WHERE key = ? AND owner = ? AND last_event_id = ? AND execution = ?";

const advanceSql = `UPDATE instances SET earlier_chunk = last_chunk, last_chunk = ?, last_event_id = ?, unsettled = ?,
    attempts = 0, blocked = NULL, blocked_builds = NULL, updated_at = ? ${check}`;
const appendSql = `INSERT INTO history (key, previous, instance, execution, first_event_id, last_event_id, body)
    VALUES (?, (SELECT earlier_chunk FROM instances WHERE key = ?), ?, ?, ?, ?, ?)`;

/** Prepares it for a connection. */
export function prepareMove(db: Database): MoveInstance {
  const advance = db.prepare<[number, number, number, number, InstanceKey, WorkerKey, number, number]>(advanceSql);
  const append = db.prepare<[number, InstanceKey, InstanceKey, number, number, number, string]>(appendSql);
  const appendHistory = prepareAppend(db);
  const updates = new Map<string, ReturnType<typeof prepareUpdate>>();
  const prepareUpdate = (columns: string) =>
    db.prepare<unknown[], string>(`UPDATE instances SET ${columns} ${check} RETURNING id`).pluck();

  return {
    advance(worker, turn, chunk) {
      const { key, execution, expectedEventId, at } = turn;
      const { firstEventId, lastEventId, body } = turn.history[0]!;
      const unsettled = turn.unsettled ? 1 : 0;
      const moved = advance.run(chunk, lastEventId, unsettled, at, key, worker, expectedEventId, execution).changes > 0;
      if (moved) append.run(chunk, key, key, execution, firstEventId, lastEventId, body);
      return moved;
    },

    move(worker, turn, chunk) {
      const { key, execution, expectedEventId } = turn;
      const { columns, values } = changedColumns(turn, chunk);
      let update = updates.get(columns);
      if (update === undefined) updates.set(columns, (update = prepareUpdate(columns)));
      const id = update.get(...values, key, worker, expectedEventId, execution);
      if (id !== undefined && turn.blocked === undefined && turn.suspended === undefined) appendHistory(turn, chunk);
      return id;
    },
  };
}

/** The SET list of a turn, the same text for turns of the same kind, and its values. */
function changedColumns(turn: TurnCommit, chunk: number): { columns: string; values: Value[] } {
  const { history, ended, blocked, suspended, version, customStatus, at } = turn;
  let columns = "updated_at = ?, unsettled = ?";
  const values: Value[] = [at, turn.unsettled && ended === undefined ? 1 : 0];
  const set = (column: string, value: Value): void => {
    columns += `, ${column}`;
    values.push(value);
  };

  if (!turn.keep || ended !== undefined || blocked !== undefined || suspended !== undefined)
    columns += ", owner = NULL";
  if (blocked !== undefined) {
    columns += ", attempts = 0";
    // Builds add up: two that cannot run an instance must not hand it back and forth.
    set("blocked = ?", blocked.error);
    set("blocked_builds = coalesce(blocked_builds, '') || ?", blockedBuild(blocked.buildId));
    return { columns, values };
  }
  if (suspended !== undefined) {
    columns += ", attempts = 0";
    set("blocked = ?", suspended.error);
    set("blocked_builds = ?", anyBuild);
    return { columns, values };
  }
  columns += ", attempts = 0, blocked = NULL, blocked_builds = NULL";
  const last = history[history.length - 1];
  if (last !== undefined) {
    columns += ", earlier_chunk = last_chunk";
    set("last_chunk = ?", chunk + history.length - 1);
    set("last_event_id = ?", last.lastEventId);
    if (last.execution !== turn.execution) set("execution = ?", last.execution);
    // Nothing has happened before its first history: what was pending is running now.
    if (turn.expectedEventId === 0) {
      set("started_at = ?", at);
      if (ended === undefined) set("status = ?", statuses.indexOf("running"));
    }
  }
  if (version !== undefined) set("version = ?", version);
  if (customStatus !== undefined) set("custom_status = ?", customStatus);
  if (ended !== undefined) {
    set("status = ?", statuses.indexOf(ended.status));
    set("ended_at = ?", at);
    set("output = ?", ended.output ?? null);
    set("error = ?", ended.error ?? null);
  }
  return { columns, values };
}

/** Appends the chunks of a turn, and closes the executions that it leaves. */
function prepareAppend(db: Database): (turn: TurnCommit, chunk: number) => void {
  const append = db.prepare<[number, InstanceKey, InstanceKey, number, number, number, string]>(appendSql);
  const begin = db.prepare<[number, InstanceKey, number, number, number, string]>(
    "INSERT INTO history (key, instance, execution, first_event_id, last_event_id, body) VALUES (?, ?, ?, ?, ?, ?)",
  );
  const follow = db.prepare<[number, number, InstanceKey, number, number, number, string]>(
    "INSERT INTO history (key, previous, instance, execution, first_event_id, last_event_id, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  const close = db.prepare<[number, number | null, number, number, InstanceKey]>(
    `INSERT INTO executions (instance, execution, last_chunk, event_count, started_at, updated_at)
     SELECT key, ?, coalesce(?, earlier_chunk), ?, started_at, ? FROM instances WHERE key = ?`,
  );
  const startAt = db.prepare<[number, InstanceKey]>("UPDATE instances SET started_at = ? WHERE key = ?");

  return (turn, firstChunk) => {
    const { key, at } = turn;
    let { execution, expectedEventId: lastEventId } = turn;
    let chunk = firstChunk;
    for (const each of turn.history) {
      const isFirst = chunk === firstChunk;
      if (each.execution !== execution) {
        close.run(execution, isFirst ? null : chunk - 1, lastEventId, at, key);
        startAt.run(at, key);
        begin.run(chunk, key, each.execution, each.firstEventId, each.lastEventId, each.body);
      } else if (isFirst) {
        append.run(chunk, key, key, execution, each.firstEventId, each.lastEventId, each.body);
      } else {
        follow.run(chunk, chunk - 1, key, execution, each.firstEventId, each.lastEventId, each.body);
      }
      ({ execution, lastEventId } = each);
      chunk++;
    }
  };
}
