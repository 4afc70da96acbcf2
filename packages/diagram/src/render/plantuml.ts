/** PlantUML, as state diagrams: the one kind of PlantUML's that draws any graph as it is. */
import type { FlowEdge, FlowGraph, FlowNode, FlowNodeKind } from "../graph.ts";
import { shadeOf, headingOf, ink, labelOf, nestedLines, palette, wordsOf } from "./looks.ts";

/**
 * A PlantUML state diagram. The same graph always gives the same text, and a change of the graph changes only its lines.
 *
 * @example
 * ```ts
 * const [graph] = readFlowGraphs({ files: ["src/orchestrations.ts"] });
 * if (graph !== undefined) console.log(toPlantUml(graph));
 * ```
 */
export function toPlantUml(graph: FlowGraph): string {
  const heading = headingOf(graph);
  const lines = [
    "@startuml",
    ...(heading === undefined ? [] : [`title ${escaped(heading)}`]),
    ...(graph.summary === undefined ? [] : [`caption ${escaped(graph.summary)}`]),
    "hide empty description",
    "skinparam shadowing false",
    `skinparam StateFontColor ${ink}`,
    ...nestedLines(graph, {
      node: nodeLine,
      open: ({ id, label }) => `state "${escaped(label)}" as ${id} {`,
      close: "}",
    }),
    ...graph.edges.map((edge) => `  ${edgeLine(edge)}`),
    "@enduml",
  ];
  return `${lines.join("\n")}\n`;
}

/** What tells kinds apart where all boxes look alike. */
const stereotypes: { readonly [Kind in FlowNodeKind]?: string } = {
  timer: "timer",
  event: "event",
  sendEvent: "send",
  subOrchestration: "orchestration",
  startOrchestration: "orchestration",
  model: "model",
  decision: "decision",
  loop: "loop",
  dynamic: "dynamic",
};

function nodeLine(node: FlowNode): string {
  const { id, kind } = node;
  const label = labelOf(node);
  if ((kind === "fork" || kind === "join") && label === "") return `state ${id} <<${kind}>>`;
  const { fill, line } = palette[shadeOf(node)];
  const stereotype = stereotypes[kind];
  return `state "${escaped(label)}" as ${id}${stereotype === undefined ? "" : ` <<${stereotype}>>`} ${fill};line:${line.slice(1)}`;
}

const arrows: { readonly [Kind in FlowEdge["kind"]]: string } = {
  next: "-->",
  failure: "-[dashed]->",
  fork: "-[bold]->",
  nextExecution: "-[dashed]->",
};

function edgeLine(edge: FlowEdge): string {
  const words = wordsOf(edge);
  return `${edge.from} ${arrowOf(edge)} ${edge.to}${words === "" ? "" : ` : ${escaped(words)}`}`;
}

/** With marks, a way that was taken is bold, and one that was not is faint. */
function arrowOf({ kind, taken }: FlowEdge): string {
  if (taken === undefined) return arrows[kind];
  return taken > 0 ? "-[bold]->" : `-[${palette.faint.line}]->`;
}

/** Text on a line: what is neither a word nor harmless is written by its number, as it may begin markup, a macro or a comment. */
function escaped(text: string): string {
  return text.replaceAll(/[^\p{L}\p{N} .,:()=?|…]/gu, (sign) => {
    if (sign === "\n") return "\\n";
    const number = sign.codePointAt(0)?.toString(16).toUpperCase();
    return `<U+${number?.padStart(4, "0")}>`;
  });
}
