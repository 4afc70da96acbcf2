/** Reading many files at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigurationError } from "@stet/core";
import { readFlowGraphs } from "@stet/diagram";
import { programs } from "@stet/testing";
import fc from "fast-check";
import { makeProject } from "./project.ts";
import { sourceOf } from "./program-source.ts";

test("200 orchestrations are read at once, and it is said how long that takes", { timeout: 200_000 }, async (t) => {
  const files = ["a.ts", "b.ts", "c.ts", "d.ts"];
  const made = files.map((name, i) => [name, sourceOf(fc.sample(programs(), { numRuns: 50, seed: i }))] as const);
  const folder = await makeProject(t, Object.fromEntries(made));

  const before = process.cpuUsage();
  const graphs = readFlowGraphs({ files, folder });
  const { user, system } = process.cpuUsage(before);

  assert.equal(graphs.filter(({ name }) => name.startsWith("program")).length, 200);
  t.diagnostic(`${((user + system) / 1_000_000).toFixed(1)} s of processor time`);
});

test("readFlowGraphs() refuses files that are not there", () => {
  assert.throws(() => readFlowGraphs({ files: ["nowhere.ts"] }), ConfigurationError);
});
