/** Sequence diagrams: some as before, and all of them as Mermaid wants them. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { toMermaidSequence } from "@stet/diagram";
import { readCorpus, root } from "./corpus.ts";
import { checkMermaid } from "./mermaid.ts";

const corpus = readCorpus();
const folder = join(root, "test/diagram/golden-sequences");
const chosen = ["triage.triage", "06-saga.travel", "failures.saga", "concurrency.firstOf", "concurrency.eachOfBodies"];

for (const { id, graph } of corpus.filter((each) => chosen.includes(each.id))) {
  test(`the sequence of ${id} is drawn as before`, () => {
    const file = join(folder, `${id}.mmd`);
    if (process.env["STET_WRITE_GOLDEN"] === "1") {
      mkdirSync(folder, { recursive: true });
      writeFileSync(file, toMermaidSequence(graph));
    }
    assert.equal(toMermaidSequence(graph), readFileSync(file, "utf8"));
  });
}

test("Mermaid reads every sequence diagram", { timeout: 60_000 }, async () => {
  assert.equal(corpus.filter(({ id }) => chosen.includes(id)).length, chosen.length);
  for (const { id, graph } of corpus) {
    await assert.doesNotReject(checkMermaid(toMermaidSequence(graph)), id);
  }
  await assert.rejects(checkMermaid("sequenceDiagram\n  alt nothing ends\n"));
});
