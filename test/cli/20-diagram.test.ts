/** `stet diagram`: one test for each flag. What is drawn is for `test/diagram`. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { activity, NonRetryableError, orchestration, Runtime } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { exitCodes } from "stet";
import { makeProject } from "../diagram/project.ts";
import { json, type } from "./terminal.ts";

const source = `
import { activity, orchestration } from "@stet/core";
const pay = activity("pay", async (_ctx, price: number) => price);
export const buy = orchestration("buy", async (ctx, price: number) => ctx.activity(pay, price));
export const sell = orchestration("sell", async (ctx) => ctx.timer("1d"));
`;

test("diagram writes a file for each orchestration, where and how package.json says, and is done when they are there", async (t) => {
  const cwd = await makeProject(t, {
    "src.ts": source,
    "package.json": JSON.stringify({ type: "module", stet: { diagrams: { format: "dot", outputDir: "drawn" } } }),
  });

  const first = await type(["diagram"], { cwd });
  const second = await type(["diagram"], { cwd });

  assert.deepEqual(first, {
    code: exitCodes.ok,
    stdout: "written drawn/buy.dot\nwritten drawn/sell.dot\n",
    stderr: "",
  });
  assert.deepEqual(second, { code: exitCodes.ok, stdout: "all diagrams are what the code is\n", stderr: "" });
});

test("--name, --format and --output go before package.json", async (t) => {
  const cwd = await makeProject(t, { "src.ts": source });

  const drawn = await type(["diagram", "--name", "sell", "--format", "plantuml", "--output", "here", "--json"], {
    cwd,
  });
  const unknown = await type(["diagram", "--name", "rent"], { cwd });
  const wrong = await type(["diagram", "--format", "pdf"], { cwd });

  assert.deepEqual(json(drawn), [{ file: "here/sell.puml", change: "written" }]);
  assert.match(
    readFileSync(join(cwd, "here/sell.puml"), "utf8"),
    /^' Drawn by stet diagram from src\.ts.*\n@startuml\n/,
  );
  assert.equal(unknown.code, exitCodes.usage);
  assert.match(unknown.stderr, /Expected rent to be an orchestration of the project, got none: it has buy, sell/);
  assert.equal(wrong.code, exitCodes.usage);
  assert.match(wrong.stderr, /Allowed choices are mermaid, sequence, dot, plantuml, svg, json, preview/);
});

test("--preview draws to the terminal and writes nothing", async (t) => {
  const cwd = await makeProject(t, { "src.ts": source });

  const { code, stdout } = await type(["diagram", "--preview", "--name", "buy"], { cwd });

  assert.equal(code, exitCodes.ok);
  assert.equal(stdout, "┌ buy ─────────┐\n│ activity pay │\n└──────────────┘\n");
  assert.ok(!readdirSync(cwd).includes("docs"));
});

test("--check ends with 1 and a diff when a diagram is not what the code is, and writes nothing", async (t) => {
  const cwd = await makeProject(t, { "src.ts": source });
  await type(["diagram"], { cwd });
  const same = await type(["diagram", "--check"], { cwd });
  writeFileSync(join(cwd, "src.ts"), source.replace('"1d"', '"2d"'));

  const other = await type(["diagram", "--check"], { cwd });
  const again = await type(["diagram", "--check", "--json"], { cwd });

  assert.equal(same.code, exitCodes.ok);
  assert.deepEqual([other.code, again.code], [exitCodes.bad, exitCodes.bad]);
  assert.match(other.stdout, /^--- docs\/diagrams\/sell\.mmd/m);
  assert.match(
    other.stdout,
    /^- {2}timer_wait_1d\(\["wait 1d"\]\):::yellow\n\+ {2}timer_wait_2d\(\["wait 2d"\]\):::yellow$/m,
  );
  assert.match(other.stderr, /run the same without --check/);
  assert.deepEqual(
    json<{ file: string }[]>(again).map(({ file }) => file),
    ["docs/diagrams/sell.mmd"],
  );
});

test("--instance prints the way of one instance, and --fleet that of all", async (t) => {
  const cwd = await makeProject(t, { "src.ts": source });
  const storage = sqlite(join(cwd, "a.db"));
  const pay = activity("pay", async (_ctx, price: number) => {
    if (price > 3) throw new NonRetryableError("too much");
    return price;
  });
  const buy = orchestration("buy", async (ctx, price: number) => ctx.activity(pay, price));
  const runtime = await Runtime.start({ storage, orchestrations: [buy], activities: [pay] });
  for (const price of [1, 2, 3, 4]) {
    const run = await runtime.startOrchestration(buy, price, { instanceId: `buy-${price}` });
    await run.result().catch(() => undefined);
  }
  await runtime.shutdown();

  const store = ["-s", "sqlite:a.db"];
  const one = await type(["diagram", "--instance", "buy-4", ...store], { cwd });
  const all = await type(["diagram", "--fleet", "--format", "json", ...store], { cwd });
  const unknown = await type(["diagram", "--instance", "buy-5", ...store], { cwd });

  assert.match(one.stdout, /│ activity pay: .*, failed │/);
  assert.equal(all.stderr, "buy: 4 instances\n");
  const graph = JSON.parse(all.stdout) as { nodes: { id: string; mark: { visits: number; failures: number } }[] };
  const { visits, failures } = graph.nodes.find(({ id }) => id === "activity_pay")?.mark ?? {};
  assert.deepEqual([visits, failures], [4, 1]);
  assert.equal(unknown.code, exitCodes.instance);
});

test("--describe lets the model of the configuration find words, once, and the code decides what is drawn", async (t) => {
  const config = (answer: string) => `
    import { mock } from "@stet/mock";
    export default { llm: mock().reply(${JSON.stringify(answer)}) };`;
  const answer = JSON.stringify({ summary: "Takes the money.", labels: { activity_pay: "Charge the customer" } });
  const cwd = await makeProject(t, { "src.ts": source, "stet.config.ts": config(answer) });
  const drawn = () => readFileSync(join(cwd, "docs/diagrams/buy.mmd"), "utf8");

  const described = await type(["diagram", "--describe", "--name", "buy"], { cwd });
  const words = drawn();
  const again = await type(["diagram", "--describe", "--name", "buy"], { cwd }); // the mock has one answer
  const check = await type(["diagram", "--check", "--name", "buy"], { cwd });
  const both = await type(["diagram", "--describe", "--check"], { cwd });

  assert.equal(described.code, exitCodes.ok, described.stderr);
  assert.match(words, /accDescr \{\n {4}Takes the money\.\n {2}\}/);
  assert.match(words, /activity_pay\["Charge the customer"\]/);
  assert.deepEqual([again.code, check.code, both.code], [exitCodes.ok, exitCodes.ok, exitCodes.usage]);
  assert.equal(drawn(), words);
});

test("--embed refreshes the diagrams in Markdown, and --check says when they are old", async (t) => {
  const cwd = await makeProject(t, {
    "src.ts": source,
    "README.md": "<!-- stet diagram buy preview -->\n",
    "other.md": "x\n",
  });

  const old = await type(["diagram", "--embed", "--check"], { cwd });
  const elsewhere = await type(["diagram", "--embed", "other.md"], { cwd });
  const refreshed = await type(["diagram", "--embed"], { cwd });

  assert.equal(old.code, exitCodes.bad);
  assert.equal(elsewhere.stdout, "all diagrams are what the code is\n");
  assert.equal(refreshed.stdout, "written README.md\n");
  assert.match(readFileSync(join(cwd, "README.md"), "utf8"), /-->\n```text\n┌ buy/);
});
