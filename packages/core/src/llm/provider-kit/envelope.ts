/**
 * Some vendors want the root of a schema to be a plain object. A list, a word or a choice between objects is therefore
 * asked for as the only member of an object, and taken out of it again.
 */
import type { Payload } from "../../payload.ts";
import type { JsonSchema } from "../conversation.ts";
import { member } from "./json-reading.ts";

const content = "answer";

/** Whether the schema must be put into an envelope to be accepted. */
export function needsEnvelope(schema: JsonSchema): boolean {
  return schema["type"] !== "object" || ["anyOf", "oneOf", "allOf", "not", "enum"].some((keyword) => keyword in schema);
}

/** The schema of an object whose only member satisfies `schema`. */
export function intoEnvelope(schema: JsonSchema): JsonSchema {
  const { $defs, definitions, ...rest } = schema;
  return {
    type: "object",
    properties: { [content]: readdressed(rest) },
    required: [content],
    additionalProperties: false,
    ...($defs !== undefined && { $defs: readdressed($defs) }),
    ...(definitions !== undefined && { definitions: readdressed(definitions) }),
  };
}

/** The text of what is in the envelope. A text that is no envelope is left as it is. */
export function outOfEnvelope(text: string): string {
  try {
    const inner: unknown = member(JSON.parse(text), content);
    return inner === undefined ? text : JSON.stringify(inner);
  } catch {
    return text; // cut short or not JSON: whoever reads the answer says so better
  }
}

/** Definitions stay at the root, so only references to the root itself and into its body move. */
function readdressed(schema: Payload): Payload {
  if (typeof schema !== "object" || schema === null) return schema;
  if (isList(schema)) return schema.map(readdressed);
  return Object.fromEntries(
    Object.entries(schema).map(([name, value]) => [
      name,
      name === "$ref" && typeof value === "string" ? newAddress(value) : readdressed(value),
    ]),
  );
}

function newAddress(reference: string): string {
  if (!reference.startsWith("#") || /^#\/(\$defs|definitions)\//.test(reference)) return reference;
  return `#/properties/${content}${reference.slice(1)}`;
}

function isList(value: Payload): value is readonly Payload[] {
  return Array.isArray(value);
}
