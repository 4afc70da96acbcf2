/**
 * Schemas: any library that speaks Standard Schema (https://standardschema.dev) can guard an input, an event or a model
 * answer. Zod does; a JSON Schema document is taken where a model is asked for structured output.
 */
import { z } from "zod";
import { ConfigurationError, InputError } from "./errors.ts";
import type { JsonSchema } from "./llm/conversation.ts";
import type { Payload } from "./payload.ts";

/** What Standard Schema says a schema is, as far as it is used here. */
export interface Schema<Value = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaVerdict<Value> | Promise<SchemaVerdict<Value>>;
    readonly types?: { readonly input: unknown; readonly output: Value } | undefined;
  };
}

/** Outcome of a validation. */
export type SchemaVerdict<Value> =
  { readonly value: Value; readonly issues?: undefined } | { readonly issues: readonly SchemaIssue[] };

/** One thing wrong with a value. */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** The value as the schema returns it, or the issues in words. */
export type Checked<Value> = { readonly value: Value } | { readonly problem: string; readonly details: Payload };

/**
 * Checks a value against a schema.
 *
 * @param what - How errors name the schema.
 * @throws ConfigurationError when the schema validates asynchronously: replay cannot wait for it.
 */
export function check<Value>(schema: Schema<Value>, value: unknown, what: string): Checked<Value> {
  const verdict = schema["~standard"].validate(value);
  if (verdict instanceof Promise) {
    throw new ConfigurationError(`Expected the schema of ${what} to validate synchronously, got a promise`);
  }
  if (verdict.issues === undefined) return { value: verdict.value };
  const details = verdict.issues.map(({ message, path = [] }) => ({ path: pathOf(path), message }));
  return { problem: details.map(({ path, message }) => `${message} at ${path}`).join("; "), details };
}

/** @throws InputError listing what is wrong and where. */
export function assertValid<Value>(schema: Schema<Value>, value: unknown, what: string): Value {
  const checked = check(schema, value, what);
  if ("value" in checked) return checked.value;
  throw new InputError(`Expected ${what} to satisfy its schema, got: ${checked.problem}`, { details: checked.details });
}

/** Whether something is a schema that can validate, rather than a JSON Schema document. */
export function isSchema(candidate: unknown): candidate is Schema {
  return typeof candidate === "object" && candidate !== null && "~standard" in candidate;
}

/** Writing a document takes longer than asking a store, and a call needs one each time. */
const written = new WeakMap<Schema, JsonSchema>();

/** The JSON Schema of a schema, for a model to answer by. Documents are returned as they are. */
export function jsonSchemaOf(schema: Schema | JsonSchema): JsonSchema {
  if (!isSchema(schema)) return schema;
  const known = written.get(schema);
  if (known !== undefined) return known;
  if (schema["~standard"].vendor !== "zod") {
    throw new ConfigurationError(
      `Expected a Zod schema or a JSON Schema document, got a schema of ${schema["~standard"].vendor}`,
    );
  }
  const { $schema: _dialect, ...document } = z.toJSONSchema(schema as unknown as z.ZodType, { io: "input", override });
  written.set(schema, document as JsonSchema);
  return document as JsonSchema;
}

/** A plain `z.object` drops what it does not know, so the model need not invent any: its document is closed. */
function override({
  zodSchema,
  jsonSchema,
}: {
  zodSchema: z.core.$ZodTypes;
  jsonSchema: { [key: string]: unknown };
}): void {
  const { def } = zodSchema._zod;
  if (def.type === "object" && def.catchall === undefined) jsonSchema["additionalProperties"] = false;
}

/** A schema that checks by a JSON Schema document. */
export function schemaOfJson(document: JsonSchema): Schema<Payload> {
  return z.fromJSONSchema(document as Parameters<typeof z.fromJSONSchema>[0]) as unknown as Schema<Payload>;
}

function pathOf(path: NonNullable<SchemaIssue["path"]>): string {
  return path.reduce<string>((text, part) => {
    const key = typeof part === "object" ? part.key : part;
    return typeof key === "number" ? `${text}[${key}]` : `${text}.${String(key)}`;
  }, "$");
}
