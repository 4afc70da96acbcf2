/**
 * Smoke tests against the real services. Each runs only when its key is in the environment, and says so when it does not:
 * `OPENAI_API_KEY`, `AZURE_OPENAI_API_KEY` (with `AZURE_OPENAI_ENDPOINT`, `OPENAI_API_VERSION` and
 * `AZURE_OPENAI_DEPLOYMENT`), `ANTHROPIC_API_KEY`, `OLLAMA_HOST`. Models by `STET_LIVE_OPENAI_MODEL` and the like.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { anthropic } from "@stet/anthropic";
import type { JsonSchema, LlmProvider } from "@stet/core";
import { ollama } from "@stet/ollama";
import { azureOpenai, openai } from "@stet/openai";
import { ask, callOptions, user } from "./asking.ts";

const environment = (name: string, otherwise = ""): string => process.env[name] ?? otherwise;

const services: readonly (readonly [name: string, needs: string, open: () => LlmProvider])[] = [
  [
    "openai, chat completions",
    "OPENAI_API_KEY",
    () => openai({ model: environment("STET_LIVE_OPENAI_MODEL", "gpt-5-mini") }),
  ],
  [
    "openai, responses",
    "OPENAI_API_KEY",
    () => openai({ model: environment("STET_LIVE_OPENAI_MODEL", "gpt-5-mini"), api: "responses" }),
  ],
  [
    "azure openai",
    "AZURE_OPENAI_API_KEY",
    () =>
      azureOpenai({
        deployment: environment("AZURE_OPENAI_DEPLOYMENT"),
        model: environment("STET_LIVE_AZURE_MODEL", "gpt-5-mini"),
      }),
  ],
  [
    "anthropic",
    "ANTHROPIC_API_KEY",
    () => anthropic({ model: environment("STET_LIVE_ANTHROPIC_MODEL", "claude-haiku-4-5") }),
  ],
  ["ollama", "OLLAMA_HOST", () => ollama({ model: environment("STET_LIVE_OLLAMA_MODEL", "llama3.2") })],
];

const place: JsonSchema = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

for (const [name, needs, open] of services) {
  const skip = environment(needs) === "" && `NOT RUN: ${needs} is not in the environment`;

  describe(`live: ${name}`, { timeout: 110_000 }, () => {
    it("answers, and counts its tokens", { skip }, async () => {
      const { answer, usage } = await ask(open(), "Answer with the one word: stet");

      assert.match(answer.text, /stet/i);
      assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0 && usage.estimated === undefined);
    });

    it("streams what it answers", { skip }, async () => {
      const heard: string[] = [];

      const { answer } = await ask(open(), "Count from 1 to 20.", { onDelta: (text) => heard.push(text) });

      assert.equal(heard.join(""), answer.text);
      assert.ok(heard.length > 1);
    });

    for (const schema of [
      place,
      { type: "array", items: { type: "string" } },
      { type: "object", additionalProperties: { type: "integer" } },
    ] as const) {
      it(`answers in the shape of ${JSON.stringify(schema)}`, { skip }, async () => {
        const { answer } = await ask(open(), {
          messages: [user("The capital of Switzerland has two bears.")],
          format: { name: "facts", schema },
        });

        assert.equal(Array.isArray(JSON.parse(answer.text)), schema.type === "array");
      });
    }

    it("calls a tool and reads its result", { skip }, async () => {
      const llm = open();
      const tools = [{ name: "weather.now", description: "The weather of a city.", parameters: place }];
      const question = user("What is the weather in Bern? Use the tool.");

      const { answer, finishReason } = await ask(llm, { messages: [question], tools });
      const [call = assert.fail("Expected a tool call, got none")] = answer.toolCalls ?? [];
      assert.deepEqual([call.name, finishReason], ["weather.now", "tool_calls"]);
      const told = await ask(llm, {
        messages: [
          question,
          { role: "assistant", content: answer.text, toolCalls: [call] },
          { role: "tool", content: "Snow, -3 degrees.", toolCallId: call.id },
        ],
        tools,
      });
      assert.match(told.answer.text, /snow/i);
    });

    it("makes vectors, if it makes any", { skip }, async (t) => {
      const llm = open();
      if (llm.embed === undefined) return t.skip("this provider does not embed");

      assert.equal((await llm.embed(["a", "b"], callOptions({ operation: "embed" }))).vectors.length, 2);
    });
  });
}
