/** What all pictures have in common: the colours of nodes, what edges say, and what stands in which group. */
import type { DiagramColor } from "@stet/core";
import type { FlowEdge, FlowGraph, FlowGroup, FlowNode, FlowNodeKind } from "../graph.ts";

/** Dark text can be read on all of them, on bright pages and on dark ones. */
export const palette: { readonly [Color in DiagramColor]: { readonly fill: string; readonly line: string } } = {
  blue: { fill: "#e8f0fe", line: "#4a6fa5" },
  green: { fill: "#e6f4ea", line: "#2e7d4f" },
  yellow: { fill: "#fef7e0", line: "#b08900" },
  orange: { fill: "#fdebdc", line: "#b3591b" },
  red: { fill: "#fce8e6", line: "#c5221f" },
  purple: { fill: "#f3e8fd", line: "#7b4fa5" },
  grey: { fill: "#f1f3f4", line: "#5f6368" },
};

/** What is written on them. */
export const ink = "#1f2328";

const colors: { readonly [Kind in FlowNodeKind]: DiagramColor } = {
  start: "grey",
  completed: "grey",
  failed: "red",
  activity: "blue",
  timer: "yellow",
  event: "yellow",
  subOrchestration: "green",
  startOrchestration: "green",
  sendEvent: "green",
  model: "purple",
  decision: "grey",
  loop: "grey",
  fork: "grey",
  join: "grey",
  catch: "red",
  return: "grey",
  throw: "red",
  continueAsNew: "grey",
  dynamic: "orange",
};

/** The colour of a node. */
export function colorOf({ kind, color }: FlowNode): DiagramColor {
  return color ?? colors[kind];
}

/** What is written in a node. */
export function labelOf({ icon, label }: FlowNode): string {
  return icon === undefined ? label : `${icon} ${label}`;
}

/** What stands above the whole, when its definition says so. */
export function headingOf({ title, icon }: FlowGraph): string | undefined {
  return title === undefined || icon === undefined ? title : `${icon} ${title}`;
}

/** The colours that are in use, in the order of the palette. */
export function colorsIn({ nodes }: FlowGraph): DiagramColor[] {
  const used = new Set(nodes.map(colorOf));
  return (Object.keys(palette) as DiagramColor[]).filter((color) => used.has(color));
}

/** What is written at an edge. */
export function wordsOf({ kind, label, many }: FlowEdge): string {
  if (label !== undefined) return label;
  if (kind === "failure") return "fails";
  if (kind === "nextExecution") return "next execution";
  return many === true ? "each" : "";
}

/** How nodes and groups are written. */
interface Notation {
  node(node: FlowNode): string;
  /** The line that begins a group. */
  open(group: FlowGroup): string;
  readonly close: string;
}

/** Nodes in their groups: those of none first, and groups in groups. */
export function nestedLines(graph: FlowGraph, notation: Notation): string[] {
  const inGroups = new Set(graph.groups.flatMap(({ nodes }) => nodes));
  const free = graph.nodes.filter(({ id }) => !inGroups.has(id)).map((node) => `  ${notation.node(node)}`);
  return [...free, ...groupLines(graph, undefined, notation, "  ")];
}

function groupLines(graph: FlowGraph, parent: string | undefined, notation: Notation, margin: string): string[] {
  return graph.groups
    .filter((group) => group.parent === parent)
    .flatMap((group) => [
      `${margin}${notation.open(group)}`,
      ...graph.nodes.filter(({ id }) => group.nodes.includes(id)).map((node) => `${margin}  ${notation.node(node)}`),
      ...groupLines(graph, group.id, notation, `${margin}  `),
      `${margin}${notation.close}`,
    ]);
}
