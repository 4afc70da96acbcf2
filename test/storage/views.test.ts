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
    await environment(t, { storage });
    const page = readFileSync(new URL("../../docs/sql.md", import.meta.url), "utf8");
    const pages = `${page}${readFileSync(new URL("../../docs/deployment.md", import.meta.url), "utf8")}`;
    const blocks = [...pages.matchAll(/```sql *(\w*)\n([^]*?)```/g)];
    const queries = blocks.flatMap(([, only, block]) => (only === "" || only === provider ? block!.split(";\n") : []));
    assert.ok(queries.length > 3);
    for (const query of queries) if (query.trim() !== "") await rows(query);

    const columns = page.split("\n").flatMap((line) => /^\| `(stet_\w+)` \| (.*) \|$/.exec(line)?.slice(1) ?? []);
    for (let i = 0; i < columns.length; i += 2) {
      const named = [...(columns[i + 1] ?? "").matchAll(/`(\w+)`/g)].map(([, name]) => name);
      assert.deepEqual(named, await columnsOf(columns[i]!), columns[i]);
    }
    assert.equal(columns.length, 8);
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
