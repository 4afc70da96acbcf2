/** The stores of sites: a SQLite file, or a database of its own on a PostgreSQL server. One address names either. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { StorageProvider } from "@stet/core";
import { postgres } from "@stet/postgres";
import { sqlite } from "@stet/sqlite";
import Sqlite from "better-sqlite3";
import pg from "pg";

/** A statement that took longer has lost its connection. Not so short that a busy machine breaks what works. */
const statementTimeoutMs = 5_000;

/** The store at an address: the path of a file, or a url. */
export function storeAt(address: string): StorageProvider {
  return isUrl(address) ? postgres({ url: address, statementTimeoutMs }) : sqlite(address);
}

/** A store that a site has made for itself. */
export interface OwnStore {
  readonly address: string;
  readonly remove: () => Promise<void>;
}

/** A file in the folder of a site, which goes with it. */
export function newFile(folder: string): OwnStore {
  return { address: join(folder, "store.db"), remove: async () => {} };
}

/** A database on a server, empty or a copy. */
export async function newDatabase(server: string, template = "template1"): Promise<OwnStore> {
  const name = `site_${randomBytes(8).toString("hex")}`;
  await ask(server, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  const url = new URL(server);
  url.pathname = name;
  return { address: String(url), remove: async () => void (await ask(server, `DROP DATABASE ${name} WITH (FORCE)`)) };
}

/**
 * Another database with what is in one now. Where no `pg_dump` can read the server, the server copies it, and whoever
 * uses it is thrown out for a moment.
 */
export async function copyOfDatabase(server: string, address: string): Promise<OwnStore & { readonly by: string }> {
  const dumps = spawnSync("pg_dump", ["--schema=stet", "--no-owner", address], { maxBuffer: 2 ** 30 });
  if (dumps.status === 0) {
    const copy = await newDatabase(server);
    execFileSync("psql", ["--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", copy.address], {
      input: dumps.stdout,
    });
    return { ...copy, by: "pg_dump" };
  }
  const name = new URL(address).pathname.slice(1);
  await ask(server, `ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
  await ask(server, `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '${name}'`);
  const copy = await newDatabase(server, name);
  await ask(server, `ALTER DATABASE ${name} ALLOW_CONNECTIONS true`);
  return { ...copy, by: `CREATE DATABASE ... TEMPLATE, for want of pg_dump: ${String(dumps.stderr ?? dumps.error)}` };
}

/** What the store itself says when all is over: the file is whole; nobody stood in anybody's way for good. */
export async function assertIntact(address: string): Promise<void> {
  if (isUrl(address)) assert.equal(await deadlocks(address), 0, "no deadlock has happened");
  else assert.equal(integrity(address), "ok");
}

function isUrl(address: string): boolean {
  return address.startsWith("postgres://");
}

/**
 * Those that the server has found in a database since it was started. A connection tells of its own late, but before it
 * ends: so all others are ended.
 */
export async function deadlocks(address: string): Promise<number> {
  const others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
  await ask(address, `SELECT pg_terminate_backend(pid, 60000) FROM (${others}) AS o`);
  const question = "SELECT deadlocks::integer AS count FROM pg_stat_database WHERE datname = current_database()";
  return (await ask<{ count: number }>(address, question))[0]!.count;
}

function integrity(file: string): unknown {
  const db = new Sqlite(file, { readonly: true, timeout: 10_000 });
  try {
    return db.pragma("integrity_check", { simple: true });
  } finally {
    db.close();
  }
}

async function ask<Row extends pg.QueryResultRow>(url: string, question: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(question)).rows;
  } finally {
    await client.end();
  }
}
