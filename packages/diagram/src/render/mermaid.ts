/** Mermaid flowcharts. */
import type { FlowEdge, FlowGraph, FlowGroup, FlowNode, FlowNodeKind } from "../graph.ts";

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
  const lines = ["flowchart TD"];
  const inGroups = new Set(graph.groups.flatMap(({ nodes }) => nodes));
  for (const node of graph.nodes) if (!inGroups.has(node.id)) lines.push(`  ${nodeLine(node)}`);
  for (const group of graph.groups) if (group.parent === undefined) lines.push(...groupLines(graph, group, "  "));
  for (const edge of graph.edges) lines.push(`  ${edgeLine(edge)}`);
  lines.push(...styleLines(graph.nodes));
  return `${lines.join("\n")}\n`;
}

function groupLines(graph: FlowGraph, group: FlowGroup, margin: string): string[] {
  const nodes = graph.nodes.filter(({ id }) => group.nodes.includes(id));
  const inner = graph.groups.filter(({ parent }) => parent === group.id);
  return [
    `${margin}subgraph ${group.id}["${escaped(group.label)}"]`,
    ...nodes.map((node) => `${margin}  ${nodeLine(node)}`),
    ...inner.flatMap((each) => groupLines(graph, each, `${margin}  `)),
    `${margin}end`,
  ];
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

function nodeLine({ id, kind, label }: FlowNode): string {
  const [open, close] = shapes[kind];
  return `${id}${open}"${label === "" ? " " : escaped(label)}"${close}`;
}

function edgeLine({ from, to, kind, label, many }: FlowEdge): string {
  const arrow = kind === "next" ? "-->" : kind === "fork" ? "==>" : "-.->";
  const said =
    label ?? (kind === "failure" ? "fails" : kind === "nextExecution" ? "next execution" : many ? "each" : "");
  return `${from} ${arrow}${said === "" ? "" : `|"${escaped(said)}"|`} ${to}`;
}

const styles: { readonly [Kind in FlowNodeKind]?: string } = {
  activity: "fill:#e8f0fe,stroke:#4a6fa5",
  model: "fill:#f3e8fd,stroke:#7b4fa5",
  event: "fill:#fef7e0,stroke:#b08900",
  timer: "fill:#fef7e0,stroke:#b08900",
  dynamic: "fill:#fff,stroke:#c5221f,stroke-dasharray:4",
  catch: "fill:#fce8e6,stroke:#c5221f",
  throw: "fill:#fce8e6,stroke:#c5221f",
  failed: "fill:#fce8e6,stroke:#c5221f",
};

function styleLines(nodes: readonly FlowNode[]): string[] {
  return Object.entries(styles).flatMap(([kind, style]) => {
    const ids = nodes.filter((node) => node.kind === kind).map(({ id }) => id);
    return ids.length === 0 ? [] : [`  classDef ${kind}Node ${style}`, `  class ${ids.join(",")} ${kind}Node`];
  });
}

/** Text between quotes: what Mermaid or HTML would take for its own is written as an entity. */
function escaped(text: string): string {
  return text.replaceAll(/[#"<>&`\\]/g, (character) => `#${character.codePointAt(0)};`);
}
