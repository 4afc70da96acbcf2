/**
 * The connection: opening a file, making sure that it is ours, and bringing its schema up to date. Several processes
 * may do all of it to the same file at once.
 */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import Sqlite from "better-sqlite3";
import { isBusy, storageError, toStorageError } from "./errors.ts";
import { applicationId, steps } from "./schema.ts";

/** An open connection of better-sqlite3. */
export type Database = Sqlite.Database;

/** How a connection is opened. */
export interface DatabaseOptions {
  readonly synchronous: "normal" | "full" | "off";
  readonly busyTimeoutMs: number;
}

/** The path that means a store in memory. */
export const inMemory = ":memory:";

/**
 * How a prepared statement limits its rows. SQLite looks at the value of a bare `LIMIT :max` when it plans, and so
 * compiles the statement again each time it is run: 15 microseconds and more, where running it takes 2.
 */
export const limitMax = "LIMIT :max + 0";

/** The size of a page of a new file, as SQLite has it. */
const pageBytes = 4_096;

/**
 * The log is copied into the file when it has grown to 32 MB. Whoever commits then waits for it, so that with SQLite's
 * own 4 MB every fortieth start waited for milliseconds; the fewer copies also write less.
 */
const copiedLogBytes = 32 * 2 ** 20;

/** What a log that grew behind a long reader is cut down to. */
const logLimitBytes = 2 * copiedLogBytes;

/** Opens `path`, migrates it, and leaves nothing open when it fails. */
export function openDatabase(path: string, options: DatabaseOptions): Database {
  if (path !== inMemory && !existsSync(dirname(resolve(path)))) {
    throw storageError(path, `expected the folder ${dirname(path)} to exist`);
  }
  let db: Database | undefined;
  try {
    db = new Sqlite(path, { timeout: options.busyTimeoutMs });
    checkOurs(db, path);
    if (path !== inMemory) useWal(db, options.busyTimeoutMs);
    db.pragma(`synchronous = ${options.synchronous}`);
    db.pragma(`wal_autocheckpoint = ${copiedLogBytes / pageBytes}`);
    db.pragma(`journal_size_limit = ${logLimitBytes}`);
    migrate(db, path);
    db.pragma("busy_timeout = 0"); // from here on the waiting is done without holding up the process
    return db;
  } catch (error) {
    db?.close();
    throw toStorageError(error, path);
  }
}

/** Refuses a file that belongs to somebody else before anything in it is changed. */
function checkOurs(db: Database, path: string): number {
  // Another process may be making its tables at this moment. Then the file is ours by the last of these looks.
  const tables = db.prepare("SELECT count(*) FROM sqlite_schema").pluck().get() as number;
  const version = Number(db.pragma("user_version", { simple: true }));
  const application = Number(db.pragma("application_id", { simple: true }));
  const fresh = application === 0 && tables === 0 && version === 0;
  if (!fresh && application !== applicationId) {
    throw storageError(path, "expected an empty file or a store of Stet, got a database of another application");
  }
  if (version > steps.length) {
    throw storageError(path, `expected schema version ${steps.length} or older, got ${version}: written by newer code`);
  }
  return version;
}

/** SQLite does not wait for the lock that this switch needs, so the waiting is done here. */
function useWal(db: Database, busyTimeoutMs: number): void {
  const patience = Date.now() + busyTimeoutMs;
  for (;;) {
    try {
      // A file system without shared memory keeps its journal: slower, but sound.
      if (db.pragma("journal_mode", { simple: true }) !== "wal") db.pragma("journal_mode = WAL");
      return;
    } catch (error) {
      if (!isBusy(error) || Date.now() >= patience) throw error;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }
}

/** Writes in any case, and takes it back when there was nothing to do: a file that cannot be written is found out now. */
function migrate(db: Database, path: string): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    const version = checkOurs(db, path);
    for (const step of steps.slice(version)) db.exec(step);
    db.pragma(`application_id = ${applicationId}`);
    db.pragma(`user_version = ${steps.length}`);
    db.exec(version < steps.length ? "COMMIT" : "ROLLBACK");
  } finally {
    if (db.inTransaction) db.exec("ROLLBACK");
  }
}

/**
 * Runs a transaction that mostly only reads. It takes the write lock when it first writes; when that comes too late,
 * because somebody else has it or wrote since, the whole runs again with the lock from the start.
 */
export function readThenWrite<Input, Result>(db: Database, body: (input: Input) => Result): (input: Input) => Result {
  const transaction = db.transaction(body);
  return (input) => {
    try {
      return transaction.deferred(input);
    } catch (error) {
      if (!isBusy(error)) throw error;
      return transaction.immediate(input);
    }
  };
}
