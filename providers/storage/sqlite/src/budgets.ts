/**
 * Budgets: booking, settling and suspending, inside the transaction of a turn; topping up for operators.
 *
 * A budget is a row of its instance, with sums over the instance and all below it. A booking is a row of its request; one
 * that was refused is kept with the key of its refusal in the inbox until that is taken, so that a top-up can tell.
 */
import {
  type Amounts,
  type Booking,
  type BudgetChanges,
  type BudgetLimits,
  type BudgetRecord,
  type InstanceKey,
  mayPass,
  type Shortage,
  type StorageAdmin,
  type StoredInstance,
  type TurnCommit,
} from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Database } from "./database.ts";
import { aboveSql, treeSql } from "./lineage.ts";
import { anyBuild, isWaiting } from "./schema.ts";
import { insertWorkSql, workValues, type WorkValues } from "./turn-parts.ts";

/** What turns and operators do with budgets, within a transaction that is open already. */
export interface Budgets {
  /** Answers the requests that were refused. */
  change(turn: TurnCommit, change: ChangeSet): number[];
  /** Drops the refusals of a suspended instance and leaves it free when one of them does not stand any more. */
  reconsider(turn: TurnCommit): void;
  /** Puts back what an instance was carried with. Those above it are there already. */
  restore(key: number, instance: Pick<StoredInstance, "execution" | "budget" | "bookings">): void;
  /** Drops the refusals that an instance was suspended for. */
  reopen(key: number): void;
  readBudget(instanceId: string): BudgetRecord | undefined;
  topUp(request: TopUp, change: ChangeSet): Awaited<ReturnType<StorageAdmin["topUp"]>>;
}

type TopUp = Parameters<StorageAdmin["topUp"]>[0];

/** The columns of a budget, each with its limit, spent and reserved, in the order in which they are checked. */
const members = [
  ["tokens", "tokens"],
  ["nanoUsd", "nano_usd"],
  ["calls", "calls"],
] as const;

/** A budget with the id of its instance. */
interface KnownBudget extends BudgetRow {
  readonly id: string;
}

/** A row of the table. */
export interface BudgetRow {
  readonly instance: number;
  readonly opened_at: number;
  readonly time_limit: number | null;
  readonly tokens_limit: number | null;
  readonly tokens_spent: number;
  readonly tokens_reserved: number;
  readonly nano_usd_limit: number | null;
  readonly nano_usd_spent: number;
  readonly nano_usd_reserved: number;
  readonly calls_limit: number | null;
  readonly calls_spent: number;
  readonly calls_reserved: number;
}

interface BookingRow extends Amounts {
  readonly eventId: number;
  readonly refusal: number | null;
}

const nothing: Amounts = { tokens: 0, nanoUsd: 0, calls: 0 };

const bookingColumns = "event_id AS eventId, tokens, nano_usd AS nanoUsd, calls, refusal";

/** Prepares them for a connection. */
export function prepareBudgets(db: Database): Budgets {
  const open = db.prepare<[InstanceKey, number, ...(number | null)[]]>(
    `INSERT INTO budgets (instance, opened_at, tokens_limit, nano_usd_limit, calls_limit, time_limit)
     VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
  );
  const drawnOn = db.prepare<[InstanceKey], KnownBudget>(
    `${aboveSql} SELECT b.*, i.id FROM above CROSS JOIN budgets b ON b.instance = above.key
       CROSS JOIN instances i ON i.key = above.key`,
  );
  const move = db.prepare<[...number[], number]>(
    `UPDATE budgets SET tokens_reserved = tokens_reserved + ?, nano_usd_reserved = nano_usd_reserved + ?,
       calls_reserved = calls_reserved + ?, tokens_spent = tokens_spent + ?, nano_usd_spent = nano_usd_spent + ?,
       calls_spent = calls_spent + ? WHERE instance = ?`,
  );
  const booking = db.prepare<[InstanceKey, number, number], BookingRow>(
    `SELECT ${bookingColumns} FROM bookings WHERE instance = ? AND execution = ? AND event_id = ?`,
  );
  const bookingsOf = db.prepare<[InstanceKey], BookingRow & { readonly execution: number }>(
    `SELECT execution, ${bookingColumns} FROM bookings WHERE instance = ?`,
  );
  const insertBooking = db.prepare<(number | string | bigint | null)[]>(
    `INSERT OR REPLACE INTO bookings (instance, execution, event_id, tokens, nano_usd, calls, refusal)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
  );
  const deleteBooking = db.prepare<[InstanceKey, number, number]>(
    "DELETE FROM bookings WHERE instance = ? AND execution = ? AND event_id = ?",
  );
  const forgetWaiting = db.prepare<[InstanceKey]>(
    `DELETE FROM bookings WHERE ${isWaiting} AND (SELECT coalesce(i.root, i.key) FROM instances i WHERE i.key = instance) =
       (SELECT coalesce(i.root, i.key) FROM instances i WHERE i.key = ?)`,
  );
  const insertRefusal = db.prepare<[InstanceKey, number, number, number, string]>(
    "INSERT INTO messages (instance, at, execution, event_id, body) VALUES (?, ?, ?, ?, ?)",
  );
  const insertWork = db.prepare<WorkValues>(insertWorkSql);
  const stands = db.prepare<[InstanceKey, number | string], number>(
    "SELECT 1 FROM bookings WHERE instance = ? AND refusal = ?",
  );
  const deleteMessage = db.prepare<[number | string, InstanceKey]>(
    "DELETE FROM messages WHERE key = ? AND instance = ?",
  );
  const forgetRefusals = db.prepare<[InstanceKey]>("DELETE FROM bookings WHERE instance = ? AND refusal IS NOT NULL");
  const deleteRefusals = db.prepare<[InstanceKey, InstanceKey]>(
    `DELETE FROM messages WHERE instance = ? AND key IN
       (SELECT refusal FROM bookings WHERE instance = ? AND refusal IS NOT NULL)`,
  );
  const free = db.prepare<[InstanceKey]>("UPDATE instances SET blocked = NULL, blocked_builds = NULL WHERE key = ?");
  const find = db.prepare<[string], { readonly key: number; readonly budget: number | null }>(
    "SELECT i.key, b.instance AS budget FROM instances i LEFT JOIN budgets b ON b.instance = i.key WHERE i.id = ?",
  );
  const read = db.prepare<[string], BudgetRow>(
    "SELECT b.* FROM instances i CROSS JOIN budgets b ON b.instance = i.key WHERE i.id = ?",
  );
  const raise = db.prepare<[...number[], number]>(
    `UPDATE budgets SET tokens_limit = tokens_limit + ?, nano_usd_limit = nano_usd_limit + ?,
       calls_limit = calls_limit + ?, time_limit = time_limit + ? WHERE instance = ?`,
  );
  const refusedBelow = db.prepare<[string], { readonly key: number; readonly id: string; readonly suspended: number }>(
    `${treeSql} SELECT i.key, i.id, i.blocked_builds IS '${anyBuild}' AS suspended
     FROM tree CROSS JOIN instances i ON i.key = tree.key
     WHERE EXISTS (SELECT 1 FROM bookings b WHERE b.instance = i.key AND b.refusal IS NOT NULL)`,
  );

  const add = (rows: readonly BudgetRow[], reserved: Amounts, spent: Amounts, sign = 1): void => {
    for (const { instance } of rows) {
      const change = [reserved, spent].flatMap((amounts, i) =>
        members.map(([member]) => (i === 0 ? sign : 1) * amounts[member]),
      );
      move.run(...change, instance);
    }
  };

  /** Answers whether it was booked. */
  const release = (key: InstanceKey, rows: readonly BudgetRow[], execution: number, row: BookingRow, used: Amounts) => {
    deleteBooking.run(key, execution, row.eventId);
    const isBooked = row.refusal === null;
    if (isBooked) add(rows, row, used, -1);
    return isBooked;
  };

  /** Ends bookings. What was refused for their sake does not stand any more. */
  const settle = (
    { key, execution, ended, history }: TurnCommit,
    { settled }: BudgetChanges,
    change: ChangeSet,
  ): void => {
    const over = ended !== undefined || (history.at(-1)?.execution ?? execution) > execution;
    if (settled.length === 0 && !over) return;
    const rows = drawnOn.all(key);
    let freed = 0;
    for (const { eventId, used } of settled) {
      const row = booking.get(key, execution, eventId);
      if (row !== undefined && release(key, rows, execution, row, { ...amountsOf(row), ...used })) freed++;
    }
    for (const row of over ? bookingsOf.all(key) : []) if (release(key, rows, row.execution, row, nothing)) freed++;
    if (freed > 0 && forgetWaiting.run(key).changes > 0) change.turns = true;
  };

  /** Answers whether there was room. */
  const book = ({ key, execution, at }: TurnCommit, wish: Booking, change: ChangeSet): boolean => {
    const { eventId, amounts, work, refusal } = wish;
    const before = booking.get(key, execution, eventId);
    const isBooked = before !== undefined && before.refusal === null;
    if (!isBooked) {
      const rows = drawnOn.all(key);
      const shortage = amounts === undefined ? undefined : shortageOf(rows, amounts, at);
      if (amounts === undefined || shortage !== undefined) {
        const message = insertRefusal.run(key, at, execution, eventId, refusal(shortage)).lastInsertRowid;
        const wanted = amounts !== undefined && shortage !== undefined && mayPass(shortage) ? amounts : nothing;
        insertBooking.run(key, execution, eventId, ...members.map(([member]) => wanted[member]), message);
        change.turns = true;
        return false;
      }
      add(rows, amounts, nothing);
      insertBooking.run(key, execution, eventId, ...members.map(([member]) => amounts[member]), null);
    }
    if (work !== undefined) {
      insertWork.run(...workValues(key, isBooked ? work : { ...work, attempts: 0 }, null));
      change.work = true;
    }
    return true;
  };

  const reopen = (key: InstanceKey): void => {
    deleteRefusals.run(key, key);
    forgetRefusals.run(key);
  };

  return {
    change(turn, change) {
      const { key, budget } = turn;
      if (budget === undefined) return [];
      const { opened, bookings } = budget;
      if (opened !== undefined) open.run(key, turn.at, ...limitsIn(opened, null));
      settle(turn, budget, change);
      return bookings.filter((wish) => !book(turn, wish, change)).map(({ eventId }) => eventId);
    },

    reconsider({ key, suspended }) {
      const { refusals = [] } = suspended ?? {};
      if (refusals.every((refusal) => stands.get(key, refusal) !== undefined)) return;
      for (const refusal of refusals) deleteMessage.run(refusal, key);
      reopen(key);
      free.run(key);
    },

    restore(key, { execution, budget, bookings = [] }) {
      if (budget !== undefined) {
        open.run(key, budget.openedAt, ...limitsIn(budget.limits, null));
        add(drawnOn.all(key).slice(0, 1), nothing, budget.spent);
      }
      for (const amounts of bookings) {
        add(drawnOn.all(key), amounts, nothing);
        insertBooking.run(key, execution, amounts.eventId, ...members.map(([member]) => amounts[member]), null);
      }
    },

    reopen,

    readBudget(instanceId) {
      const row = read.get(instanceId);
      return row === undefined ? undefined : recordOf(row);
    },

    topUp({ instanceId, amounts }, change) {
      const found = find.get(instanceId);
      if (found === undefined) return "unknown";
      if (found.budget === null) return "noBudget";
      raise.run(...limitsIn(amounts, 0), found.key);
      for (const { key, id, suspended } of refusedBelow.all(instanceId)) {
        if (suspended === 0) forgetRefusals.run(key);
        else {
          reopen(key);
          free.run(key);
          change.turns = true;
          change.instances.push(id);
        }
      }
      return "toppedUp";
    },
  };
}

/** The columns of limits in their order. */
function limitsIn<Absent>(limits: BudgetLimits, absent: Absent): (number | Absent)[] {
  const { tokens = absent, nanoUsd = absent, calls = absent, timeMs = absent } = limits;
  return [tokens, nanoUsd, calls, timeMs];
}

function amountsOf({ tokens, nanoUsd, calls }: Amounts): Amounts {
  return { tokens, nanoUsd, calls };
}

/** A row as the seam has it. */
export function recordOf(row: BudgetRow): BudgetRecord {
  const sums = (kind: "spent" | "reserved"): Amounts => ({
    tokens: row[`tokens_${kind}`],
    nanoUsd: row[`nano_usd_${kind}`],
    calls: row[`calls_${kind}`],
  });
  const limits = {
    ...(row.tokens_limit !== null && { tokens: row.tokens_limit }),
    ...(row.nano_usd_limit !== null && { nanoUsd: row.nano_usd_limit }),
    ...(row.calls_limit !== null && { calls: row.calls_limit }),
    ...(row.time_limit !== null && { timeMs: row.time_limit }),
  };
  return { limits, spent: sums("spent"), reserved: sums("reserved"), openedAt: row.opened_at };
}

/** The first limit that does not hold, of the nearest budget. */
function shortageOf(rows: readonly KnownBudget[], amounts: Amounts, at: number): Shortage | undefined {
  for (const row of rows) {
    for (const [member, column] of members) {
      const limit = row[`${column}_limit`];
      const spent = row[`${column}_spent`];
      const reserved = row[`${column}_reserved`];
      const wanted = amounts[member];
      if (limit !== null && wanted > 0 && spent + reserved + wanted > limit) {
        return { instanceId: row.id, member, limit, spent, reserved, wanted };
      }
    }
    const passed = at - row.opened_at;
    if (row.time_limit !== null && passed > row.time_limit) {
      return { instanceId: row.id, member: "timeMs", limit: row.time_limit, spent: passed, reserved: 0, wanted: 0 };
    }
  }
  return undefined;
}
