/** What people may look at with SQL: the same facts as histories have. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import { activity, LlmError, NonRetryableError, orchestration } from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { environment, newFolder } from "../runtime/world.ts";

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

test("the views show instances, events, activities and model calls", async (t) => {
  const path = join(newFolder(), "store.db");
  const env = await environment(t, {
    storage: sqlite(path),
    orchestrations: [tour, child],
    activities: [look],
    llm: mock().otherwise(({ messages }) => {
      if (messages[0]?.content === "Fail") throw new LlmError("bad_request", "Expected better");
      return "hi";
    }),
    prices: () => 0.25,
  });
  const run = await env.startOrchestration(tour, 1, { instanceId: "t", labels: { team: "a" } });
  await env.settle();
  await env.advance("1s");
  await env.settle();

  const db = new Database(path, { readonly: true });
  t.after(() => db.close());
  const rows = (sql: string) => db.prepare(sql).all();

  assert.deepEqual(
    rows(
      "SELECT instance_id, root_id, parent_id, orchestration, version, status, execution, labels FROM stet_instances",
    ),
    [
      {
        instance_id: "t",
        root_id: "t",
        parent_id: null,
        orchestration: "tour",
        version: "2",
        status: "running",
        execution: 2,
        labels: '{"team":"a"}',
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
    const seen = db
      .prepare<[number], { event: string }>(
        "SELECT event FROM stet_events WHERE instance_id = 't' AND execution = ? ORDER BY event_id",
      )
      .all(execution);
    assert.deepEqual(
      seen.map(({ event }) => JSON.parse(event) as unknown),
      await run.history(execution),
    );
  }

  const kept = await run.history(2);
  const [failing] = kept.filter(({ kind }) => kind === "ActivityScheduled");
  assert.deepEqual(
    rows("SELECT activity, execution, status, attempts, error_code FROM stet_activities ORDER BY execution, event_id"),
    [
      { activity: "look", execution: 1, status: "completed", attempts: 1, error_code: null },
      { activity: "look", execution: 2, status: "failed", attempts: 1, error_code: "non_retryable" },
      { activity: "nobodyHasIt", execution: 2, status: "cancelled", attempts: null, error_code: null },
    ],
  );
  const [times] = rows("SELECT event_id, requested_at, ended_at FROM stet_activities WHERE status = 'failed'");
  const ended = kept.find(({ kind }) => kind === "ActivityFailed");
  assert.deepEqual(times, { event_id: failing?.id, requested_at: failing?.at, ended_at: ended?.at });

  assert.deepEqual(
    rows(
      `SELECT operation, label, model, status, attempts, error_kind, input_tokens > 0 AS asked, output_tokens > 0 AS said,
         cost_usd, from_cache FROM stet_llm_calls ORDER BY event_id`,
    ),
    [
      {
        ...{ operation: "generate", label: "greeting", model: "mock-1", status: "completed", attempts: 1 },
        ...{ error_kind: null, asked: 1, said: 1, cost_usd: 0.25, from_cache: 0 },
      },
      {
        ...{ operation: "generate", label: null, model: null, status: "failed", attempts: 1 },
        ...{ error_kind: "bad_request", asked: null, said: null, cost_usd: null, from_cache: 0 },
      },
    ],
  );
});

test("the queries of the page on SQL run", async (t) => {
  const path = join(newFolder(), "store.db");
  await environment(t, { storage: sqlite(path) });
  const db = new Database(path, { readonly: true });
  t.after(() => db.close());
  const page = readFileSync(new URL("../../docs/sql.md", import.meta.url), "utf8");
  const queries = [...page.matchAll(/```sql\n([^]*?)```/g)].flatMap(([, block]) => block?.split(";\n") ?? []);
  assert.ok(queries.length > 3);
  for (const query of queries) if (query.trim() !== "") db.prepare(query).all();

  const columns = page.split("\n").flatMap((line) => /^\| `(stet_\w+)` \| (.*) \|$/.exec(line)?.slice(1) ?? []);
  for (let i = 0; i < columns.length; i += 2) {
    const named = [...(columns[i + 1] ?? "").matchAll(/`(\w+)`/g)].map(([, name]) => name);
    const there = db.prepare<[], { name: string }>(`SELECT name FROM pragma_table_info('${columns[i]}')`).all();
    assert.deepEqual(new Set(named), new Set(there.map(({ name }) => name)), columns[i]);
  }
  assert.equal(columns.length, 8);
});

test("the views show blocked instances as such, and outstanding requests as outstanding", async (t) => {
  const path = join(newFolder(), "store.db");
  let name = "nobodyHasIt";
  const asks = orchestration("asks", async (ctx) => ctx.activity(name));
  const env = await environment(t, { storage: sqlite(path), orchestrations: [asks] });
  await env.startOrchestration(asks, undefined, { instanceId: "a" });
  await env.settle();
  const db = new Database(path, { readonly: true });
  t.after(() => db.close());
  const outstanding = db.prepare("SELECT status, ended_at, attempts FROM stet_activities").all();
  assert.deepEqual(outstanding, [{ status: "outstanding", ended_at: null, attempts: null }]);

  name = "another";
  await env.crash();
  await env.restart();
  await env.client.instance("a").cancel();
  await env.settle();
  assert.deepEqual(db.prepare("SELECT status FROM stet_instances").pluck().all(), ["blocked"]);
});
