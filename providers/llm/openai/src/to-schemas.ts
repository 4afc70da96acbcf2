/** Schemas on their way to OpenAI: in strict mode where it takes them, in an envelope where it wants an object. */
import type { JsonSchema, LlmRequest, LlmTool } from "@stet/core";
import { intoEnvelope, needsEnvelope, wireName } from "@stet/core/provider-kit";
import { fitsStrictMode } from "./strict-schema.ts";

/** How an answer is asked for by a schema. */
export function toFormat({ name, schema }: NonNullable<LlmRequest["format"]>): {
  name: string;
  schema: { [key: string]: unknown };
  strict: boolean;
} {
  const document = withoutDialect(schema);
  const accepted = needsEnvelope(document) ? intoEnvelope(document) : document;
  return { name: wireName(name), schema: accepted, strict: fitsStrictMode(accepted) };
}

/** How a tool is offered. */
export function toFunction({ name, description, parameters }: LlmTool): {
  name: string;
  description?: string;
  parameters: { [key: string]: unknown };
  strict: boolean;
} {
  const document = withoutDialect(parameters);
  return {
    name: wireName(name),
    ...(description !== undefined && { description }),
    parameters: document,
    strict: fitsStrictMode(document),
  };
}

function withoutDialect({ $schema: _dialect, ...schema }: JsonSchema): JsonSchema {
  return schema;
}
