/**
 * Diagrams in Markdown: the fenced block behind a comment that names an orchestration, as `<!-- stet diagram order -->` or
 * `<!-- stet diagram src/orders.ts#order sequence -->`.
 */
import { readFileSync } from "node:fs";
import { relative, resolve, sep } from "node:path";
import { ConfigurationError } from "@stet/core";
import ts from "typescript";
import type { FlowGraph } from "../graph.ts";
import { changeOf, type FileChange } from "./changes.ts";
import { type DiagramFormat, diagramFormats, drawDiagram, formatOf } from "./formats.ts";
import { type DiagramProject, graphNamed } from "./project.ts";

/**
 * What has to change in Markdown files so that the diagrams in them are those of the graphs.
 *
 * @param files relative to the project. By default all of its Markdown.
 * @throws ConfigurationError when a comment names no orchestration, several, or a format that cannot stand in Markdown.
 */
export async function planEmbedded(
  { folder }: DiagramProject,
  graphs: readonly FlowGraph[],
  files: readonly string[] = [],
): Promise<FileChange[]> {
  const paths = files.length === 0 ? markdownIn(folder) : files.map((file) => resolve(folder, file));
  const changes: FileChange[] = [];
  for (const path of paths) {
    const file = relative(folder, path).split(sep).join("/");
    const text = readMarkdown(path);
    const parts: string[] = [];
    let end = 0;
    for (const { reference, format, from, to } of placesIn(text, file)) {
      const drawn = await drawDiagram(graphNamed(graphs, reference), format);
      const block = `\`\`\`${formatOf(format).fence}\n${drawn.trimEnd()}\n\`\`\``;
      parts.push(text.slice(end, from), from === to ? `${block}\n` : block);
      end = to;
    }
    changes.push(...changeOf(folder, file, parts.join("") + text.slice(end)));
  }
  return changes;
}

/** Where a diagram goes. */
interface Place {
  readonly reference: string;
  readonly format: DiagramFormat;
  readonly from: number;
  readonly to: number;
}

const place = /^<!-- stet diagram (\S+)(?: (\S+))? -->\n(?:\n?(```)[^`\n]*\n[\s\S]*?\n```(?=\n|$))?/gm;
const fenced = /^(`{3,}|~{3,})[^\n]*\n(?:[\s\S]*?\n)?\1(?=\n|$)/gm;

function placesIn(text: string, file: string): Place[] {
  const found = Array.from(text.matchAll(place));
  const owned = found.map((match) => [match.index, match.index + match[0].length] as const);
  // A comment inside a block that is nobody's is only shown.
  const shown = Array.from(
    text.matchAll(fenced),
    (match) => [match.index, match.index + match[0].length] as const,
  ).filter(([from]) => !owned.some(([begin, end]) => from > begin && from < end));
  return found
    .filter(({ index }) => !shown.some(([from, to]) => index > from && index < to))
    .map(({ 0: whole, 1: reference = "", 2: format = "mermaid", 3: fence, index }) => {
      if (!isEmbeddable(format)) {
        const choices = diagramFormats.filter(isEmbeddable).join(", ");
        throw new ConfigurationError(
          `Expected the diagram of ${reference} in ${file} to be one of ${choices}, got ${format}`,
        );
      }
      const to = index + whole.length;
      return { reference, format, from: fence === undefined ? to : index + whole.indexOf(fence), to };
    });
}

function isEmbeddable(format: string): format is DiagramFormat {
  return diagramFormats.some((each) => each === format && formatOf(each).fence !== undefined);
}

function markdownIn(folder: string): string[] {
  return ts.sys.readDirectory(folder, [".md"], ["**/node_modules", "**/.*"]).sort();
}

function readMarkdown(path: string): string {
  try {
    return readFileSync(path, "utf8").replaceAll("\r\n", "\n");
  } catch (error) {
    throw new ConfigurationError(`Expected ${path} to be a Markdown file, got ${(error as Error).message}`);
  }
}
