/** Reading a history: along the chain of its chunks, from the last one back. */
import type { ExecutionKey, InstanceKey, StoredExecution } from "@stet/core";
import type { Database } from "./database.ts";

/** The last chunk of an execution, whether it is the current one or over. */
const lastChunk = `SELECT CASE WHEN i.execution = :execution THEN i.last_chunk
    ELSE (SELECT e.last_chunk FROM executions e WHERE e.instance = i.key AND e.execution = :execution) END
  FROM instances i WHERE i.key = :key`;

/** Newest first, as a chain is walked. */
const readSql = `WITH RECURSIVE chain (previous, first_event_id, body) AS (
      SELECT previous, first_event_id, body FROM history WHERE key = (${lastChunk}) AND last_event_id >= :from
      UNION ALL
      SELECT h.previous, h.first_event_id, h.body FROM chain CROSS JOIN history h ON h.key = chain.previous
      WHERE chain.first_event_id > :from)
    SELECT body FROM chain`;

const removeSql = `DELETE FROM history WHERE key IN (
    WITH RECURSIVE chain (key) AS (
      ${lastChunk}
      UNION ALL
      SELECT h.previous FROM chain CROSS JOIN history h ON h.key = chain.key)
    SELECT key FROM chain)`;

/** One execution, from the chunk that holds the event `from`. */
export interface HistoryRange extends ExecutionKey {
  readonly from: number;
}

/** Prepares the reading of chunks, in order, for a connection. */
export function prepareReadHistory(db: Database): (range: HistoryRange) => string[] {
  const read = db.prepare<[HistoryRange], string>(readSql).pluck();
  return (range) => read.all(range).reverse();
}

/** A whole execution with the places of its chunks, newest first. */
const chunksSql = `WITH RECURSIVE chain (key) AS (
      ${lastChunk}
      UNION ALL
      SELECT h.previous FROM chain CROSS JOIN history h ON h.key = chain.key)
    SELECT h.first_event_id AS firstEventId, h.last_event_id AS lastEventId, h.body
    FROM chain CROSS JOIN history h ON h.key = chain.key`;

/** Prepares the reading of chunks with their places, in order, for a connection. */
export function prepareReadChunks(db: Database): (execution: ExecutionKey) => StoredExecution["history"] {
  const read = db.prepare<[ExecutionKey], StoredExecution["history"][number]>(chunksSql);
  return (execution) => read.all(execution).reverse();
}

/** Prepares the removal of an execution's chunks for a connection. */
export function prepareRemoveHistory(db: Database): (key: InstanceKey, execution: number) => void {
  const remove = db.prepare<[ExecutionKey]>(removeSql);
  return (key, execution) => void remove.run({ key, execution });
}
