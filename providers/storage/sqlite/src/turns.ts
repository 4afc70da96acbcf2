/** What a worker does with instances besides claiming and committing: reading what a turn needs, and giving back. */
import type { ExecutionKey, InstanceKey, StoredPayload, WorkerKey } from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Database } from "./database.ts";
import { prepareReadHistory } from "./history.ts";

/** The smaller verbs of turns. */
export interface Turns {
  readHistory(executions: readonly ExecutionKey[]): string[][];
  readPayloads(rootId: string, digests: readonly string[]): StoredPayload[];
  readWork(executions: readonly ExecutionKey[]): number[][];
  releaseInstances(worker: WorkerKey, keys: readonly InstanceKey[], change: ChangeSet): void;
}

/** Prepares them for a connection. */
export function prepareTurns(db: Database): Turns {
  const chunks = prepareReadHistory(db);
  const payloads = db.prepare<[string, string], StoredPayload>(
    `SELECT p.digest, p.body FROM json_each(?) AS wanted CROSS JOIN payloads p
     ON p.root = (SELECT key FROM instances WHERE id = ?) AND p.digest = wanted.value`,
  );
  const work = db
    .prepare<ExecutionKey, number>(
      `SELECT event_id FROM work WHERE instance = :key AND execution = :execution
       UNION SELECT event_id FROM messages WHERE instance = :key AND execution = :execution ORDER BY event_id`,
    )
    .pluck();
  const release = db.prepare<[InstanceKey, WorkerKey]>(
    "UPDATE instances SET owner = NULL, attempts = max(0, attempts - 1) WHERE key = ? AND owner = ?",
  );
  const releaseAll = db.transaction((worker: WorkerKey, keys: readonly InstanceKey[], change: ChangeSet) => {
    for (const key of keys) if (release.run(key, worker).changes > 0) change.turns = true;
  });
  return {
    readHistory: db.transaction((executions: readonly ExecutionKey[]) =>
      executions.map(({ key, execution }) => chunks({ key, execution, from: 0 })),
    ),
    readPayloads: (rootId, digests) => (digests.length === 0 ? [] : payloads.all(JSON.stringify(digests), rootId)),
    readWork: db.transaction((executions: readonly ExecutionKey[]) =>
      executions.map(({ key, execution }) => work.all({ key, execution })),
    ),
    releaseInstances: (worker, keys, change) => {
      if (keys.length > 0) releaseAll.immediate(worker, keys, change);
    },
  };
}
