/** Tools from a folder: whatever its modules export. */
import { readdir } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Tool } from "./tool.ts";
import { toolSet, type ToolSet } from "./tool-set.ts";

/** What {@link toolsIn} found. */
export interface ToolsInFolder {
  /** Of all modules that could be loaded, as a set that is called like the folder is. */
  readonly tools: ToolSet;
  /** Modules that could not, in the order of their names: to be logged, or to be thrown. */
  readonly broken: readonly { readonly file: string; readonly error: unknown }[];
}

/**
 * Loads the modules of a folder, and makes a set of the tools and tool sets that they export. One that is broken, or whose tools have the
 * names of others, is reported and left out. Other exports, and folders below, do not matter.
 *
 * Whoever can write to the folder can run code in your process. Load it once, at the start, and let all workers have the same.
 *
 * @example
 * ```ts
 * const { tools, broken } = await toolsIn("./tools");
 * for (const { file, error } of broken) console.error(`${file} is left out:`, error);
 * const helper = agent({ name: "helper", tools: [tools] });
 * ```
 * @param folder - Its path. Modules end in `.js` or `.mjs`, or in `.ts` or `.mts` where Node runs them.
 * @throws The error of the system when the folder cannot be read.
 */
export async function toolsIn(folder: string): Promise<ToolsInFolder> {
  const files = (await readdir(folder)).filter((file) => /(?<!\.d)\.m?[jt]s$/.test(file)).sort();
  const broken: { file: string; error: unknown }[] = [];
  const name = basename(resolve(folder));
  let tools = toolSet(name, []);
  for (const file of files) {
    const path = resolve(folder, file);
    try {
      const exported: unknown[] = Object.values((await import(pathToFileURL(path).href)) as object);
      tools = toolSet(name, [tools, ...exported.filter(isOfTools)]);
    } catch (error) {
      broken.push({ file: path, error });
    }
  }
  return { tools, broken };
}

function isOfTools(value: unknown): value is Tool | ToolSet {
  if (typeof value !== "object" || value === null || !("kind" in value)) return false;
  return value.kind === "tool" || value.kind === "toolSet";
}
