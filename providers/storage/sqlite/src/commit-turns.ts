/**
 * Writing turns: the hottest code of the house. A plain turn of an owned instance is two statements, the update that
 * checks owner and position and the append; everything else is paid for by the turns that have it.
 */
import type { CommitOutcome, InstanceKey, OutgoingWork, TurnCommit, WorkerKey } from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Database } from "./database.ts";
import type { Mail } from "./messages.ts";
import { statuses } from "./schema.ts";

/** Owner and position, checked in the statement that writes (S1). */
const stillMine = "WHERE key = ? AND owner = ? AND last_event_id = ? AND execution = ?";

type Check = [key: InstanceKey, worker: WorkerKey, expectedEventId: number, execution: number];

/** The statements that move an instance as text: tests ask SQLite for their plans. */
export const commitTurnsSql = {
  /** Another chunk of the same execution, nothing else: touches no index. */
  advance: `UPDATE instances SET last_event_id = ?, unsettled = ?, attempts = 0, blocked = NULL, blocked_builds = NULL,
    updated_at = ? ${stillMine}`,
  /** Anything that goes on running. The first history makes a pending instance a running one. */
  move: `UPDATE instances SET last_event_id = ?, unsettled = ?, attempts = 0, blocked = NULL, blocked_builds = NULL,
    updated_at = ?, owner = ?, status = max(status, ?), execution = ?, version = coalesce(?, version),
    custom_status = coalesce(?, custom_status) ${stillMine}`,
  end: `UPDATE instances SET last_event_id = ?, unsettled = 0, attempts = 0, blocked = NULL, blocked_builds = NULL,
    updated_at = ?, owner = NULL, status = ?, execution = ?, version = coalesce(?, version),
    custom_status = coalesce(?, custom_status), ended_at = ?, output = ?, error = ? ${stillMine}`,
  /** Builds add up: two that cannot run an instance must not hand it back and forth. */
  block: `UPDATE instances SET unsettled = ?, updated_at = ?, owner = NULL, blocked = ?,
    blocked_builds = json_insert(coalesce(blocked_builds, '[]'), '$[#]', ?) ${stillMine}`,
  append: `INSERT INTO history (instance, execution, first_event_id, last_event_id, at, body) VALUES (?, ?, ?, ?, ?, ?)`,
};

/** Writes one work row. An earlier row of the same request goes, and with it whoever runs it loses it. */
export const insertWorkSql = `INSERT OR REPLACE INTO work
  (instance, execution, event_id, kind, name, tag, session, visible_at, attempts, heartbeat, failure, body, owner)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

/** What {@link insertWorkSql} takes. */
export type WorkValues = (string | number | null)[];

/** A work item as {@link insertWorkSql} takes it. */
export function workValues(instance: InstanceKey, work: OutgoingWork, owner: WorkerKey | null): WorkValues {
  const { execution, eventId, kind, name, tag, session, visibleAt, attempts, heartbeat, failure, body } = work;
  return [
    instance,
    execution,
    eventId,
    kind,
    name,
    tag ?? null,
    session ?? null,
    visibleAt ?? 0,
    attempts,
    heartbeat ?? null,
    failure ?? null,
    body,
    owner,
  ];
}

/** Prepares `commitTurns` for a connection. */
export function prepareCommitTurns(
  db: Database,
  mail: Mail,
): (worker: WorkerKey, commits: readonly TurnCommit[], change: ChangeSet) => CommitOutcome[] {
  const advance = db.prepare<[number, number, number, ...Check]>(commitTurnsSql.advance);
  const append = db.prepare<[InstanceKey, number, number, number, number, string]>(commitTurnsSql.append);
  const moveInstance = prepareMove(db);
  const parts = prepareParts(db);

  /** What most turns are: one more chunk, perhaps the request it answers to be settled. */
  const commit = (worker: WorkerKey, turn: TurnCommit, change: ChangeSet): CommitOutcome => {
    const { key, execution, expectedEventId, history, at } = turn;
    const last = history[history.length - 1];
    const plain =
      last !== undefined &&
      last.execution === execution &&
      expectedEventId > 0 &&
      turn.keep &&
      turn.ended === undefined &&
      turn.blocked === undefined &&
      turn.version === undefined &&
      turn.customStatus === undefined;
    const changes = plain
      ? advance.run(last.lastEventId, turn.unsettled ? 1 : 0, at, key, worker, expectedEventId, execution).changes
      : moveInstance(worker, turn);
    if (changes === 0) return "notOwner";
    if (turn.blocked === undefined) {
      for (const chunk of history) {
        append.run(key, chunk.execution, chunk.firstEventId, chunk.lastEventId, at, chunk.body);
      }
      parts.write(turn, last?.execution ?? execution);
      for (const start of turn.starts) mail.start(start, change);
      for (const message of turn.messages) mail.post(message, change);
    }
    if (!plain || turn.outputs.length > 0 || turn.waits.length > 0 || turn.state.length > 0) parts.note(turn, change);
    if (turn.timers.length > 0) change.turns = true;
    if (turn.work.length > 0) change.work = true;
    return "committed";
  };

  const commitAll = db.transaction((worker: WorkerKey, commits: readonly TurnCommit[], change: ChangeSet) => {
    const outcomes: CommitOutcome[] = [];
    for (const turn of commits) outcomes.push(commit(worker, turn, change));
    return outcomes;
  });
  return (worker, commits, change) => (commits.length === 0 ? [] : commitAll.immediate(worker, commits, change));
}

/** Every move that is not plain. Answers how many rows changed. */
function prepareMove(db: Database): (worker: WorkerKey, turn: TurnCommit) => number {
  const move = db.prepare<unknown[]>(commitTurnsSql.move);
  const end = db.prepare<unknown[]>(commitTurnsSql.end);
  const block = db.prepare<unknown[]>(commitTurnsSql.block);

  return (worker, turn) => {
    const { key, execution, expectedEventId, at, ended, blocked } = turn;
    const check: Check = [key, worker, expectedEventId, execution];
    const last = turn.history[turn.history.length - 1];
    const position = last?.lastEventId ?? expectedEventId;
    const nextExecution = last?.execution ?? execution;
    const unsettled = turn.unsettled ? 1 : 0;
    const version = turn.version ?? null;
    const customStatus = turn.customStatus ?? null;
    if (blocked !== undefined) return block.run(unsettled, at, blocked.error, blocked.buildId, ...check).changes;
    if (ended !== undefined) {
      const { output = null, error = null } = ended;
      const status = statuses.indexOf(ended.status);
      return end.run(position, at, status, nextExecution, version, customStatus, at, output, error, ...check).changes;
    }
    const owner = turn.keep ? worker : null;
    const status = last === undefined ? 0 : 1;
    return move.run(position, unsettled, at, owner, status, nextExecution, version, customStatus, ...check).changes;
  };
}

interface Parts {
  /** All that a turn writes beside instance, history and mail, into `execution`. */
  write(turn: TurnCommit, execution: number): void;
  /** Tells of a turn that others can see. */
  note(turn: TurnCommit, change: ChangeSet): void;
}

function prepareParts(db: Database): Parts {
  const idOf = db.prepare<[InstanceKey], string>("SELECT id FROM instances WHERE key = ?").pluck();
  const consumeMessage = db.prepare("DELETE FROM messages WHERE key = ? AND instance = ?");
  const consumeTimer = db.prepare("DELETE FROM timers WHERE instance = ? AND execution = ? AND event_id = ?");
  const ofRequest = ["timers", "work", "waits"].map((table) => ({
    settle: db.prepare(`DELETE FROM ${table} WHERE instance = ? AND execution = ? AND event_id = ?`),
    close: db.prepare(`DELETE FROM ${table} WHERE instance = ? AND execution < ?`),
    drop: db.prepare(`DELETE FROM ${table} WHERE instance = ?`),
  }));
  const dropMessages = db.prepare("DELETE FROM messages WHERE instance = ?");
  const insertPayload = db.prepare(
    `INSERT INTO payloads (root, digest, body) SELECT coalesce(root, key), ?, ? FROM instances WHERE key = ?
     ON CONFLICT DO NOTHING`,
  );
  const insertTimer = db.prepare(
    "INSERT OR REPLACE INTO timers (instance, execution, event_id, fire_at, body) VALUES (?, ?, ?, ?, ?)",
  );
  const insertWork = db.prepare<WorkValues>(insertWorkSql);
  const setState = db.prepare("INSERT OR REPLACE INTO state (instance, name, value) VALUES (?, ?, ?)");
  const deleteState = db.prepare("DELETE FROM state WHERE instance = ? AND name = ?");
  const insertOutput = db.prepare("INSERT INTO outputs (instance, at, body) VALUES (?, ?, ?)");
  const insertWait = db.prepare(
    `INSERT OR REPLACE INTO waits (instance, execution, event_id, name, details, since, timeout_at)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
  );

  return {
    write(turn, execution) {
      const { key } = turn;
      for (const payload of turn.payloads) insertPayload.run(payload.digest, payload.body, key);
      for (const change of turn.state) {
        if (change.value === undefined) deleteState.run(key, change.key);
        else setState.run(key, change.key, change.value);
      }
      for (const output of turn.outputs) insertOutput.run(key, output.at, output.body);

      if (turn.ended !== undefined) {
        dropMessages.run(key);
        for (const table of ofRequest) table.drop.run(key);
        return;
      }
      for (const consumed of turn.consumed) {
        if (typeof consumed === "number") consumeMessage.run(consumed, key);
        else consumeTimer.run(key, ...consumed.split("."));
      }
      if (execution > turn.execution) {
        for (const table of ofRequest) table.close.run(key, execution);
      } else {
        for (const eventId of turn.settled) {
          for (const table of ofRequest) table.settle.run(key, execution, eventId);
        }
      }
      for (const timer of turn.timers) insertTimer.run(key, execution, timer.eventId, timer.fireAt, timer.body);
      for (const work of turn.work) insertWork.run(...workValues(key, work, null));
      for (const wait of turn.waits) {
        const { eventId, name, details = null, since, timeoutAt = null } = wait;
        insertWait.run(key, execution, eventId, name, details, since, timeoutAt);
      }
    },

    note(turn, change) {
      if (!turn.keep && turn.blocked === undefined && turn.ended === undefined) change.turns = true;
      if (turn.blocked !== undefined) change.turns = true; // another build may want it
      change.instances.push(idOf.get(turn.key)!);
    },
  };
}
