/**
 * The roof: counts opens, binds every verb to the open connection, turns SQLite's errors into ours, and tells of changes
 * once their transaction is over. better-sqlite3 is synchronous, so no verb ever awaits between BEGIN and COMMIT.
 */
import { StorageError, type StorageAdmin, type StorageProvider } from "@stet/core";
import { prepareAdminReads, type AdminReads } from "./admin-reads.ts";
import { prepareAdminWrites, type AdminWrites } from "./admin-writes.ts";
import { Changes, noChange, type ChangeSet } from "./changes.ts";
import { prepareClaimTurns } from "./claim-turns.ts";
import { prepareCommitTurns } from "./commit-turns.ts";
import { inMemory, openDatabase, type Database, type DatabaseOptions } from "./database.ts";
import { toStorageError } from "./errors.ts";
import { prepareMessages, type Messages } from "./messages.ts";
import { prepareTurns, type Turns } from "./turns.ts";
import { prepareWork, type Work } from "./work.ts";
import { prepareWorkers, type Workers } from "./workers.ts";

/** How the file is used. */
export interface SqliteOptions {
  /**
   * What a commit waits for. `normal` survives the death of the process, `full` also a loss of power, `off` neither is
   * promised.
   * @default "normal"
   */
  readonly synchronous?: "normal" | "full" | "off";
  /**
   * How long to wait for another process that holds the lock.
   * @default 5000
   */
  readonly busyTimeoutMs?: number;
}

/**
 * A store in one SQLite file, or in memory. Several processes may use one file; each call makes a connection of its own.
 *
 * @example
 * ```ts
 * const runtime = await Runtime.start({ storage: sqlite("tickets.db"), orchestrations: [handleTicket] });
 * ```
 */
export function sqlite(path: string, options: SqliteOptions = {}): StorageProvider {
  return provide(new Connection(path, { synchronous: "normal", busyTimeoutMs: 5000, ...options }));
}

/** All verbs bound to one open connection. */
interface Verbs extends Turns, Work, Workers, Messages, AdminWrites {
  readonly db: Database;
  readonly claimTurns: ReturnType<typeof prepareClaimTurns>;
  readonly commitTurns: ReturnType<typeof prepareCommitTurns>;
  readonly nextWakeAt: (now: number) => number | undefined;
  readonly reads: AdminReads;
}

/** A connection through opens and closes. */
class Connection {
  readonly changes = new Changes();
  readonly #path: string;
  readonly #options: DatabaseOptions;
  #opens = 0;
  #verbs: Verbs | undefined;

  constructor(path: string, options: DatabaseOptions) {
    this.#path = path;
    this.#options = options;
  }

  open(): void {
    if (this.#verbs === undefined) {
      const db = openDatabase(this.#path, this.#options);
      this.#verbs = bind(db);
      if (this.#path !== inMemory) this.changes.watch(db);
    }
    this.#opens++;
  }

  close(): void {
    if (this.#opens === 0 || --this.#opens > 0) return;
    const db = this.#verbs?.db;
    this.#verbs = undefined;
    this.changes.unwatch();
    try {
      db?.pragma("wal_checkpoint(PASSIVE)");
    } finally {
      db?.close();
    }
  }

  /** Runs a verb and tells what it changed. */
  run<Result>(verb: (verbs: Verbs, change: ChangeSet) => Result): Result {
    if (this.#verbs === undefined) {
      throw new StorageError(`Expected the SQLite store ${this.#path} to be open, got a closed one`, false);
    }
    const change = noChange();
    const result = verb(this.#verbs, change);
    this.changes.publish(change);
    return result;
  }

  toStorageError(error: unknown): Error {
    return toStorageError(error, this.#path);
  }
}

function bind(db: Database): Verbs {
  const messages = prepareMessages(db);
  const timers = db.prepare<[number], number | null>("SELECT min(fire_at) FROM timers WHERE fire_at > ?").pluck();
  const work = db
    .prepare<[number], number | null>("SELECT min(visible_at) FROM work WHERE owner IS NULL AND visible_at > ?")
    .pluck();
  return {
    db,
    ...messages,
    ...prepareTurns(db),
    ...prepareWork(db, messages.mail),
    ...prepareWorkers(db),
    ...prepareAdminWrites(db),
    claimTurns: prepareClaimTurns(db),
    commitTurns: prepareCommitTurns(db, messages.mail),
    reads: prepareAdminReads(db),
    nextWakeAt(now) {
      const times = [timers.get(now), work.get(now)].filter((time) => typeof time === "number");
      return times.length === 0 ? undefined : Math.min(...times);
    },
  };
}

function provide(connection: Connection): StorageProvider {
  /** The seam's form of a verb: a promise, and trouble as a {@link StorageError}. */
  const run = async <Result>(verb: (verbs: Verbs, change: ChangeSet) => Result): Promise<Awaited<Result>> => {
    try {
      return await connection.run(verb);
    } catch (error) {
      throw connection.toStorageError(error);
    }
  };
  const admin: StorageAdmin = {
    getInstances: (ids) => run((store) => store.reads.getInstances(ids)),
    listInstances: (query) => run((store) => store.reads.listInstances(query)),
    getTree: (instanceId) => run((store) => store.reads.getTree(instanceId)),
    listExecutions: (instanceId) => run((store) => store.reads.listExecutions(instanceId)),
    readHistory: (instanceId, execution, from) => run((store) => store.reads.readHistory(instanceId, execution, from)),
    listWaits: (query) => run((store) => store.reads.listWaits(query)),
    readState: (instanceId, keys) => run((store) => store.reads.readState(instanceId, keys)),
    readOutputs: (instanceId, after, limit) => run((store) => store.reads.readOutputs(instanceId, after, limit)),
    stats: (now) => run((store) => store.reads.stats(now)),
    unblock: (ids) => run((store, change) => store.unblock(ids, change)),
    restart: (restart) => run((store, change) => store.restart(restart, change)),
    deleteTree: (instanceId, force) => run((store, change) => store.deleteTree(instanceId, force, change)),
    prune: (query) => run((store, change) => store.prune(query, change)),
  };
  return {
    name: "sqlite",
    open: async () => connection.open(),
    close: async () => connection.close(),

    registerWorker: (registration) => run((store) => store.registerWorker(registration)),
    heartbeat: (beat) => run((store) => store.heartbeat(beat)),
    listWorkers: (now) => run((store) => store.listWorkers(now)),
    releaseWorker: (worker) => run((store, change) => store.releaseWorker(worker, change)),

    claimTurns: (claim) => run((store) => store.claimTurns(claim)),
    readHistory: (key, execution) => run((store) => store.readHistory(key, execution)),
    readPayloads: (rootId, digests) => run((store) => store.readPayloads(rootId, digests)),
    readWork: (key, execution) => run((store) => store.readWork(key, execution)),
    commitTurns: (worker, commits) => run((store, change) => store.commitTurns(worker, commits, change)),
    releaseInstances: (worker, keys) => run((store, change) => store.releaseInstances(worker, keys, change)),

    saveWork: (worker, work) => run((store, change) => store.saveWork(worker, work, change)),
    claimWork: (claim) => run((store) => store.claimWork(claim)),
    completeWork: (worker, completions) => run((store, change) => store.completeWork(worker, completions, change)),
    retryWork: (worker, retries) => run((store, change) => store.retryWork(worker, retries, change)),
    abandonWork: (worker, keys) => run((store, change) => store.abandonWork(worker, keys, change)),
    saveHeartbeats: (worker, beats) => run((store) => store.saveHeartbeats(worker, beats)),

    startInstances: (starts) => run((store, change) => store.startInstances(starts, change)),
    sendMessages: (messages) => run((store, change) => store.sendMessages(messages, change)),

    nextWakeAt: (now) => run((store) => store.nextWakeAt(now)),
    onChange: (listener) => connection.changes.listen(listener),
    admin,
  };
}
