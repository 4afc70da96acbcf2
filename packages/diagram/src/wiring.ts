/**
 * From an outline to edges: who may follow whom. A walk that carries the loose ends of what stands before and ties them to
 * what comes next.
 *
 * Jumps look for their target outwards. One that leaves a `try` with a `finally` waits there, and goes on from its last node.
 */
import type { Arm, Block, FlowEdge, FlowNode, FlowNodeKind, Part } from "./graph.ts";

/** A loose end: an edge without its target. */
interface End {
  readonly from: string;
  readonly kind: FlowEdge["kind"];
  readonly label?: string;
  readonly many?: true;
}

type Ends = readonly End[];

/** What encloses a part: where its jumps and failures go. */
interface Scope {
  /** Loose ends that leave for `to` (and `target`). */
  jump(to: Jump["to"], target: string | undefined, ends: Ends): void;
}

type Jump = Extract<Part, { part: "jump" }>;

/** Nodes that reject when what they wait for fails or is cancelled. */
const fallible: ReadonlySet<FlowNodeKind> = new Set([
  "activity",
  "timer",
  "event",
  "subOrchestration",
  "model",
  "join",
  "dynamic",
]);

/** The edges of an outline, from the node `start` to `completed` and `failed`, in the order in which a reader meets them. */
export function edgesOf(outline: Block, nodes: ReadonlyMap<string, FlowNode>): FlowEdge[] {
  return new Wiring(nodes).whole(outline);
}

class Wiring {
  readonly #nodes: ReadonlyMap<string, FlowNode>;
  readonly #edges: FlowEdge[] = [];
  /** Loose ends of what was begun, by fork, until a join takes them. */
  readonly #begun = new Map<string, Ends>();

  constructor(nodes: ReadonlyMap<string, FlowNode>) {
    this.#nodes = nodes;
  }

  whole(outline: Block): FlowEdge[] {
    const returned: End[] = [];
    const failed: End[] = [];
    const scope: Scope = {
      jump: (to, _target, ends) => {
        if (to === "return") returned.push(...ends);
        // A failure that nobody catches ends the execution; only what is thrown in so many words is drawn.
        else if (to === "throw") failed.push(...ends.filter(({ kind }) => kind === "next"));
      },
    };
    const ends = this.#block(outline, [next("start")], scope);
    this.#tie([...ends, ...returned], "completed");
    this.#tie(failed, "failed");
    for (const [id, { kind }] of this.#nodes) {
      if (kind === "continueAsNew") this.#tie([{ from: id, kind: "nextExecution" }], "start");
    }
    return this.#edges;
  }

  #block(block: Block, ends: Ends, scope: Scope): Ends {
    return block.reduce((loose, part) => this.#part(part, loose, scope), ends);
  }

  #part(part: Part, ends: Ends, scope: Scope): Ends {
    switch (part.part) {
      case "node":
        return this.#node(part.id, ends, scope);
      case "choice":
        return this.#choice(part, ends, scope);
      case "dynamic": {
        const called = this.#node(part.id, ends, scope);
        const may = called.map((end) => ({ ...end, label: "perhaps" }));
        return [...called, ...part.perhaps.flatMap((block) => this.#block(block, may, scope))];
      }
      case "loop":
        return this.#loop(part, ends, scope);
      case "attempt":
        return this.#attempt(part, ends, scope);
      case "concurrent": {
        this.#tie(ends, part.fork);
        const arms = part.arms.flatMap((arm) => this.#arm(arm, part.fork, scope));
        return this.#node(part.join, [...arms, ...part.begun.flatMap((fork) => this.#take(fork))], scope);
      }
      case "begin":
        this.#tie(ends, part.fork);
        this.#begun.set(part.fork, this.#arm(part.arm, part.fork, scope));
        return [next(part.fork)];
      case "join":
        return this.#node(part.id, [...ends, ...part.begun.flatMap((fork) => this.#take(fork))], scope);
      case "helper": {
        const returned: End[] = [];
        const inner: Scope = {
          jump: (to, target, loose) => {
            if (to === "return" && target === part.group) returned.push(...loose);
            else scope.jump(to, target, loose);
          },
        };
        return [...this.#block(part.block, ends, inner), ...returned];
      }
      case "jump": {
        if (part.id !== undefined) this.#tie(ends, part.id);
        scope.jump(part.to, part.target, part.id === undefined ? ends : [next(part.id)]);
        return [];
      }
    }
  }

  #node(id: string, ends: Ends, scope: Scope): Ends {
    this.#tie(ends, id);
    const kind = this.#nodes.get(id)?.kind;
    if (kind === "continueAsNew") return [];
    if (kind !== undefined && fallible.has(kind)) scope.jump("throw", undefined, [{ from: id, kind: "failure" }]);
    return [next(id)];
  }

  #choice({ id, arms }: Extract<Part, { part: "choice" }>, ends: Ends, scope: Scope): Ends {
    const loose = [...this.#node(id, ends, scope)].map(({ from }) => from);
    const left: End[] = [];
    const inner: Scope = {
      jump: (to, target, ends) => {
        if (to === "break" && target === id) left.push(...ends);
        else scope.jump(to, target, ends);
      },
    };
    let falling: Ends = [];
    const through = arms.flatMap(({ label, block, falls }) => {
      const own = loose.map((from): End => ({ ...next(from), ...(label !== "" && { label }) }));
      const out = this.#block(block, [...own, ...falling], inner);
      falling = falls === true ? out : [];
      return falls === true ? [] : out;
    });
    return [...through, ...falling, ...left];
  }

  #loop({ id, test, block, form }: Extract<Part, { part: "loop" }>, ends: Ends, scope: Scope): Ends {
    this.#tie(ends, id);
    const left: End[] = [];
    const again: End[] = [];
    const inner: Scope = {
      jump: (to, target, ends) => {
        if (to === "break" && target === id) left.push(...ends);
        else if (to === "continue" && target === id) again.push(...ends);
        else scope.jump(to, target, ends);
      },
    };
    if (form === "doWhile") {
      const body = this.#block(block, [next(id)], inner);
      const tested = this.#block(test, [...body, ...again], inner);
      this.#tie(labelled(tested, "again"), id);
      return [...labelled(tested, "done"), ...left];
    }
    const tested = this.#block(test, [next(id)], inner);
    const body = this.#block(block, form === "endless" ? tested : labelled(tested, "next"), inner);
    this.#tie([...body, ...again], id);
    return form === "endless" ? left : [...labelled(tested, "done"), ...left];
  }

  #attempt(part: Extract<Part, { part: "attempt" }>, ends: Ends, scope: Scope): Ends {
    const jumps: { to: Jump["to"]; target: string | undefined; ends: End[] }[] = [];
    /** What leaves the statement: at once, or after its `finally`. */
    const leaving: Scope =
      part.finally === undefined
        ? scope
        : {
            jump: (to, target, loose) => {
              const known = jumps.find((jump) => jump.to === to && jump.target === target);
              if (known === undefined) jumps.push({ to, target, ends: [...loose] });
              else known.ends.push(...loose);
            },
          };
    const failed: End[] = [];
    const trying: Scope = {
      jump: (to, target, loose) => {
        if (to === "throw" && part.caught !== undefined) failed.push(...loose);
        else leaving.jump(to, target, loose);
      },
    };
    const tried = this.#block(part.block, ends, trying);
    const caught = part.caught === undefined || failed.length === 0 ? [] : this.#caught(part.caught, failed, leaving);
    const done = [...tried, ...caught];
    if (part.finally === undefined) return done;
    const out = this.#block(part.finally, [...done, ...jumps.flatMap((jump) => jump.ends)], scope);
    for (const { to, target } of jumps) scope.jump(to, target, to === "throw" ? failures(out) : out);
    return done.length > 0 ? out : [];
  }

  #caught({ id, block }: { readonly id: string; readonly block: Block }, failed: Ends, scope: Scope): Ends {
    this.#tie(failed, id);
    return this.#block(block, [next(id)], scope);
  }

  #arm({ block, label, many }: Arm, fork: string, scope: Scope): Ends {
    const end: End = {
      from: fork,
      kind: "fork",
      ...(label !== "" && { label }),
      ...(many === true && { many }),
    };
    // What an arm throws reaches whoever waits for it: the failure of the join stands for all of them.
    const thrown: End[] = [];
    const inner: Scope = {
      jump: (to, target, loose) => {
        if (to === "throw") thrown.push(...failures(loose.filter(({ kind }) => kind === "next")));
        else scope.jump(to, target, loose);
      },
    };
    const out = this.#block(block, [end], inner);
    return [...out.filter((loose) => loose !== end), ...thrown];
  }

  #take(fork: string): Ends {
    return this.#begun.get(fork) ?? [];
  }

  #tie(ends: Ends, to: string): void {
    for (const end of ends) {
      const edge = { ...end, to };
      if (!this.#edges.some((known) => isSame(known, edge))) this.#edges.push(edge);
    }
  }
}

function next(from: string): End {
  return { from, kind: "next" };
}

function labelled(ends: Ends, label: string): Ends {
  return ends.map((end) => (end.label === undefined && end.kind === "next" ? { ...end, label } : end));
}

function failures(ends: Ends): Ends {
  return ends.map(({ from }) => ({ from, kind: "failure" }));
}

function isSame(a: FlowEdge, b: FlowEdge): boolean {
  return a.from === b.from && a.to === b.to && a.kind === b.kind && a.label === b.label;
}
