/** Reading an OpenAPI document: its operations, with the JSON Schema of what each takes. Nothing outside of it is fetched. */
import { compileErrors, dereference, parse, validate } from "@readme/openapi-parser";
import { ConfigurationError, type JsonSchema } from "@stet/core";
import { z } from "zod";

/** One operation of a document. */
export interface ApiOperation {
  /** Its `operationId`, or its method and path. */
  readonly id: string;
  /** In capitals. */
  readonly method: string;
  /** With places for parameters, as in `/orders/{id}`. */
  readonly path: string;
  readonly description: string;
  readonly parameters: readonly { readonly name: string; readonly in: "path" | "query" | "header" }[];
  readonly hasBody: boolean;
  /** Of all arguments: the parameters by name, and `body`. */
  readonly schema: JsonSchema;
}

const methods = ["get", "put", "post", "delete", "options", "head", "patch"] as const;

const schema = z.record(z.string(), z.json());
const parameter = z.looseObject({
  name: z.string(),
  in: z.string(),
  required: z.boolean().default(false),
  description: z.string().optional(),
  schema: schema.optional(),
});
const operation = z.looseObject({
  operationId: z.string().optional(),
  summary: z.string().optional(),
  description: z.string().optional(),
  parameters: z.array(parameter).default([]),
  requestBody: z
    .looseObject({
      required: z.boolean().default(false),
      content: z.record(z.string(), z.looseObject({ schema: schema.optional() })),
    })
    .optional(),
});
const pathItem = z.looseObject({
  parameters: z.array(parameter).default([]),
  ...Object.fromEntries(methods.map((method) => [method, operation.optional()])),
});
const document = z.looseObject({
  openapi: z.string().startsWith("3."),
  servers: z.array(z.looseObject({ url: z.string() })).default([]),
  paths: z.record(z.string(), pathItem).default({}),
});

type Parameter = z.infer<typeof parameter>;

/** The operations of a document, and where it says that its server is. @throws ConfigurationError when it is not valid. */
export async function readOperations(
  source: string | object,
): Promise<{ readonly operations: readonly ApiOperation[]; readonly server?: string }> {
  const what = typeof source === "string" ? source : "the document";
  const closed = { resolve: { external: false }, dereference: { circular: "ignore" as const } };
  const parsed = structuredClone(await parse(source as string, closed));
  const verdict = await validate(structuredClone(parsed), closed);
  if (!verdict.valid) {
    throw new ConfigurationError(`Expected ${what} to be an OpenAPI document, got: ${compileErrors(verdict)}`);
  }
  const { success, data, error } = document.safeParse(await dereference(parsed, closed));
  if (!success) {
    throw new ConfigurationError(`Expected ${what} to be an OpenAPI 3 document, got: ${z.prettifyError(error)}`);
  }
  const operations = Object.entries(data.paths).flatMap(([path, item]) =>
    methods.flatMap((method) => {
      const found = item[method] as z.infer<typeof operation> | undefined;
      return found === undefined ? [] : [operationOf(path, method, found, item.parameters)];
    }),
  );
  const [server] = data.servers;
  return { operations, ...(server !== undefined && { server: server.url }) };
}

function operationOf(
  path: string,
  method: string,
  { operationId, summary, description, parameters: own, requestBody }: z.infer<typeof operation>,
  shared: readonly Parameter[],
): ApiOperation {
  const id = operationId ?? `${method} ${path}`;
  const overridden = (other: Parameter) => own.some(({ name, in: place }) => name === other.name && place === other.in);
  const parameters = [...shared.filter((each) => !overridden(each)), ...own];
  const properties: Record<string, JsonSchema> = {};
  const required: string[] = [];
  const known: ApiOperation["parameters"][number][] = [];
  const take = (name: string, of: JsonSchema, isRequired: boolean): void => {
    if (Object.hasOwn(properties, name)) {
      throw new ConfigurationError(`Expected the parameters and the body of ${id} to differ in name, got two ${name}`);
    }
    properties[name] = of;
    if (isRequired) required.push(name);
  };
  for (const { name, in: place, required: isRequired, description: about, schema: of = {} } of parameters) {
    if (place !== "path" && place !== "query" && place !== "header") {
      if (!isRequired) continue;
      throw new ConfigurationError(`Expected parameter ${name} of ${id} to be in path, query or header, got ${place}`);
    }
    take(name, { ...of, ...(about !== undefined && { description: about }) }, isRequired || place === "path");
    known.push({ name, in: place });
  }
  if (requestBody !== undefined) {
    const json = requestBody.content["application/json"];
    if (json === undefined) {
      const kinds = Object.keys(requestBody.content).join(", ");
      throw new ConfigurationError(`Expected ${id} to take JSON, got ${kinds}: leave it out with only`);
    }
    take("body", json.schema ?? {}, requestBody.required);
  }
  return {
    id,
    method: method.toUpperCase(),
    path,
    description: [summary, description].filter((text) => text !== undefined).join("\n") || `${method} ${path}`,
    parameters: known,
    hasBody: requestBody !== undefined,
    schema: { type: "object", properties, required, additionalProperties: false },
  };
}
