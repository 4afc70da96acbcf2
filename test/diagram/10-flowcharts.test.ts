/**
 * What the diagrams say. Each orchestration of the corpus has its flowchart in `golden/`, looked at by people once and
 * compared ever after. `STET_WRITE_GOLDEN=1` writes them anew; the difference is for the reviewer.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readFlowGraphs, toMermaid } from "@stet/diagram";
import { readCorpus, root, writtenIn } from "./corpus.ts";
import { readMermaid } from "./mermaid.ts";

const corpus = readCorpus();
const folder = join(root, "test/diagram/golden");

if (process.env["STET_WRITE_GOLDEN"] === "1") {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const { id, graph } of corpus) writeFileSync(join(folder, `${id}.mmd`), toMermaid(graph));
}

const golden = new Set(readdirSync(folder));

test("the hard syntax is drawn, and no drawing is left over", () => {
  const names = corpus.map(({ id }) => `${id}.mmd`);
  const hard = corpus.filter(({ graph }) => graph.at.file.startsWith("test/")).map(({ id }) => `${id}.mmd`);

  assert.ok(names.length >= 60, `Expected at least 60 orchestrations, got ${names.length}`);
  const hint = "Draw them with STET_WRITE_GOLDEN=1, look at the difference, and commit it.";
  assert.deepEqual(
    [hard.filter((name) => !golden.has(name)), [...golden].filter((name) => !names.includes(name))],
    [[], []],
    hint,
  );
});

// A new sample is read like all others below; its drawing is kept from the next time on that they are written.
for (const { id, graph } of corpus.filter((each) => golden.has(`${each.id}.mmd`))) {
  test(`${id} is drawn as before`, () => {
    assert.equal(toMermaid(graph), readFileSync(join(folder, `${id}.mmd`), "utf8"));
  });
}

test("Mermaid reads every flowchart as the graph that it was made from", { timeout: 60_000 }, async () => {
  for (const { id, graph } of corpus) {
    const read = await readMermaid(toMermaid(graph));

    const nodes = graph.nodes.map((node) => `${node.id}: ${writtenIn(node)}`);
    const edges = graph.edges.map(({ from, to }) => `${from} -> ${to}`);
    const groups = graph.groups.map((group) => group.id);
    assert.deepEqual(read.nodes.sort(), nodes.sort(), id);
    assert.deepEqual(read.edges.sort(), edges.sort(), id);
    assert.deepEqual(read.groups.sort(), groups.sort(), id);
  }
});

test("readMermaid() does not take anything for a flowchart", async () => {
  await assert.rejects(readMermaid("flowchart TD\n  a --> \n"), /Parse error/);
});

test("the same source gives the same text again", () => {
  const file = "test/diagram/corpus/failures.ts";
  const first = corpus.flatMap(({ graph }) => (graph.at.file === file ? [toMermaid(graph)] : []));

  assert.deepEqual(readFlowGraphs({ files: [file], folder: root }).map(toMermaid), first);
});
