/**
 * A flow while it is being read: its nodes and groups under preliminary ids. `finish` gives them the ids they keep, in the
 * order of the outline, and ties the edges.
 */
import { relative, sep } from "node:path";
import type ts from "typescript";
import type { Arm, Block, FlowGraph, FlowGroup, FlowNode, Part, SourcePosition } from "../graph.ts";
import { edgesOf } from "../wiring.ts";

/** What a reader says about a node. */
export type NodeFacts = Omit<FlowNode, "id" | "at">;

type GroupFacts = Pick<FlowGroup, "kind" | "label">;

/** Where the outline begins and what is known about the orchestration. */
export type Heading = Omit<FlowGraph, "nodes" | "edges" | "groups" | "outline" | "summary">;

/** The nodes and groups of one flow. */
export class Draft {
  readonly #folder: string;
  readonly #nodes = new Map<string, NodeFacts & { readonly at: SourcePosition }>();
  readonly #groups = new Map<string, GroupFacts>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** A node, by a preliminary id. */
  node(facts: NodeFacts, at: ts.Node): string {
    const id = `#${this.#nodes.size}`;
    this.#nodes.set(id, { ...facts, at: this.positionOf(at) });
    return id;
  }

  positionOf(node: ts.Node): SourcePosition {
    const file = node.getSourceFile();
    const { line, character } = file.getLineAndCharacterOfPosition(node.getStart());
    return { file: relative(this.#folder, file.fileName).split(sep).join("/"), line: line + 1, column: character + 1 };
  }

  /** A group, by a preliminary id. One without a label is not drawn. */
  group(facts: GroupFacts): string {
    const id = `@${this.#groups.size}`;
    this.#groups.set(id, facts);
    return id;
  }

  finish(heading: Heading, outline: Block): FlowGraph {
    const names = this.#names(outline);
    const rename = (id: string): string => names.get(id) ?? id;
    const named = renamed(outline, rename);
    const nodes = new Map<string, FlowNode>();
    const put = (node: FlowNode) => nodes.set(node.id, node);
    put({ id: "start", kind: "start", label: "start", at: heading.at });
    for (const [id, facts] of this.#inOrder(outline)) {
      put({ id: rename(id), ...facts, ...(facts.join !== undefined && { join: rename(facts.join) }) });
    }
    put({ id: "completed", kind: "completed", label: "completed", at: heading.at });
    put({ id: "failed", kind: "failed", label: "failed", at: heading.at });

    const edges = edgesOf(named, nodes);
    const met = reachable(edges);
    const isMet = (id: string) => met.has(id);
    return {
      ...heading,
      nodes: [...nodes.values()].filter(({ id }) => isMet(id)),
      edges: edges.filter(({ from }) => isMet(from)),
      groups: this.#groupsOf(outline, rename, isMet),
      outline: named,
    };
  }

  /** Names made of kind and name, numbered among equals in the order of the outline. */
  #names(outline: Block): Map<string, string> {
    const names = new Map<string, string>();
    const counts = new Map<string, number>();
    const give = (id: string, stem: string) => {
      if (names.has(id)) return;
      const count = (counts.get(stem) ?? 0) + 1;
      counts.set(stem, count);
      names.set(id, count === 1 ? stem : `${stem}_${count}`);
    };
    for (const [id, { kind, name, label }] of this.#inOrder(outline)) give(id, stemOf(kind, name ?? label));
    for (const { group } of groupsIn(outline)) {
      const facts = this.#groups.get(group);
      if (facts !== undefined) give(group, stemOf(`${facts.kind}_group`, facts.kind === "helper" ? facts.label : ""));
    }
    return names;
  }

  #inOrder(outline: Block): (readonly [string, NodeFacts & { readonly at: SourcePosition }])[] {
    return [...new Set(idsIn(outline))].flatMap((id) => {
      const facts = this.#nodes.get(id);
      return facts === undefined ? [] : [[id, facts] as const];
    });
  }

  #groupsOf(outline: Block, rename: (id: string) => string, isMet: (id: string) => boolean): FlowGroup[] {
    const isDrawn = (group: string) => this.#groups.get(group)?.label !== "";
    return groupsIn(outline, isDrawn).flatMap(({ group, parent, nodes }) => {
      const facts = this.#groups.get(group);
      if (facts === undefined || facts.label === "") return [];
      const own = nodes.map(rename).filter(isMet);
      return [{ id: rename(group), ...facts, ...(parent !== undefined && { parent: rename(parent) }), nodes: own }];
    });
  }
}

function stemOf(kind: string, name: string): string {
  const slug = name
    .replaceAll(/[^A-Za-z0-9]+/g, "_")
    .slice(0, 32)
    .replaceAll(/^_+|_+$/g, "");
  if (slug === "" || slug.replaceAll("_", "") === kind.toLowerCase()) return kind;
  return slug.startsWith(`${kind}_`) ? slug : `${kind}_${slug}`;
}

/** The ids of nodes, in the order in which a reader meets them. */
function idsIn(block: Block): string[] {
  const ofArms = (arms: readonly Arm[]) => arms.flatMap(({ block: own }) => idsIn(own));
  return block.flatMap((part) => {
    switch (part.part) {
      case "node":
        return [part.id];
      case "choice":
        return [part.id, ...ofArms(part.arms)];
      case "dynamic":
        return [part.id, ...part.perhaps.flatMap(idsIn)];
      case "loop":
        return part.form === "doWhile"
          ? [part.id, ...idsIn(part.block), ...idsIn(part.test)]
          : [part.id, ...idsIn(part.test), ...idsIn(part.block)];
      case "attempt":
        return [
          ...idsIn(part.block),
          ...(part.caught === undefined ? [] : [part.caught.id, ...idsIn(part.caught.block)]),
          ...idsIn(part.finally ?? []),
        ];
      case "concurrent":
        return [part.fork, ...ofArms(part.arms), part.join];
      case "begin":
        return [part.fork, ...idsIn(part.arm.block)];
      case "join":
        return [part.id];
      case "helper":
        return idsIn(part.block);
      case "jump":
        return part.id === undefined ? [] : [part.id];
    }
  });
}

interface Grouped {
  readonly group: string;
  readonly parent?: string;
  readonly nodes: string[];
}

/** The groups of an outline, outer before inner, each with the nodes that are its own. */
function groupsIn(outline: Block, isDrawn: (group: string) => boolean = () => true): Grouped[] {
  const found: Grouped[] = [];
  const walk = (block: Block, owner: Grouped | undefined): void => {
    const own = (...ids: readonly string[]) => owner?.nodes.push(...ids);
    const enter = (group: string): Grouped | undefined => {
      if (!isDrawn(group)) return owner;
      const entered = { group, ...(owner !== undefined && { parent: owner.group }), nodes: [] };
      found.push(entered);
      return entered;
    };
    for (const part of block) {
      switch (part.part) {
        case "node":
        case "join":
          own(part.id);
          break;
        case "choice":
          own(part.id);
          for (const arm of part.arms) walk(arm.block, owner);
          break;
        case "dynamic":
          own(part.id);
          for (const each of part.perhaps) walk(each, owner);
          break;
        case "loop": {
          const inner = enter(part.group);
          inner?.nodes.push(part.id);
          walk(part.test, inner);
          walk(part.block, inner);
          break;
        }
        case "attempt":
          walk(part.block, enter(part.group));
          if (part.caught !== undefined) {
            own(part.caught.id);
            walk(part.caught.block, owner);
          }
          walk(part.finally ?? [], owner);
          break;
        case "concurrent": {
          const inner = enter(part.group);
          inner?.nodes.push(part.fork);
          for (const arm of part.arms) walk(arm.block, inner);
          inner?.nodes.push(part.join);
          break;
        }
        case "begin":
          own(part.fork);
          walk(part.arm.block, owner);
          break;
        case "helper":
          walk(part.block, enter(part.group));
          break;
        case "jump":
          if (part.id !== undefined) own(part.id);
      }
    }
  };
  walk(outline, undefined);
  return found;
}

function renamed(block: Block, rename: (id: string) => string): Block {
  const arm = (each: Arm): Arm => ({ ...each, block: renamed(each.block, rename) });
  return block.map((part): Part => {
    switch (part.part) {
      case "node":
        return { ...part, id: rename(part.id) };
      case "choice":
        return { ...part, id: rename(part.id), arms: part.arms.map(arm) };
      case "dynamic":
        return { ...part, id: rename(part.id), perhaps: part.perhaps.map((each) => renamed(each, rename)) };
      case "loop":
        return {
          ...part,
          id: rename(part.id),
          group: rename(part.group),
          test: renamed(part.test, rename),
          block: renamed(part.block, rename),
        };
      case "attempt":
        return {
          ...part,
          group: rename(part.group),
          block: renamed(part.block, rename),
          ...(part.caught !== undefined && {
            caught: { id: rename(part.caught.id), block: renamed(part.caught.block, rename) },
          }),
          ...(part.finally !== undefined && { finally: renamed(part.finally, rename) }),
        };
      case "concurrent":
        return {
          ...part,
          group: rename(part.group),
          fork: rename(part.fork),
          join: rename(part.join),
          arms: part.arms.map(arm),
          begun: part.begun.map(rename),
        };
      case "begin":
        return { ...part, fork: rename(part.fork), arm: arm(part.arm) };
      case "join":
        return { ...part, id: rename(part.id), begun: part.begun.map(rename) };
      case "helper":
        return { ...part, group: rename(part.group), block: renamed(part.block, rename) };
      case "jump":
        return {
          ...part,
          ...(part.target !== undefined && { target: rename(part.target) }),
          ...(part.id !== undefined && { id: rename(part.id) }),
        };
    }
  });
}

function reachable(edges: FlowGraph["edges"]): ReadonlySet<string> {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const met = new Set<string>(["start"]);
  for (const id of met) for (const to of next.get(id) ?? []) met.add(to);
  return met;
}
