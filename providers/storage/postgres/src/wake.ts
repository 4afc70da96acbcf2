/** When the next timer or delayed work item becomes visible. */
import type { Clocks } from "./clocks.ts";
import type { Database } from "./database.ts";
import { storeNow } from "./routines.ts";

/** Binds `nextWakeAt` to a database. */
export function bindNextWakeAt(db: Database, clocks: Clocks): (now: number) => Promise<number | undefined> {
  const next = `SELECT least(
      (SELECT min(visible_at) FROM ${db.table("timers")} WHERE visible_at > n.now),
      (SELECT min(visible_at) FROM ${db.table("work")} WHERE owner IS NULL AND visible_at > n.now)) - n.now AS ahead
    FROM (SELECT coalesce($1::bigint, ${storeNow}) AS now) n`;
  return async (now) => {
    const [row] = await db.query<{ ahead: number | null }>(next, [clocks.now(now)]);
    return row!.ahead === null ? undefined : now + row!.ahead;
  };
}
