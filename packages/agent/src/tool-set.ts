/** Tool sets: tools under a name, each once, always in the order of their names. */
import { ConfigurationError } from "@stet/core";
import { assertName, shown } from "@stet/core/internal";
import type { Tool } from "./tool.ts";

/** Tools that belong together. */
export interface ToolSet {
  readonly kind: "toolSet";
  readonly name: string;
  /** In the order of their names, whatever the order in which they were given: prompts are the same everywhere. */
  readonly tools: readonly Tool[];
  /** The tool of this name, exactly. */
  get(name: string): Tool | undefined;
}

/**
 * Puts tools together under a name; sets may be made of sets.
 *
 * @example
 * ```ts
 * const reading = toolSet("reading", [tool(lookUp, { description: "Finds a customer." })]);
 * const everything = toolSet("everything", [reading, wait, askHuman]);
 * ```
 * @throws ConfigurationError when two different tools have one name.
 */
export function toolSet(name: string, members: readonly (Tool | ToolSet)[]): ToolSet {
  assertName(name, "tool set");
  const found = new Map<string, Tool>();
  for (const member of members.flatMap(toolsOf)) {
    const known = found.get(member.name);
    if (known !== undefined && known !== member) {
      const versions = [known, member].map(({ version = "none" }) => version).join(" and ");
      throw new ConfigurationError(
        `Expected the tools of ${name} to differ in name, got two ${member.name} (versions: ${versions}): rename one or leave it out`,
      );
    }
    found.set(member.name, member);
  }
  const tools = [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return Object.freeze<ToolSet>({ kind: "toolSet", name, tools, get: (wanted) => found.get(wanted) });
}

function toolsOf(member: Tool | ToolSet): readonly Tool[] {
  if (member?.kind === "tool") return [member];
  if (member?.kind === "toolSet") return member.tools;
  throw new ConfigurationError(`Expected tools to be made by tool() or toolSet(), got ${shown(member)}`);
}

/**
 * Checks that tools which are used together have what they need of each other.
 *
 * @throws ConfigurationError when a tool that another one requires is missing or has another version, or when a fallback cannot take a tool's place.
 */
export function assertComplete(set: ToolSet): void {
  const { name, tools } = set;
  for (const each of tools) {
    for (const required of each.requires) {
      const [wanted = "", version] = required.split("@");
      const found = set.get(wanted);
      if (found !== undefined && (version === undefined || found.version === version)) continue;
      const got = found === undefined ? "none" : `version ${found.version ?? "none"}`;
      throw new ConfigurationError(
        `Expected the tools of ${name} to include ${required}, which ${each.name} requires, got ${got}: add it, or leave ${each.name} out`,
      );
    }
    if (each.fallback !== undefined) assertFallback(each, set.get(each.fallback), name);
  }
}

function assertFallback(tool: Tool, fallback: Tool | undefined, set: string): void {
  const problem = problemWith(tool, fallback);
  if (problem === undefined) return;
  throw new ConfigurationError(
    `Expected the fallback ${tool.fallback} of tool ${tool.name} to be another tool of ${set} that can take its place, got ${problem}`,
  );
}

function problemWith(tool: Tool, fallback: Tool | undefined): string | undefined {
  if (fallback === undefined) return "none of this name";
  if (fallback === tool) return "itself";
  if (fallback.definition.kind === "builtIn") return "a built-in one";
  const isWorse = fallback.effect === "irreversible" && tool.effect !== "irreversible";
  return isWorse ? "an irreversible one, which would run side by side with others" : undefined;
}
