/**
 * A picture for terminals: frames in frames, as the code has it. It is drawn from the outline, not from the edges: there is
 * nothing to lay out, no line crosses another, and it is as wide as its longest label.
 */
import stringWidth from "string-width";
import type { Arm, Block, FlowGraph, FlowNodeKind, Part } from "../graph.ts";
import { headingOf, labelOf } from "./looks.ts";

/**
 * A picture of text, to be read in a terminal. Its frames are what the code has: decisions with a section for each way, loops,
 * attempts with what is done about a failure, and what runs beside each other.
 *
 * @example
 * ```ts
 * const [graph] = readFlowGraphs({ files: ["src/orchestrations.ts"] });
 * if (graph !== undefined) console.log(toPreview(graph));
 * ```
 */
export function toPreview(graph: FlowGraph): string {
  const lines = new Preview(graph).block(graph.outline);
  return `${framed([{ title: headingOf(graph) ?? graph.name, lines }]).join("\n")}\n`;
}

/** A part of a frame, under its title. */
interface Section {
  readonly title: string;
  readonly lines: readonly string[];
}

/** What is said before a label that does not say it. */
const words: { readonly [Kind in FlowNodeKind]?: string } = {
  activity: "activity ",
  event: "event ",
  subOrchestration: "sub-orchestration ",
  model: "model ",
};

class Preview {
  readonly #texts: ReadonlyMap<string, string>;
  readonly #groups: ReadonlyMap<string, string>;

  constructor({ nodes, groups }: FlowGraph) {
    this.#texts = new Map(
      nodes.map((node) => [node.id, `${words[node.kind] ?? ""}${labelOf(node).replace("\n", ": ")}`]),
    );
    this.#groups = new Map(groups.map(({ id, label }) => [id, label]));
  }

  block(block: Block): string[] {
    return block.flatMap((part) => this.#part(part));
  }

  #part(part: Part): string[] {
    switch (part.part) {
      case "node":
        return this.#line(part.id);
      case "join":
        return this.#line(part.id, "wait for what was begun");
      case "choice":
        return this.#sections(`${this.#text(part.id)}?`, part.arms);
      case "dynamic": {
        const perhaps = part.perhaps.map((block) => ({ title: "perhaps", lines: this.block(block) }));
        return perhaps.length === 0
          ? this.#line(part.id)
          : framed([{ title: this.#text(part.id), lines: [] }, ...perhaps]);
      }
      case "loop": {
        const { id, form, test, block } = part;
        const lines = this.block(form === "doWhile" ? [...block, ...test] : [...test, ...block]);
        return framed([{ title: this.#text(id), lines }]);
      }
      case "attempt": {
        const { block, caught } = part;
        const isDrawn = caught !== undefined && this.#texts.has(caught.id);
        return framed([
          { title: "try", lines: this.block(block) },
          ...(isDrawn ? [{ title: this.#text(caught.id), lines: this.block(caught.block) }] : []),
          ...(part.finally === undefined ? [] : [{ title: "finally", lines: this.block(part.finally) }]),
        ]);
      }
      case "concurrent":
        return this.#sections(this.#groups.get(part.group) ?? "", part.arms);
      case "begin":
        return this.#sections(this.#text(part.fork) || "begin, and go on", [part.arm]);
      case "helper": {
        const title = this.#groups.get(part.group);
        const lines = this.block(part.block);
        return title === undefined ? lines : framed([{ title, lines }]);
      }
      case "jump":
        return part.id === undefined ? [jumps[part.to]] : this.#line(part.id);
    }
  }

  #sections(title: string, arms: readonly Arm[]): string[] {
    const sections = arms
      .map(({ label, block, many }) => ({
        title: label === "" && many === true ? "each" : label,
        lines: this.block(block),
      }))
      .filter(({ lines }) => lines.length > 0);
    const [first, ...others] = sections;
    return framed(first?.title === "" ? [{ ...first, title }, ...others] : [{ title, lines: [] }, ...sections]);
  }

  /** A node on a line; nothing when no way leads there. */
  #line(id: string, otherwise = ""): string[] {
    const text = this.#texts.get(id);
    return text === undefined ? [] : [text === "" ? otherwise : text];
  }

  #text(id: string): string {
    return this.#texts.get(id) ?? "";
  }
}

const jumps = { return: "return", break: "leave", continue: "go on with the next", throw: "throw" } as const;

/** Sections in one frame. */
function framed(sections: readonly Section[]): string[] {
  const width = Math.max(
    ...sections.flatMap(({ title, lines }) => [stringWidth(title) + 1, ...lines.map((line) => stringWidth(line))]),
  );
  const fill = (text: string, to: number, what: string) => `${text}${what.repeat(Math.max(0, to - stringWidth(text)))}`;
  return [
    ...sections.flatMap(({ title, lines }, i) => {
      const [left, right] = i === 0 ? ["┌", "┐"] : ["├", "┤"];
      return [
        `${left}${fill(title === "" ? "" : ` ${title} `, width + 2, "─")}${right}`,
        ...lines.map((line) => `│ ${fill(line, width, " ")} │`),
      ];
    }),
    `└${"─".repeat(width + 2)}┘`,
  ];
}
