/**
 * One store through opens and closes: counts them, binds all verbs to what is open, turns PostgreSQL's errors into ours,
 * and tells of changes once their transaction is over.
 */
import type { StorageProvider } from "@stet/core";
import { StorageError } from "@stet/core";
import pg from "pg";
import { addressed } from "./address.ts";
import { bindAdminReads, type AdminReads } from "./admin-reads.ts";
import * as adminWrites from "./admin-writes.ts";
import { Announcements, type Line } from "./announcements.ts";
import * as capacity from "./capacity.ts";
import * as budgets from "./budgets.ts";
import { Changes, noChange, type ChangeSet } from "./changes.ts";
import { bindCarriedAnswers, type CarriedAnswers } from "./carried-answers.ts";
import * as claimRound from "./claim-rounds.ts";
import * as claimTurns from "./claim-turns.ts";
import * as claimWork from "./claim-work.ts";
import { Clocks } from "./clocks.ts";
import * as commitTurns from "./commit-turns.ts";
import { Database, lend } from "./database.ts";
import { toStorageError } from "./errors.ts";
import * as messages from "./messages.ts";
import { migrate } from "./migrate.ts";
import * as modelCalls from "./model-calls.ts";
import { Routines, type Routine } from "./routines.ts";
import * as trees from "./trees.ts";
import * as turnParts from "./turn-parts.ts";
import * as turns from "./turns.ts";
import { bindNextWakeAt } from "./wake.ts";
import * as work from "./work.ts";
import * as workers from "./workers.ts";

/** Where a store is, and how it is used. */
export interface StoreOptions {
  /** A pool that somebody else opened and closes; or how to open one. */
  readonly pool: pg.Pool | pg.PoolConfig;
  readonly schema: string;
  /** Whether to announce changes, and on which connection to listen when not on one of the pool. */
  readonly notify: boolean | string;
  readonly statementTimeoutMs: number;
  readonly clock: "database" | "runtime";
}

/** All verbs bound to an open database. */
export interface Verbs
  extends
    turns.Turns,
    work.Work,
    capacity.Capacity,
    modelCalls.ModelCalls,
    workers.Workers,
    messages.Messages,
    adminWrites.AdminWrites,
    budgets.Budgets,
    trees.Trees,
    CarriedAnswers {
  readonly claimTurns: ReturnType<typeof claimTurns.bindClaimTurns>;
  readonly commitTurns: ReturnType<typeof commitTurns.bindCommitTurns>;
  readonly claimWork: ReturnType<typeof claimWork.bindClaimWork>;
  readonly nextWakeAt: StorageProvider["nextWakeAt"];
  readonly reads: AdminReads;
}

type Verb<Result> = (verbs: Verbs, change: ChangeSet) => Promise<Result>;

const routines = new Routines(
  [
    turnParts,
    messages,
    commitTurns,
    claimRound,
    claimTurns,
    turns,
    work,
    claimWork,
    capacity,
    modelCalls,
    budgets,
    workers,
    adminWrites,
    trees,
  ]
    .flatMap((module) => Object.values<unknown>({ ...module }))
    .filter(isRoutine),
);

function isRoutine(exported: unknown): exported is Routine {
  return typeof exported === "object" && exported !== null && "signature" in exported;
}

interface Open {
  readonly pool: pg.Pool;
  readonly verbs: Verbs;
  readonly announcements: Announcements;
}

/** See the head of the file. */
export class Connection {
  readonly changes: Changes = new Changes((change) => this.#open?.announcements.announce(change));
  readonly #options: StoreOptions;
  readonly #clocks: Clocks;
  readonly #claimRounds = new claimRound.ClaimRounds();
  #opens = 0;
  #opening: Promise<Open> | undefined;
  #open: Open | undefined;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#clocks = new Clocks(options.clock);
  }

  async open(): Promise<void> {
    this.#opens++;
    try {
      this.#open = await (this.#opening ??= this.#connect());
    } catch (error) {
      this.#opens--;
      this.#opening = undefined;
      throw toStorageError(error, this.#options.schema);
    }
  }

  async close(): Promise<void> {
    if (this.#opens === 0 || --this.#opens > 0) return;
    const open = this.#open;
    this.#open = undefined;
    this.#opening = undefined;
    await open?.announcements.end();
    if (open !== undefined && open.pool !== this.#options.pool) await open.pool.end();
  }

  /** Runs a verb as the seam has it: trouble is a {@link StorageError}. */
  async run<Result>(verb: Verb<Result>): Promise<Result> {
    const { schema } = this.#options;
    if (this.#open === undefined) {
      throw new StorageError(`Expected the PostgreSQL store ${schema} to be open, got a closed one`, false);
    }
    const change = noChange();
    try {
      return await verb(this.#open.verbs, change);
    } catch (error) {
      throw toStorageError(error, schema);
    } finally {
      this.changes.publish(change);
    }
  }

  async #connect(): Promise<Open> {
    const { schema, statementTimeoutMs } = this.#options;
    const { pool: given } = this.#options;
    const pool =
      given instanceof pg.Pool ? given : openPool({ connectionTimeoutMillis: statementTimeoutMs, ...addressed(given) });
    try {
      await lend(pool, (client) => migrate(client, schema, schema, routines));
    } catch (error) {
      if (pool !== this.#options.pool) await pool.end();
      throw error;
    }
    const db = new Database({ pool, schema, routines, statementTimeoutMs });
    const announcements = new Announcements(db, {
      schema,
      connect: this.#lineOf(pool),
      onChange: (change) => this.changes.tell(change),
    });
    await announcements.start();
    return { pool, verbs: bind(db, schema, this.#clocks, this.#claimRounds), announcements };
  }

  #lineOf(pool: pg.Pool): (() => Promise<Line>) | undefined {
    const { notify, pool: given, statementTimeoutMs } = this.#options;
    if (notify === false) return undefined;
    if (notify === true) {
      return async () => {
        const client = await pool.connect();
        return { client, end: () => client.release(true) };
      };
    }
    return async () => {
      const connection = addressed(given instanceof pg.Pool ? {} : given, notify);
      const client = new pg.Client({ connectionTimeoutMillis: statementTimeoutMs, ...connection });
      await client.connect();
      return { client, end: () => void client.end().catch(() => undefined) };
    };
  }
}

function openPool(config: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool(config);
  pool.on("error", () => {}); // a connection that nobody used: the next statement has another
  return pool;
}

function bind(db: Database, schema: string, clocks: Clocks, claimRounds: claimRound.ClaimRounds): Verbs {
  return {
    ...messages.bindMessages(db),
    ...turns.bindTurns(db),
    ...work.bindWork(db, clocks),
    ...capacity.bindCapacity(db, clocks, claimRounds),
    ...modelCalls.bindModelCalls(db, clocks),
    ...workers.bindWorkers(db, clocks),
    ...adminWrites.bindAdminWrites(db),
    ...budgets.bindBudgets(db),
    ...trees.bindTrees(db, clocks),
    ...bindCarriedAnswers(db),
    claimTurns: claimTurns.bindClaimTurns(db, clocks, claimRounds),
    commitTurns: commitTurns.bindCommitTurns(db, clocks),
    claimWork: claimWork.bindClaimWork(db, clocks, claimRounds),
    reads: bindAdminReads(db, schema, clocks),
    nextWakeAt: bindNextWakeAt(db, clocks),
  };
}
