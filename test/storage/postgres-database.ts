/** The PostgreSQL server of a test run, and stores in it that nobody has used before. */
import { randomBytes } from "node:crypto";
import { postgres, type PostgresOptions } from "@stet/postgres";
import type { StorageProvider } from "@stet/core";
import pg from "pg";

/** Where the server is: `scripts/test.mjs` starts one, `DATABASE_URL` names another. */
export function databaseUrl(): string {
  const url = process.env["DATABASE_URL"];
  if (url === undefined || url === "") {
    throw new Error("Expected DATABASE_URL to name a PostgreSQL server, got none: run node scripts/test.mjs FILE.");
  }
  return url;
}

/** A schema that is not there yet. */
export function newSchema(): string {
  return `stet_${randomBytes(8).toString("hex")}`;
}

/** A store whose time tests own. */
export function inSchema(schema: string, options: Partial<PostgresOptions> = {}): StorageProvider {
  const place = options.pool === undefined ? { url: databaseUrl() } : {};
  return postgres({ ...place, schema, clock: "runtime", ...options });
}

/** The processes of the server that wait for what a connection holds. */
export async function waitingFor(client: pg.Client): Promise<number[]> {
  await client.query("SELECT pg_stat_clear_snapshot()"); // a transaction goes on seeing what it saw first
  const { rows } = await client.query<{ pid: number }>(
    "SELECT pid FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))",
  );
  return rows.map(({ pid }) => pid);
}

/** Removes schemas with all that is in them. */
export async function dropSchemas(schemas: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl() });
  await client.connect();
  for (const schema of schemas) await client.query(`DROP SCHEMA IF EXISTS ${pg.escapeIdentifier(schema)} CASCADE`);
  await client.end();
}

/** Leaves the tables of a store, and nothing in them. */
export async function emptySchema(pool: pg.Pool, schema: string): Promise<void> {
  const { rows } = await pool.query<{ name: string }>(
    "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = $1 AND tablename <> 'about'",
    [schema],
  );
  const deletes = rows.map(({ name }) => `DELETE FROM ${pg.escapeIdentifier(schema)}.${name}`);
  await pool.query(deletes.join(";"));
}
