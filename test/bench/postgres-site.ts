/** The server of a benchmark, the schemas of its runs, and what went over the wire. */
import { randomBytes } from "node:crypto";
import pg from "pg";
import { startPostgres } from "../../scripts/postgres-server.mjs";

/** Where a run's store is. */
export interface PostgresPlace {
  readonly url: string;
  readonly schema: string;
}

/** A server whose commits wait for the disk. `DATABASE_URL` names another. */
export async function benchServer(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const url = process.env["DATABASE_URL"];
  if (url !== undefined && url !== "") return { url, stop: async () => {} };
  const counting = ["shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track=all"];
  const server = await startPostgres({ durable: true, settings: ["synchronous_commit=on", ...counting] });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1)); // and the server with it
  await asked(server.url, "CREATE EXTENSION pg_stat_statements");
  return server;
}

/** What it says of itself. */
export async function serverVersion(url: string): Promise<string> {
  const [row] = await asked<{ server_version: string }>(url, "SHOW server_version");
  return row?.server_version ?? "";
}

/** Runs `body` with a schema that is not there yet and removes it. */
export async function inSchema<Result>(url: string, body: (place: PostgresPlace) => Promise<Result>): Promise<Result> {
  const schema = `bench_${randomBytes(6).toString("hex")}`;
  try {
    return await body({ url, schema });
  } finally {
    await asked(url, `DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    await asked(url, "CHECKPOINT"); // what this run has written is not to be written during the next
  }
}

/** The bytes of a schema on disk, indexes included. */
export async function schemaSize({ url, schema }: PostgresPlace): Promise<number> {
  const sql = `SELECT sum(pg_total_relation_size(oid)) AS bytes FROM pg_class
    WHERE relkind = 'r' AND relnamespace = '${schema}'::regnamespace`;
  const [row] = await asked<{ bytes: string }>(url, sql);
  return Number(row?.bytes);
}

/** What a workload has sent to the server and made it do. Absent where the server does not count statements. */
export interface Traffic {
  readonly roundTrips: number;
  readonly statements?: number;
  readonly walBytes: number;
}

/** Counts while `body` runs. */
export async function trafficOf<Result>(
  { url }: PostgresPlace,
  body: () => Promise<Result>,
): Promise<[Result, Traffic]> {
  countRoundTrips();
  const before = await counters(url);
  const tripsBefore = roundTrips;
  const result = await body();
  const tripsAfter = roundTrips;
  const after = await counters(url);
  const statements = after.statements !== undefined && after.statements - before.statements!;
  return [
    result,
    {
      roundTrips: tripsAfter - tripsBefore,
      ...(statements !== false && { statements }),
      walBytes: after.walBytes - before.walBytes,
    },
  ];
}

async function counters(url: string): Promise<{ statements?: number; walBytes: number }> {
  const [wal] = await asked<{ bytes: string }>(url, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS bytes");
  const counting = await asked(url, "SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'");
  const walBytes = Number(wal?.bytes);
  if (counting.length === 0) return { walBytes };
  const [count] = await asked<{ calls: string }>(
    url,
    "SELECT coalesce(sum(calls), 0) AS calls FROM pg_stat_statements",
  );
  return { walBytes, statements: Number(count?.calls) };
}

let roundTrips = 0;
let isCounting = false;

/** Whatever `pg` is asked is sent at once and answered at once. */
function countRoundTrips(): void {
  if (isCounting) return;
  isCounting = true;
  const original: unknown = Reflect.get(pg.Client.prototype, "query");
  if (typeof original !== "function") throw new Error("Expected pg.Client to have a method query");
  pg.Client.prototype.query = function counted(this: pg.Client, ...given: unknown[]): never {
    roundTrips++;
    return Reflect.apply(original, this, given) as never;
  };
}

async function asked<Row>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows as Row[];
  } finally {
    await client.end();
  }
}
