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
  for (const member of members.flatMap(toolsIn)) {
    const known = found.get(member.name);
    if (known !== undefined && known !== member) {
      throw new ConfigurationError(
        `Expected the tools of ${name} to differ in name, got two ${member.name}: rename one`,
      );
    }
    found.set(member.name, member);
  }
  const tools = [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return Object.freeze<ToolSet>({ kind: "toolSet", name, tools, get: (wanted) => found.get(wanted) });
}

function toolsIn(member: Tool | ToolSet): readonly Tool[] {
  if (member?.kind === "tool") return [member];
  if (member?.kind === "toolSet") return member.tools;
  throw new ConfigurationError(`Expected tools to be made by tool() or toolSet(), got ${shown(member)}`);
}
