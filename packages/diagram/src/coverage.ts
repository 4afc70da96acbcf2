/** Which branches of a flow graph recorded histories have taken, and which none has. */
import type { HistoryEvent } from "@stet/core";
import { followHistory } from "./follow.ts";
import type { FlowEdge, FlowGraph, FlowNode } from "./graph.ts";

/** One of several ways that go on from a node. */
export interface FlowBranch {
  readonly from: FlowNode;
  readonly to: FlowNode;
  readonly edge: FlowEdge;
  /** How many of the histories went there. */
  readonly taken: number;
}

/**
 * What histories of an orchestration have seen of its flow graph: a branch that none has taken is one that nobody knows to
 * work.
 *
 * @example
 * ```ts
 * for (const graph of readFlowGraphs({ files: ["src/orchestrations.ts"] })) {
 *   const coverage = new FlowCoverage(graph);
 *   coverage.add(history);
 *   for (const { from, edge, taken } of coverage.branches) if (taken === 0) console.log(from.label, edge.label);
 * }
 * ```
 */
export class FlowCoverage {
  readonly graph: FlowGraph;
  readonly #counts = new Map<string, number>();
  #followed = 0;
  #strayed = 0;

  constructor(graph: FlowGraph) {
    this.graph = graph;
  }

  /** Counts the ways that a history went. One that is no path of the graph, of other code, says nothing. */
  add(history: readonly HistoryEvent[]): void {
    const path = followHistory(this.graph, history);
    if (!path.ok) {
      this.#strayed++;
      return;
    }
    this.#followed++;
    const steps = new Set(path.visits.map(({ from, node }) => `${from} ${node}`));
    for (const step of steps) this.#counts.set(step, (this.#counts.get(step) ?? 0) + 1);
  }

  /** How many histories are paths of the graph. */
  get followed(): number {
    return this.#followed;
  }

  /** How many are not. */
  get strayed(): number {
    return this.#strayed;
  }

  /** In the order of the source. Ways that lead to a join and record nothing before are not among them. */
  get branches(): readonly FlowBranch[] {
    return branchesOf(this.graph, this.#counts);
  }
}

function branchesOf({ nodes, edges }: FlowGraph, counts: ReadonlyMap<string, number>): FlowBranch[] {
  const nodeById = new Map(nodes.map((node) => [node.id, node]));
  const next = new Map<string, FlowEdge[]>();
  for (const edge of edges) next.set(edge.from, [...(next.get(edge.from) ?? []), edge]);
  const order = new Map(nodes.map(({ id }, i) => [id, i]));
  const inOrder = edges.toSorted((a, b) => (order.get(a.from) ?? 0) - (order.get(b.from) ?? 0));
  return inOrder.flatMap((edge): FlowBranch[] => {
    const [from, to] = [nodeById.get(edge.from), nodeById.get(edge.to)];
    const ways = (next.get(edge.from) ?? []).filter(({ kind }) => kind !== "fork" && kind !== "nextExecution");
    if (from === undefined || to === undefined || ways.length < 2 || !ways.includes(edge)) return [];
    if (comesToJoin(edge.to, nodeById, next, new Set())) return [];
    return [{ from, to, edge, taken: counts.get(`${edge.from} ${edge.to}`) ?? 0 }];
  });
}

/** Whoever was begun ends at a join unseen, if nothing is recorded before. */
function comesToJoin(
  id: string,
  nodes: ReadonlyMap<string, FlowNode>,
  next: ReadonlyMap<string, readonly FlowEdge[]>,
  seen: Set<string>,
): boolean {
  const kind = nodes.get(id)?.kind;
  if (kind === "join") return true;
  if (seen.has(id) || kind === undefined || !["decision", "loop", "catch"].includes(kind)) return false;
  seen.add(id);
  return (next.get(id) ?? []).some(({ to }) => comesToJoin(to, nodes, next, seen));
}
