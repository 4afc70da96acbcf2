/** What model calls leave in the store besides their place in history: what they write while they speak, and answers kept. */
import type {
  AnswerKey,
  AppendedOutput,
  CommitOutcome,
  InstanceKey,
  SavedAnswer,
  WorkerKey,
  WorkKey,
} from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import { limitMax, type Database } from "./database.ts";

/** The verbs of model calls. */
export interface ModelCalls {
  appendOutputs(worker: WorkerKey, outputs: readonly AppendedOutput[], change: ChangeSet): CommitOutcome[];
  readAnswers(keys: readonly AnswerKey[], now: number): (string | undefined)[];
  saveAnswers(answers: readonly SavedAnswer[], now: number): void;
}

const ofInstanceSql = `INSERT INTO outputs (instance, at, body)
  SELECT key, ?, ? FROM instances WHERE key = ? AND execution = ? AND owner = ?`;
const ofItemSql = `INSERT INTO outputs (instance, at, body)
  SELECT instance, ?, ? FROM work WHERE instance = ? AND execution = ? AND owner = ? AND key = ?`;

const saveSql = `INSERT OR REPLACE INTO answers (instance, execution, digest, expires_at, body)
  SELECT :instance, :execution, :digest, :expiresAt, :body
  WHERE :instance = 0 OR EXISTS (SELECT 1 FROM instances WHERE key = :instance)`;

interface SaveBinding {
  readonly instance: InstanceKey;
  readonly execution: number;
  readonly digest: string;
  readonly expiresAt: number | null;
  readonly body: string;
}

/** Prepares them for a connection. */
export function prepareModelCalls(db: Database): ModelCalls {
  const appendOfInstance = db.prepare<[number, string, InstanceKey, number, WorkerKey]>(ofInstanceSql);
  const appendOfItem = db.prepare<[number, string, InstanceKey, number, WorkerKey, WorkKey]>(ofItemSql);
  const find = db
    .prepare<[InstanceKey, number, string, number], string>(
      `SELECT body FROM answers
       WHERE instance = ? AND execution = ? AND digest = ? AND (expires_at IS NULL OR expires_at > ?)`,
    )
    .pluck();
  const save = db.prepare<[SaveBinding]>(saveSql);
  const forgetEarlier = db.prepare<[InstanceKey, number]>(
    "DELETE FROM answers WHERE instance = ? AND execution > 0 AND execution < ?",
  );
  const forgetExpired = db.prepare<[{ readonly now: number; readonly max: number }]>(
    `DELETE FROM answers WHERE key IN (
       SELECT key FROM answers WHERE expires_at IS NOT NULL AND expires_at <= :now ORDER BY expires_at ${limitMax})`,
  );

  const appendAll = db.transaction(
    (worker: WorkerKey, outputs: readonly AppendedOutput[], change: ChangeSet): CommitOutcome[] =>
      outputs.map(({ instance, instanceId, execution, work, body, at }) => {
        const { changes } =
          work === undefined
            ? appendOfInstance.run(at, body, instance, execution, worker)
            : appendOfItem.run(at, body, instance, execution, worker, work);
        if (changes === 0) return "notOwner";
        change.instances.push(instanceId);
        return "committed";
      }),
  );
  const saveAll = db.transaction((answers: readonly SavedAnswer[], now: number) => {
    for (const { digest, instance = 0, execution = 0, expiresAt = null, body } of answers) {
      save.run({ instance, execution, digest, expiresAt, body });
      if (execution > 1) forgetEarlier.run(instance, execution);
    }
    forgetExpired.run({ now, max: 2 * answers.length }); // more go than come, so that the table stays small
  });

  return {
    appendOutputs: (worker, outputs, change) =>
      outputs.length === 0 ? [] : appendAll.immediate(worker, outputs, change),
    readAnswers: (keys, now) =>
      keys.map(({ digest, instance = 0, execution = 0 }) => find.get(instance, execution, digest, now)),
    saveAnswers: (answers, now) => {
      if (answers.length > 0) saveAll.immediate(answers, now);
    },
  };
}
