/** What all pictures have in common: the colours of nodes, what edges say, and what stands in which group. */
import type { DiagramColor } from "@stet/core";
import type { FlowEdge, FlowGraph, FlowGroup, FlowNode, FlowNodeKind, NodeMark } from "../graph.ts";

/** A colour of a definition, or that of what was not taken. */
export type Shade = DiagramColor | "faint";

/** Dark text can be read on all of them, on bright pages and on dark ones. */
export const palette: { readonly [Name in Shade]: { readonly fill: string; readonly line: string } } = {
  blue: { fill: "#e8f0fe", line: "#4a6fa5" },
  green: { fill: "#e6f4ea", line: "#2e7d4f" },
  yellow: { fill: "#fef7e0", line: "#b08900" },
  orange: { fill: "#fdebdc", line: "#b3591b" },
  red: { fill: "#fce8e6", line: "#c5221f" },
  purple: { fill: "#f3e8fd", line: "#7b4fa5" },
  grey: { fill: "#f1f3f4", line: "#5f6368" },
  faint: { fill: "#ffffff", line: "#c4c7c5" },
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

/** The colour of a node. With marks, what was not taken is faint, what failed red, what is waited for yellow. */
export function shadeOf({ kind, color, mark }: FlowNode): Shade {
  if (mark?.visits === 0) return "faint";
  if (mark !== undefined && mark.failures > 0) return "red";
  if (mark !== undefined && mark.open > 0) return "yellow";
  return color ?? colors[kind];
}

/** What is written in a node: its marks on a second line. */
export function labelOf({ icon, label, mark }: FlowNode): string {
  const written = icon === undefined ? label : `${icon} ${label}`;
  const said = mark === undefined ? "" : wordsOfMark(mark);
  return said === "" ? written : `${written}\n${said}`;
}

function wordsOfMark({ visits, failures, open, attempts, tokens, costUsd, p50Ms, p95Ms }: NodeMark): string {
  if (p50Ms === undefined && open === 0) return ""; // nothing is asked for here
  const one = visits === 1;
  return [
    one ? "" : `${visits} times`,
    p50Ms === undefined
      ? ""
      : p50Ms === p95Ms
        ? timeInWords(p50Ms)
        : `p50 ${timeInWords(p50Ms)}, p95 ${timeInWords(p95Ms)}`,
    failures === 0 ? "" : one ? "failed" : `${Math.round((100 * failures) / visits)}% failed`,
    open === 0 ? "" : one ? "waiting" : `${open} waiting`,
    attempts > visits ? `${attempts} attempts` : "",
    tokens === 0 ? "" : `${tokens} tokens`,
    costUsd === 0 ? "" : `$${costUsd >= 1 ? costUsd.toFixed(2) : costUsd.toPrecision(2)}`,
  ]
    .filter((each) => each !== "")
    .join(", ");
}

function timeInWords(ms = 0): string {
  for (const [size, word] of [
    [86_400_000, "d"],
    [3_600_000, "h"],
    [60_000, "min"],
    [1000, "s"],
  ] as const) {
    if (ms >= size) return `${Number((ms / size).toPrecision(3))} ${word}`;
  }
  return `${ms} ms`;
}

/** What stands above the whole, when its definition says so. */
export function headingOf({ title, icon }: FlowGraph): string | undefined {
  return title === undefined || icon === undefined ? title : `${icon} ${title}`;
}

/** The colours that are in use, in the order of the palette. */
export function shadesIn({ nodes }: FlowGraph): Shade[] {
  const used = new Set(nodes.map(shadeOf));
  return (Object.keys(palette) as Shade[]).filter((shade) => used.has(shade));
}

/** What is written at an edge. */
export function wordsOf({ kind, label, many, taken = 0 }: FlowEdge): string {
  const words = label ?? (kind === "next" ? "" : kind === "fork" ? (many === true ? "each" : "") : wordsOfKind[kind]);
  return taken < 2 ? words : `${words} ${taken} times`.trimStart();
}

const wordsOfKind = { failure: "fails", nextExecution: "next execution" } as const;

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
