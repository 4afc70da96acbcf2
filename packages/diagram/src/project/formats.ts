/** The formats by their names: how each is drawn, what its files are called, and how a comment is written in it. */
import type { FlowGraph } from "../graph.ts";
import { toDot } from "../render/dot.ts";
import { toJson } from "../render/json.ts";
import { toMermaidSequence } from "../render/mermaid-sequence.ts";
import { toMermaid } from "../render/mermaid.ts";
import { toPlantUml } from "../render/plantuml.ts";
import { toPreview } from "../render/preview.ts";
import { toSvg } from "../render/svg.ts";

/** What a diagram can be written as. */
export type DiagramFormat = "mermaid" | "sequence" | "dot" | "plantuml" | "svg" | "json" | "preview";

/** One format. */
interface Format {
  readonly draw: (graph: FlowGraph) => string | Promise<string>;
  /** What files end with. */
  readonly extension: string;
  /** The language of a fenced block in Markdown. Absent: it cannot stand in one. */
  readonly fence?: string;
  /** The text with a line for whoever opens the file. */
  readonly commented: (text: string, line: string) => string;
}

const formats: { readonly [Name in DiagramFormat]: Format } = {
  mermaid: {
    draw: toMermaid,
    extension: ".mmd",
    fence: "mermaid",
    // The title stands above everything.
    commented: (text, line) => text.replace(/^flowchart/m, `%% ${line}\nflowchart`),
  },
  sequence: {
    draw: toMermaidSequence,
    extension: ".sequence.mmd",
    fence: "mermaid",
    commented: (text, line) => `%% ${line}\n${text}`,
  },
  dot: { draw: toDot, extension: ".dot", fence: "dot", commented: (text, line) => `// ${line}\n${text}` },
  plantuml: {
    draw: toPlantUml,
    extension: ".puml",
    fence: "plantuml",
    commented: (text, line) => `' ${line}\n${text}`,
  },
  svg: { draw: toSvg, extension: ".svg", commented: (text, line) => `<!-- ${line} -->\n${text}` },
  json: {
    draw: toJson,
    extension: ".json",
    fence: "json",
    commented: (text, line) => text.replace("{\n", `{\n  "$comment": ${JSON.stringify(line)},\n`),
  },
  preview: { draw: toPreview, extension: ".txt", fence: "text", commented: (text, line) => `${line}\n${text}` },
};

/** The names of all formats. */
export const diagramFormats: readonly DiagramFormat[] = Object.keys(formats) as DiagramFormat[];

/** The format of this name. */
export function formatOf(name: DiagramFormat): Format {
  return formats[name];
}

/**
 * A flow graph in any format.
 *
 * @example
 * ```ts
 * const [graph] = readFlowGraphs({ files: ["src/orchestrations.ts"] });
 * if (graph !== undefined) console.log(await drawDiagram(graph, "svg"));
 * ```
 */
export async function drawDiagram(graph: FlowGraph, format: DiagramFormat): Promise<string> {
  return formats[format].draw(graph);
}
