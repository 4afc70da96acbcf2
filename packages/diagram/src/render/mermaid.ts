/** Mermaid flowcharts. */
import type { FlowEdge, FlowGraph, FlowNode, FlowNodeKind } from "../graph.ts";
import { shadeOf, shadesIn, headingOf, ink, labelOf, nestedLines, palette, type Shade, wordsOf } from "./looks.ts";

/**
 * A Mermaid flowchart. The same graph always gives the same text, and a change of the graph changes only its lines.
 *
 * @example
 * ```ts
 * const [graph] = readFlowGraphs({ files: ["src/orchestrations.ts"] });
 * if (graph !== undefined) console.log(toMermaid(graph));
 * ```
 */
export function toMermaid(graph: FlowGraph): string {
  const heading = headingOf(graph);
  const lines = [
    // YAML, of which JSON is a part.
    ...(heading === undefined ? [] : ["---", `title: ${JSON.stringify(heading)}`, "---"]),
    "flowchart TD",
    ...(graph.summary === undefined ? [] : ["  accDescr {", `    ${graph.summary.replaceAll(/[{}]/g, "")}`, "  }"]),
    ...nestedLines(graph, {
      node: nodeLine,
      open: ({ id, label }) => `subgraph ${id}["${escaped(label)}"]`,
      close: "end",
    }),
    ...graph.edges.map((edge) => `  ${edgeLine(edge)}`),
    ...shadesIn(graph).map((color) => {
      const { fill, line } = palette[color];
      return `  classDef ${classOf(color)} fill:${fill},stroke:${line},color:${ink}`;
    }),
  ];
  return `${lines.join("\n")}\n`;
}

/** The brackets of each shape. */
const shapes: { readonly [Kind in FlowNodeKind]: readonly [open: string, close: string] } = {
  start: ["([", "])"],
  completed: ["([", "])"],
  failed: ["([", "])"],
  activity: ["[", "]"],
  timer: ["([", "])"],
  event: [">", "]"],
  subOrchestration: ["[[", "]]"],
  startOrchestration: ["[[", "]]"],
  sendEvent: ["[/", "/]"],
  model: ["(", ")"],
  decision: ["{", "}"],
  loop: ["{{", "}}"],
  fork: ["((", "))"],
  join: ["((", "))"],
  catch: ["[/", "\\]"],
  return: ["([", "])"],
  throw: ["([", "])"],
  continueAsNew: ["([", "])"],
  dynamic: ["{{", "}}"],
};

function nodeLine(node: FlowNode): string {
  const { id, kind } = node;
  const label = labelOf(node);
  const [open, close] = shapes[kind];
  const color = shadeOf(node);
  return `${id}${open}"${label === "" ? " " : escaped(label)}"${close}${color === "grey" ? "" : `:::${classOf(color)}`}`;
}

/** What has no class of its own is grey. */
function classOf(color: Shade): string {
  return color === "grey" ? "default" : color;
}

function edgeLine(edge: FlowEdge): string {
  const { from, to, kind, taken } = edge;
  // With marks, a thick line is a way that was taken.
  const isThick = taken === undefined ? kind === "fork" : taken > 0;
  const arrow = isThick ? "==>" : kind === "next" || kind === "fork" ? "-->" : "-.->";
  const words = wordsOf(edge);
  return `${from} ${arrow}${words === "" ? "" : `|"${escaped(words)}"|`} ${to}`;
}

/** Text between quotes: what Mermaid or HTML would take for its own is written as an entity. */
function escaped(text: string): string {
  return text.replaceAll(/[#"<>&`\\]/g, (sign) => `#${sign.codePointAt(0)};`).replaceAll("\n", "<br/>");
}
