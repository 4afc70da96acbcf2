/**
 * Names on the wire: letters, digits, `_` and `-`, at most 64. Names of activities may hold more, so a tool travels under
 * a name of its own and gets its real one back with the answer.
 */
import { canonicalHash } from "../../payload.ts";
import type { LlmTool } from "../conversation.ts";

const longest = 64;

/** A name that the wire accepts: the same for the same name, different for different ones. */
export function wireName(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9_-]/g, "_");
  if (plain === name && name !== "" && name.length <= longest) return name;
  return `${plain.slice(0, longest - 9)}_${canonicalHash(name).slice(0, 8)}`;
}

/** The name behind a name on the wire. One that no tool has is left as the model wrote it. */
export function realName(onWire: string, tools: readonly LlmTool[]): string {
  return tools.find(({ name }) => wireName(name) === onWire)?.name ?? onWire;
}
