/** What a turn writes beside its instance, its history and its mail. An empty part costs nothing. */
import type { InstanceKey, OutgoingWork, TurnCommit, WorkerKey } from "@stet/core";
import type { Database } from "./database.ts";

/** The parts of a commit. */
export interface TurnParts {
  /** Answers whether clients can see a difference. */
  write(turn: TurnCommit): boolean;
}

/** Writes one work row. An earlier row of the same request goes, and with it whoever runs it loses it. */
export const insertWorkSql = `INSERT OR REPLACE INTO work
  (instance, execution, event_id, kind, name, tag, session, visible_at, attempts, heartbeat, failure, rank, tokens, body,
   owner)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

/** `visible_at` of a model call that is visible at once. */
const inLine = -1;

/** What {@link insertWorkSql} takes. */
export type WorkValues = (string | number | null)[];

/** A work item as {@link insertWorkSql} takes it. */
export function workValues(instance: InstanceKey, work: OutgoingWork, owner: WorkerKey | null): WorkValues {
  const { execution, eventId, kind, name, attempts, body } = work;
  const { tag = null, session = null, heartbeat = null, failure = null } = work;
  const call = kind === "model";
  const { visibleAt = call ? inLine : 0 } = work;
  const [rank, tokens] = call ? [work.rank ?? 0, work.tokens ?? 0] : [null, null];
  const routing = [kind, name, tag, session, visibleAt, attempts, heartbeat, failure, rank, tokens];
  return [instance, execution, eventId, ...routing, body, owner];
}

/** Deleting by request, by execution and by instance, where rows belong to requests. */
const ofRequests = ["timers", "work", "waits"] as const;

function settleSql(table: (typeof ofRequests)[number]): string {
  return `DELETE FROM ${table} WHERE instance = ? AND execution = ? AND event_id = ?`;
}

/** Prepares them for a connection. */
export function prepareTurnParts(db: Database): TurnParts {
  const consumeMessage = db.prepare("DELETE FROM messages WHERE key = ? AND instance = ?");
  const settleTimer = db.prepare(settleSql("timers"));
  const settleWork = db.prepare(settleSql("work"));
  const settleWait = db.prepare(settleSql("waits"));
  const close = ofRequests.map((table) => db.prepare(`DELETE FROM ${table} WHERE instance = ? AND execution < ?`));
  const drop = ["messages", ...ofRequests].map((table) => db.prepare(`DELETE FROM ${table} WHERE instance = ?`));
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

  /** What is for whoever looks at the instance, whether it goes on or has ended. */
  const publish = ({ key, payloads, state, outputs }: TurnCommit): void => {
    for (const payload of payloads) insertPayload.run(payload.digest, payload.body, key);
    for (const change of state) {
      if (change.value === undefined) deleteState.run(key, change.key);
      else setState.run(key, change.key, change.value);
    }
    for (const output of outputs) insertOutput.run(key, output.at, output.body);
  };

  return {
    write(turn) {
      const { key, history } = turn;
      publish(turn);
      if (turn.ended !== undefined) {
        for (const statement of drop) statement.run(key);
        return true;
      }
      let visible = turn.state.length > 0 || turn.outputs.length > 0 || turn.waits.length > 0;
      for (const consumed of turn.consumed) {
        if (typeof consumed === "number") consumeMessage.run(consumed, key);
        else settleTimer.run(key, ...consumed.split("."));
      }
      const execution = history[history.length - 1]?.execution ?? turn.execution;
      if (execution > turn.execution) {
        for (const statement of close) statement.run(key, execution);
      } else {
        for (const eventId of turn.settled) {
          settleTimer.run(key, execution, eventId);
          settleWork.run(key, execution, eventId);
          if (settleWait.run(key, execution, eventId).changes > 0) visible = true;
        }
      }
      for (const timer of turn.timers) insertTimer.run(key, execution, timer.eventId, timer.fireAt, timer.body);
      for (const work of turn.work) insertWork.run(...workValues(key, work, null));
      for (const { eventId, name, details = null, since, timeoutAt = null } of turn.waits) {
        insertWait.run(key, execution, eventId, name, details, since, timeoutAt);
      }
      return visible;
    },
  };
}
