/**
 * Making sure that a schema is ours and up to date, and that the functions of this build are in it. Several processes
 * may do all of it to the same schema at once: one does, the others wait.
 */
import type { ClientBase } from "pg";
import pg from "pg";
import { storageError } from "./errors.ts";
import type { Routines } from "./routines.ts";
import { steps } from "./schema.ts";

/** Brings a schema up to date, in one transaction. */
export async function migrate(client: ClientBase, schema: string, store: string, routines: Routines): Promise<void> {
  await requireReadCommitted(client, store);
  if (await isUpToDate(client, schema, store, routines)) return;
  const quoted = pg.escapeIdentifier(schema);
  await client.query("BEGIN");
  try {
    await client.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`stet schema ${schema}`]);
    const version = await versionOf(client, schema, store);
    await client.query(`CREATE SCHEMA IF NOT EXISTS ${quoted}`);
    await client.query(`SET LOCAL search_path = ${quoted}, pg_catalog`);
    await client.query("CREATE TABLE IF NOT EXISTS about (application text PRIMARY KEY, version integer NOT NULL)");
    for (const step of steps.slice(version)) await client.query(step);
    await client.query(
      `INSERT INTO about VALUES ('stet', $1) ON CONFLICT (application) DO UPDATE SET version = excluded.version`,
      [steps.length],
    );
    for (const statement of routines.create(quoted)) await client.query(statement);
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK").catch(() => undefined); // a broken connection has rolled back already
    throw error;
  }
}

/** Functions run in transactions of their own, which have the isolation that whoever runs the database made the default. */
async function requireReadCommitted(client: ClientBase, store: string): Promise<void> {
  const { rows } = await client.query<{ isolation: string }>(
    "SELECT current_setting('transaction_isolation') AS isolation",
  );
  const isolation = rows[0]?.isolation;
  if (isolation === "read committed") return;
  throw storageError(
    store,
    `expected transactions to be READ COMMITTED by default, got ${isolation}: set default_transaction_isolation for its user`,
  );
}

async function isUpToDate(client: ClientBase, schema: string, store: string, routines: Routines): Promise<boolean> {
  const version = await versionOf(client, schema, store);
  if (version < steps.length) return false;
  const { rows } = await client.query(
    "SELECT 1 FROM pg_proc WHERE proname LIKE $1 AND pronamespace = $2::regnamespace LIMIT 1",
    [`%\\_${routines.digest}`, pg.escapeIdentifier(schema)],
  );
  return rows.length > 0;
}

/** The steps that a schema has had. Refuses one that belongs to somebody else before anything in it is changed. */
async function versionOf(client: ClientBase, schema: string, store: string): Promise<number> {
  const { rows } = await client.query<{ ours: boolean; empty: boolean }>(
    `SELECT to_regclass($1) IS NOT NULL AS ours,
       NOT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace($2)) AS empty`,
    [`${pg.escapeIdentifier(schema)}.about`, pg.escapeIdentifier(schema)],
  );
  const [{ ours, empty } = { ours: false, empty: true }] = rows;
  if (empty) return 0;
  const about = `SELECT version FROM ${pg.escapeIdentifier(schema)}.about WHERE application = 'stet'`;
  const version = ours ? (await client.query<{ version: number }>(about)).rows[0]?.version : undefined;
  if (version === undefined) {
    throw storageError(
      store,
      `expected the schema ${schema} to be empty or a store of Stet, got one of another application`,
    );
  }
  if (version > steps.length) {
    throw storageError(
      store,
      `expected schema version ${steps.length} or older, got ${version}: written by newer code`,
    );
  }
  return version;
}
