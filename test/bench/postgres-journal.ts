/**
 * A journal on `pg`: one row a step, and one insert for all rows of an event-loop turn, which is one commit. Each writer
 * appends its next row once its last is committed.
 */
import pg from "pg";
import type { Journal, Volume } from "./bare-journal.ts";
import type { PostgresPlace } from "./postgres-site.ts";

/** See the head of the file. */
export function postgresJournal(place: PostgresPlace): Journal {
  return {
    volume: (table = "history") =>
      connected(place, async (client) => {
        const sql = `SELECT count(*)::integer AS rows, coalesce(sum(octet_length(body)), 0)::integer AS bytes FROM ${table}`;
        return (await client.query<Volume>(sql)).rows[0]!;
      }),
    together: ({ bytes }, { instances, activitiesEach }) =>
      connected(place, async (client) => {
        const body = "x".repeat(Math.round(bytes / (instances * activitiesEach)));
        const append = await appenderOf(client);
        const start = performance.now();
        await Promise.all(writers(instances, activitiesEach, (instance) => append(instance, body)));
        return performance.now() - start;
      }),
    oneByOne: ({ rows, bytes }) =>
      connected(place, async (client) => {
        const body = "x".repeat(Math.round(bytes / rows));
        const append = await appenderOf(client);
        const times: number[] = [];
        for (let row = 0; row < rows; row++) {
          const start = performance.now();
          await append(1, body);
          times.push(performance.now() - start);
        }
        return times;
      }),
    read: () =>
      connected(place, async (client) => {
        const start = performance.now();
        const sql = "SELECT body FROM history ORDER BY instance, execution, first_event_id";
        for (const { body } of (await client.query<{ body: string }>(sql)).rows) JSON.parse(body);
        return performance.now() - start;
      }),
  };
}

/** One alone asks for all of its steps at once; many take one after the other. */
function writers(instances: number, steps: number, append: (instance: number) => Promise<void>): Promise<unknown>[] {
  if (instances === 1) return Array.from({ length: steps }, () => append(1));
  return Array.from({ length: instances }, async (_, instance) => {
    for (let step = 0; step < steps; step++) await append(instance);
  });
}

async function appenderOf(client: pg.Client): Promise<(instance: number, body: string) => Promise<void>> {
  const table = `journal_${Math.random().toString(36).slice(2)}`;
  await client.query(`CREATE TABLE ${table} (
    key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, instance bigint NOT NULL, body text NOT NULL)`);
  const text = `INSERT INTO ${table} (instance, body) SELECT * FROM unnest($1::bigint[], $2::text[])`;
  let rows: { instance: number; body: string; done: () => void; fail: (error: unknown) => void }[] = [];
  const flush = async (): Promise<void> => {
    const all = rows;
    rows = [];
    try {
      const values = [all.map(({ instance }) => instance), all.map(({ body }) => body)];
      await client.query({ name: table, text, values });
      for (const { done } of all) done();
    } catch (error) {
      for (const { fail } of all) fail(error);
    }
  };
  return (instance, body) =>
    new Promise((done, fail) => {
      if (rows.length === 0) setImmediate(() => void flush());
      rows.push({ instance, body, done, fail });
    });
}

async function connected<Result>(
  { url, schema }: PostgresPlace,
  body: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client({ connectionString: url, options: `-c search_path=${schema}` });
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}
