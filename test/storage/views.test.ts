/** What people may look at with SQL: the same facts as histories have, in the same words on every provider. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import Database from "better-sqlite3";
import { activity, LlmError, NonRetryableError, orchestration, type StorageProvider } from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import pg from "pg";
import { environment, newFolder } from "../runtime/world.ts";
import { databaseUrl, dropSchemas, inSchema, newSchema } from "./postgres-database.ts";

/** A store, and somebody who looks into it with SQL. */
interface Site {
  readonly storage: StorageProvider;
  readonly rows: (sql: string) => Promise<object[]>;
  readonly columns: (view: string) => Promise<unknown[]>;
}

const schemas: string[] = [];

after(() => dropSchemas(schemas));

const sites: { readonly [provider: string]: (t: TestContext) => Site } = {
  sqlite(t) {
    const path = join(newFolder(), "store.db");
    let db: Database.Database | undefined; // there is no file before the store is open
    const open = (): Database.Database => {
      if (db !== undefined) return db;
      const opened = new Database(path, { readonly: true });
      t.after(() => opened.close());
      return (db = opened);
    };
    return {
      storage: sqlite(path),
      rows: async (sql) => open().prepare<[], object>(sql).all(),
      columns: async (view) => open().prepare(`SELECT name FROM pragma_table_info('${view}')`).pluck().all(),
    };
  },
  postgres(t) {
    const schema = newSchema();
    schemas.push(schema);
    const pool = new pg.Pool({
      connectionString: databaseUrl(),
      max: 1,
      options: `-c search_path=${schema}`,
      types: { getTypeParser: (oid) => (oid === 20 ? Number : pg.types.getTypeParser(oid)) },
    });
    t.after(() => pool.end());
    const rows = async (sql: string) => (await pool.query<{ name: unknown }>(sql)).rows;
    const columnsOf = `SELECT attname AS name FROM pg_attribute WHERE attnum > 0 AND attrelid = `;
    return {
      storage: inSchema(schema),
      rows,
      columns: async (view) => (await rows(`${columnsOf}'${view}'::regclass`)).map(({ name }) => name),
    };
  },
};

test("postgres: whoever is granted the views, as the document says, can read them and nothing else", async (t) => {
  const { storage, rows } = sites["postgres"]!(t);
  await environment(t, { storage });
  const [{ schema } = { schema: "" }] = (await rows("SELECT current_schema() AS schema")) as { schema: string }[];
  const [, grants = ""] = /```sql grants\n([^]*?)```/.exec(read("sql")) ?? [];
  const granted = grants.replaceAll(/\bstet\b/g, schema).replaceAll("reporting", `of_${schema}`);
  const asReader = (query: string) =>
    rows(`BEGIN; ${granted}; SET LOCAL ROLE of_${schema}; ${query}; ROLLBACK`).catch(async (error: unknown) => {
      await rows("ROLLBACK");
      throw error;
    });

  const views = [...read("sql").matchAll(/^\| `(stet_\w+)`/gm)].map(([, view]) => view!);
  assert.equal(views.length, 7);
  for (const view of views) await asReader(`SELECT count(*) FROM ${view}`);
  await assert.rejects(asReader("SELECT count(*) FROM history"), /permission denied/);
});

/** A document. */
function read(name: string): string {
  return readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), "utf8");
}

/** The queries of a document that this provider answers. */
function queriesOf(page: string, provider: string): string[] {
  const blocks = [...page.matchAll(/```sql *(\w*)\n([^]*?)```/g)];
  const queries = blocks.flatMap(([, only, block]) => (only === "" || only === provider ? block!.split(";\n") : []));
  return queries.filter((query) => query.trim() !== "");
}

/** JSON comes as text or as what it says. */
function parsed(json: unknown): unknown {
  return typeof json === "string" ? (JSON.parse(json) as unknown) : json;
}

const look = activity("look", async (_ctx, n: number) => {
  if (n > 1) throw new NonRetryableError("too far");
  return n;
});
const child = orchestration("child", async (ctx) => ctx.waitForEvent("never"));

/** A bit of everything that the views show. */
const tour = orchestration("tour", { version: "2" }, async (ctx, round: number) => {
  if (round === 1) {
    await ctx.activity(look, 1);
    return ctx.continueAsNew(2);
  }
  await ctx.activity(look, round).catch(() => undefined);
  await ctx.race({ soon: ctx.timer("1s"), late: ctx.activity("nobodyHasIt") });
  const said = await ctx.generate("Hello", { label: "greeting" });
  await ctx.generate("Fail").catch(() => undefined);
  ctx.subOrchestration(child, undefined, { instanceId: "below" }).catch(() => undefined);
  return [said, await ctx.waitForEvent("go")];
});

for (const [provider, site] of Object.entries(sites)) {
  test(`${provider}: the views show instances, events, activities and model calls`, async (t) => {
    const { storage, rows } = site(t);
    const env = await environment(t, {
      storage,
      orchestrations: [tour, child],
      activities: [look],
      llm: mock().otherwise(({ messages }) => {
        const usage = { inputTokens: 20, outputTokens: 3 };
        if (messages[0]?.content === "Fail") throw new LlmError("bad_request", "Expected better", { usage });
        return "hi";
      }),
      prices: () => 0.25,
    });
    const run = await env.startOrchestration(tour, 1, { instanceId: "t", labels: { team: "a" } });
    await env.settle();
    await env.advance("1s");
    await env.settle();

    const instances = await rows(
      `SELECT instance_id, root_id, parent_id, orchestration, version, status, execution, labels FROM stet_instances
     ORDER BY instance_id DESC`,
    );
    assert.deepEqual(
      instances.map((row) => ({ ...row, labels: "labels" in row && parsed(row.labels) })),
      [
        {
          instance_id: "t",
          root_id: "t",
          parent_id: null,
          orchestration: "tour",
          version: "2",
          status: "running",
          execution: 2,
          labels: { team: "a" },
        },
        {
          instance_id: "below",
          root_id: "t",
          parent_id: "t",
          orchestration: "child",
          version: "1",
          status: "running",
          execution: 1,
          labels: null,
        },
      ],
    );

    for (const execution of [1, 2]) {
      const seen = await rows(
        `SELECT event_id, at, kind, source, event FROM stet_events
       WHERE instance_id = 't' AND execution = ${execution} ORDER BY event_id`,
      );
      const recorded = await run.history(execution);
      assert.deepEqual(
        seen.map((row) => ({ ...row, event: "event" in row && parsed(row.event) })),
        recorded.map((event) => {
          const { id, at, kind } = event;
          return { event_id: id, at, kind, source: "source" in event ? event.source : null, event };
        }),
      );
    }

    const kept = await run.history(2);
    const [failing] = kept.filter(({ kind }) => kind === "ActivityScheduled");
    assert.deepEqual(
      await rows(
        "SELECT activity, execution, status, attempts, error_code FROM stet_activities ORDER BY execution, event_id",
      ),
      [
        { activity: "look", execution: 1, status: "completed", attempts: 1, error_code: null },
        { activity: "look", execution: 2, status: "failed", attempts: 1, error_code: "non_retryable" },
        { activity: "nobodyHasIt", execution: 2, status: "cancelled", attempts: null, error_code: null },
      ],
    );
    const [times] = await rows("SELECT event_id, requested_at, ended_at FROM stet_activities WHERE status = 'failed'");
    const ended = kept.find(({ kind }) => kind === "ActivityFailed");
    assert.deepEqual(times, { event_id: failing?.id, requested_at: failing?.at, ended_at: ended?.at });

    assert.deepEqual(
      await rows(
        `SELECT operation, label, model, status, attempts, error_kind, sign(input_tokens) AS asked, sign(output_tokens) AS said,
         cost_usd, from_cache, wasted_input_tokens, wasted_output_tokens, wasted_cost_usd
         FROM stet_llm_calls ORDER BY event_id`,
      ),
      [
        {
          ...{ operation: "generate", label: "greeting", model: "mock-1", status: "completed", attempts: 1 },
          ...{ error_kind: null, asked: 1, said: 1, cost_usd: 0.25, from_cache: 0 },
          ...{ wasted_input_tokens: 0, wasted_output_tokens: 0, wasted_cost_usd: null },
        },
        {
          ...{ operation: "generate", label: null, model: null, status: "failed", attempts: 1 },
          ...{ error_kind: "bad_request", asked: null, said: null, cost_usd: null, from_cache: 0 },
          ...{ wasted_input_tokens: 20, wasted_output_tokens: 3, wasted_cost_usd: 0.25 },
        },
      ],
    );
  });

  test(`${provider}: the queries of the documents run`, async (t) => {
    const { storage, rows, columns: columnsOf } = site(t);
    const asks = orchestration("asks", async (ctx) => ctx.activity("nobodyHasIt"));
    const given = { llm: mock().otherwise("hi"), orchestrations: [tour, child, asks], activities: [look] };
    const env = await environment(t, { storage, ...given });
    await env.startOrchestration(tour, 1);
    await env.startOrchestration(asks);
    await env.settle();
    await env.advance("1s");
    await env.settle();

    const page = read("sql");
    for (const query of queriesOf(page, provider)) assert.ok((await rows(query)).length > 0, query);
    for (const query of queriesOf(read("deployment"), provider)) await rows(query);

    const columns = page.split("\n").flatMap((line) => /^\| `(stet_\w+)` \| (.*) \|$/.exec(line)?.slice(1) ?? []);
    for (let i = 0; i < columns.length; i += 2) {
      const named = [...(columns[i + 1] ?? "").matchAll(/`(\w+)`/g)].map(([, name]) => name);
      assert.deepEqual(named, await columnsOf(columns[i]!), columns[i]);
    }
    assert.equal(columns.length, 14);
  });

  test(`${provider}: the views show what waits, what is queued, who works, and whose an instance is`, async (t) => {
    const { storage, rows } = site(t);
    const print = activity("print", { tag: "printer" }, async () => "printed");
    const waits = orchestration("waits", async (ctx) => {
      ctx.activity(print).catch(() => undefined);
      return ctx.waitForEvent("approval", { details: { amount: 3 }, timeout: "1h" });
    });
    const env = await environment(t, { storage, orchestrations: [waits], workerName: "clerk" });
    await env.startOrchestration(waits, undefined, { instanceId: "a" });
    await env.settle();

    const [worker] = await rows("SELECT worker_id, pid, registered_at, heartbeat_at FROM stet_workers");
    const { worker_id, pid, registered_at, heartbeat_at } = worker as { readonly [column: string]: number };
    assert.equal(pid, process.pid);
    assert.deepEqual(await rows("SELECT name, instances, work FROM stet_workers"), [
      { name: "clerk", instances: 1, work: 0 },
    ]);
    assert.ok(registered_at! <= heartbeat_at!);
    assert.deepEqual(await rows("SELECT worker_id FROM stet_instances"), [{ worker_id }]);
    assert.deepEqual(
      await rows(
        "SELECT instance_id, execution, kind, name, tag, session, attempts, not_before, worker_id FROM stet_work",
      ),
      [
        {
          ...{ instance_id: "a", execution: 1, kind: "activity", name: "print", tag: "printer", session: null },
          ...{ attempts: 0, not_before: null, worker_id: null },
        },
      ],
    );
    const [wait] = await rows("SELECT instance_id, execution, name, details, since, timeout_at FROM stet_waits");
    const { since, details, ...rest } = wait as { readonly since: number; readonly details: string };
    assert.deepEqual(rest, { instance_id: "a", execution: 1, name: "approval", timeout_at: since + 3_600_000 });
    assert.match(details, /amount/);
  });

  test(`${provider}: the views show blocked instances as such, and outstanding requests as outstanding`, async (t) => {
    const { storage, rows } = site(t);
    let name = "nobodyHasIt";
    const asks = orchestration("asks", async (ctx) => ctx.activity(name));
    const env = await environment(t, { storage, orchestrations: [asks] });
    await env.startOrchestration(asks, undefined, { instanceId: "a" });
    await env.settle();
    const outstanding = await rows("SELECT status, ended_at, attempts FROM stet_activities");
    assert.deepEqual(outstanding, [{ status: "outstanding", ended_at: null, attempts: null }]);

    name = "another";
    await env.crash();
    await env.restart();
    await env.client.instance("a").cancel();
    await env.settle();
    assert.deepEqual(await rows("SELECT status FROM stet_instances"), [{ status: "blocked" }]);
  });

  test(`${provider}: an event with texts that no database holds spoils no view`, async (t) => {
    const { storage, rows } = site(t);
    const strange = "nul \0, half \ud83d, \\u0000";
    const says = orchestration("says", async (ctx, said: string) => ctx.waitForEvent("go", { details: said }));
    const env = await environment(t, { storage, orchestrations: [says] });
    await env.startOrchestration(says, strange, { instanceId: "a" });
    await env.settle();

    const found = await rows("SELECT event_id FROM stet_events WHERE kind = 'EventAwaited'");

    assert.equal(found.length, 1);
    assert.equal((await rows("SELECT event FROM stet_events")).length, 2);
  });
}
