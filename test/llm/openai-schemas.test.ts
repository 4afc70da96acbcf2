/** Which schemas travel in strict mode, which without, and which in an envelope. */
import assert from "node:assert/strict";
import test from "node:test";
import type { JsonSchema } from "@stet/core";
import { ask, user } from "./asking.ts";
import { firstBody, saying, wired } from "./openai-harness.ts";

const closed: JsonSchema = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "array", items: { type: "integer", minimum: 1 } } },
  required: ["city", "days"],
  additionalProperties: false,
};

/** The schema as it is sent, and whether in strict mode. */
async function formatOf(schema: JsonSchema): Promise<unknown> {
  const { llm, sent } = wired(() => saying("ok"));
  await ask(llm, { messages: [user("?")], format: { name: "answer", schema } });
  const body = firstBody(sent);
  assert.ok(typeof body === "object" && body !== null && "response_format" in body);
  return body.response_format;
}

test("complete() asks for a closed schema in strict mode", async () => {
  const format = { type: "json_schema", json_schema: { name: "answer", schema: closed, strict: true } };

  assert.deepEqual(await formatOf(closed), format);
  assert.deepEqual(await formatOf({ ...closed, $schema: "https://json-schema.org/draft/2020-12/schema" }), format);
});

const object = (properties: { [name: string]: JsonSchema }, rest: JsonSchema = {}): JsonSchema => ({
  type: "object",
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
  ...rest,
});

for (const [what, schema, strict] of [
  [
    "an enum, a constant, a pattern and limits",
    object({
      a: { enum: ["x", 1] },
      b: { const: 1 },
      c: { type: "string", pattern: "^a" },
      d: { type: "number", maximum: 3 },
    }),
    true,
  ],
  [
    "a nullable string",
    object({ a: { anyOf: [{ type: "string" }, { type: "null" }] }, b: { type: ["string", "null"] } }),
    true,
  ],
  [
    "definitions and recursion",
    object({ a: { $ref: "#/$defs/n" } }, { $defs: { n: object({ next: { $ref: "#" } }) } }),
    true,
  ],
  ["no members", object({}), true],
  ["a format it knows", object({ a: { type: "string", format: "date-time" } }), true],
  ["an open object", object({}, { additionalProperties: {} }), false],
  ["an object that does not say whether it is open", { type: "object", properties: {}, required: [] }, false],
  ["an optional member", object({ a: { type: "string" } }, { required: [] }), false],
  ["an open object inside", object({ a: { type: "object", properties: {} } }), false],
  ["an open object in a list", object({ a: { type: "array", items: { type: "object" } } }), false],
  ["an open object in a choice", object({ a: { anyOf: [{ type: "object" }, { type: "null" }] } }), false],
  ["an open object in a definition", object({ a: { $ref: "#/$defs/n" } }, { $defs: { n: { type: "object" } } }), false],
  ["an open object among types", object({ a: { type: ["object", "null"] } }), false],
  ["a record", object({ a: { type: "object", additionalProperties: { type: "string" } } }), false],
  ["anything", object({ a: {} }), false],
  ["a default", object({ a: { type: "string", default: "x" } }), false],
  ["a length", object({ a: { type: "string", minLength: 1 } }), false],
  ["a format it does not know", object({ a: { type: "string", format: "uri" } }), false],
  ["a tuple", object({ a: { type: "array", prefixItems: [{ type: "string" }] } }), false],
  ["oneOf", object({ a: { oneOf: [{ type: "string" }] } }), false],
  [
    "eleven levels",
    Array.from({ length: 11 }).reduce<JsonSchema>((inner) => object({ a: inner }), { type: "string" }),
    false,
  ],
] as const satisfies readonly (readonly [string, JsonSchema, boolean])[]) {
  test(`complete() sends a schema with ${what} ${strict ? "in" : "without"} strict mode`, async () => {
    assert.deepEqual(await formatOf(schema), { type: "json_schema", json_schema: { name: "answer", schema, strict } });
  });
}

test("complete() puts a schema whose root is no plain object into an envelope, and takes the answer out", async () => {
  const node: JsonSchema = {
    type: "array",
    items: { anyOf: [{ $ref: "#/$defs/leaf" }, { $ref: "#" }, { $ref: "#/items" }] },
  };
  const { llm, sent } = wired(() => saying('{"answer":[[],"x"]}'));

  const schema = { ...node, $defs: { leaf: { type: "string" } } };
  const { answer } = await ask(llm, { messages: [user("?")], format: { name: "a list!", schema } });

  assert.equal(answer.text, '[[],"x"]');
  const { response_format: format } = firstBody(sent) as {
    response_format: { json_schema: { name: string; schema: unknown; strict: boolean } };
  };
  assert.match(format.json_schema.name, /^a_list__[\w-]{8}$/);
  assert.equal(format.json_schema.strict, true);
  assert.deepEqual(format.json_schema.schema, {
    type: "object",
    properties: {
      answer: {
        type: "array",
        items: {
          anyOf: [{ $ref: "#/$defs/leaf" }, { $ref: "#/properties/answer" }, { $ref: "#/properties/answer/items" }],
        },
      },
    },
    required: ["answer"],
    additionalProperties: false,
    $defs: { leaf: { type: "string" } },
  });
});

for (const text of ["not JSON", '{"other":1}', '{"answer":[1', "[1]", ""]) {
  test(`complete() leaves an answer that is in no envelope as it is: ${JSON.stringify(text)}`, async () => {
    const { llm } = wired(() => saying(text));

    const { answer } = await ask(llm, { messages: [user("?")], format: { name: "a", schema: { type: "array" } } });

    assert.equal(answer.text, text);
  });
}

test("a server that takes no schemas is asked in words, and its answer is taken as it is", async () => {
  const { llm, sent } = wired(() => saying('["x"]'), { structuredOutput: false });

  const { answer } = await ask(llm, {
    messages: [{ role: "system", content: "Be brief." }, user("?")],
    format: { name: "words", schema: { type: "array" } },
  });

  assert.deepEqual([answer.text, llm.capabilities.structuredOutput], ['["x"]', false]);
  const { messages, response_format } = firstBody(sent) as {
    messages: { role: string; content: string }[];
    response_format?: unknown;
  };
  assert.equal(response_format, undefined);
  assert.deepEqual(
    messages.map(({ role }) => role),
    ["system", "system", "user"],
  );
  assert.match(messages[1]?.content ?? "", /satisfies this JSON Schema.*\n\{"type":"array"\}$/);
});
