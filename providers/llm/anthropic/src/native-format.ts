/**
 * The part of JSON Schema that Anthropic takes for answers. The SDK's own translation closes every object, also those
 * that are meant to be open, and knows no recursion; so a schema that would lose by it is not translated.
 */
import { transformJSONSchema } from "@anthropic-ai/sdk/lib/transform-json-schema";
import type { JsonSchema, Payload } from "@stet/core";

/** The schema as Anthropic takes it, or nothing when it cannot be said that way. */
export function nativeFormat({ $schema: _dialect, ...schema }: JsonSchema): { [key: string]: unknown } | undefined {
  return fits(schema, schema, []) ? transformJSONSchema(schema) : undefined;
}

/** Keywords that take a schema apart in ways that the translation does not know. */
const unknown = ["allOf", "not", "if", "prefixItems", "patternProperties", "definitions", "$dynamicRef", "$id"];

function fits(schema: Payload | undefined, root: JsonSchema, within: readonly string[]): boolean {
  if (!isSchema(schema) || unknown.some((keyword) => keyword in schema)) return false;
  const { type, anyOf, oneOf, items, $ref } = schema;
  if ($ref !== undefined) return refersWell($ref, root, within);
  const choices = anyOf ?? oneOf;
  if (choices !== undefined) {
    return type === undefined && isList(choices) && choices.every((choice) => fits(choice, root, within));
  }
  if (type === undefined) return "enum" in schema || "const" in schema;
  if (isList(type)) return !type.includes("object") && !type.includes("array");
  if (type === "array") return fits(items, root, within);
  return type !== "object" || objectFits(schema, root, within);
}

/** An object without members, or with members of any name, is open though it may not say so. */
function objectFits(
  { properties, additionalProperties }: JsonSchema,
  root: JsonSchema,
  within: readonly string[],
): boolean {
  if (additionalProperties !== false && (additionalProperties !== undefined || properties === undefined)) return false;
  if (properties === undefined) return true;
  return isSchema(properties) && Object.values(properties).every((property) => fits(property, root, within));
}

/** To a definition at the root that does not lead back to itself. */
function refersWell(reference: Payload, root: JsonSchema, within: readonly string[]): boolean {
  const name = typeof reference === "string" ? /^#\/\$defs\/([^/]+)$/.exec(reference)?.[1] : undefined;
  if (name === undefined || within.includes(name) || !isSchema(root["$defs"])) return false;
  return fits(root["$defs"][name], root, [...within, name]);
}

function isSchema(value: Payload | undefined): value is JsonSchema {
  return typeof value === "object" && value !== null && !isList(value);
}

function isList(value: Payload | undefined): value is readonly Payload[] {
  return Array.isArray(value);
}
