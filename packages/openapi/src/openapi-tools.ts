/** Tools from an OpenAPI document: each operation is one, and each call of it a recorded activity. */
import { type Tool, tool, toolSet, type ToolSet } from "@stet/agent";
import { activity, ConfigurationError, type Duration, type Effect, type JsonSchema } from "@stet/core";
import { assertOptions, type NamesOf, schemaOfJson } from "@stet/core/internal";
import { type Arguments, request } from "./request.ts";
import { type ApiOperation, readOperations } from "./operations.ts";

/** Which document, which of its operations, and how they are called. */
export interface OpenApiOptions {
  /** A file in JSON or YAML, or the document itself. References to other files are not followed. */
  readonly document: string | object;
  /** Where the server is. @default the first server of the document */
  readonly baseUrl?: string;
  /** Sent with every request, e.g. `authorization`. No model sees them or can change them. */
  readonly headers?: { readonly [name: string]: string };
  /** The operations that become tools, by id. @default all */
  readonly only?: readonly string[];
  /**
   * What running an operation twice would mean.
   * @default by method: `"pure"` for GET, HEAD and OPTIONS, `"idempotent"` for PUT and DELETE, otherwise `"irreversible"`
   */
  readonly effect?: (operation: ApiOperation) => Effect;
  /** Longest time of one call. @default "30s" */
  readonly timeout?: Duration;
  /** Most bytes of an answer. The rest is not read. @default 100000 */
  readonly maxResponseBytes?: number;
}

/**
 * Makes tools of an OpenAPI 3 document, each named `<name>_<operationId>`.
 *
 * @example
 * ```ts
 * import { agent } from "@stet/agent";
 *
 * const shop = await openApiTools("shop", {
 *   document: "shop.openapi.yaml",
 *   headers: { authorization: `Bearer ${process.env["SHOP_KEY"]}` },
 *   only: ["getOrder", "refundOrder"],
 * });
 * const support = agent({ name: "support", tools: [shop], guardrails: { approval: ["shop_refundOrder"] } });
 * ```
 * @throws ConfigurationError when the document is not valid, or an operation cannot become a tool.
 */
export async function openApiTools(name: string, options: OpenApiOptions): Promise<ToolSet> {
  assertOptions(options, optionNames, `the OpenAPI tools ${name}`);
  const { operations, server } = await readOperations(options.document);
  const { only = operations.map(({ id }) => id), baseUrl = server } = options;
  const wanted = only.map((id) => {
    const found = operations.find((operation) => operation.id === id);
    if (found !== undefined) return found;
    const known = operations.map((operation) => operation.id).join(", ");
    throw new ConfigurationError(`Expected only of ${name} to name operations (${known}), got ${id}`);
  });
  if (baseUrl === undefined || !URL.canParse(baseUrl)) {
    throw new ConfigurationError(
      `Expected ${name} to have a whole address as its server, got ${baseUrl}: give baseUrl`,
    );
  }
  return toolSet(
    name,
    wanted.map((operation) => toolOf(name, operation, baseUrl, options)),
  );
}

const optionNames: NamesOf<OpenApiOptions> = {
  document: true,
  baseUrl: true,
  headers: true,
  only: true,
  effect: true,
  timeout: true,
  maxResponseBytes: true,
};

function toolOf(set: string, operation: ApiOperation, baseUrl: string, options: OpenApiOptions): Tool {
  const { headers = {}, effect: effectOf = byMethod, timeout = "30s", maxResponseBytes = 100_000 } = options;
  const effect = effectOf(operation);
  const name = `${set}_${operation.id}`.replaceAll(/[^\w-]+/g, "_").slice(0, 64);
  const call = activity(name, { effect }, async ({ signal, idempotencyKey }, args: Arguments) =>
    request(operation, args, { baseUrl, headers, effect, signal, idempotencyKey, maxResponseBytes }),
  );
  const { description, schema } = operation;
  if (isCheckable(schema)) return tool(call, { description, parameters: schema, timeout });
  // The server checks them itself; the model is told what it takes.
  const told = `${description}\nIts arguments by JSON Schema: ${JSON.stringify(schema)}`;
  return tool(call, { description: told, parameters: { type: "object" }, timeout });
}

function byMethod({ method }: ApiOperation): Effect {
  if (["GET", "HEAD", "OPTIONS"].includes(method)) return "pure";
  return method === "PUT" || method === "DELETE" ? "idempotent" : "irreversible";
}

/** Whether arguments can be checked before they are sent: not every keyword of JSON Schema is understood. */
function isCheckable(schema: JsonSchema): boolean {
  try {
    schemaOfJson(schema);
    return true;
  } catch {
    return false;
  }
}
