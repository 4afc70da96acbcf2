/** Diagrams of a whole project: as files, in Markdown, and as package.json wants them. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigurationError } from "@stet/core";
import {
  applyChanges,
  diffOfChanges,
  diagramFormats,
  type FlowGraph,
  graphNamed,
  planDiagrams,
  planEmbedded,
  planSome,
  readDiagramProject,
  readProjectGraphs,
} from "@stet/diagram";
import { root } from "./corpus.ts";
import { readDot } from "./graphviz.ts";
import { readMermaid } from "./mermaid.ts";
import { makeProject } from "./project.ts";

const source = `
import { activity, orchestration } from "@stet/core";
const pay = activity("pay", async (_ctx, price: number) => price);
export const buy = orchestration("buy", { title: "Buy" }, async (ctx, price: number) => ctx.activity(pay, price));
export const shop = orchestration("shop/all", async (ctx) => ctx.subOrchestration(buy, 1));
export const shop2 = orchestration("shop/all", { version: "2" }, async (ctx) => ctx.subOrchestration(buy, 2));
`;

test("each orchestration has a file that says where it comes from, and drawing again changes nothing", async (t) => {
  const folder = await makeProject(t, { "shop.ts": source });
  const project = readDiagramProject(folder);
  const graphs = readProjectGraphs(project);
  for (const format of diagramFormats) {
    const changes = await planDiagrams({ ...project, format, outputDir: format }, graphs);
    applyChanges(folder, changes);

    assert.deepEqual(await planDiagrams({ ...project, format, outputDir: format }, readProjectGraphs(project)), []);
    assert.equal(changes.length, 3);
    for (const { after = "" } of changes) {
      assert.match(after.split("\n").slice(0, 5).join("\n"), /Drawn by stet diagram from shop\.ts: do not edit/);
    }
  }

  assert.deepEqual(readdirSync(join(folder, "mermaid")), ["buy.mmd", "shop-all@1.mmd", "shop-all@2.mmd"]);
  const text = (file: string) => readFileSync(join(folder, file), "utf8");
  const { nodes } = await readMermaid(text("mermaid/buy.mmd"));
  assert.deepEqual(nodes, ["start: start", "activity_pay: pay", "completed: completed"]);
  assert.deepEqual(readDot(text("dot/buy.dot")).nodes, nodes);
  assert.equal((JSON.parse(text("json/buy.json")) as FlowGraph).name, "buy");
});

test("a file of an orchestration that is gone is removed, and nobody else's", async (t) => {
  const folder = await makeProject(t, { "shop.ts": source });
  const project = readDiagramProject(folder);
  applyChanges(folder, await planDiagrams(project, readProjectGraphs(project)));
  writeFileSync(join(folder, "docs/diagrams/own.mmd"), "flowchart TD\n");
  writeFileSync(join(folder, "shop.ts"), source.replaceAll('"buy"', '"sell"'));
  const graphs = readProjectGraphs(project);

  const changes = await planDiagrams(project, graphs);
  const onlySell = await planSome(project, [graphNamed(graphs, "sell")], graphs);
  applyChanges(folder, changes);

  assert.deepEqual(
    onlySell.map(({ file }) => file),
    ["docs/diagrams/sell.mmd"],
  );
  const left = readdirSync(join(folder, "docs/diagrams"));
  assert.deepEqual(left, ["own.mmd", "sell.mmd", "shop-all@1.mmd", "shop-all@2.mmd"]);
});

test("the difference between a diagram and the code is a diff of nodes and edges", async (t) => {
  const folder = await makeProject(t, { "shop.ts": source });
  const project = readDiagramProject(folder);
  applyChanges(folder, await planDiagrams(project, readProjectGraphs(project)));
  writeFileSync(join(folder, "shop.ts"), source.replace("ctx.activity(pay, price)", 'ctx.timer("1d")'));

  const changes = await planDiagrams(project, readProjectGraphs(project));

  assert.deepEqual(
    changes.map(({ file }) => file),
    ["docs/diagrams/buy.mmd"],
  );
  assert.equal(
    diffOfChanges(changes),
    [
      "--- docs/diagrams/buy.mmd (as it is)",
      "+++ docs/diagrams/buy.mmd (as the code is)",
      "@@ -5,8 +5,8 @@",
      " flowchart TD",
      '   start(["start"])',
      '-  activity_pay["pay"]:::blue',
      '+  timer_wait_1d(["wait 1d"]):::yellow',
      '   completed(["completed"])',
      "-  start --> activity_pay",
      "-  activity_pay --> completed",
      "-  classDef blue fill:#e8f0fe,stroke:#4a6fa5,color:#1f2328",
      "+  start --> timer_wait_1d",
      "+  timer_wait_1d --> completed",
      "+  classDef yellow fill:#fef7e0,stroke:#b08900,color:#1f2328",
      "   classDef default fill:#f1f3f4,stroke:#5f6368,color:#1f2328",
      "",
    ].join("\n"),
  );
});

test("package.json says how, where and of what", async (t) => {
  const config = { format: "dot", outputDir: "drawn", include: ["flows"] };
  const folder = await makeProject(t, { "shop.ts": source, "package.json": packageJson(config) });

  assert.deepEqual(readDiagramProject(folder), { ...config, folder });
  assert.throws(() => readProjectGraphs(readDiagramProject(folder)), {
    code: "configuration_invalid",
    message: `Expected flows in ${folder} to define orchestrations, got none in 0 files: name the files in "stet": { "diagrams": { "include": [...] } } of package.json`,
  });
  for (const [wrong, message] of [
    [{ formt: "dot" }, /to be among format, outputDir, include, got formt/],
    [{ format: "pdf" }, /Expected format of .* to be "mermaid" or .*, got "pdf"/],
    [{ outputDir: 1 }, /Expected outputDir of .* to be a folder, got 1/],
    [{ include: "src" }, /Expected include of .* to be a list of files and folders, got "src"/],
    ["src", /to be given an object of options, got "src"/],
  ] as const) {
    writeFileSync(join(folder, "package.json"), packageJson(wrong));
    assert.throws(() => readDiagramProject(folder), { code: "configuration_invalid", message });
  }
  writeFileSync(join(folder, "package.json"), "{");
  assert.throws(() => readDiagramProject(folder), /to be JSON/);
});

test("orchestrations that cannot be told apart are refused, with their places", async (t) => {
  const folder = await makeProject(t, { "a.ts": source, "b.ts": source });
  const project = readDiagramProject(folder);
  const graphs = readProjectGraphs(project);

  await assert.rejects(planDiagrams(project, graphs), {
    code: "configuration_invalid",
    message: /got buy of version 1 at a\.ts:4 and b\.ts:4: rename one/,
  });
  assert.throws(() => graphNamed(graphs, "buy"), /to mean one orchestration, got 2: say a\.ts#buy@1 or b\.ts#buy@1$/);
  assert.throws(
    () => graphNamed(graphs, "sell"),
    /to be an orchestration of the project, got none: it has buy, shop\/all$/,
  );
  assert.equal(graphNamed(graphs, "b.ts#buy").at.file, "b.ts");
  assert.equal(graphNamed(graphs, "b.ts#shop/all@2").version, "2");
});

test("a diagram in Markdown is drawn anew behind its comment, and all else stays as it is", async (t) => {
  const block = (language: string, text: string) => `\`\`\`${language}\n${text}\n\`\`\`\n`;
  const text = (mermaid: string, preview: string) =>
    [
      "# Shop\n",
      `<!-- stet diagram buy -->\n\n${mermaid}`,
      "Between.\n",
      `<!-- stet diagram shop.ts#buy preview -->\n${preview}`,
      block("md", "<!-- stet diagram is only shown -->\n").replaceAll("```", "````"),
      block("mermaid", "flowchart TD\n  nobodys --> own"),
    ].join("\n");
  const folder = await makeProject(t, {
    "shop.ts": source,
    "README.md": text(block("mermaid", "flowchart TD\n  old"), "The end.\n"),
    "crlf.md": "<!-- stet diagram buy -->\r\n\r\n```mermaid\r\nold\r\n```\r\n",
  });
  const project = readDiagramProject(folder);
  const graphs = readProjectGraphs(project);

  const changes = await planEmbedded(project, graphs);
  applyChanges(folder, changes);

  assert.deepEqual(
    changes.map(({ file }) => file),
    ["README.md", "crlf.md"],
  );
  const [, mermaid = ""] = /```mermaid\n([\s\S]*?)\n```/.exec(changes[0]?.after ?? "") ?? [];
  assert.match(mermaid, /^---\ntitle: "Buy"\n---\nflowchart TD\n/);
  const preview = block("text", "┌ Buy ─────────┐\n│ activity pay │\n└──────────────┘");
  assert.equal(
    readFileSync(join(folder, "README.md"), "utf8"),
    text(block("mermaid", mermaid), `${preview}The end.\n`),
  );
  assert.deepEqual(await planEmbedded(project, graphs), []);
  assert.deepEqual(await planEmbedded(project, graphs, ["crlf.md"]), []);
});

test("a comment in Markdown that means nothing is refused", async (t) => {
  const folder = await makeProject(t, { "shop.ts": source });
  const project = readDiagramProject(folder);
  const graphs = readProjectGraphs(project);
  for (const [text, message] of [
    ["<!-- stet diagram sell -->\n", /Expected sell to be an orchestration/],
    ["<!-- stet diagram buy svg -->\n", /Expected the diagram of buy in a\.md to be one of mermaid, .*, got svg/],
  ] as const) {
    writeFileSync(join(folder, "a.md"), text);
    await assert.rejects(planEmbedded(project, graphs), { code: "configuration_invalid", message });
  }
  await assert.rejects(planEmbedded(project, graphs, ["nowhere.md"]), ConfigurationError);
  assert.ok(!existsSync(join(folder, "nowhere.md")));
});

test("the diagrams in the documents of this repository are what the samples are", async () => {
  const project = readDiagramProject(root);
  const graphs = readProjectGraphs(project);

  const changes = await planEmbedded(project, graphs);

  assert.equal(diffOfChanges(changes), "", "Refresh them with npm run docs:diagrams.");
  const shown = readFileSync(join(root, "docs/diagrams.md"), "utf8").match(/^<!-- stet diagram /gm) ?? [];
  assert.ok(shown.length >= 2, "Expected docs/diagrams.md to show diagrams.");
});

function packageJson(diagrams: unknown): string {
  return JSON.stringify({ type: "module", stet: { diagrams } });
}
