/**
 * What was asked for on the command line.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { ticketFolder } from "./tickets.ts";

const usage = `Usage: npm start [-- [FILE-OR-FOLDER] [--db FILE]]

  FILE-OR-FOLDER  a text, or a folder of .txt and .md files, one ticket each; otherwise the twelve of samples/data
  --db FILE       keep the database there; otherwise in a new temporary folder

With OPENAI_API_KEY (and perhaps OPENAI_BASE_URL, OPENAI_MODEL) a real model answers, otherwise a mock.`;

export interface Arguments {
  readonly path: string;
  readonly database: string | undefined;
}

/** The arguments; ends the program when they are wrong. */
export function readArguments(): Arguments {
  const { values, positionals } = parsed();
  if (values.help) end(usage, 0);
  if (positionals.length > 1) end(`Expected one file or folder, got ${positionals.length}.\n\n${usage}`, 2);
  // npm moves to the project's folder; paths are meant from where it was called.
  const from = process.env["INIT_CWD"] ?? process.cwd();
  const [own] = positionals;
  const path = own === undefined ? ticketFolder : resolve(from, own);
  if (!existsSync(path)) end(`Expected ${path} to exist.`, 2);
  return { path, database: values.db === undefined ? undefined : resolve(from, values.db) };
}

function parsed() {
  try {
    return parseArgs({
      options: { db: { type: "string" }, help: { type: "boolean", short: "h" } },
      allowPositionals: true,
    });
  } catch (error) {
    return end(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`, 2);
  }
}

function end(message: string, code: number): never {
  if (code === 0) console.log(message);
  else console.error(message);
  process.exit(code);
}
