/**
 * Follows a recorded history through a flow graph: which nodes it went through, or the first event that the graph does not
 * allow.
 *
 * A history is one list, a flow may run beside itself. So a state is a set of walkers: one for the orchestration's own
 * code, and one for each thing that was begun. A request must be made by some walker that can get there without making
 * another one; an answer frees the walker that waits for it. Where several walkers or ways fit, all are tried.
 */
import type { HistoryEvent } from "@stet/core";
import type { FlowEdge, FlowGraph, FlowNode, FlowNodeKind, Part } from "./graph.ts";

/** One node on the path of a history. */
export interface Visit {
  readonly node: string;
  /** The node before it: an edge leads from there to here. Absent at the start, and where others were waited for. */
  readonly from?: string;
  /** The request that was made there. Absent where nothing is recorded, as in decisions. */
  readonly event?: number;
}

/** Where a history went. */
export type FlowPath =
  | { readonly ok: true; readonly visits: readonly Visit[] }
  /** `at` is the first event that no way leads to. */
  | { readonly ok: false; readonly at: HistoryEvent };

/**
 * The path that an execution took through the graph of its orchestration. Status, state and output are no part of it.
 *
 * @example
 * ```ts
 * const [graph] = readFlowGraphs({ files: ["src/orchestrations.ts"] });
 * if (graph !== undefined) {
 *   const path = followHistory(graph, history);
 *   if (!path.ok) console.log(`The graph knows no way to event ${path.at.id}.`);
 * }
 * ```
 */
export function followHistory(graph: FlowGraph, history: readonly HistoryEvent[]): FlowPath {
  const map = new FlowMap(graph);
  let states: readonly State[] = [startOf()];
  const part = new Participants();
  for (const event of history) {
    const next = part.next(event, states, map);
    if (next.length === 0) return { ok: false, at: event };
    states = distinct(next).slice(0, mostStates);
  }
  return { ok: true, visits: unwound(states[0]?.trail) };
}

/** Enough for every history that was seen; a bound for those that were not. */
const mostStates = 500;

/** Somebody on the way. */
interface Walker {
  /** The node that it stands at, or is about to enter. */
  readonly at: string;
  /** `left`: done with the node. `entering`: not there yet. `waiting`: for the answer to `event`. */
  readonly is: "left" | "entering" | "waiting" | "joining";
  readonly event?: number;
  /** Whether what it waited for failed: then only failures lead on. */
  readonly failed?: true;
  /** The fork that began it, as often as that happened. Absent for the orchestration itself. */
  readonly begunBy?: string;
  /** Can begin others like it, at the nodes that it stands before. */
  readonly many?: true;
}

interface Trail {
  readonly visit: Visit;
  readonly before: Trail | undefined;
}

interface State {
  readonly walkers: readonly Walker[];
  readonly trail: Trail | undefined;
  /** How many forks there have been. */
  readonly forks: number;
}

/** The graph, by what a walker asks. */
class FlowMap {
  readonly #nodes: ReadonlyMap<string, FlowNode>;
  readonly #edges = new Map<string, FlowEdge[]>();
  /** The joins at which those end whom a fork began. */
  readonly #homes = new Map<string, Set<string>>();

  constructor({ nodes, edges, outline }: FlowGraph) {
    this.#nodes = new Map(nodes.map((node) => [node.id, node]));
    for (const edge of edges) this.#edges.set(edge.from, [...(this.#edges.get(edge.from) ?? []), edge]);
    const visit = (part: Part): void => {
      if (part.part === "concurrent") this.#home(part.fork, part.join);
      if (part.part === "concurrent" || part.part === "join") {
        const join = part.part === "join" ? part.id : part.join;
        for (const fork of part.begun) this.#home(fork, join);
      }
      for (const block of blocksIn(part)) block.forEach(visit);
    };
    outline.forEach(visit);
  }

  node(id: string): FlowNode | undefined {
    return this.#nodes.get(id);
  }

  edges(id: string): readonly FlowEdge[] {
    return this.#edges.get(id) ?? [];
  }

  /** Whether somebody begun by this fork is done when it reaches the node. */
  isHome(fork: string, node: string): boolean {
    return this.#homes.get(fork)?.has(node) ?? false;
  }

  #home(fork: string, join: string): void {
    this.#homes.set(fork, (this.#homes.get(fork) ?? new Set()).add(join));
  }
}

function blocksIn(part: Part): (readonly Part[])[] {
  switch (part.part) {
    case "choice":
    case "concurrent":
      return part.arms.map((arm) => arm.block);
    case "dynamic":
      return [...part.perhaps];
    case "loop":
      return [part.test, part.block];
    case "attempt":
      return [part.block, part.caught?.block ?? [], part.finally ?? []];
    case "begin":
      return [part.arm.block];
    case "helper":
      return [part.block];
    default:
      return [];
  }
}

/** What a request asks for. */
interface Wanted {
  readonly kind: FlowNodeKind;
  readonly name?: string;
  readonly event: number;
}

/** Which events belong together: what each does to the states. */
class Participants {
  /** Questions that ask again, by the one that they belong to. */
  readonly #first = new Map<number, number>();
  /** Times at which waits give up: their timers are no timers of the code. */
  readonly #limits: number[] = [];
  /** Waits by the event that ended them or may end them. */
  readonly #limitOf = new Map<number, number>();
  #lastWait = 0;

  next(event: HistoryEvent, states: readonly State[], map: FlowMap): State[] {
    switch (event.kind) {
      case "ActivityScheduled":
        return request(states, map, { kind: "activity", name: event.name, event: event.id });
      case "SubOrchestrationScheduled":
        return request(states, map, { kind: "subOrchestration", name: event.name, event: event.id });
      case "OrchestrationDispatched":
        return request(states, map, { kind: "startOrchestration", name: event.name, event: event.id });
      case "EventSent":
        return request(states, map, { kind: "sendEvent", name: event.name, event: event.id });
      case "EventAwaited":
        this.#lastWait = event.id;
        if (event.timeoutAt !== undefined) this.#limits.push(event.timeoutAt);
        return request(states, map, { kind: "event", name: event.name, event: event.id });
      case "TimerCreated": {
        const limit = this.#limits.indexOf(event.fireAt);
        if (limit < 0) return request(states, map, { kind: "timer", event: event.id });
        this.#limits.splice(limit, 1);
        this.#limitOf.set(event.id, this.#lastWait);
        return [...states];
      }
      case "LlmRequested":
        if (event.refines === undefined)
          return request(states, map, { kind: "model", name: event.operation, event: event.id });
        this.#first.set(event.id, this.#first.get(event.refines) ?? event.refines);
        return states.map((state) => waitAgain(state, this.#first.get(event.id)));
      case "ActivityCompleted":
      case "SubOrchestrationCompleted":
        return states.map((state) => settle(state, event.source, false));
      case "LlmCompleted":
        return states.map((state) => settle(state, this.#first.get(event.source) ?? event.source, false));
      case "TimerFired": {
        const wait = this.#limitOf.get(event.source);
        return states.map((state) => settle(state, wait ?? event.source, wait !== undefined));
      }
      case "ActivityFailed":
      case "SubOrchestrationFailed":
      case "ActivityCancelled":
      case "TimerCancelled":
      case "SubOrchestrationCancelled":
      case "EventWaitCancelled":
        return states.map((state) => settle(state, event.source, true));
      case "LlmFailed":
      case "LlmCancelled":
      case "LlmAnswerRefused":
        return states.map((state) => settle(state, this.#first.get(event.source) ?? event.source, true));
      case "CancelRequested":
        return states.map(cancelled);
      case "OrchestrationCompleted":
        return states.flatMap((state) => arrivals(state, map, "completed"));
      case "ContinuedAsNew":
        return states.flatMap((state) => arrivals(state, map, "continueAsNew"));
      case "OrchestrationFailed": {
        // Code may throw anywhere: where the graph shows no way to the end, the history ends where it stands.
        const ended = states.flatMap((state) => arrivals(state, map, "failed"));
        return ended.length > 0 ? ended : [...states];
      }
      default:
        return [...states];
    }
  }
}

function startOf(): State {
  return { walkers: [{ at: "start", is: "left" }], trail: { visit: { node: "start" }, before: undefined }, forks: 0 };
}

// What events do

function request(states: readonly State[], map: FlowMap, wanted: Wanted): State[] {
  return states.flatMap((state) =>
    reached(
      state,
      map,
      (node) => node.kind === wanted.kind && (node.name === undefined || node.name === wanted.name),
    ).map(({ state: after, walker, node }): State => {
      // Nobody waits for these; whoever waits for an event may get one that has come before.
      const isDone = ["startOrchestration", "sendEvent", "dynamic", "event"].includes(node.kind);
      const moved: Walker = {
        ...after.walkers[walker],
        at: node.id,
        is: isDone ? "left" : "waiting",
        event: wanted.event,
      } as Walker;
      const trail = visited(after.trail, node.id, originOf(after.walkers[walker], node), wanted.event);
      return { ...replaced(after, walker, [moved]), trail };
    }),
  );
}

function settle(state: State, source: number, failed: boolean): State {
  const walkers = state.walkers.map((walker): Walker => {
    if (walker.event !== source) return walker;
    const { failed: _failed, ...rest } = walker;
    return failed ? { ...rest, is: "left", failed } : { ...rest, is: "left" };
  });
  return { ...state, walkers };
}

/** An answer was refused, and the question is asked again. */
function waitAgain(state: State, event: number | undefined): State {
  const walkers = state.walkers.map((walker): Walker =>
    walker.event === event ? { ...walker, is: "waiting" } : walker,
  );
  return { ...state, walkers };
}

/** Everything that is waited for rejects. */
function cancelled(state: State): State {
  const walkers = state.walkers.map((walker): Walker =>
    walker.is === "waiting" ? { ...walker, is: "left", failed: true } : walker,
  );
  return { ...state, walkers };
}

/** The states in which the code itself has come to an end of this kind. */
function arrivals(state: State, map: FlowMap, kind: FlowNodeKind): State[] {
  return reached(state, map, (node) => node.kind === kind).map(({ state: after, walker, node }) => ({
    ...replaced(after, walker, []),
    trail: visited(after.trail, node.id, originOf(after.walkers[walker], node)),
  }));
}

// Where walkers can get

interface Reached {
  readonly state: State;
  /** The index of the walker that got there. */
  readonly walker: number;
  readonly node: FlowNode;
}

/** All ways in which some walker can enter a node of this kind without anybody making a request on the way. */
function reached(state: State, map: FlowMap, isIt: (node: FlowNode) => boolean): Reached[] {
  return state.walkers.flatMap((_walker, i) => reachedBy(state, i, map, isIt, new Set()));
}

function reachedBy(
  state: State,
  i: number,
  map: FlowMap,
  isIt: (node: FlowNode) => boolean,
  seen: ReadonlySet<string>,
): Reached[] {
  const walker = state.walkers[i];
  if (walker === undefined || walker.is === "waiting") return [];
  if (walker.many === true) {
    // It stays to begin others, and one of those goes.
    const { many: _many, ...one } = walker;
    const added = { ...state, walkers: [...state.walkers, one] };
    return reachedBy(added, added.walkers.length - 1, map, isIt, seen);
  }
  if (walker.is === "entering") return entered(state, i, walker.at, map, isIt, seen);
  if (walker.is === "joining") {
    return joined(state, walker, map).flatMap((after) => {
      const own = after.walkers.indexOf(walker);
      const left: Walker = { ...walker, is: "left" };
      const { event: _event, ...free } = left;
      const joining = { ...replaced(after, own, [free]), trail: visited(after.trail, walker.at) };
      return reachedBy(joining, own, map, isIt, seen);
    });
  }
  const node = map.node(walker.at);
  const again = node?.kind === "dynamic" && isRequest(isIt) ? [{ state, walker: i, node }] : [];
  // What is known comes before what is merely possible.
  return [
    ...map.edges(walker.at).flatMap((edge) => {
      if (edge.kind === "fork" || edge.kind === "nextExecution") return [];
      if (walker.failed === true && edge.kind !== "failure") return [];
      return entered(state, i, edge.to, map, isIt, seen);
    }),
    ...again,
  ];
}

/** An unknown target may make any request. */
function isRequest(isIt: (node: FlowNode) => boolean): boolean {
  const ends = ["completed", "failed", "continueAsNew"] as const;
  return !ends.some((kind) => isIt({ id: "", kind, label: "", at: nowhere }));
}

const nowhere = { file: "", line: 0, column: 0 };

function entered(
  state: State,
  i: number,
  id: string,
  map: FlowMap,
  isIt: (node: FlowNode) => boolean,
  seen: ReadonlySet<string>,
): Reached[] {
  const node = map.node(id);
  const walker = state.walkers[i];
  const key = `${i} ${id}`;
  if (node === undefined || walker === undefined || seen.has(key)) return [];
  if (isIt(node)) return [{ state, walker: i, node }];
  const been = new Set(seen).add(key);
  if (node.kind === "fork") return forked(state, i, node, map, isIt, been);
  if (walker.begunBy !== undefined && map.isHome(forkOf(walker.begunBy), id)) return [];
  if (!isSilent(node.kind)) return [];
  const { failed: _failed, event: _event, ...rest } = walker;
  const trail = visited(state.trail, id, originOf(walker, node));
  const moved = { ...replaced(state, i, [{ ...rest, at: id, is: "left" }]), trail };
  return reachedBy(moved, i, map, isIt, been);
}

/** Somebody begins others: those may go first, or the one that began them. */
function forked(
  state: State,
  i: number,
  node: FlowNode,
  map: FlowMap,
  isIt: (node: FlowNode) => boolean,
  seen: ReadonlySet<string>,
): Reached[] {
  const walker = state.walkers[i];
  if (walker === undefined) return [];
  const begunBy = `${node.id} ${state.forks}`;
  const begun = map
    .edges(node.id)
    .filter(({ kind }) => kind === "fork")
    .map(({ to, many }): Walker => ({ at: to, is: "entering", begunBy, ...(many === true && { many }) }));
  const { failed: _failed, event: _event, ...rest } = walker;
  // The one that waits for all of them remembers whom: by its own number in `event`.
  const own: Walker =
    node.join === undefined
      ? { ...rest, at: node.id, is: "left" }
      : { ...rest, at: node.join, is: "joining", event: -1 - state.forks };
  const after: State = {
    walkers: [...state.walkers.slice(0, i), own, ...state.walkers.slice(i + 1), ...begun],
    trail: visited(state.trail, node.id, originOf(walker, node)),
    forks: state.forks + 1,
  };
  const others = begun.map((_begun, k) => state.walkers.length + k);
  return [i, ...others].flatMap((each) => reachedBy(after, each, map, isIt, seen));
}

/** The states after a join: whom it waited for is done, as many as it takes. */
function joined(state: State, walker: Walker, map: FlowMap): State[] {
  const node = map.node(walker.at);
  const number = -1 - (walker.event ?? 0);
  const theirs = state.walkers.filter(({ begunBy }) => begunBy?.endsWith(` ${number}`));
  const done = theirs.filter((each) => each.many === true || canEnd(state, each, map));
  const needsAll = node?.mode === "all" || node?.mode === "allSettled";
  const isFailing = theirs.some(({ failed }) => failed === true);
  if (needsAll && done.length < theirs.length && !isFailing) return [];
  if (!needsAll && done.length === 0 && theirs.length > 0) return [];
  const gone = needsAll && done.length === theirs.length ? theirs : [];
  return [{ ...state, walkers: state.walkers.filter((each) => !gone.includes(each)) }];
}

/** Whether somebody who was begun can be done without making another request. */
function canEnd(state: State, walker: Walker, map: FlowMap): boolean {
  if (walker.is === "waiting") return false;
  if (walker.failed === true) return true;
  const seen = new Set<string>();
  const fork = forkOf(walker.begunBy ?? "");
  const walk = (id: string): boolean => {
    if (map.isHome(fork, id)) return true;
    const node = map.node(id);
    if (seen.has(id) || node === undefined) return false;
    seen.add(id);
    return (isSilent(node.kind) || node.kind === "fork") && leave(id);
  };
  const leave = (id: string): boolean => {
    const edges = map.edges(id).filter(({ kind }) => kind !== "nextExecution");
    const join = map.node(id)?.join;
    return edges.length === 0 || edges.some(({ to }) => walk(to)) || (join !== undefined && walk(join));
  };
  return walker.is === "entering" ? walk(walker.at) : leave(walker.at);
}

function isSilent(kind: FlowNodeKind): boolean {
  return ["decision", "loop", "join", "catch", "return", "throw", "dynamic", "start"].includes(kind);
}

function forkOf(begunBy: string): string {
  return begunBy.split(" ")[0] ?? "";
}

// States

function replaced(state: State, i: number, walkers: readonly Walker[]): State {
  return { ...state, walkers: [...state.walkers.slice(0, i), ...walkers, ...state.walkers.slice(i + 1)] };
}

function visited(trail: Trail | undefined, node: string, from?: string, event?: number): Trail {
  const visit = { node, ...(from !== undefined && { from }), ...(event !== undefined && { event }) };
  return { visit, before: trail };
}

/** Where somebody comes from who enters a node. */
function originOf(walker: Walker | undefined, node: FlowNode): string | undefined {
  const from = walker?.is === "entering" ? forkOf(walker.begunBy ?? "") : walker?.at;
  return from === node.id ? undefined : from;
}

function unwound(trail: Trail | undefined): Visit[] {
  const visits: Visit[] = [];
  for (let each = trail; each !== undefined; each = each.before) visits.unshift(each.visit);
  return visits;
}

function distinct(states: readonly State[]): State[] {
  const known = new Map<string, State>();
  for (const state of states) {
    const key = state.walkers
      .map((walker) => JSON.stringify(walker))
      .sort()
      .join();
    if (!known.has(key)) known.set(key, state);
  }
  return [...known.values()];
}
