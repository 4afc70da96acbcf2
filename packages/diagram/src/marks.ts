/**
 * What instances did, on the graph of what they may do: how often each node and edge was taken, how long it took, how often it
 * failed, and what it cost. One history or a thousand: the same marks.
 */
import type { HistoryEvent } from "@stet/core";
import { followHistory, type Visit } from "./follow.ts";
import type { FlowEdge, FlowGraph, FlowNode, NodeMark } from "./graph.ts";

/** A graph with marks. */
export interface MarkedGraph extends FlowGraph {
  /** How many histories are marked. */
  readonly followed: number;
  /** How many are not, because they are no path of this graph: other code has recorded them. */
  readonly strayed: number;
}

/**
 * Marks the ways that recorded executions took. Their graph must be that of the code that recorded them; histories that are no
 * path of it are counted and otherwise left out.
 *
 * @example
 * ```ts
 * const [graph] = readFlowGraphs({ files: ["src/orchestrations.ts"] });
 * if (graph !== undefined) console.log(toMermaid(markHistories(graph, [await handle.history()])));
 * ```
 */
export function markHistories(graph: FlowGraph, histories: Iterable<readonly HistoryEvent[]>): MarkedGraph {
  const nodes = new Map(graph.nodes.map(({ id }) => [id, new Tally()]));
  const edges = new Map<FlowEdge, number>();
  let followed = 0;
  let strayed = 0;
  for (const history of histories) {
    const path = followHistory(graph, history);
    if (!path.ok) {
      strayed++;
      continue;
    }
    followed++;
    const answers = answersIn(history);
    for (const { node, event } of path.visits)
      nodes.get(node)?.add(event === undefined ? undefined : answers.get(event));
    for (const [edge, count] of waysOf(graph, path.visits, answers)) edges.set(edge, (edges.get(edge) ?? 0) + count);
  }
  return {
    ...graph,
    nodes: graph.nodes.map((node): FlowNode => ({ ...node, mark: (nodes.get(node.id) ?? new Tally()).mark })),
    edges: graph.edges.map((edge) => ({ ...edge, taken: edges.get(edge) ?? 0 })),
    followed,
    strayed,
  };
}

/** How a request came out. */
interface Answer {
  readonly askedAt: number;
  answeredAt?: number;
  failed?: boolean;
  attempts: number;
  tokens: number;
  costUsd: number;
}

/** The requests of a history, by the event that made them. */
function answersIn(history: readonly HistoryEvent[]): ReadonlyMap<number, Answer> {
  const answers = new Map<number, Answer>();
  /** Questions that ask again, by the first of them. */
  const first = new Map<number, number>();
  const waits: { readonly id: number; readonly name: string; readonly timeoutAt?: number }[] = [];
  /** Events that came before anybody waited for them. */
  const early: string[] = [];
  const timers = new Map<number, number>();
  const close = (source: number, at: number, failed: boolean, attempts = 0): Answer | undefined => {
    const answer = answers.get(first.get(source) ?? source);
    if (answer === undefined) return undefined;
    answer.answeredAt = at;
    answer.failed = failed;
    answer.attempts += attempts;
    const wait = waits.findIndex(({ id }) => id === source);
    if (wait >= 0) waits.splice(wait, 1);
    return answer;
  };
  for (const event of history) {
    switch (event.kind) {
      case "OrchestrationStarted":
        early.push(...(event.carried?.events ?? []).map(({ name }) => name));
        break;
      case "LlmRequested":
        if (event.refines !== undefined) {
          first.set(event.id, first.get(event.refines) ?? event.refines);
          break;
        }
        answers.set(event.id, asked(event.at));
        break;
      case "TimerCreated":
        timers.set(event.id, event.fireAt);
        answers.set(event.id, asked(event.at));
        break;
      case "ActivityScheduled":
      case "SubOrchestrationScheduled":
        answers.set(event.id, asked(event.at));
        break;
      case "EventAwaited": {
        const { id, at, name, timeoutAt } = event;
        answers.set(id, asked(at));
        const received = early.indexOf(name);
        if (received >= 0) {
          early.splice(received, 1);
          close(id, at, false);
        } else waits.push({ id, name, ...(timeoutAt !== undefined && { timeoutAt }) });
        break;
      }
      case "EventReceived": {
        const wait = waits.find(({ name }) => name === event.name);
        if (wait === undefined) early.push(event.name);
        else close(wait.id, event.at, false);
        break;
      }
      case "TimerFired": {
        close(event.source, event.at, false);
        const late = waits.find(({ timeoutAt }) => timeoutAt !== undefined && timeoutAt === timers.get(event.source));
        if (late !== undefined) close(late.id, event.at, true);
        break;
      }
      case "ActivityCompleted":
        close(event.source, event.at, false, event.attempts ?? 1);
        break;
      case "SubOrchestrationCompleted":
        close(event.source, event.at, false);
        break;
      case "LlmCompleted": {
        const answer = close(event.source, event.at, false, event.attempts ?? 1);
        if (answer === undefined) break;
        answer.tokens += event.usage.inputTokens + event.usage.outputTokens;
        answer.costUsd += event.costUsd ?? 0;
        break;
      }
      case "ActivityFailed":
      case "LlmFailed":
        close(event.source, event.at, true, event.attempts ?? 1);
        break;
      case "SubOrchestrationFailed":
      case "LlmAnswerRefused":
      case "ActivityCancelled":
      case "TimerCancelled":
      case "SubOrchestrationCancelled":
      case "EventWaitCancelled":
      case "LlmCancelled":
        close(event.source, event.at, true);
        break;
      default:
    }
  }
  return answers;
}

function asked(askedAt: number): Answer {
  return { askedAt, attempts: 0, tokens: 0, costUsd: 0 };
}

/** What is counted at one node. */
class Tally {
  #visits = 0;
  #failures = 0;
  #open = 0;
  #attempts = 0;
  #tokens = 0;
  #costUsd = 0;
  readonly #times: number[] = [];

  add(answer: Answer | undefined): void {
    this.#visits++;
    if (answer === undefined) return;
    if (answer.answeredAt === undefined) this.#open++;
    else this.#times.push(answer.answeredAt - answer.askedAt);
    if (answer.failed === true) this.#failures++;
    this.#attempts += answer.attempts;
    this.#tokens += answer.tokens;
    this.#costUsd += answer.costUsd;
  }

  get mark(): NodeMark {
    const times = this.#times.toSorted((a, b) => a - b);
    return {
      visits: this.#visits,
      failures: this.#failures,
      open: this.#open,
      attempts: this.#attempts,
      tokens: this.#tokens,
      costUsd: this.#costUsd,
      ...(times.length > 0 && { p50Ms: quantile(times, 0.5), p95Ms: quantile(times, 0.95) }),
    };
  }
}

/** The smallest of the sorted values that so many are not above. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

/** How often each edge was taken. */
function waysOf(
  graph: FlowGraph,
  visits: readonly Visit[],
  answers: ReadonlyMap<number, Answer>,
): ReadonlyMap<FlowEdge, number> {
  const taken = new Map<FlowEdge, number>();
  /** Who is done at a node and did not go on to another one yet. */
  const done = new Map<string, number>();
  const add = (counts: Map<string, number>, id: string, by: number) => counts.set(id, (counts.get(id) ?? 0) + by);
  for (const { node, from, event } of visits) {
    const edge = from === undefined ? undefined : graph.edges.find((each) => each.from === from && each.to === node);
    if (edge !== undefined) {
      taken.set(edge, (taken.get(edge) ?? 0) + 1);
      if (edge.kind !== "fork") add(done, edge.from, -1);
    }
    if (event === undefined || answers.get(event)?.answeredAt !== undefined) add(done, node, 1);
  }
  // Whoever was begun by a fork ends at a join, and makes no request on the way there.
  for (const [node, count] of done) {
    if (count > 0) for (const edge of wayToJoin(graph, node)) taken.set(edge, (taken.get(edge) ?? 0) + count);
  }
  return taken;
}

/** The shortest way to a join through nodes at which nothing is asked for; nothing when the node is outside of forks. */
function wayToJoin(graph: FlowGraph, start: string): readonly FlowEdge[] {
  const joins = new Set(graph.nodes.filter(({ kind }) => kind === "join").map(({ id }) => id));
  const silent = new Set(graph.nodes.filter(({ kind }) => kind === "decision" || kind === "catch").map(({ id }) => id));
  const ways: (readonly FlowEdge[])[] = [[]];
  const seen = new Set([start]);
  for (const way of ways) {
    const at = way.at(-1)?.to ?? start;
    if (way.length > 0 && joins.has(at)) return way;
    if (way.length > 0 && !silent.has(at)) continue;
    for (const edge of graph.edges) {
      if (edge.from !== at || edge.kind === "fork" || edge.kind === "nextExecution" || seen.has(edge.to)) continue;
      seen.add(edge.to);
      ways.push([...way, edge]);
    }
  }
  return [];
}
