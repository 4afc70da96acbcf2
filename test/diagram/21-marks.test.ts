/** What instances did, on the graph of what they may do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HistoryEvent } from "@stet/core";
import {
  type FlowGraph,
  flowGraphSchema,
  markHistories,
  toDot,
  toJson,
  toMermaid,
  toPlantUml,
  toPreview,
} from "@stet/diagram";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { filesIn, root } from "./corpus.ts";
import { readDot } from "./graphviz.ts";
import { readMermaid } from "./mermaid.ts";
import { pairs } from "./pairs.ts";
import { hasJava, readPlantUml } from "./plantuml.ts";
import { randomRun } from "./random-runs.ts";

/** Methods of `ctx` without `ctx` are read, but they do not run. */
const unbound = ["destructured", "renamed"];
const corpus = (await pairs(filesIn("test/diagram/corpus"), root)).filter(({ graph }) => !unbound.includes(graph.name));
const saga = graphOf("saga");

/** A history of `saga`, whose answers come after these times; the last of them is a failure. */
function sagaHistory(times: readonly number[], attempts = 1): HistoryEvent[] {
  const names = ["weigh", "charge", "ship", "refund"];
  const start: HistoryEvent = {
    id: 1,
    at: 0,
    kind: "OrchestrationStarted",
    name: "saga",
    version: "1",
    schemaVersion: 1,
  };
  let at = 0;
  return [
    start,
    ...times.flatMap((ms, i): HistoryEvent[] => {
      const asked: HistoryEvent = { id: 2 * i + 2, at, kind: "ActivityScheduled", name: names[i] ?? "", options: {} };
      at += ms;
      const answer = { id: 2 * i + 3, at, source: 2 * i + 2, attempts };
      const error = { name: "Error", message: "no", code: "activity_failed", retryable: false } as const;
      return [
        asked,
        i === times.length - 1
          ? { ...answer, kind: "ActivityFailed", error }
          : { ...answer, kind: "ActivityCompleted" },
      ];
    }),
  ];
}

test("one history: the way that it took, how long each request took, and what failed", () => {
  const marked = markHistories(saga, [
    [...sagaHistory([5, 1500, 250], 2), { id: 8, at: 1755, kind: "ActivityScheduled", name: "refund", options: {} }],
  ]);

  const mark = (id: string) => marked.nodes.find((node) => node.id === id)?.mark;
  const nothing = { visits: 0, failures: 0, open: 0, attempts: 0, tokens: 0, costUsd: 0 };
  assert.deepEqual(mark("activity_charge"), { ...nothing, visits: 1, attempts: 2, p50Ms: 1500, p95Ms: 1500 });
  assert.deepEqual(mark("activity_ship"), { ...nothing, visits: 1, failures: 1, attempts: 2, p50Ms: 250, p95Ms: 250 });
  assert.deepEqual(mark("activity_refund"), { ...nothing, visits: 1, open: 1 });
  assert.deepEqual(mark("completed"), nothing);
  assert.deepEqual(
    marked.edges.filter(({ taken }) => taken === 1).map(({ from, to }) => `${from} > ${to}`),
    [
      "start > activity_weigh",
      "activity_weigh > activity_charge",
      "activity_charge > activity_ship",
      "activity_ship > catch_on_failure",
      "catch_on_failure > activity_refund",
    ],
  );
  const preview = toPreview(marked);
  assert.match(preview, /activity charge: 1\.5 s, 2 attempts/);
  assert.match(preview, /activity ship: 250 ms, failed, 2 attempts/);
  assert.match(preview, /activity refund: waiting/);
});

test("many histories: counts, medians, failure rates, and those that other code recorded are left out", () => {
  const ok = sagaHistory([10, 1000, 30]).map((event): HistoryEvent =>
    event.kind === "ActivityFailed" ? { id: 7, at: event.at, kind: "ActivityCompleted", source: 6 } : event,
  );
  const histories = [
    ok,
    ok,
    ok,
    sagaHistory([10, 3000, 30]),
    [...ok.slice(0, 1), { ...ok[1], name: "sing" } as HistoryEvent],
  ];

  const marked = markHistories(saga, histories);

  assert.deepEqual([marked.followed, marked.strayed], [4, 1]);
  const preview = toPreview(marked);
  assert.match(preview, /activity charge: 4 times, p50 1 s, p95 3 s/);
  assert.match(preview, /activity ship: 4 times, 30 ms, 25% failed/);
  assert.match(
    toMermaid(marked),
    /activity_ship -\.->\|"fails"\| catch_on_failure|activity_ship ==>\|"fails"\| catch_on_failure/,
  );
  assert.match(toMermaid(marked), /activity_weigh ==>\|"4 times"\| activity_charge/);
});

test("tokens and cost of models, and waits that ended by their timeout", () => {
  const graph = graphOf("approval");
  const asked = graph.nodes.find(({ kind }) => kind === "event");
  const waited: HistoryEvent[] = [
    { id: 1, at: 0, kind: "OrchestrationStarted", name: "approval", version: "1", schemaVersion: 1 },
    { id: 2, at: 0, kind: "EventAwaited", name: asked?.name ?? "", timeoutAt: 9000 },
    { id: 3, at: 0, kind: "TimerCreated", fireAt: 9000 },
    { id: 4, at: 9000, kind: "TimerFired", source: 3 },
  ];
  const late = markHistories(graph, [waited]).nodes.find(({ id }) => id === asked?.id)?.mark;
  assert.deepEqual([late?.visits, late?.failures, late?.p50Ms], [1, 1, 9000]);
  const models = graphOf("everyQuestion");
  const question = models.nodes.find(({ kind }) => kind === "model");
  const history: HistoryEvent[] = [
    { id: 1, at: 0, kind: "OrchestrationStarted", name: "everyQuestion", version: "1", schemaVersion: 1 },
    {
      id: 2,
      at: 0,
      kind: "LlmRequested",
      operation: question?.name ?? "",
      promptHash: "x",
      request: { model: "m", messages: [] },
      options: {},
    } as unknown as HistoryEvent,
    { id: 3, at: 40, kind: "LlmAnswerRefused", source: 2, problem: "no" } as unknown as HistoryEvent,
    {
      id: 4,
      at: 40,
      kind: "LlmRequested",
      operation: question?.name ?? "",
      refines: 2,
      request: { model: "m", messages: [] },
      options: {},
    } as unknown as HistoryEvent,
    {
      id: 5,
      at: 90,
      kind: "LlmCompleted",
      source: 4,
      result: { text: "yes" },
      model: "m",
      usage: { inputTokens: 100, outputTokens: 20 },
      costUsd: 0.0031,
    } as unknown as HistoryEvent,
  ];

  const marked = markHistories(models, [history]);

  const { mark } = marked.nodes.find(({ id }) => id === question?.id) ?? {};
  assert.deepEqual(mark, {
    visits: 1,
    failures: 0,
    open: 0,
    attempts: 1,
    tokens: 120,
    costUsd: 0.0031,
    p50Ms: 90,
    p95Ms: 90,
  });
  assert.match(toPreview(marked), /90 ms, 120 tokens, \$0\.0031/);
});

test(
  "of random histories, every request is counted once, and whoever is somewhere has come there by an edge",
  { timeout: 250_000 },
  async () => {
    const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(flowGraphSchema);
    const texts = new Map<string, string>();
    for (const { orchestration, graph } of corpus) {
      const runs = fc.sample(fc.array(fc.nat({ max: 1000 }), { minLength: 5, maxLength: 40, size: "max" }), {
        numRuns: 12,
        seed: 5,
      });
      const histories = await Promise.all(runs.map((each) => randomRun(orchestration, each)));
      const marked = markHistories(graph, histories);

      assert.equal(marked.strayed, 0, graph.name);
      const requests = [
        "ActivityScheduled",
        "SubOrchestrationScheduled",
        "OrchestrationDispatched",
        "EventSent",
        "EventAwaited",
      ];
      const recorded = histories.flat().filter((event) => requests.includes(event.kind));
      const kinds = ["activity", "subOrchestration", "startOrchestration", "sendEvent", "event"];
      const counted = marked.nodes.filter(({ kind }) => kinds.includes(kind)).map(({ mark }) => mark?.visits ?? 0);
      const hidden = marked.nodes.some(({ kind }) => kind === "dynamic");
      if (!hidden)
        assert.equal(
          counted.reduce((sum, each) => sum + each, 0),
          recorded.length,
          graph.name,
        );
      for (const { id, kind, mark } of marked.nodes) {
        const came = marked.edges.filter((edge) => edge.to === id).reduce((sum, { taken = 0 }) => sum + taken, 0);
        if (kind === "start" || kind === "join" || hidden) continue;
        assert.ok(came >= (mark?.visits ?? 0), `${graph.name}: ${id} visited ${mark?.visits} times by ${came} edges`);
      }
      assert.ok(validate(JSON.parse(toJson(marked))), JSON.stringify(validate.errors));
      assert.equal(readDot(toDot(marked)).edges.length, graph.edges.length);
      assert.equal((await readMermaid(toMermaid(marked))).edges.length, graph.edges.length);
      texts.set(graph.name, toPlantUml(marked));
    }
    if (!hasJava) return;
    const read = await readPlantUml(texts);
    for (const { graph } of corpus)
      assert.equal(read.get(graph.name)?.transitions.length, graph.edges.length, graph.name);
  },
);

function graphOf(name: string): FlowGraph {
  const graph = corpus.find((each) => each.graph.name === name)?.graph;
  assert.ok(graph);
  return graph;
}
