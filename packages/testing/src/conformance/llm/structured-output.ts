/** Structured output: whatever the schema, the text of the answer is the JSON value that was meant. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { JsonSchema, Payload } from "@stet/core";
import { ask, type Chapter, listener, write } from "./bench.ts";

const cases: readonly (readonly [what: string, schema: JsonSchema, value: Payload])[] = [
  [
    "a closed object",
    { type: "object", properties: { a: { type: "integer" } }, required: ["a"], additionalProperties: false },
    { a: 1 },
  ],
  [
    "an object with an optional member",
    { type: "object", properties: { a: { type: "integer" }, b: { type: "string" } }, required: ["a"] },
    { a: 1 },
  ],
  [
    "limits",
    {
      type: "object",
      properties: { a: { type: "integer", minimum: 1, maximum: 9 }, b: { type: "string", minLength: 2 } },
      required: ["a", "b"],
      additionalProperties: false,
    },
    { a: 3, b: "yes" },
  ],
  ["an open object", { type: "object", additionalProperties: { type: "integer" } }, { any: 1, name: 2 }],
  [
    "an open object within a closed one",
    {
      type: "object",
      properties: { counts: { type: "object", additionalProperties: { type: "integer" } } },
      required: ["counts"],
      additionalProperties: false,
    },
    { counts: { any: 1 } },
  ],
  ["a list", { type: "array", items: { type: "string" } }, ["a", "ü"]],
  ["a word", { type: "string", enum: ["yes", "no"] }, "yes"],
  ["a number", { type: "number" }, 4.5],
  [
    "a choice",
    {
      anyOf: [
        { type: "object", properties: { a: { type: "string" } }, required: ["a"], additionalProperties: false },
        { type: "object", properties: { b: { type: "string" } }, required: ["b"], additionalProperties: false },
      ],
    },
    { b: "x" },
  ],
  [
    "a tree",
    {
      type: "object",
      properties: { name: { type: "string" }, children: { type: "array", items: { $ref: "#" } } },
      required: ["name", "children"],
      additionalProperties: false,
    },
    { name: "a", children: [{ name: "b", children: [] }] },
  ],
  [
    "definitions",
    {
      type: "object",
      properties: { from: { $ref: "#/$defs/place" }, to: { $ref: "#/$defs/place" } },
      required: ["from", "to"],
      additionalProperties: false,
      $defs: {
        place: {
          type: "object",
          properties: { city: { type: "string" } },
          required: ["city"],
          additionalProperties: false,
        },
      },
    },
    { from: { city: "Bern" }, to: { city: "Basel" } },
  ],
  ["anything", {}, { what: ["ever"] }],
];

export const structuredOutput: Chapter = (bench) => {
  describe("structured output", () => {
    for (const [what, schema, value] of cases) {
      const request = { messages: [{ role: "user", content: "?" }], format: { name: "answer", schema } } as const;

      it(`is the value of ${what}`, async () => {
        const { llm } = bench.stage((response, { body }) =>
          bench.whole(response, { text: [bench.dialect.structured(body, value)] }),
        );

        const { answer } = await ask(llm, request);

        assert.deepEqual(JSON.parse(answer.text), value);
      });

      it(`is the value of ${what}, streamed, and what is heard is the same`, async () => {
        const { heard, onDelta } = listener();
        const { llm } = bench.stage(async (response, { body }) => {
          const text = bench.dialect.structured(body, value);
          bench.openStream(response);
          await write(response, bench.dialect.streamed({ text: [text.slice(0, 3), text.slice(3)].filter(Boolean) }));
          response.end();
        });

        const { answer } = await ask(llm, request, { onDelta });

        assert.deepEqual(JSON.parse(answer.text), value);
        assert.equal(heard.join(""), answer.text);
      });
    }

    it("that is none is handed on as it is: whoever reads it says what is wrong", async () => {
      for (const schema of [{ type: "object" }, { type: "array" }] as const) {
        for (const text of ["not JSON", '{"other":1}', '{"a":[1', "[1]"]) {
          const { llm } = bench.saying({ text: [text] });
          const { answer } = await ask(llm, {
            messages: [{ role: "user", content: "?" }],
            format: { name: "answer", schema },
          });
          assert.equal(answer.text, text);
        }
      }
    });

    it("shows the model the whole schema, natively or in words", async () => {
      const { llm, received } = bench.saying({ text: ["{}"] });
      const schema = { type: "object", properties: { remarkable: { type: "string" } } } as const;

      await ask(llm, { messages: [{ role: "user", content: "?" }], format: { name: "answer", schema } });

      assert.match(received[0]?.text ?? "", /remarkable/);
    });
  });
};
