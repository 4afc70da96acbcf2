/** DOT, the language of Graphviz. */
import type { FlowEdge, FlowGraph, FlowNode, FlowNodeKind } from "../graph.ts";
import { shadeOf, headingOf, ink, labelOf, nestedLines, palette, wordsOf } from "./looks.ts";

/**
 * A graph in DOT, for Graphviz and whatever reads its language. The same graph always gives the same text, and a change of
 * the graph changes only its lines.
 *
 * @example
 * ```ts
 * const [graph] = readFlowGraphs({ files: ["src/orchestrations.ts"] });
 * if (graph !== undefined) console.log(toDot(graph));
 * ```
 */
export function toDot(graph: FlowGraph): string {
  const heading = headingOf(graph);
  const lines = [
    `digraph ${quoted(graph.name)} {`,
    `  graph [bgcolor="white", fontname="Helvetica", fontsize=11, fontcolor="${ink}", labeljust=l, nodesep=0.35, ranksep=0.4]`,
    `  node [fontname="Helvetica", fontsize=11, fontcolor="${ink}", margin="0.15,0.08", height=0.4]`,
    `  edge [fontname="Helvetica", fontsize=10, fontcolor="${ink}", color="${ink}", arrowsize=0.7]`,
    ...nestedLines(graph, {
      node: nodeLine,
      // Graphviz draws a frame only around what is called a cluster.
      open: ({ id, label }) =>
        `subgraph ${quoted(`cluster_${id}`)} { label=${quoted(label)}; color="#9aa0a6"; style="rounded"`,
      close: "}",
    }),
    ...graph.edges.map((edge) => `  ${edgeLine(edge)}`),
    ...(graph.summary === undefined ? [] : [`  tooltip=${quoted(graph.summary)}`]),
    // Last, or the groups would inherit it.
    ...(heading === undefined ? [] : [`  label=${quoted(heading)}; labelloc=t; fontsize=14`]),
    "}",
  ];
  return `${lines.join("\n")}\n`;
}

const shapes: { readonly [Kind in FlowNodeKind]: string } = {
  start: `shape=box, style="rounded,filled"`,
  completed: `shape=box, style="rounded,filled"`,
  failed: `shape=box, style="rounded,filled"`,
  activity: `shape=box, style="filled"`,
  timer: `shape=ellipse, margin="0.05,0.02", style="filled"`,
  event: `shape=note, style="filled"`,
  subOrchestration: `shape=box, peripheries=2, style="filled"`,
  startOrchestration: `shape=box, peripheries=2, style="filled"`,
  sendEvent: `shape=note, style="filled"`,
  model: `shape=box, style="rounded,filled,bold"`,
  decision: `shape=diamond, margin="0.06,0.04", style="filled"`,
  loop: `shape=hexagon, margin="0.02,0.05", style="filled"`,
  fork: `shape=ellipse, margin="0.05,0.02", style="filled"`,
  join: `shape=ellipse, margin="0.05,0.02", style="filled"`,
  catch: `shape=box, style="filled"`,
  return: `shape=box, style="rounded,filled"`,
  throw: `shape=box, style="rounded,filled"`,
  continueAsNew: `shape=box, style="rounded,filled"`,
  dynamic: `shape=box, style="dashed,filled"`,
};

function nodeLine(node: FlowNode): string {
  const { fill, line } = palette[shadeOf(node)];
  const lines = labelOf(node).split("\n");
  const label = lines.map((each) => wrapped(each, node.kind === "decision" ? 18 : 40)).join("\n");
  const shape = label === "" ? `shape=circle, width=0.2, height=0.2, style="filled"` : shapes[node.kind];
  return `${quoted(node.id)} [label=${quoted(label)}, ${shape}, fillcolor="${fill}", color="${line}"]`;
}

const strokes: { readonly [Kind in FlowEdge["kind"]]: string } = {
  next: "",
  failure: `style=dashed, color="${palette.red.line}"`,
  fork: `style=bold`,
  nextExecution: `style=dashed, constraint=false`,
};

function edgeLine(edge: FlowEdge): string {
  const words = wordsOf(edge);
  const attributes = [words === "" ? "" : `label=${quoted(` ${words} `)}`, strokes[edge.kind], markOf(edge)].filter(
    (each) => each !== "",
  );
  const list = attributes.length === 0 ? "" : ` [${attributes.join(", ")}]`;
  return `${quoted(edge.from)} -> ${quoted(edge.to)}${list}`;
}

/** With marks, a way that was taken is thick, and one that was not is faint. */
function markOf({ taken }: FlowEdge): string {
  if (taken === undefined) return "";
  return taken > 0 ? "penwidth=2.5" : `color="${palette.faint.line}", fontcolor="${palette.faint.line}"`;
}

/** Lines of about so many characters, broken between words. */
function wrapped(text: string, width: number): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1) ?? "";
    if (last === "") lines[lines.length - 1] = word;
    else if (last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join("\n");
}

/** Between quotes, a backslash begins something in labels, and an ampersand an entity. */
function quoted(text: string): string {
  const safe = text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("&", "&amp;").replaceAll("\n", "\\n");
  return `"${safe}"`;
}
