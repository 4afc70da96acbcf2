/**
 * The database under a connection pool: one statement at a time, on any of its connections, without any state left on
 * one. A pooler between us and the server may exchange them between transactions.
 */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { isRepeatable } from "./errors.ts";
import type { Routine, Routines } from "./routines.ts";
import { rowTypes } from "./values.ts";

/** What a statement takes. */
export type Values = readonly (string | number | boolean | null | readonly (string | number)[])[];

/** Where statements go, and what bounds them. */
export interface DatabaseOptions {
  readonly pool: pg.Pool;
  /** The connection of a transaction that is open. */
  readonly client?: pg.ClientBase;
  readonly schema: string;
  readonly routines: Routines;
  readonly statementTimeoutMs: number;
}

/** A transaction that was in the way goes by: this often a statement is made again. */
const mostRepeats = 10;

/** See the head of the file. */
export class Database {
  /** The name of the schema as statements have it. */
  readonly schema: string;
  readonly #options: DatabaseOptions;
  readonly #calls = new Map<Routine, string>();

  constructor(options: DatabaseOptions) {
    this.schema = pg.escapeIdentifier(options.schema);
    this.#options = options;
  }

  /** A table of ours as statements have it. */
  table(name: string): string {
    return `${this.schema}.${name}`;
  }

  /** The rows that a function of ours answers. */
  async call<Row>(routine: Routine, values: Values, withinMs?: number): Promise<Row[]> {
    let text = this.#calls.get(routine);
    if (text === undefined) {
      const places = values.map((_, i) => `$${i + 1}`).join(", ");
      text = `SELECT * FROM ${this.schema}.${this.#options.routines.name(routine)}(${places})`;
      this.#calls.set(routine, text);
    }
    const statement = text;
    return this.#options.client === undefined
      ? repeated(() => this.query<Row>(statement, values, withinMs))
      : this.query<Row>(statement, values, withinMs);
  }

  /** Several statements as one transaction. Whoever is stopped in the middle holds nothing up for long. */
  transaction<Result>(body: (db: Database) => Promise<Result>): Promise<Result> {
    const { pool, statementTimeoutMs } = this.#options;
    return repeated(() =>
      lend(pool, async (client) => {
        const db = new Database({ ...this.#options, client });
        await db.query("BEGIN");
        await db.query(`SET LOCAL idle_in_transaction_session_timeout = ${statementTimeoutMs}`);
        const result = await body(db);
        await db.query("COMMIT");
        return result;
      }),
    );
  }

  /** The rows of a statement. One that takes longer than `withinMs` is given up, with its connection. */
  async query<Row>(text: string, values: Values = [], withinMs: number = Infinity): Promise<Row[]> {
    const { pool, client, statementTimeoutMs } = this.#options;
    const query_timeout = Math.min(withinMs, statementTimeoutMs);
    const query = { text, values: [...values], types: rowTypes, query_timeout };
    return (await (client ?? pool).query(query)).rows as Row[];
  }
}

/** A connection for oneself. After trouble it is closed, and with it goes the transaction that is open. */
export async function lend<Result>(pool: pg.Pool, use: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
  const client = await pool.connect();
  const ignore = (): void => {}; // a statement tells of the trouble; unheard, the event would end the process
  client.on("error", ignore);
  let isSound = false;
  try {
    const result = await use(client);
    isSound = true;
    return result;
  } finally {
    client.release(!isSound);
    client.off("error", ignore);
  }
}

/** Does again what another transaction was in the way of. */
async function repeated<Result>(attempt: () => Promise<Result>): Promise<Result> {
  for (let repeats = 0; ; repeats++) {
    try {
      return await attempt();
    } catch (error) {
      if (repeats >= mostRepeats || !isRepeatable(error)) throw error;
      await sleep(Math.random() * 5 * 2 ** repeats);
    }
  }
}
