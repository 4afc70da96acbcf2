/**
 * An agent that repairs a data pipeline: real SQL on a real database, broken twice. Somebody has renamed a column of the
 * source, and with that changed its unit from euros to cents. The first repair makes the pipeline run; only the check
 * against the ledger shows that it runs wrong.
 *
 * With OPENAI_API_KEY a real model plans; with --watch each step is shown as it happens.
 *
 * Prints:
 *   before: failed in load: no such column: amount
 *   success: The source has amount_cents now; load divides by 100.
 *   after: ran, revenue 67.5 as the ledger has it
 *   load: INSERT INTO sales SELECT day, sum(amount_cents) / 100.0 FROM orders GROUP BY day
 *   changes by the agent: 2
 */
import { agent, agentEvents, definitionsOf, narrate, note, tool } from "@stet/agent";
import { activity, NonRetryableError, Runtime } from "@stet/core";
import { callTool, mock } from "@stet/mock";
import { openai } from "@stet/openai";
import { sqlite } from "@stet/sqlite";
import Sqlite from "better-sqlite3";
import { z } from "zod";

// The pipeline: steps that are SQL, kept in a table, run in one transaction

const warehouse = new Sqlite(":memory:");
warehouse.exec(`
  CREATE TABLE orders (id INTEGER, day TEXT, amount_cents INTEGER);
  INSERT INTO orders VALUES (1, '2026-11-19', 1250), (2, '2026-11-19', 1500), (3, '2026-11-20', 4000);
  CREATE TABLE sales (day TEXT, revenue REAL);
  CREATE TABLE ledger (revenue REAL);
  INSERT INTO ledger VALUES (67.5);
  CREATE TABLE steps (position INTEGER, name TEXT PRIMARY KEY, sql TEXT);
  INSERT INTO steps VALUES (1, 'clear', 'DELETE FROM sales'),
    (2, 'load', 'INSERT INTO sales SELECT day, sum(amount) FROM orders GROUP BY day');
  CREATE TABLE changes (name TEXT, sql TEXT);
`);

const pipeline = () =>
  warehouse.prepare<[], { name: string; sql: string }>("SELECT name, sql FROM steps ORDER BY position");

const runSteps = warehouse.transaction(() => {
  for (const { name, sql } of pipeline().all()) {
    try {
      warehouse.exec(sql);
    } catch (error) {
      throw new Error(`failed in ${name}: ${(error as Error).message}`);
    }
  }
  const [revenue, expected] = ["sales", "ledger"].map((table) =>
    warehouse.prepare<[], number>(`SELECT sum(revenue) FROM ${table}`).pluck().get(),
  );
  if (revenue !== expected) throw new Error(`check failed: revenue is ${revenue}, the ledger has ${expected}`);
  return `ran, revenue ${revenue} as the ledger has it`;
});

function outcomeOfRun(): string {
  try {
    return runSteps();
  } catch (error) {
    return (error as Error).message;
  }
}

// The tools

const runPipeline = activity("run_pipeline", { input: z.object({}) }, () => outcomeOfRun());

const readSteps = activity("read_steps", { effect: "pure", input: z.object({}) }, () => pipeline().all());

const query = activity("query", { effect: "pure", input: z.object({ sql: z.string() }) }, (_ctx, { sql }) => {
  const statement = warehouse.prepare(sql);
  if (!statement.reader || !statement.readonly) throw new NonRetryableError("this tool only reads");
  return JSON.stringify(statement.all().slice(0, 20));
});

const changeStep = activity(
  "change_step",
  { effect: "idempotent", input: z.object({ name: z.string(), sql: z.string() }) },
  (_ctx, { name, sql }) => {
    const { changes } = warehouse.prepare("UPDATE steps SET sql = ? WHERE name = ?").run(sql, name);
    if (changes === 0) throw new NonRetryableError(`there is no step ${name}`);
    warehouse.prepare("INSERT INTO changes VALUES (?, ?)").run(name, sql);
    return "changed";
  },
);

// The agent. A step may only ever write to the table that it is for: that is a rule, not a request.

const repairer = agent({
  name: "etl_repairer",
  instructions:
    "You repair a pipeline of SQL steps in SQLite. Read before you change, change as little as possible, and run the pipeline after each change. You are done when it has run and its check holds.",
  tools: [
    tool(runPipeline, { description: "Runs all steps in one transaction and checks the revenue against the ledger." }),
    tool(readSteps, { description: "Shows the SQL of all steps, in order." }),
    tool(query, { description: "Reads the database with one SELECT; pragma_table_info('orders') has its columns." }),
    tool(changeStep, { description: "Replaces the SQL of a step." }),
    note,
  ],
  guardrails: {
    maxIterations: 15,
    maxTokens: 200_000,
    approval: ({ tool: name, arguments: args }) => {
      if (name !== "change_step") return "allow";
      return /^(DELETE FROM|INSERT INTO) sales\b[^;]*$/i.test((args as { sql: string }).sql) ? "allow" : "deny";
    },
  },
});

const load = (revenue: string) => `INSERT INTO sales SELECT day, ${revenue} FROM orders GROUP BY day`;

/** Each rule is what a good engineer does at that sight; the latest sight counts. */
const scripted = mock()
  .when(
    "as the ledger has it",
    callTool("finish", { reason: "success", summary: "The source has amount_cents now; load divides by 100." }),
  )
  .when(
    "the ledger has",
    callTool("change_step", { name: "load", sql: load("sum(amount_cents) / 100.0") }),
    callTool("run_pipeline"),
  )
  .when(
    "amount_cents",
    callTool("change_step", { name: "load", sql: load("sum(amount_cents)") }),
    callTool("run_pipeline"),
  )
  .otherwise(
    callTool("run_pipeline"),
    callTool("read_steps"),
    callTool("query", { sql: "SELECT name, type FROM pragma_table_info('orders')" }),
  );

const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  llm: process.env["OPENAI_API_KEY"] ? openai({ model: "gpt-5-mini" }) : scripted,
  ...definitionsOf(repairer),
});

console.log("before:", outcomeOfRun());
const run = await runtime.startOrchestration(repairer, { goal: "The nightly sales pipeline failed. Repair it." });
if (process.argv.includes("--watch")) {
  for await (const event of agentEvents(run)) console.log(narrate(event, { color: process.stdout.isTTY }));
}
const { outcome, summary } = await run.result();
console.log(`${outcome}: ${summary}`);
console.log("after:", outcomeOfRun());
console.log("load:", pipeline().all().at(-1)?.sql);
console.log("changes by the agent:", warehouse.prepare("SELECT count(*) FROM changes").pluck().get());
await runtime.shutdown();
warehouse.close();
