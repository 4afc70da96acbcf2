/** Numbers about the whole store, in one statement: all of one moment. */
import type { InstanceStatus, OwnedByWorker, StorageStats } from "@stet/core";
import type { Database } from "./database.ts";
import { storeNow } from "./routines.ts";
import { firstEnded, statuses } from "./schema.ts";

interface Row {
  readonly counts: Record<string, number> | null;
  readonly needed: readonly { readonly name: string; readonly version: string | null }[] | null;
  readonly activities: readonly { readonly name: string; readonly tag: string | null }[] | null;
  readonly owned: readonly OwnedByWorker[] | null;
  readonly blocked: number;
  readonly messages: number;
  readonly due: number;
  readonly sleeping: number;
  readonly ready: number;
  readonly delayed: number;
  readonly running: number;
  readonly calls: number;
}

/** @param now - Absent: by the clock of the store. */
export async function readStats(db: Database, now: number | null): Promise<StorageStats> {
  const instances = db.table("instances");
  const work = db.table("work");
  const [row] = await db.query<Row>(
    `SELECT
      (SELECT json_object_agg(status, count) FROM (
        SELECT status, count(*) FROM ${instances} GROUP BY status) s) AS counts,
      (SELECT json_agg(n) FROM (
        SELECT DISTINCT name, version FROM ${instances} WHERE status < ${firstEnded}) n) AS needed,
      (SELECT json_agg(a ORDER BY name, tag) FROM (
        SELECT DISTINCT name, tag FROM ${work}
        WHERE kind = 'activity' AND owner IS NULL AND visible_at <= n.now) a) AS activities,
      (SELECT json_agg(o ORDER BY worker) FROM (
        SELECT w.key AS worker,
          (SELECT count(*) FROM ${instances} WHERE owner = w.key) AS instances,
          (SELECT count(*) FROM ${work} WHERE owner = w.key) AS work
        FROM ${db.table("workers")} w) o) AS owned,
      (SELECT count(blocked) FROM ${instances} WHERE status < ${firstEnded}) AS blocked,
      (SELECT count(*) FROM ${db.table("messages")}) AS messages,
      (SELECT count(*) FROM ${db.table("timers")} WHERE visible_at <= n.now) AS due,
      (SELECT count(*) FROM ${db.table("timers")} WHERE visible_at > n.now) AS sleeping,
      (SELECT count(*) FROM ${work} WHERE owner IS NULL AND visible_at <= n.now) AS ready,
      (SELECT count(*) FROM ${work} WHERE owner IS NULL AND visible_at > n.now) AS delayed,
      (SELECT count(*) FROM ${work} WHERE owner IS NOT NULL) AS running,
      (SELECT count(*) FROM ${work} WHERE kind = 'model' AND owner IS NULL AND visible_at <= n.now) AS calls
    FROM (SELECT coalesce($1::bigint, ${storeNow}) AS now) n`,
    [now],
  );
  const { counts, needed, activities, owned, blocked, messages, due, sleeping, ready, delayed, running, calls } = row!;
  const countOf = (status: InstanceStatus): number => counts?.[statuses.indexOf(status)] ?? 0;
  return {
    instances: {
      pending: countOf("pending"),
      running: countOf("running"),
      completed: countOf("completed"),
      failed: countOf("failed"),
      cancelled: countOf("cancelled"),
      terminated: countOf("terminated"),
    },
    blocked,
    messages: { ready: messages + due, delayed: sleeping },
    work: { ready, delayed, running },
    neededOrchestrations: (needed ?? [])
      .map(({ name, version }) => (version === null ? name : `${name}@${version}`))
      .sort(),
    neededActivities: (activities ?? []).map(({ name, tag }) => ({ name, ...(tag !== null && { tag }) })),
    readyModelCalls: calls,
    owned: owned ?? [],
  };
}
