/**
 * Budgets: booking, settling and suspending, inside the transaction of a turn; topping up for operators.
 *
 * A budget is a row of its instance, with sums over the instance and all below it. A booking is a row of its request; one
 * that was refused is kept with the key of its refusal in the inbox until that is taken, so that a top-up or a settlement can
 * tell.
 *
 * What a refusal says is made here, between reading and writing, so these turns are the only transactions of several
 * statements. They hold all budgets that they draw on, by the keys of the instances, after all other locks.
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
  type TurnCommit,
  type WorkerKey,
} from "@stet/core";
import type { ChangeSet } from "./changes.ts";
import type { Clocks } from "./clocks.ts";
import type { Database } from "./database.ts";
import { called, type Routine } from "./routines.ts";
import { anyBuild, isWaiting } from "./schema.ts";
import { insertWork, workRow } from "./turn-parts.ts";
import { toJson, toText } from "./values.ts";

/** The columns of a budget, each with its limit, spent and reserved, in the order in which they are checked. */
const members = [
  ["tokens", "tokens"],
  ["nanoUsd", "nano_usd"],
  ["calls", "calls"],
] as const;

/** Drops the refusals that instances were suspended for. */
export const reopen: Routine = {
  name: "reopen",
  signature: "(p_instances bigint[]) RETURNS void",
  body: `BEGIN
    DELETE FROM messages WHERE key = ANY (ARRAY(
      SELECT b.refusal FROM bookings b WHERE b.instance = ANY (p_instances) AND b.refusal IS NOT NULL))
      AND instance = ANY (p_instances);
    DELETE FROM bookings WHERE instance = ANY (p_instances) AND refusal IS NOT NULL;
  END`,
};

/** Leaves a suspended instance free, without its refusals, when one of them does not stand any more. */
export const reconsider: Routine = {
  name: "reconsider",
  signature: "(p_instance bigint, p_refusals bigint[]) RETURNS void",
  body: `BEGIN
    IF (SELECT count(*) FROM bookings b WHERE b.instance = p_instance AND b.refusal = ANY (p_refusals))
      = cardinality(p_refusals) THEN RETURN; END IF;
    DELETE FROM messages WHERE key = ANY (p_refusals) AND instance = p_instance;
    PERFORM ${called("reopen")}(ARRAY[p_instance]);
    UPDATE instances SET blocked = NULL, blocked_builds = NULL WHERE key = p_instance;
  END`,
};

/** Raises limits, and answers which instances go on. The tree is held before the budget, as turns do. */
export const topUp: Routine = {
  name: "top_up",
  signature: `(p_id text, p_tokens bigint, p_nano_usd bigint, p_calls bigint, p_time bigint)
    RETURNS TABLE (outcome text, id text)`,
  body: `DECLARE
    v_key bigint := (SELECT i.key FROM instances i WHERE i.id = p_id);
    v_keys bigint[] := ${called("tree_of")}(v_key);
    v_suspended bigint[];
  BEGIN
    IF v_key IS NULL THEN RETURN QUERY SELECT 'unknown', NULL; RETURN; END IF;
    PERFORM 1 FROM instances WHERE key = ANY (v_keys) ORDER BY key FOR NO KEY UPDATE;
    UPDATE budgets SET tokens_limit = tokens_limit + p_tokens, nano_usd_limit = nano_usd_limit + p_nano_usd,
      calls_limit = calls_limit + p_calls, time_limit = time_limit + p_time WHERE instance = v_key;
    IF NOT FOUND THEN RETURN QUERY SELECT 'noBudget', NULL; RETURN; END IF;
    RETURN QUERY SELECT 'toppedUp', NULL;
    v_suspended := ARRAY(SELECT i.key FROM instances i WHERE i.key = ANY (v_keys) AND i.blocked_builds = '${anyBuild}'
      AND EXISTS (SELECT 1 FROM bookings b WHERE b.instance =@ i.key AND b.refusal IS NOT NULL));
    PERFORM ${called("reopen")}(v_suspended);
    DELETE FROM bookings WHERE instance = ANY (v_keys) AND refusal IS NOT NULL;
    RETURN QUERY UPDATE instances i SET blocked = NULL, blocked_builds = NULL WHERE i.key = ANY (v_suspended)
      RETURNING 'toppedUp', i.id;
  END`,
};

/** A row of the table, with the id of its instance. */
interface BudgetRow {
  readonly instance: number;
  readonly id: string;
  readonly opened_at: number;
  readonly time_limit: number | null;
  readonly tokens_limit: number | null;
  tokens_spent: number;
  tokens_reserved: number;
  readonly nano_usd_limit: number | null;
  nano_usd_spent: number;
  nano_usd_reserved: number;
  readonly calls_limit: number | null;
  calls_spent: number;
  calls_reserved: number;
}

/** A booking. One that is gone keeps its place without amounts until it is written. */
interface BookingRow {
  readonly instance: InstanceKey;
  readonly execution: number;
  readonly eventId: number;
  readonly amounts: Amounts;
  readonly refusal: number | null;
  readonly gone: boolean;
}

type TopUp = Parameters<StorageAdmin["topUp"]>[0];

const nothing: Amounts = { tokens: 0, nanoUsd: 0, calls: 0 };

/** What is drawn on, as it stands in a transaction that holds it. */
export class HeldBudgets {
  readonly #db: Database;
  readonly #clocks: Clocks;
  readonly #budgets = new Map<number, BudgetRow>();
  /** The budgets that an instance draws on, its own first. */
  readonly #above = new Map<InstanceKey, BudgetRow[]>();
  readonly #bookings = new Map<string, BookingRow>();
  readonly #work: object[] = [];

  private constructor(db: Database, clocks: Clocks) {
    this.#db = db;
    this.#clocks = clocks;
  }

  /** Holds all that instances draw on. */
  static async hold(db: Database, clocks: Clocks, keys: readonly InstanceKey[]): Promise<HeldBudgets> {
    const held = new HeldBudgets(db, clocks);
    const instances = db.table("instances");
    const above = `WITH RECURSIVE above (start, key, height) AS (
        SELECT k, k, 0 FROM unnest($1::bigint[]) AS k
        UNION ALL SELECT a.start, i.parent, a.height + 1 FROM above a JOIN ${instances} i ON i.key = a.key
        WHERE i.parent IS NOT NULL)`;
    const budgets = db.table("budgets");
    const lock = `${above} SELECT 1 FROM ${budgets} WHERE instance IN (SELECT key FROM above) ORDER BY instance FOR UPDATE`;
    const read = `${above} SELECT a.start, i.id, b.* FROM above a JOIN ${budgets} b ON b.instance = a.key
      JOIN ${instances} i ON i.key = a.key ORDER BY a.height`;
    await db.query(lock, [[...keys]]);
    for (const { start, ...row } of await db.query<BudgetRow & { readonly start: number }>(read, [[...keys]])) {
      const known = held.#budgets.get(row.instance) ?? row;
      held.#budgets.set(row.instance, known);
      held.#above.set(start, [...(held.#above.get(start) ?? []), known]);
    }
    type Stored = Omit<BookingRow, "amounts" | "gone"> & Amounts;
    const bookings = `SELECT instance, execution, event_id AS "eventId", tokens, nano_usd AS "nanoUsd", calls, refusal
      FROM ${db.table("bookings")} WHERE instance = ANY ($1::bigint[])`;
    for (const { tokens, nanoUsd, calls, ...row } of await db.query<Stored>(bookings, [[...keys]])) {
      held.#keep({ ...row, amounts: { tokens, nanoUsd, calls }, gone: false });
    }
    return held;
  }

  /** Does what a turn asks, and answers the requests that were refused. */
  async change(turn: TurnCommit, asked: BudgetChanges, worker: WorkerKey, change: ChangeSet): Promise<number[]> {
    const { key, execution, history, ended } = turn;
    let freed = 0;
    for (const { eventId, used } of asked.settled) {
      const booking = this.#booking(key, execution, eventId);
      if (booking !== undefined && this.#release(booking, { ...booking.amounts, ...used })) freed++;
    }
    if (ended !== undefined || (history.at(-1)?.execution ?? execution) > execution) {
      for (const booking of this.#bookings.values()) {
        if (booking.instance === key && !booking.gone && this.#release(booking, nothing)) freed++;
      }
    }
    if (freed > 0) await this.#forgetWaiting(key, change);
    const refused: number[] = [];
    for (const wish of asked.bookings) {
      if (!(await this.#book(turn, wish, worker, change))) refused.push(wish.eventId);
    }
    return refused;
  }

  /** Takes room without asking whether there is any. */
  reserve(instance: InstanceKey, execution: number, eventId: number, amounts: Amounts): void {
    this.#add(instance, "reserved", amounts, 1);
    this.#keep({ instance, execution, eventId, amounts, refusal: null, gone: false });
  }

  /** Writes how all stands. */
  async write(): Promise<void> {
    const table = this.#db.table("bookings");
    const columns = `r (instance bigint, execution integer, "eventId" integer, tokens bigint, "nanoUsd" bigint,
      calls bigint, refusal bigint, gone boolean)`;
    const rows = [...this.#bookings.values()].map(({ amounts, ...row }) => ({ ...row, ...amounts }));
    await this.#db.query(
      `UPDATE ${this.#db.table("budgets")} b SET tokens_spent = r.tokens_spent, tokens_reserved = r.tokens_reserved,
         nano_usd_spent = r.nano_usd_spent, nano_usd_reserved = r.nano_usd_reserved, calls_spent = r.calls_spent,
         calls_reserved = r.calls_reserved
       FROM json_populate_recordset(NULL::${this.#db.table("budgets")}, $1::json) r WHERE b.instance = r.instance`,
      [toJson([...this.#budgets.values()])],
    );
    await this.#db.query(
      `DELETE FROM ${table} b USING json_to_recordset($1::json) AS ${columns}
       WHERE b.instance = r.instance AND b.execution = r.execution AND b.event_id = r."eventId"`,
      [toJson(rows)],
    );
    await this.#db.query(
      `INSERT INTO ${table} (instance, execution, event_id, tokens, nano_usd, calls, refusal)
       SELECT r.instance, r.execution, r."eventId", r.tokens, r."nanoUsd", r.calls, r.refusal
       FROM json_to_recordset($1::json) AS ${columns} WHERE NOT r.gone`,
      [toJson(rows)],
    );
    if (this.#work.length > 0) await this.#db.call(insertWork, [toJson(this.#work), null]);
  }

  async #book(turn: TurnCommit, wish: Booking, worker: WorkerKey, change: ChangeSet): Promise<boolean> {
    const { key, execution, at } = turn;
    const { eventId, amounts, work, refusal } = wish;
    const before = this.#booking(key, execution, eventId);
    const isBooked = before !== undefined && before.refusal === null;
    if (!isBooked) {
      const shortage = amounts === undefined ? undefined : shortageOf(this.#above.get(key) ?? [], amounts, at);
      if (amounts === undefined || shortage !== undefined) {
        const [message] = await this.#db.query<{ key: number }>(
          `INSERT INTO ${this.#db.table("messages")} (instance, at, execution, event_id, body)
           VALUES ($1, $2, $3, $4, $5) RETURNING key`,
          [key, at, execution, eventId, toText(refusal(shortage))],
        );
        const wanted = amounts !== undefined && shortage !== undefined && mayPass(shortage) ? amounts : nothing;
        this.#keep({ instance: key, execution, eventId, amounts: wanted, refusal: message!.key, gone: false });
        change.turns = true;
        return false;
      }
      this.reserve(key, execution, eventId, amounts);
    }
    if (work !== undefined) {
      this.#work.push(workRow(key, isBooked ? work : { ...work, attempts: 0 }, worker, this.#clocks));
      change.work = true;
    }
    return true;
  }

  #booking(instance: InstanceKey, execution: number, eventId: number): BookingRow | undefined {
    const found = this.#bookings.get(`${instance}.${execution}.${eventId}`);
    return found?.gone === true ? undefined : found;
  }

  #keep(row: BookingRow): void {
    this.#bookings.set(`${row.instance}.${row.execution}.${row.eventId}`, row);
  }

  /** Answers whether it was booked. */
  #release(booking: BookingRow, used: Amounts): boolean {
    this.#keep({ ...booking, gone: true });
    if (booking.refusal !== null) return false;
    this.#add(booking.instance, "reserved", booking.amounts, -1);
    this.#add(booking.instance, "spent", used, 1);
    return true;
  }

  /** What was refused for the sake of bookings in the tree does not stand any more, of this batch and of others. */
  async #forgetWaiting(key: InstanceKey, change: ChangeSet): Promise<void> {
    const [bookings, instances] = [this.#db.table("bookings"), this.#db.table("instances")];
    const ofOthers = await this.#db.query(
      `DELETE FROM ${bookings} b USING ${instances} i, ${instances} s
       WHERE s.key = $1 AND coalesce(i.root, i.key) = coalesce(s.root, s.key) AND b.instance = i.key AND ${isWaiting}
       RETURNING 1`,
      [key],
    );
    const topOf = (instance: InstanceKey) => this.#above.get(instance)?.at(-1);
    const ofBatch = [...this.#bookings.values()].filter(
      ({ instance, amounts, refusal, gone }) =>
        !gone && refusal !== null && isSome(amounts) && topOf(instance) === topOf(key),
    );
    for (const booking of ofBatch) this.#keep({ ...booking, gone: true });
    if (ofOthers.length + ofBatch.length > 0) change.turns = true;
  }

  #add(instance: InstanceKey, kind: "spent" | "reserved", amounts: Amounts, sign: number): void {
    for (const row of this.#above.get(instance) ?? []) {
      for (const [member, column] of members) row[`${column}_${kind}`] += sign * amounts[member];
    }
  }
}

/** Gives instances budgets of their own, unless they have one. */
export async function openBudgets(
  db: Database,
  opened: readonly { readonly instance: InstanceKey; readonly at: number; readonly limits: BudgetLimits }[],
): Promise<void> {
  if (opened.length === 0) return;
  const rows = opened.map(({ instance, at, limits }) => ({ instance, at, ...limits }));
  await db.query(
    `INSERT INTO ${db.table("budgets")} (instance, opened_at, tokens_limit, nano_usd_limit, calls_limit, time_limit)
     SELECT instance, at, tokens, "nanoUsd", calls, "timeMs" FROM json_to_recordset($1::json) AS r (instance bigint,
       at bigint, tokens bigint, "nanoUsd" bigint, calls bigint, "timeMs" bigint)
     ORDER BY instance ON CONFLICT DO NOTHING`,
    [toJson(rows)],
  );
}

/** What operators do with budgets. */
export interface Budgets {
  readBudget(instanceId: string): Promise<BudgetRecord | undefined>;
  topUp(request: TopUp, change: ChangeSet): ReturnType<StorageAdmin["topUp"]>;
}

/** Binds it to a database. */
export function bindBudgets(db: Database): Budgets {
  const read = `SELECT i.id, b.* FROM ${db.table("instances")} i JOIN ${db.table("budgets")} b ON b.instance = i.key
    WHERE i.id = $1`;
  return {
    async readBudget(instanceId) {
      const [row] = await db.query<BudgetRow>(read, [toText(instanceId)]);
      return row === undefined ? undefined : recordOf(row);
    },
    async topUp({ instanceId, amounts }, change) {
      const { tokens = 0, nanoUsd = 0, calls = 0, timeMs = 0 } = amounts;
      type Answer = { readonly outcome: Awaited<ReturnType<Budgets["topUp"]>>; readonly id: string | null };
      const rows = await db.call<Answer>(topUp, [toText(instanceId), tokens, nanoUsd, calls, timeMs]);
      for (const { id } of rows) {
        if (id === null) continue;
        change.turns = true;
        change.instances.push(id);
      }
      return rows[0]!.outcome;
    },
  };
}

/** A row as the seam has it. */
function recordOf(row: BudgetRow): BudgetRecord {
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
function shortageOf(rows: readonly BudgetRow[], amounts: Amounts, at: number): Shortage | undefined {
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

function isSome({ tokens, nanoUsd, calls }: Amounts): boolean {
  return tokens + nanoUsd + calls > 0;
}
