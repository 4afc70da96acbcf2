/**
 * The part of JSON Schema that OpenAI's strict mode takes: every object closed, every property required, the root a plain
 * object, and no keyword it does not know. Strict mode makes the model unable to leave the schema; a schema outside the
 * part is sent without it and guides only.
 */
import type { JsonSchema, Payload } from "@stet/core";

/** Keywords that strict mode accepts. Whatever is not here might be refused with a 400. */
const known: ReadonlySet<string> = new Set([
  ...["type", "title", "description", "enum", "const", "anyOf", "$ref", "$defs", "definitions"],
  ...["properties", "required", "additionalProperties", "items", "minItems", "maxItems"],
  ...["pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
]);

const formats: ReadonlySet<Payload> = new Set([
  ...["date-time", "date", "time", "duration"],
  ...["email", "hostname", "ipv4", "ipv6", "uuid"],
]);

/** Levels of nesting that strict mode accepts. */
const deepest = 10;

/** Whether strict mode accepts the schema as it stands. */
export function fitsStrictMode(schema: JsonSchema): boolean {
  return schema["type"] === "object" && !("anyOf" in schema) && fits(schema, 0);
}

function fits(schema: Payload | undefined, depth: number): boolean {
  if (!isSchema(schema) || depth > deepest) return false;
  const { format, anyOf, items } = schema;
  return (
    Object.keys(schema).every((keyword) => known.has(keyword)) &&
    ("type" in schema || "anyOf" in schema || "$ref" in schema || "enum" in schema || "const" in schema) &&
    (format === undefined || formats.has(format)) &&
    (anyOf === undefined || (isList(anyOf) && anyOf.every((option) => fits(option, depth)))) &&
    (items === undefined || fits(items, depth + 1)) &&
    definitionsFit(schema["$defs"]) &&
    definitionsFit(schema["definitions"]) &&
    objectFits(schema, depth)
  );
}

function objectFits(schema: JsonSchema, depth: number): boolean {
  const { type, properties, required, additionalProperties } = schema;
  const isObject = type === "object" || (isList(type) && type.includes("object"));
  if (!isObject) return properties === undefined && additionalProperties === undefined;
  if (additionalProperties !== false) return false;
  const members = properties === undefined ? {} : properties;
  if (!isSchema(members)) return false;
  const names = Object.keys(members);
  const named = isList(required) ? required : [];
  return (
    names.every((name) => named.includes(name)) &&
    named.every((name) => typeof name === "string" && Object.hasOwn(members, name)) &&
    Object.values(members).every((property) => fits(property, depth + 1))
  );
}

function definitionsFit(definitions: Payload | undefined): boolean {
  if (definitions === undefined) return true;
  return isSchema(definitions) && Object.values(definitions).every((definition) => fits(definition, 0));
}

function isSchema(value: Payload | undefined): value is JsonSchema {
  return typeof value === "object" && value !== null && !isList(value);
}

function isList(value: Payload | undefined): value is readonly Payload[] {
  return Array.isArray(value);
}
