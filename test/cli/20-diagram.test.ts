/** `stet diagram`: one test for each flag. What is drawn is for `test/diagram`. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
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
