/** Mermaid sequence diagrams: who is asked, in which order, drawn from the outline. */
import type { Arm, Block, FlowGraph, FlowNode, Part } from "../graph.ts";
import { headingOf, labelOf } from "./looks.ts";

/**
 * A Mermaid sequence diagram: the orchestration, the activities and orchestrations that it calls, the model and the world
 * outside. Ways that part are `alt`, what runs beside each other is `par`, repetition is `loop`; what is done about a
 * failure stands beside what may fail.
 *
 * @example
 * ```ts
 * const [graph] = readFlowGraphs({ files: ["src/orchestrations.ts"] });
 * if (graph !== undefined) console.log(toMermaidSequence(graph));
 * ```
 */
export function toMermaidSequence(graph: FlowGraph): string {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const participants = new Map<string, string>();
  const heading = headingOf(graph);
  const lines = ["sequenceDiagram", `  participant o as ${escaped(heading ?? graph.name)}`];
  for (const node of graph.nodes) {
    const participant = participantOf(node);
    if (participant === undefined || participants.has(participant)) continue;
    const id = `p${participants.size + 1}`;
    participants.set(participant, id);
    const title = node.title === undefined ? participant : labelOf({ ...node, label: node.title });
    lines.push(`  participant ${id} as ${escaped(title)}`);
  }
  new Sequence(nodes, participants, lines).block(graph.outline, "  ");
  return `${lines.join("\n")}\n`;
}

/** Who is spoken to. The orchestration itself keeps time. */
function participantOf({ kind, label, name }: FlowNode): string | undefined {
  switch (kind) {
    case "activity":
    case "subOrchestration":
    case "startOrchestration":
      return name ?? label;
    case "model":
      return "model";
    case "event":
    case "sendEvent":
      return "the world outside";
    default:
      return undefined;
  }
}

class Sequence {
  readonly #nodes: ReadonlyMap<string, FlowNode>;
  readonly #participants: ReadonlyMap<string, string>;
  readonly #lines: string[];

  constructor(nodes: ReadonlyMap<string, FlowNode>, participants: ReadonlyMap<string, string>, lines: string[]) {
    this.#nodes = nodes;
    this.#participants = participants;
    this.#lines = lines;
  }

  block(block: Block, margin: string): void {
    for (const part of block) this.#part(part, margin);
  }

  #part(part: Part, margin: string): void {
    switch (part.part) {
      case "node":
      case "join":
        return this.#message(part.id, margin);
      case "choice":
        return this.#choice(part, margin);
      case "dynamic":
        this.#message(part.id, margin);
        for (const block of part.perhaps) this.#frame("opt perhaps", block, margin);
        return;
      case "loop": {
        const { id, form, test, block } = part;
        return this.#frame(
          `loop ${this.#label(id)}`,
          form === "doWhile" ? [...block, ...test] : [...test, ...block],
          margin,
        );
      }
      case "attempt": {
        const { block, caught } = part;
        if (caught === undefined || !this.#nodes.has(caught.id)) this.block(block, margin);
        else {
          const failed = { label: this.#label(caught.id), block: caught.block };
          this.#sections("alt", "else", [{ label: "try", block }, failed], margin);
        }
        return this.block(part.finally ?? [], margin);
      }
      case "concurrent":
        return this.#sections("par", "and", part.arms, margin, this.#nodes.get(part.fork)?.mode);
      case "begin":
        return this.#sections("par", "and", [part.arm], margin, this.#label(part.fork) || "begin");
      case "helper":
        return this.block(part.block, margin);
      case "jump":
        return this.#jump(part, margin);
    }
  }

  #choice({ id, arms }: Extract<Part, { part: "choice" }>, margin: string): void {
    const title = this.#label(id);
    const [only, ...others] = arms.filter(({ block }) => block.length > 0);
    if (only === undefined) return;
    if (others.length > 0) this.#sections("alt", "else", arms, margin, title);
    else this.#frame(`opt ${title}: ${escaped(only.label)}`, only.block, margin);
  }

  #message(id: string, margin: string): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return; // no way leads there
    const to = this.#participants.get(participantOf(node) ?? "");
    const label = escaped(node.label);
    switch (node.kind) {
      case "activity":
      case "subOrchestration":
      case "model":
        this.#lines.push(`${margin}o->>${to}: ${label}`, `${margin}${to}-->>o: answer`);
        return;
      case "event":
        this.#lines.push(`${margin}${to}->>o: ${label}`);
        return;
      case "startOrchestration":
      case "sendEvent":
        this.#lines.push(`${margin}o-)${to}: ${label}`);
        return;
      default:
        if (label !== "") this.#lines.push(`${margin}Note over o: ${label}`);
    }
  }

  #jump({ to, target, id }: Extract<Part, { part: "jump" }>, margin: string): void {
    if (id !== undefined) return this.#message(id, margin);
    if (to === "break" && this.#nodes.get(target ?? "")?.kind !== "loop") return; // the end of a case
    const said = { return: "return", break: "leave the loop", continue: "go on with the next", throw: "throw" }[to];
    this.#lines.push(`${margin}Note over o: ${said}`);
  }

  #frame(head: string, block: Block, margin: string): void {
    this.#lines.push(`${margin}${head}`);
    this.block(block, `${margin}  `);
    this.#lines.push(`${margin}end`);
  }

  #sections(first: string, other: string, arms: readonly Arm[], margin: string, title = ""): void {
    arms.forEach(({ label, block, many }, i) => {
      const said = [i === 0 ? title : "", escaped(label)].filter((text) => text !== "").join(": ");
      this.#lines.push(`${margin}${i === 0 ? first : other} ${said}`.trimEnd());
      if (many === true) this.#frame("loop each", block, `${margin}  `);
      else this.block(block, `${margin}  `);
    });
    this.#lines.push(`${margin}end`);
  }

  #label(id: string): string {
    return escaped(this.#nodes.get(id)?.label ?? "");
  }
}

/** Text on a line: what ends it or begins something is written as an entity. */
function escaped(text: string): string {
  return text.replaceAll(/[#;<>&]/g, (character) => `#${character.codePointAt(0)};`);
}
