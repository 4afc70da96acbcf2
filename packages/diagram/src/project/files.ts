/** Diagrams as files of their own. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, posix, resolve } from "node:path";
import { ConfigurationError } from "@stet/core";
import type { FlowGraph } from "../graph.ts";
import { changeOf, type FileChange } from "./changes.ts";
import { type DiagramFormat, diagramFormats, formatOf } from "./formats.ts";
import type { DiagramProject } from "./project.ts";

const mark = "Drawn by stet diagram";

/**
 * What has to change in the output folder so that it holds a diagram of each of these graphs, and none besides. Files that
 * this did not write are left alone.
 *
 * @throws ConfigurationError when two orchestrations have the same name and version.
 */
export async function planDiagrams(project: DiagramProject, graphs: readonly FlowGraph[]): Promise<FileChange[]> {
  const planned = await planSome(project, graphs);
  const wanted = new Set(fileNames(graphs, project.format).values());
  const left = drawnIn(resolve(project.folder, project.outputDir)).filter((name) => !wanted.has(name));
  return [
    ...planned,
    ...left.flatMap((name) => changeOf(project.folder, posix.join(project.outputDir, name), undefined)),
  ];
}

/** The same for some of the graphs of a project: no file is too many. `all` are those of the project. */
export async function planSome(
  { folder, outputDir, format }: DiagramProject,
  some: readonly FlowGraph[],
  all: readonly FlowGraph[] = some,
): Promise<FileChange[]> {
  const names = fileNames(all, format);
  const { draw, commented } = formatOf(format);
  const changes: FileChange[] = [];
  for (const graph of some) {
    const text = commented(await draw(graph), `${mark} from ${graph.at.file}: do not edit, draw it again.`);
    changes.push(...changeOf(folder, posix.join(outputDir, names.get(graph) ?? graph.name), text));
  }
  return changes;
}

/** The version is said only where a name has several: one that rises changes a diagram, and not its place. */
function fileNames(graphs: readonly FlowGraph[], format: DiagramFormat): ReadonlyMap<FlowGraph, string> {
  const taken = new Map<string, FlowGraph>();
  for (const graph of graphs) {
    const { name, version } = graph;
    const isAlone = !graphs.some((other) => other !== graph && other.name === name && other.version !== version);
    const file = `${name}${isAlone ? "" : `@${version}`}`.replaceAll(/[^\w.@-]+/g, "-") + formatOf(format).extension;
    const other = taken.get(file);
    if (other !== undefined) {
      const places = [other, graph].map(({ at }) => `${at.file}:${at.line}`).join(" and ");
      throw new ConfigurationError(
        `Expected orchestrations to have names and versions of their own, got ${name} of version ${version} at ${places}: rename one, or leave its file out of "include"`,
      );
    }
    taken.set(file, graph);
  }
  return new Map([...taken].map(([file, graph]) => [graph, file]));
}

/** The names of the files in a folder that were drawn by us, in whatever format. */
function drawnIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const extensions = diagramFormats.map((name) => formatOf(name).extension);
  return readdirSync(folder)
    .filter((name) => extensions.some((extension) => name.endsWith(extension)))
    .filter((name) => readFileSync(join(folder, name), "utf8").slice(0, 500).includes(mark))
    .sort();
}
