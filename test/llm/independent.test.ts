/**
 * The providers against a server that we did not write: aimock makes the shapes, the streams and the faults of all these
 * vendors, and whatever we misread in a protocol cannot be misread here in the same way.
 */
import assert from "node:assert/strict";
import test, { describe, type TestContext } from "node:test";
import { LLMock, type FixtureOpts } from "@copilotkit/aimock";
import { anthropic } from "@stet/anthropic";
import type { Duration, JsonSchema, LlmProvider, LlmUsage } from "@stet/core";
import { ollama } from "@stet/ollama";
import { azureOpenai, openai } from "@stet/openai";
import { ask, callOptions, failure, user } from "./asking.ts";

/** A vendor as aimock plays it. */
interface Vendor {
  readonly name: string;
  readonly open: (origin: string, timeout: Duration) => LlmProvider;
  readonly path: string;
  /** How aimock counts tokens in this vendor's answers. */
  readonly usage: { readonly [name: string]: number };
  readonly idempotencyKey?: boolean;
  /** What aimock, not the vendor, cannot do. */
  readonly lacks?: {
    readonly model?: boolean;
    readonly vectors?: boolean;
    readonly usage?: boolean;
    readonly length?: boolean;
  };
}

const apiKey = "test-key-123456";
const chatUsage = { prompt_tokens: 21, completion_tokens: 5, total_tokens: 26 };
const newUsage = { input_tokens: 21, output_tokens: 5 };
const azure = { deployment: "gpt-4o", apiVersion: "2024-10-21", apiKey } as const;

const vendors: readonly Vendor[] = [
  {
    name: "openai, chat completions",
    open: (origin, timeout) => openai({ model: "gpt-4o", apiKey, baseURL: `${origin}/v1`, timeout }),
    path: "/v1/chat/completions",
    usage: chatUsage,
    idempotencyKey: true,
  },
  {
    name: "openai, responses",
    open: (origin, timeout) => openai({ model: "gpt-4o", apiKey, api: "responses", baseURL: `${origin}/v1`, timeout }),
    path: "/v1/responses",
    usage: newUsage,
    idempotencyKey: true,
  },
  {
    name: "azure openai",
    open: (endpoint, timeout) => azureOpenai({ endpoint, timeout, ...azure }),
    path: "/openai/deployments/gpt-4o/chat/completions",
    usage: chatUsage,
    idempotencyKey: true,
  },
  {
    name: "anthropic",
    open: (baseURL, timeout) => anthropic({ model: "claude-sonnet-5", apiKey, baseURL, timeout }),
    path: "/v1/messages",
    usage: newUsage,
  },
  {
    name: "ollama",
    open: (baseURL, timeout) => ollama({ model: "llama3.2", baseURL, timeout }),
    path: "/api/chat",
    usage: chatUsage,
    lacks: { model: true, vectors: true, usage: true, length: true },
  },
];

const schema: JsonSchema = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};

for (const vendor of vendors) {
  const { usage, lacks = {} } = vendor;
  const counted: LlmUsage = lacks.usage ? { inputTokens: 0, outputTokens: 0 } : { inputTokens: 21, outputTokens: 5 };

  const setup = async (t: TestContext, timeout: Duration = "1m"): Promise<{ server: LLMock; llm: LlmProvider }> => {
    const server = new LLMock({ port: 0, logLevel: "silent" });
    await server.start();
    t.after(() => server.stop());
    return { server, llm: vendor.open(server.url, timeout) };
  };

  describe(`${vendor.name}, at an independent server`, () => {
    test("a plain answer, with its usage", async (t) => {
      const { server, llm } = await setup(t);
      server.onMessage("hello", { content: "Hi there!", usage, model: "model-of-today" });

      const response = await ask(llm, "hello");

      assert.deepEqual(response, {
        answer: { text: "Hi there!" },
        model: lacks.model ? response.model : "model-of-today",
        usage: counted,
        finishReason: "stop",
      });
      const entry = server.getLastRequest();
      assert.equal(entry?.path.split("?")[0], vendor.path);
      assert.equal(entry?.headers["idempotency-key"], vendor.idempotencyKey ? "call-1" : undefined);
    });

    test("a structured answer, asked for by its schema", async (t) => {
      const { server, llm } = await setup(t);
      server.onMessage("trip", { content: '{"city":"Bern","days":3}', usage });

      const { answer } = await ask(llm, { messages: [user("a trip to Bern")], format: { name: "trip", schema } });

      assert.deepEqual(JSON.parse(answer.text), { city: "Bern", days: 3 });
    });

    for (const [how, listening] of [
      ["at once", {}],
      ["streamed", { onDelta: () => undefined }],
    ] as const) {
      test(`tools, their calls and their results, ${how}`, async (t) => {
        const { server, llm } = await setup(t);
        const call = { id: "call_1", name: "weather", arguments: '{"city":"Bern","days":1}' };
        server.on({ userMessage: "weather", hasToolResult: false }, { toolCalls: [call], usage });
        server.on({ userMessage: "weather", hasToolResult: true }, { content: "Take an umbrella", usage });
        const tools = [{ name: "weather", description: "Looks at the sky", parameters: schema }];

        const wanted = await ask(llm, { messages: [user("weather?")], tools }, listening);
        const [{ id, ...toolCall } = assert.fail("Expected a tool call, got none")] = wanted.answer.toolCalls ?? [];
        assert.deepEqual(toolCall, { name: "weather", arguments: { city: "Bern", days: 1 } });
        assert.deepEqual([wanted.answer.text, wanted.finishReason], ["", "tool_calls"]);

        const told = await ask(
          llm,
          {
            messages: [
              user("weather?"),
              { role: "assistant", content: "", toolCalls: [{ id, ...toolCall }] },
              { role: "tool", content: "rain", toolCallId: id },
            ],
            tools,
          },
          listening,
        );
        assert.deepEqual([told.answer.text, told.finishReason], ["Take an umbrella", "stop"]);
      });
    }

    test("a stream, piece by piece, with its usage at the end", async (t) => {
      const { server, llm } = await setup(t);
      const text = "A rather long answer, so that it comes in several pieces.";
      server.onMessage("stream", { content: text, usage }, { chunkSize: 7 });
      const pieces: string[] = [];

      const response = await ask(llm, "stream", { onDelta: (piece) => pieces.push(piece) });

      assert.ok(pieces.length > 5, `Expected several pieces, got ${pieces.length}`);
      assert.deepEqual([pieces.join(""), response.answer.text], [text, text]);
      assert.deepEqual([response.usage, response.finishReason], [counted, "stop"]);
    });

    test("an answer cut off at its token limit", { skip: lacks.length && "aimock never cuts it" }, async (t) => {
      const { server, llm } = await setup(t);
      server.onMessage("story", { content: "Once upon", finishReason: "length", usage });

      assert.equal((await ask(llm, { messages: [user("story")], maxTokens: 16 })).finishReason, "length");
    });

    test("a rate limit with its retry-after, then an answer, and nothing retried behind our back", async (t) => {
      const { server, llm } = await setup(t);
      const error = { message: "Rate limit reached", type: "rate_limit_error", code: "rate_limit_exceeded" };
      server.on({ userMessage: "busy", sequenceIndex: 0 }, { error, status: 429, retryAfter: 7 });
      server.on({ userMessage: "busy", sequenceIndex: 1 }, { content: "now", usage });

      const limited = await failure(ask(llm, "busy"));

      assert.deepEqual([limited.kind, limited.status, limited.retryAfterMs], ["rate_limited", 429, 7000]);
      assert.match(limited.message, /Rate limit reached/);
      assert.equal(server.getRequests().length, 1);
      assert.equal((await ask(llm, "busy")).answer.text, "now");
    });

    for (const [status, kind] of [
      [400, "bad_request"],
      [401, "auth"],
      [500, "unavailable"],
      [503, "unavailable"],
      [529, "unavailable"],
    ] as const) {
      test(`status ${status} is ${kind}, at once and streamed`, async (t) => {
        const { server, llm } = await setup(t);
        server.onMessage("fail", { error: { message: "no", type: "some_error" }, status });

        for (const listening of [{}, { onDelta: () => undefined }]) {
          const error = await failure(ask(llm, "fail", listening));
          assert.deepEqual([error.kind, error.status], [kind, status]);
        }
        assert.equal(server.getRequests().length, 2);
      });
    }

    test("a question that the server does not know is an error", async (t) => {
      const { llm } = await setup(t);

      assert.equal((await failure(ask(llm, "unheard of"))).kind, "not_found");
    });

    for (const [what, opts, kind] of [
      ["malformed JSON", { chaos: { malformedRate: 1 } }, "malformed"],
      ["a disconnect", { chaos: { disconnectRate: 1 } }, "connection"],
      ["a dropped request", { chaos: { dropRate: 1 } }, "unavailable"],
    ] as const satisfies readonly (readonly [string, FixtureOpts, string])[]) {
      test(`${what} is ${kind}`, async (t) => {
        const { server, llm } = await setup(t);
        server.onMessage("chaos", { content: "never", usage }, opts);

        assert.equal((await failure(ask(llm, "chaos"))).kind, kind);
      });
    }

    for (const [what, opts] of [
      ["truncated after some chunks", { chunkSize: 4, truncateAfterChunks: 3 }],
      ["disconnected after a while", { chunkSize: 4, latency: 10, disconnectAfterMs: 25 }],
    ] as const) {
      test(`a stream that is ${what} is no answer`, async (t) => {
        const { server, llm } = await setup(t);
        server.onMessage("stream", { content: "A text that is never heard to its end", usage }, opts);

        const error = await failure(ask(llm, "stream", { onDelta: () => undefined }));

        assert.deepEqual([error.kind, error.retryable], ["connection", true]);
      });
    }

    test("a slow server is a timeout", async (t) => {
      const { server, llm } = await setup(t, 100);
      server.onMessage("slow", { content: "late", usage }, { chaos: { latencyMs: 2000 } });

      assert.equal((await failure(ask(llm, "slow"))).kind, "timeout");
    });

    test("vectors", { skip: lacks.vectors && "aimock gives this vendor's vectors another shape" }, async (t) => {
      const { server, llm } = await setup(t);
      if (llm.embed === undefined) return t.skip("this provider does not embed");
      server.onEmbedding("apple", { embedding: [0.25, -0.5] });

      const embedded = await llm.embed(["apple pie"], callOptions({ operation: "embed" }));

      assert.deepEqual(embedded.vectors, [[0.25, -0.5]]);
    });
  });
}
