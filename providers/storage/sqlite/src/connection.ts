/**
 * One connection through opens and closes: counts them, binds all verbs to what is open, turns SQLite's errors into
 * ours, waits for the lock, and tells of changes once their transaction is over.
 *
 * better-sqlite3 is synchronous, so a verb is one transaction with no await between BEGIN and COMMIT. SQLite's own
 * waiting would hold up the whole process and is unfair between two busy ones; here a verb that finds the lock taken
 * steps aside, and those that come after it wait behind it.
 */
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { StorageError } from "@stet/core";
import { prepareAdminReads, type AdminReads } from "./admin-reads.ts";
import { prepareAdminWrites, type AdminWrites } from "./admin-writes.ts";
import { prepareCarriedAnswers, type CarriedAnswers } from "./carried-answers.ts";
import { type Budgets, prepareBudgets } from "./budgets.ts";
import { Changes, noChange, type ChangeSet } from "./changes.ts";
import { prepareCapacity, type Capacity } from "./capacity.ts";
import { prepareClaimTurns } from "./claim-turns.ts";
import { prepareCommitTurns } from "./commit-turns.ts";
import { inMemory, openDatabase, type Database, type DatabaseOptions } from "./database.ts";
import { isBusy, toStorageError } from "./errors.ts";
import { prepareMessages, type Messages } from "./messages.ts";
import { prepareModelCalls, type ModelCalls } from "./model-calls.ts";
import { OpenFile } from "./open-file.ts";
import { prepareTrees, type Trees } from "./trees.ts";
import { prepareTurns, type Turns } from "./turns.ts";
import { prepareWork, type Work } from "./work.ts";
import { prepareWorkers, type Workers } from "./workers.ts";

/** All verbs bound to one open connection. */
export interface Verbs
  extends
    Turns,
    Work,
    Capacity,
    Workers,
    ModelCalls,
    Messages,
    AdminWrites,
    Trees,
    CarriedAnswers,
    Pick<Budgets, "readBudget"> {
  readonly db: Database;
  readonly claimTurns: ReturnType<typeof prepareClaimTurns>;
  readonly commitTurns: ReturnType<typeof prepareCommitTurns>;
  readonly nextWakeAt: (now: number) => number | undefined;
  readonly reads: AdminReads;
}

type Verb<Result> = (verbs: Verbs, change: ChangeSet) => Result;

/** See the head of the file. */
export class Connection {
  readonly changes: Changes = new Changes();
  readonly #path: string;
  readonly #options: DatabaseOptions;
  #opens = 0;
  #verbs: Verbs | undefined;
  #file: OpenFile | undefined;
  /** Set while a verb waits for the lock. */
  #waiting: Promise<void> | undefined;

  constructor(path: string, options: DatabaseOptions) {
    this.#path = path;
    this.#options = options;
  }

  async open(): Promise<void> {
    if (this.#verbs === undefined) {
      const db = openDatabase(this.#path, this.#options);
      this.#verbs = bind(db);
      if (this.#path !== inMemory) {
        this.#file = new OpenFile(this.#path);
        this.changes.watch(db);
      }
    }
    this.#opens++;
  }

  async close(): Promise<void> {
    if (this.#opens === 0 || --this.#opens > 0) return;
    const db = this.#verbs?.db;
    this.#verbs = undefined;
    this.changes.unwatch();
    try {
      db?.pragma("wal_checkpoint(PASSIVE)");
    } catch (error) {
      throw toStorageError(error, this.#path);
    } finally {
      db?.close();
    }
  }

  /** Runs a verb as the seam has it: a promise, and trouble as a {@link StorageError}. */
  async run<Result>(verb: Verb<Result>): Promise<Awaited<Result>> {
    const patience = performance.now() + this.#options.busyTimeoutMs; // also with those that wait before it
    while (this.#waiting !== undefined) await this.#waiting;
    try {
      return await this.#attempt(verb);
    } catch (error) {
      if (isBusy(error)) return this.#insist(verb, patience);
      throw toStorageError(error, this.#path);
    }
  }

  /** Synchronous where the verb is, so that nobody comes between a verb that found the lock taken and its waiting. */
  #attempt<Result>(verb: Verb<Result>): Result {
    if (this.#verbs === undefined) {
      throw new StorageError(`Expected the SQLite store ${this.#path} to be open, got a closed one`, false);
    }
    this.#file?.assertInPlace();
    const change = noChange();
    const result = verb(this.#verbs, change);
    this.changes.publish(change);
    return result;
  }

  /** Tries until the lock is free or patience is over. */
  async #insist<Result>(verb: Verb<Result>, patience: number): Promise<Awaited<Result>> {
    let done = (): void => {};
    this.#waiting = new Promise((resolve) => (done = resolve));
    try {
      for (let tries = 1; ; tries++) {
        await sleep(Math.min(1 + tries / 10, 10));
        try {
          return await this.#attempt(verb);
        } catch (error) {
          if (!isBusy(error) || performance.now() >= patience) throw toStorageError(error, this.#path);
        }
      }
    } finally {
      this.#waiting = undefined;
      done();
    }
  }
}

function bind(db: Database): Verbs {
  const messages = prepareMessages(db);
  const budgets = prepareBudgets(db);
  return {
    db,
    ...messages,
    ...prepareTurns(db),
    ...prepareWork(db, messages.mail),
    ...prepareCapacity(db),
    ...prepareWorkers(db),
    ...prepareModelCalls(db),
    ...prepareAdminWrites(db, budgets),
    ...prepareCarriedAnswers(db),
    ...prepareTrees(db, budgets),
    claimTurns: prepareClaimTurns(db),
    commitTurns: prepareCommitTurns(db, messages.mail, budgets),
    readBudget: (instanceId) => budgets.readBudget(instanceId),
    reads: prepareAdminReads(db),
    nextWakeAt: prepareNextWakeAt(db),
  };
}

/** When the next timer or delayed work item becomes visible. */
function prepareNextWakeAt(db: Database): (now: number) => number | undefined {
  const timers = db.prepare<[number], number | null>("SELECT min(fire_at) FROM timers WHERE fire_at > ?").pluck();
  const work = db
    .prepare<[number], number | null>("SELECT min(visible_at) FROM work WHERE owner IS NULL AND visible_at > ?")
    .pluck();
  return (now) => {
    const times = [timers.get(now), work.get(now)].filter((time) => typeof time === "number");
    return times.length === 0 ? undefined : Math.min(...times);
  };
}
