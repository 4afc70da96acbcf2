/**
 * Sending and starting. The functions that work inside somebody else's transaction come first: a turn and a completion
 * send the same way as a client does.
 */
import {
  StorageError,
  type InstanceKey,
  type OutgoingMessage,
  type OutgoingStart,
  type SendOutcome,
  type StartOutcome,
} from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Database } from "./database.ts";
import { firstEnded } from "./statuses.ts";

/** What sends and starts within a transaction that is open already. */
export interface Mail {
  /** Delivers, or drops when nobody can take it. Cheaper than {@link Mail.send}, which also says why. */
  post(message: OutgoingMessage, change: ChangeSet): void;
  send(message: OutgoingMessage, change: ChangeSet): SendOutcome;
  start(start: OutgoingStart, change: ChangeSet): StartOutcome;
}

/** The verbs of clients, each one transaction. */
export interface Messages {
  readonly mail: Mail;
  sendMessages(messages: readonly OutgoingMessage[], change: ChangeSet): SendOutcome[];
  startInstances(starts: readonly OutgoingStart[], change: ChangeSet): StartOutcome[];
}

/** Prepares them for a connection. */
export function prepareMessages(db: Database): Messages {
  const mail = prepareMail(db);
  const sendMessages = db.transaction((messages: readonly OutgoingMessage[], change: ChangeSet) =>
    messages.map((message) => mail.send(message, change)),
  );
  const startInstances = db.transaction((starts: readonly OutgoingStart[], change: ChangeSet) =>
    starts.map((start) => mail.start(start, change)),
  );
  return {
    mail,
    sendMessages: (messages, change) => (messages.length === 0 ? [] : sendMessages.immediate(messages, change)),
    startInstances: (starts, change) => (starts.length === 0 ? [] : startInstances.immediate(starts, change)),
  };
}

function prepareMail(db: Database): Mail {
  const addressee = "FROM instances WHERE id = ? AND key = coalesce(?, key)";
  const statusOf = db.prepare<[string, InstanceKey | null], number>(`SELECT status ${addressee}`).pluck();
  const insertKey = db.prepare<[string, string, InstanceKey | null]>(
    `INSERT INTO message_keys (instance, idempotency_key)
     SELECT key, ? ${addressee} AND status < ${firstEnded} ON CONFLICT DO NOTHING`,
  );
  const insertById = db.prepare<[number, number | null, number | null, string, string, InstanceKey | null]>(
    `INSERT INTO messages (instance, at, execution, event_id, body)
     SELECT key, ?, ?, ?, ? ${addressee} AND status < ${firstEnded}`,
  );
  const insertMessage = db.prepare<[number | bigint, number, string]>(
    "INSERT INTO messages (instance, at, body) VALUES (?, ?, ?)",
  );
  const insertRoot = db.prepare<[string, string, string | null, string | null, number, number]>(
    `INSERT INTO instances
       (id, name, version, labels, created_at, updated_at, status, execution, last_event_id, unsettled, attempts)
     VALUES (?, ?, ?, ?, ?, ?, 0, 1, 0, 0, 0) ON CONFLICT (id) DO NOTHING`,
  );
  const insertChild = db.prepare<[string, string, string | null, string | null, number, number, string]>(
    `INSERT INTO instances
       (id, name, version, labels, created_at, updated_at, status, execution, last_event_id, unsettled, attempts, root, parent)
     SELECT ?, ?, ?, ?, ?, ?, 0, 1, 0, 0, 0, coalesce(root, key), key FROM instances WHERE id = ?
     ON CONFLICT (id) DO NOTHING`,
  );

  const deliver = ({ instanceId, instance, body, at, idempotencyKey, answers }: OutgoingMessage): boolean => {
    const to = [instanceId, instance ?? null] as const;
    if (idempotencyKey !== undefined && insertKey.run(idempotencyKey, ...to).changes === 0) return false;
    return insertById.run(at, answers?.execution ?? null, answers?.eventId ?? null, body, ...to).changes > 0;
  };

  const mail: Mail = {
    post(message, change) {
      if (deliver(message)) change.turns = true;
    },

    send(message, change) {
      if (deliver(message)) {
        change.turns = true;
        return "sent";
      }
      const status = statusOf.get(message.instanceId, message.instance ?? null);
      if (status === undefined) return "unknown";
      return status < firstEnded ? "duplicate" : "ended";
    },

    start(start, change) {
      const { instanceId, name, version = null, parentId, at } = start;
      const labels = start.labels === undefined ? null : JSON.stringify(start.labels);
      const inserted =
        parentId === undefined
          ? insertRoot.run(instanceId, name, version, labels, at, at)
          : insertChild.run(instanceId, name, version, labels, at, at, parentId);
      if (inserted.changes === 0) {
        if (statusOf.get(instanceId, null) === undefined) {
          throw new StorageError(`Expected the parent of ${instanceId} to exist, got ${parentId}`, false);
        }
        if (start.ifExists !== undefined) mail.post(start.ifExists, change);
        return "exists";
      }
      insertMessage.run(inserted.lastInsertRowid, at, start.body);
      change.turns = true;
      change.instances.push(instanceId);
      return "started";
    },
  };
  return mail;
}
