/**
 * Model calls that wait for capacity. How much a model has left is counted from what was claimed of it; whoever claims
 * counts, takes the rows and books them in one transaction, so that all workers together never take more than there is.
 */
import type { CallClaim, CapacityWindow, ClaimedCalls } from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import { limitMax, readThenWrite, type Database } from "./database.ts";
import { claimed, itemOf, items, type WorkRow } from "./work.ts";

/** The verbs of capacity. */
export interface Capacity {
  claimCalls(claim: CallClaim): ClaimedCalls;
  closeModel(model: string, until: number, change: ChangeSet): void;
}

/** A start that lies further ahead was booked by a clock that has been put back since. */
const clockJumpMs = 60_000;

const inLines = "w.rank IS NOT NULL AND w.name IN (SELECT value FROM json_each(:lines))";
const waitingSql = `SELECT ${claimed}, w.tokens FROM ${items} WHERE w.owner IS NULL AND ${inLines}
  AND w.visible_at <= :now ORDER BY w.rank, w.key ${limitMax}`;
const forgottenSql = `SELECT ${claimed} FROM ${items} WHERE w.owner = :worker AND ${inLines}
  AND w.key NOT IN (SELECT value FROM json_each(:held)) ORDER BY w.key ${limitMax}`;

type Waiting = WorkRow & { readonly tokens: number };

/** What a window still counts, the oldest first. */
interface Start {
  readonly at: number;
  readonly tokens: number;
}

/** Prepares them for a connection. */
export function prepareCapacity(db: Database): Capacity {
  const registered = db.prepare<[number | string], number>("SELECT 1 FROM workers WHERE key = ?").pluck();
  const waiting = db.prepare<[{ lines: string; now: number; max: number }], Waiting>(waitingSql);
  const forgotten = db.prepare<[{ worker: number | string; lines: string; held: string; max: number }], WorkRow>(
    forgottenSql,
  );
  const closedUntil = db.prepare<[string], number>("SELECT closed_until FROM models WHERE name = ?").pluck();
  const starts = db.prepare<[string, number], Start>(
    "SELECT at, tokens FROM model_starts WHERE model = ? AND at > ? ORDER BY at",
  );
  const forget = db.prepare<[string, number, number]>(
    "DELETE FROM model_starts WHERE model = ? AND (at <= ? OR at > ?)",
  );
  const book = db.prepare<[string, number, number, number]>(
    "INSERT OR REPLACE INTO model_starts (model, at, work, tokens) VALUES (?, ?, ?, ?)",
  );
  const own = db.prepare<[number | string, number]>("UPDATE work SET owner = ?, attempts = attempts + 1 WHERE key = ?");
  const tellNext = db.prepare<[string, number]>(
    `INSERT INTO models (name, closed_until, next_at) VALUES (?, 0, ?)
     ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at WHERE next_at <> excluded.next_at`,
  );
  const close = db.prepare<[string, number]>(
    `INSERT INTO models (name, closed_until, next_at) VALUES (?, ?, 0)
     ON CONFLICT (name) DO UPDATE SET closed_until = excluded.closed_until WHERE closed_until < excluded.closed_until`,
  );

  const startsIn = (model: string, { ms }: CapacityWindow, now: number): Start[] =>
    starts.all(model, now - ms).filter(({ at }) => at <= now + clockJumpMs);

  return {
    claimCalls: readThenWrite(db, (claim: CallClaim): ClaimedCalls => {
      const { worker, now, model, windows, held } = claim;
      if (registered.get(worker) === undefined) return { calls: [] };
      const lines = JSON.stringify(claim.lines);
      const again =
        held === undefined ? [] : forgotten.all({ worker, lines, held: JSON.stringify(held), max: claim.max });
      const calls = again.map((row) => itemOf(row, row.attempts));
      const rows = waiting.all({ lines, now, max: claim.max - calls.length + 1 }); // one more shows that some are left
      if (rows.length === 0) return { calls };

      const closed = closedUntil.get(model) ?? 0;
      const counted = windows.map((window) => ({ window, starts: startsIn(model, window, now) }));
      let nextAt = closed > now ? closed : undefined;
      for (const row of rows) {
        nextAt ??= latest(counted.map(({ window, starts: inWindow }) => freeAt(window, inWindow)));
        if (nextAt !== undefined || calls.length === claim.max) break;
        own.run(worker, row.key);
        if (windows.length > 0) book.run(model, now, row.key, row.tokens);
        for (const { starts: inWindow } of counted) inWindow.push({ at: now, tokens: row.tokens });
        calls.push(itemOf(row, row.attempts + 1));
      }
      if (windows.length > 0 && calls.length > again.length) {
        forget.run(model, now - Math.max(...windows.map(({ ms }) => ms)), now + clockJumpMs);
      }
      if (nextAt === undefined || rows.length === calls.length - again.length) return { calls };
      tellNext.run(model, nextAt);
      return { calls, nextAt };
    }),
    closeModel(model, until, change) {
      if (close.run(model, until).changes > 0) change.work = true;
    },
  };
}

/** When a window lets the next call start, if not now. */
function freeAt({ ms, requests, tokens }: CapacityWindow, starts: readonly Start[]): number | undefined {
  const inTheWay = requests === undefined ? undefined : starts[starts.length - requests];
  const debtor = tokens === undefined ? undefined : lastOfDebt(starts, tokens);
  return latest([inTheWay, debtor].map((start) => (start === undefined ? undefined : start.at + ms)));
}

/** The start with which enough of the tokens that were used up are forgotten. */
function lastOfDebt(starts: readonly Start[], tokens: number): Start | undefined {
  let used = starts.reduce((sum, start) => sum + start.tokens, 0);
  return used < tokens ? undefined : starts.find((start) => (used -= start.tokens) < tokens);
}

function latest(times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
