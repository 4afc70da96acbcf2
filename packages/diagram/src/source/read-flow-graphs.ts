/** A project: finds its orchestrations and reads them, with the compiler's knowledge of its types. */
import { dirname, resolve } from "node:path";
import { ConfigurationError } from "@stet/core";
import ts from "typescript";
import type { FlowGraph } from "../graph.ts";
import { Durability } from "./durability.ts";
import { Meaning } from "./meaning.ts";
import { readOrchestration } from "./read-orchestration.ts";

/** Which source to read. */
export interface SourceOptions {
  /** Files that define orchestrations. What they import is found by itself. */
  readonly files: readonly string[];
  /** The project whose compiler options hold. @default the nearest tsconfig.json above the first file, if there is one */
  readonly tsconfig?: string;
  /** What source positions are relative to. @default the working directory */
  readonly folder?: string;
}

/**
 * The flow graphs of all orchestrations that the given files define, in the order of files and lines. Nothing is run.
 *
 * What is durable is found by type: `ctx` may have any name, be destructured, handed to functions in other files, and
 * orchestrations and activities may be imported and re-exported.
 *
 * @example
 * ```ts
 * for (const graph of readFlowGraphs({ files: ["src/orchestrations.ts"] })) console.log(toMermaid(graph));
 * ```
 * @throws ConfigurationError when a file does not exist, or the project cannot be read.
 */
export function readFlowGraphs({ files, tsconfig, folder = process.cwd() }: SourceOptions): FlowGraph[] {
  const paths = files.map((file) => resolve(folder, file));
  for (const path of paths)
    if (!ts.sys.fileExists(path)) throw new ConfigurationError(`Expected ${path} to be a file, got none`);
  const options = compilerOptions(paths, tsconfig);
  // Comments are read only where they hold types: half of a declaration file is comments.
  const host = Object.assign(ts.createCompilerHost(options), {
    jsDocParsingMode: ts.JSDocParsingMode.ParseForTypeErrors,
  });
  const program = ts.createProgram(paths, options, host);
  const checker = program.getTypeChecker();
  const meaning = new Meaning(checker);
  const reading = { checker, meaning, durability: new Durability(checker, meaning), folder: resolve(folder) };
  return paths.flatMap((path) => {
    const file = program.getSourceFile(path);
    const definitions = file === undefined ? [] : definitionsIn(file, meaning);
    return definitions.flatMap((definition) => readOrchestration(reading, definition) ?? []);
  });
}

/** What `ts.readConfigFile` answers, without `any`. */
interface ReadConfig {
  readonly config?: unknown;
  readonly error?: ts.Diagnostic;
}

function definitionsIn(file: ts.SourceFile, meaning: Meaning): ts.CallExpression[] {
  const found: ts.CallExpression[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && meaning.definition(node) === "orchestration") found.push(node);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

function compilerOptions([first = "."]: readonly string[], tsconfig: string | undefined): ts.CompilerOptions {
  const path =
    tsconfig === undefined ? ts.findConfigFile(dirname(first), (file) => ts.sys.fileExists(file)) : resolve(tsconfig);
  const needed: ts.CompilerOptions = { noEmit: true, skipLibCheck: true, allowJs: true };
  if (path === undefined) {
    const { ES2023 } = ts.ScriptTarget;
    return {
      ...needed,
      target: ES2023,
      module: ts.ModuleKind.NodeNext,
      strict: true,
      allowImportingTsExtensions: true,
    };
  }
  const { config, error } = ts.readConfigFile(path, (file) => ts.sys.readFile(file)) as ReadConfig;
  if (error !== undefined) {
    throw new ConfigurationError(
      `Expected ${path} to be a project, got ${ts.flattenDiagnosticMessageText(error.messageText, " ")}`,
    );
  }
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, dirname(path));
  return { ...options, ...needed, composite: false, incremental: false, declaration: false, declarationMap: false };
}
