/**
 * The limit: a journal and nothing else. It writes as many rows and bytes as a workload left in its history, by a
 * prepared statement, in a fresh file with the store's settings, in the process that ran the workload.
 */
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import type { Run } from "./workload.ts";

/** How much a table holds. */
export interface Volume {
  readonly rows: number;
  readonly bytes: number;
}

/** Rows of a transaction, where a workload lets many share one: what the engine puts into one at most. */
const rowsPerCommit = 512;

/** What a workload has left in the store. */
export function volumeOf(file: string, table: "history" | "work" = "history"): Volume {
  const db = new Sqlite(file, { readonly: true });
  try {
    const sql = `SELECT count(*) AS rows, coalesce(sum(length(CAST(body AS BLOB))), 0) AS bytes FROM ${table}`;
    return db.prepare<[], Volume>(sql).get() ?? { rows: 0, bytes: 0 };
  } finally {
    db.close();
  }
}

/** Writes that volume in large transactions, and answers how many milliseconds it took. */
export function journalMs(run: Run, volume: Volume): number {
  return sum(commitTimes(run, volume, rowsPerCommit));
}

/** Writes that volume row by row, and answers how many milliseconds each commit took. */
export function oneRowCommitMs(run: Run, volume: Volume): number[] {
  return commitTimes(run, volume, 1);
}

/** Reads all rows of a table and parses them, and answers how many milliseconds it took. */
export function readMs(file: string): number {
  const db = new Sqlite(file, { readonly: true });
  try {
    const select = db.prepare<[], string>("SELECT body FROM history ORDER BY key").pluck();
    const start = performance.now();
    for (const body of select.all()) JSON.parse(body);
    return performance.now() - start;
  } finally {
    db.close();
  }
}

/** The size of a file that holds these texts, each in a row of its own, and nothing else. */
export function bytesOf(run: Run, texts: readonly string[]): number {
  const db = open(run);
  try {
    const insert = db.prepare<[number, string]>("INSERT INTO journal (instance, body) VALUES (?, ?)");
    db.transaction(() => texts.forEach((text, i) => insert.run(i, text)))();
    return Number(db.pragma("page_count", { simple: true })) * Number(db.pragma("page_size", { simple: true }));
  } finally {
    db.close();
  }
}

function commitTimes(run: Run, { rows, bytes }: Volume, perCommit: number): number[] {
  const db = open(run);
  try {
    const insert = db.prepare<[number, string]>("INSERT INTO journal (instance, body) VALUES (?, ?)");
    const body = "x".repeat(Math.round(bytes / rows));
    const times: number[] = [];
    const commit = db.transaction((from: number, to: number) => {
      for (let row = from; row < to; row++) insert.run(row, body);
    });
    for (let row = 0; row < rows; row += perCommit) {
      const start = performance.now();
      commit.immediate(row, Math.min(row + perCommit, rows));
      times.push(performance.now() - start);
    }
    return times;
  } finally {
    db.close();
  }
}

let files = 0;

function open(run: Run): Sqlite.Database {
  const db = new Sqlite(join(run.folder, `journal-${files++}.db`));
  db.pragma("journal_mode = WAL");
  db.pragma(`synchronous = ${run.synchronous}`);
  db.exec("CREATE TABLE journal (key INTEGER PRIMARY KEY, instance INTEGER NOT NULL, body TEXT NOT NULL)");
  return db;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
