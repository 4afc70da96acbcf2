/** DOT, PlantUML, JSON, SVG and the preview: each as its own readers understand it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type FlowGraph, flowGraphSchema, toDot, toJson, toMermaid, toPlantUml, toPreview, toSvg } from "@stet/diagram";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { readCorpus, writtenIn } from "./corpus.ts";
import { readDot } from "./graphviz.ts";
import { readMermaid } from "./mermaid.ts";
import { hasJava, readPlantUml } from "./plantuml.ts";

const corpus = readCorpus();

test("Graphviz reads every DOT text as the graph that it was made from, and lays it out", { timeout: 110_000 }, () => {
  for (const { id, graph } of corpus) {
    const read = readDot(toDot(graph));

    assert.deepEqual(read.nodes.sort(), graph.nodes.map((node) => `${node.id}: ${writtenIn(node)}`).sort(), id);
    assert.deepEqual(read.edges.sort(), edgesOf(graph), id);
    assert.deepEqual(
      read.groups.sort(),
      graph.groups.map((group) => `${group.id}: ${allNodes(graph, group.id).sort().join(" ")}`).sort(),
      id,
    );
  }
  assert.throws(() => readDot("digraph { a -> }"), /syntax error/);
});

test(
  "PlantUML reads every PlantUML text as the graph that it was made from",
  { timeout: 110_000, skip: hasJava ? false : "PlantUML runs on Java, and there is none" },
  async () => {
    const read = await readPlantUml(new Map(corpus.map(({ id, graph }) => [id, toPlantUml(graph)])));

    assert.equal(read.size, corpus.length);
    for (const { id, graph } of corpus) {
      const reading = read.get(id);
      const states = [...graph.groups.map((group) => pathOf(graph, group.parent, group.id)), ...nodePaths(graph)];
      assert.deepEqual(reading?.states.sort(), states.sort(), id);
      assert.deepEqual(reading.transitions.sort(), edgesOf(graph), id);
    }
    await assert.rejects(readPlantUml(new Map([["wrong", "@startuml\nstate a\nb --> --> c\n@enduml\n"]])));
  },
);

test("JSON is what the published schema says", () => {
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(flowGraphSchema);
  for (const { id, graph } of corpus) {
    const value = JSON.parse(toJson(graph)) as FlowGraph;

    assert.ok(validate(value), `${id}: ${JSON.stringify(validate.errors)}`);
    const [node] = value.nodes;
    const others: unknown[] = [
      { ...value, formatVersion: 2 },
      { ...value, surprise: 1 },
      { ...value, nodes: [{ ...node, kind: "step" }] },
      { ...value, outline: [{ part: "node" }] },
    ];
    assert.deepEqual(
      others.map((other) => validate(other)),
      [false, false, false, false],
    );
  }
});

test("an SVG picture shows every node and every edge, and is the same each time", { timeout: 110_000 }, async () => {
  for (const { graph } of corpus.filter(({ id }) => ["06-saga.travel", "concurrency.allOf"].includes(id))) {
    const svg = await toSvg(graph);

    assert.equal([...svg.matchAll(/class="node"/g)].length, graph.nodes.length);
    assert.equal([...svg.matchAll(/class="edge"/g)].length, graph.edges.length);
    assert.equal([...svg.matchAll(/class="cluster"/g)].length, graph.groups.length);
    assert.ok(svg.startsWith("<svg") && !svg.includes("graphviz version"));
    assert.equal(await toSvg(graph), svg);
  }
});

test("a preview names every request, and its frames close", () => {
  for (const { id, graph } of corpus) {
    const preview = toPreview(graph);
    const widths = new Set(
      preview
        .trimEnd()
        .split("\n")
        .map((line) => line.length),
    );

    assert.equal(widths.size, 1, `${id}\n${preview}`);
    assert.equal([...preview.matchAll(/┌/g)].length, [...preview.matchAll(/└/g)].length);
    const requests = graph.nodes.filter(({ kind }) => ["activity", "timer", "event", "model"].includes(kind));
    for (const { label } of requests) assert.ok(preview.includes(label), `${id} without ${label}\n${preview}`);
  }
});

const signs = fc.constantFrom(
  ...Array.from("\"'`\\<>{}[]()|#%&$;:,.!?*~_-=/@^+ \u00e9\u4e16\u{1f4b3}"),
  "--",
  "-->",
  "end",
  "%date()",
  "[*]",
  "<b>",
  "&amp;",
  "\\n",
  "#35;",
  "!include x",
  ":::",
  "<<fork>>",
  "state",
);
const label = fc
  .array(signs, { minLength: 1, maxLength: 12 })
  .map((each) => each.join("").trim().replaceAll(/ +/g, " "));

test(
  "no label, whatever is in it, changes the graph in Mermaid and DOT, and each is read back as it was",
  { timeout: 110_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(label, label, async (first, second) => {
        const graph = labelled(first, second);
        const mermaid = await readMermaid(toMermaid(graph));
        const dot = readDot(toDot(graph));

        const nodes = graph.nodes.map((node) => `${node.id}: ${writtenIn(node)}`);
        assert.deepEqual(dot.nodes.map(withoutBreaks).sort(), nodes.map(withoutBreaks).sort());
        assert.deepEqual(dot.edges.map(withoutBreaks).sort(), edgesOf(graph).map(withoutBreaks));
        assert.deepEqual(mermaid.nodes.map(withoutBreaks).sort(), nodes.map(withoutBreaks).sort());
        assert.deepEqual(mermaid.edges.sort(), graph.edges.map(({ from, to }) => `${from} -> ${to}`).sort());
      }),
      { numRuns: 50, seed: 11 },
    );
  },
);

test(
  "no label, whatever is in it, changes the graph in PlantUML",
  { timeout: 110_000, skip: hasJava ? false : "PlantUML runs on Java, and there is none" },
  async () => {
    const graphs = new Map(
      fc.sample(fc.tuple(label, label), { numRuns: 100, seed: 12 }).map((each, i) => [`${i}`, labelled(...each)]),
    );
    const read = await readPlantUml(new Map([...graphs].map(([id, graph]) => [id, toPlantUml(graph)])));

    for (const [id, graph] of graphs) {
      const { states, transitions } = read.get(id) ?? { states: [], transitions: [] };
      assert.deepEqual(states.sort(), ["a", "group", "group/b"]);
      assert.deepEqual(transitions.map(withoutBreaks).sort(), edgesOf(graph).map(withoutBreaks));
    }
  },
);

/** A graph with these words in every place. */
function labelled(first: string, second: string): FlowGraph {
  const at = { file: "x.ts", line: 1, column: 1 };
  return {
    name: "labelled",
    version: "1",
    at,
    nodes: [
      { id: "a", kind: "activity", label: first, at },
      { id: "b", kind: "decision", label: second, at },
    ],
    edges: [
      { from: "a", to: "b", kind: "next", label: second },
      { from: "b", to: "a", kind: "failure", label: first },
    ],
    groups: [{ id: "group", kind: "try", label: first, nodes: ["b"] }],
    outline: [],
  };
}

/** Spaces may become line breaks. */
function withoutBreaks(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

function edgesOf({ edges }: FlowGraph): string[] {
  const words = { next: "", fork: "", failure: "fails", nextExecution: "next execution" };
  return edges
    .map(({ from, to, kind, label, many }) => `${from} -> ${to}: ${label ?? (many === true ? "each" : words[kind])}`)
    .sort();
}

function allNodes(graph: FlowGraph, group: string): string[] {
  const inner = graph.groups.filter(({ parent }) => parent === group).flatMap(({ id }) => allNodes(graph, id));
  return [...(graph.groups.find(({ id }) => id === group)?.nodes ?? []), ...inner];
}

function pathOf(graph: FlowGraph, parent: string | undefined, id: string): string {
  if (parent === undefined) return id;
  return pathOf(graph, graph.groups.find((group) => group.id === parent)?.parent, `${parent}/${id}`);
}

function nodePaths(graph: FlowGraph): string[] {
  return graph.nodes.map(({ id }) => pathOf(graph, graph.groups.find(({ nodes }) => nodes.includes(id))?.id, id));
}
