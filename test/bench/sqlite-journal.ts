/** A journal in a fresh file with the store's settings, written by a prepared statement in large transactions. */
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import type { Journal, Volume } from "./bare-journal.ts";
import { storeFile } from "./programs.ts";
import type { Run } from "./workload.ts";

/** Rows of a transaction, where a workload lets many share one: what the engine puts into one at most. */
const rowsPerCommit = 512;

/** See the head of the file. */
export function sqliteJournal(run: Run): Journal {
  return {
    volume: async (table = "history") => {
      const sql = `SELECT count(*) AS rows, coalesce(sum(length(CAST(body AS BLOB))), 0) AS bytes FROM ${table}`;
      return inStore(run, (db) => db.prepare<[], Volume>(sql).get() ?? { rows: 0, bytes: 0 });
    },
    together: async (volume) => commitTimes(run, volume, rowsPerCommit).reduce((sum, ms) => sum + ms, 0),
    oneByOne: async (volume) => commitTimes(run, volume, 1),
    read: async () =>
      inStore(run, (db) => {
        const select = db.prepare<[], string>("SELECT body FROM history ORDER BY key").pluck();
        const start = performance.now();
        for (const body of select.all()) JSON.parse(body);
        return performance.now() - start;
      }),
  };
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

function inStore<Result>(run: Run, body: (db: Sqlite.Database) => Result): Result {
  const db = new Sqlite(storeFile(run), { readonly: true });
  try {
    return body(db);
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
