/**
 * What a model may say about a graph: a summary, and other words for nodes that it has. It is held against the graph before
 * anybody sees it, and putting it on changes words only: nodes, edges, groups and outline are those of the code.
 */
import { canonicalHash, type Payload } from "@stet/core";
import type { FlowGraph, FlowNode } from "../graph.ts";

/** Words for a graph. */
export interface Description {
  /** What the orchestration does, in a few sentences. */
  readonly summary: string;
  /** Labels, by the ids of nodes. */
  readonly labels: { readonly [id: string]: string };
}

const longestSummary = 600;
const longestLabel = 60;

/** The nodes that a model may name: those that do something, and have no title from their author. */
export function nameable({ nodes }: FlowGraph): readonly FlowNode[] {
  return nodes.filter(({ kind, label, title }) => !ends.has(kind) && label !== "" && title === undefined);
}

const ends: ReadonlySet<FlowNode["kind"]> = new Set(["start", "completed", "failed"]);

/** What a model has written, as a description of the graph, or what is wrong with it in words that go back to the model. */
export function readDescription(graph: FlowGraph, text: string): Description | string {
  const value = parsed(text);
  if (!isRecord(value)) return `expected a JSON object with summary and labels, got ${text.slice(0, 40)}`;
  const { summary, labels, ...others } = value;
  const [other] = Object.keys(others);
  if (other !== undefined) return `expected only summary and labels, got ${other}: nothing can be added to the diagram`;
  if (!isLine(summary, longestSummary)) return `expected summary to be one line of 1 to ${longestSummary} characters`;
  if (!isRecord(labels)) return "expected labels to be an object of labels by node id";
  const ids = new Set(nameable(graph).map(({ id }) => id));
  const said: Record<string, string> = {};
  for (const [id, label] of Object.entries(labels)) {
    if (!ids.has(id)) return `expected labels to be of nodes that were given, got ${id.slice(0, 60)}`;
    if (!isLine(label, longestLabel)) {
      return `expected the label of ${id} to be one line of 1 to ${longestLabel} characters`;
    }
    said[id] = label;
  }
  return { summary, labels: said };
}

/** The graph in these words. */
export function withDescription(graph: FlowGraph, { summary, labels }: Description): FlowGraph {
  const ids = new Set(nameable(graph).map(({ id }) => id));
  const nodes = graph.nodes.map((node) => {
    const label = ids.has(node.id) && Object.hasOwn(labels, node.id) ? labels[node.id] : undefined;
    return label === undefined ? node : { ...node, label };
  });
  return { ...graph, summary, nodes };
}

/** Changes when a description of the graph might not fit any more. Where its code stands does not matter. */
export function flowHash({ nodes, edges }: FlowGraph): string {
  return canonicalHash({
    nodes: nodes.map(({ id, label }) => ({ id, label })),
    edges: edges.map(({ from, to, kind, label = "" }) => ({ from, to, kind, label })),
  } as unknown as Payload);
}

function isRecord(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isLine(value: unknown, longest: number): value is string {
  return (
    typeof value === "string" &&
    value.trim() !== "" &&
    value.length <= longest &&
    !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value)
  );
}

/** Models like to put JSON into a fenced block. */
function parsed(text: string): unknown {
  const [, inner = text] = /^\s*```(?:json)?\n([\s\S]*?)\n```\s*$/.exec(text) ?? [];
  try {
    return JSON.parse(inner);
  } catch {
    return undefined;
  }
}
