/**
 * Every recorded history is a path of the graph: orchestrations are run with random answers, failures and cancellations,
 * and what they record is followed through what was read from their source.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HistoryEvent } from "@stet/core";
import { type FlowGraph, followHistory, toMermaid, type Visit } from "@stet/diagram";
import { answer, given, type Program, programs, start } from "@stet/testing";
import fc from "fast-check";
import { filesIn, root } from "./corpus.ts";
import { makeProject } from "./project.ts";
import { pairs } from "./pairs.ts";
import { randomRun } from "./random-runs.ts";
import { sourceOf } from "./program-source.ts";
import { saga } from "./corpus/failures.ts";

const files = filesIn("test/diagram/corpus");
/** Methods of `ctx` without `ctx` are read, but they do not run. */
const unbound = ["destructured", "renamed"];
const corpus = (await pairs(files, root)).filter(({ graph }) => !unbound.includes(graph.name));
const choices = fc.array(fc.nat({ max: 1000 }), { minLength: 5, maxLength: 60, size: "max" });

test(
  "every history of the corpus is a path of its graph, and no request is never met",
  { timeout: 250_000 },
  async () => {
    assert.ok(corpus.length >= 45, `Expected at least 45 orchestrations, got ${corpus.length}`);
    const missed: string[] = [];
    for (const { orchestration, graph } of corpus) {
      const met = new Set<string>();
      const follows = async (each: number[]) => {
        for (const { node } of pathOf(graph, await randomRun(orchestration, each))) met.add(node);
      };
      await fc.assert(fc.asyncProperty(choices, follows), { numRuns: 60, seed: 7 });
      const requests = graph.nodes.filter(({ kind }) => ["activity", "timer", "event", "model"].includes(kind));
      missed.push(...requests.filter(({ id }) => !met.has(id)).map(({ id }) => `${graph.name}: ${id}`));
    }

    assert.deepEqual(missed, []);
  },
);

test("every history of a random program is a path of its graph", { timeout: 250_000 }, async (t) => {
  const sizeOf = (program: Program) => JSON.stringify(program).length;
  const small = fc.sample(programs(), { numRuns: 500, seed: 42 }).filter((program) => sizeOf(program) < 5_000);
  const made = small.toSorted((a, b) => sizeOf(b) - sizeOf(a)).slice(0, 60);
  const folder = await makeProject(t, { "programs.ts": sourceOf(made) });

  for (const { orchestration, graph } of await pairs(["programs.ts"], folder)) {
    const follows = async (each: number[]) => void pathOf(graph, await randomRun(orchestration, each));
    await fc.assert(fc.asyncProperty(choices, follows), { numRuns: 15, seed: 3 });
  }
});

test("followHistory() names the nodes and the requests that were made there", async () => {
  const graph = graphOf("saga");
  const weighed = await given(saga).when(start("A"));
  const charged = await weighed.when(answer.activityCompleted(2, { id: "A", price: 3 }));
  const shipped = await charged.when(answer.activityCompleted(4, 3));
  const failed = await shipped.when(answer.activityFailed(6, "no ship"));

  const path = followHistory(graph, failed.history);

  assert.deepEqual(path, {
    ok: true,
    visits: [
      { node: "start" },
      { node: "activity_weigh", from: "start", event: 2 },
      { node: "activity_charge", from: "activity_weigh", event: 4 },
      { node: "activity_ship", from: "activity_charge", event: 6 },
      { node: "catch_on_failure", from: "activity_ship" },
      { node: "activity_refund", from: "catch_on_failure", event: 8 },
    ],
  });
});

test("followHistory() says at which event a history goes another way", async () => {
  const weighed = await given(saga).when(start("A"));
  const charged = await weighed.when(answer.activityCompleted(2, { id: "A", price: 3 }));

  const path = followHistory(graphOf("caught"), charged.history);
  const unanswered = followHistory(
    graphOf("saga"),
    charged.history.filter(({ id }) => id !== 3),
  );
  const unfinished = followHistory(graphOf("saga"), [
    ...charged.history,
    { id: 5, at: 0, kind: "OrchestrationCompleted" },
  ]);

  assert.deepEqual(
    [path, unanswered, unfinished].map((each) => !each.ok && each.at.id),
    [2, 4, 5],
  );
});

function graphOf(name: string): FlowGraph {
  const graph = corpus.find((each) => each.graph.name === name)?.graph;
  assert.ok(graph);
  return graph;
}

function pathOf(graph: FlowGraph, history: readonly HistoryEvent[]): readonly Visit[] {
  const path = followHistory(graph, history);
  if (path.ok) return path.visits;
  const told = history.map(
    (event) =>
      `${event.id} ${event.kind} ${"name" in event ? event.name : ""} ${"source" in event ? event.source : ""}`,
  );
  assert.fail(`No way to event ${path.at.id}:\n${told.join("\n")}\n\n${toMermaid(graph)}`);
}
