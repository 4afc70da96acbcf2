/** A project whose orchestrations are drawn: what its package.json says about it, and the graphs of its source. */
import { resolve } from "node:path";
import { ConfigurationError } from "@stet/core";
import { assertChoice, assertOptions, type NamesOf, shown } from "@stet/core/internal";
import ts from "typescript";
import type { FlowGraph } from "../graph.ts";
import { readFlowGraphs } from "../source/read-flow-graphs.ts";
import { type DiagramFormat, diagramFormats } from "./formats.ts";

/** `"stet": { "diagrams": ... }` in the package.json of a project. */
export interface DiagramConfig {
  /** @default "mermaid" */
  readonly format?: DiagramFormat;
  /** Where diagrams are written, relative to the project. @default "docs/diagrams" */
  readonly outputDir?: string;
  /**
   * Files and folders that define orchestrations, as `include` in a tsconfig.json names them.
   * @default all of the project but its tests
   */
  readonly include?: readonly string[];
}

/** A project, with the defaults filled in. */
export interface DiagramProject extends Required<DiagramConfig> {
  /** The folder of its package.json. Paths are relative to it. */
  readonly folder: string;
}

/**
 * The project in a folder, as `"stet": { "diagrams": { format, outputDir, include } }` in its package.json says.
 *
 * @throws ConfigurationError when package.json cannot be read, or says something else.
 */
export function readDiagramProject(folder: string): DiagramProject {
  const file = resolve(folder, "package.json");
  const text = ts.sys.readFile(file);
  const { stet } = (text === undefined ? {} : parsed(text, file)) as {
    readonly stet?: { readonly diagrams?: unknown };
  };
  const config = stet?.diagrams ?? {};
  assertConfig(config, file);
  return { format: "mermaid", outputDir: "docs/diagrams", include: [], ...config, folder: resolve(folder) };
}

const members: NamesOf<DiagramConfig> = { format: true, outputDir: true, include: true };

function assertConfig(config: unknown, file: string): asserts config is DiagramConfig {
  const what = `stet.diagrams in ${file}`;
  assertOptions(config, members, what);
  const { format, outputDir, include } = config as { readonly [Name in keyof DiagramConfig]: unknown };
  assertChoice(format, diagramFormats, `format of ${what}`);
  if (outputDir !== undefined && typeof outputDir !== "string") {
    throw new ConfigurationError(`Expected outputDir of ${what} to be a folder, got ${shown(outputDir)}`);
  }
  if (include !== undefined && !(Array.isArray(include) && include.every((each) => typeof each === "string"))) {
    throw new ConfigurationError(
      `Expected include of ${what} to be a list of files and folders, got ${shown(include)}`,
    );
  }
}

function parsed(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ConfigurationError(`Expected ${file} to be JSON, got ${(error as Error).message}`);
  }
}

/**
 * The flow graphs of a project, in the order of files and lines.
 *
 * @throws ConfigurationError when its source defines no orchestration.
 */
export function readProjectGraphs({ folder, include }: DiagramProject): FlowGraph[] {
  const files = sourcesIn(folder, include);
  const graphs = files.length === 0 ? [] : readFlowGraphs({ files, folder });
  if (graphs.length > 0) return graphs;
  const where = include.length === 0 ? folder : `${include.join(", ")} in ${folder}`;
  throw new ConfigurationError(
    `Expected ${where} to define orchestrations, got none in ${files.length} files: name the files in "stet": { "diagrams": { "include": [...] } } of package.json`,
  );
}

const extensions = [".ts", ".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs", ".jsx"];
const never = ["**/node_modules", "**/dist", "**/.*"];
const tests = ["**/*.test.*", "**/*.spec.*", "**/test", "**/tests"];

/** Absolute paths, in order. The compiler knows how its own patterns are meant. */
function sourcesIn(folder: string, include: readonly string[]): string[] {
  const exclude = include.length === 0 ? [...never, ...tests] : never;
  return ts.sys
    .readDirectory(folder, extensions, exclude, include.length === 0 ? undefined : include)
    .filter((file) => !/\.d\.[cm]?ts$/.test(file))
    .sort();
}

/**
 * The graphs that a reference means: `NAME`, `NAME@VERSION`, or either behind the file, as in `src/orders.ts#order`.
 *
 * @throws ConfigurationError when it means none, or several.
 */
export function graphNamed(graphs: readonly FlowGraph[], reference: string): FlowGraph {
  const meant = graphs.filter(({ name, version, at: { file } }) =>
    [name, `${name}@${version}`, `${file}#${name}`, `${file}#${name}@${version}`].includes(reference),
  );
  const [graph, ...others] = meant;
  if (graph === undefined) {
    const names = [...new Set(graphs.map(({ name }) => name))].sort().join(", ");
    throw new ConfigurationError(
      `Expected ${reference} to be an orchestration of the project, got none: it has ${names}`,
    );
  }
  if (others.length > 0) {
    const all = meant.map(({ name, version, at: { file } }) => `${file}#${name}@${version}`).join(" or ");
    throw new ConfigurationError(`Expected ${reference} to mean one orchestration, got ${meant.length}: say ${all}`);
  }
  return graph;
}
