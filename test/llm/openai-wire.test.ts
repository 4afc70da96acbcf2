/** The bodies that the OpenAI provider sends, letter by letter, and what it makes of the answers. */
import assert from "node:assert/strict";
import test from "node:test";
import type { LlmRequest } from "@stet/core";
import { ask, callOptions, failure, user } from "./asking.ts";
import { completion, firstBody, saying, wired } from "./openai-harness.ts";

/** The body that is sent for a request. */
async function bodyOf(request: LlmRequest, model = "gpt-4o"): Promise<unknown> {
  const { llm, sent } = wired(() => saying("ok"), { model });
  await ask(llm, request);
  return firstBody(sent);
}

test("complete() posts a chat completion with key, organization, headers and idempotency key", async () => {
  const { llm, sent } = wired(() => saying("Hello"), { organization: "org-1", headers: { "x-team": "support" } });

  const response = await ask(llm, "Hi", { idempotencyKey: "ticket 17/ü" });

  const [{ url, method, headers, body } = assert.fail()] = sent;
  assert.deepEqual([method, url], ["POST", "https://api.test/v1/chat/completions"]);
  assert.equal(headers.get("authorization"), "Bearer test-key-123456");
  assert.equal(headers.get("openai-organization"), "org-1");
  assert.equal(headers.get("x-team"), "support");
  assert.equal(headers.get("idempotency-key"), "ticket%2017%2F%C3%BC");
  assert.deepEqual(body, { model: "gpt-4o", messages: [{ role: "user", content: "Hi" }] });
  assert.deepEqual(response, {
    answer: { text: "Hello" },
    model: "gpt-4o-2024-08-06",
    usage: { inputTokens: 9, outputTokens: 3 },
    finishReason: "stop",
  });
});

test("complete() sends the request's model, temperature and token limit", async () => {
  const messages = [user("?")];

  assert.deepEqual(await bodyOf({ messages, model: "gpt-4o-mini", temperature: 0, maxTokens: 50 }), {
    model: "gpt-4o-mini",
    messages: [{ role: "user", content: "?" }],
    temperature: 0,
    max_tokens: 50,
  });
});

for (const [model, name] of [
  ["gpt-5", "max_completion_tokens"],
  ["gpt-5-mini-2025-08-07", "max_completion_tokens"],
  ["gpt-6.1", "max_completion_tokens"],
  ["gpt-10", "max_completion_tokens"],
  ["o1", "max_completion_tokens"],
  ["o3-mini", "max_completion_tokens"],
  ["openai/o4-mini", "max_completion_tokens"],
  ["ft:gpt-5-nano:acme::1", "max_completion_tokens"],
  ["gpt-4o", "max_tokens"],
  ["gpt-4.1", "max_tokens"],
  ["gpt-oss-20b", "max_tokens"],
  ["llama3.2", "max_tokens"],
  ["phi-o3", "max_tokens"],
] as const) {
  test(`complete() limits the tokens of ${model} by ${name}`, async () => {
    assert.deepEqual(await bodyOf({ messages: [user("?")], maxTokens: 7 }, model), {
      model,
      messages: [{ role: "user", content: "?" }],
      [name]: 7,
    });
  });
}

test("complete() answers tool_calls for a named tool, though the server says stop", async () => {
  const call = { id: "c", type: "function", function: { name: "a", arguments: "{}" } };
  const { llm } = wired(() => completion({ role: "assistant", content: null, tool_calls: [call] }));

  assert.equal((await ask(llm, "?")).finishReason, "tool_calls");
});

for (const usage of [
  null,
  {},
  { prompt_tokens: null, completion_tokens: 3 },
  { prompt_tokens: -1, completion_tokens: 3 },
]) {
  test(`complete() estimates the tokens when the server reports ${JSON.stringify(usage)}`, async () => {
    const { llm } = wired(() => completion({ content: "12345" }, {}, { usage }));

    assert.deepEqual((await ask(llm, "123456789")).usage, { inputTokens: 3, outputTokens: 2, estimated: true });
  });
}

test("what the vendor understands is sent as it stands, and overrides nothing of the seam", async () => {
  const body = await bodyOf({
    messages: [user("Hi")],
    temperature: 0,
    vendor: {
      top_p: 0.9,
      stop: ["\n"],
      presence_penalty: 0.5,
      seed: 7,
      metadata: { team: "a" },
      temperature: 1,
      model: "x",
    },
  });

  assert.deepEqual(body, {
    model: "gpt-4o",
    messages: [user("Hi")],
    temperature: 0,
    top_p: 0.9,
    stop: ["\n"],
    presence_penalty: 0.5,
    seed: 7,
    metadata: { team: "a" },
  });
});

test("embed() asks for the model it is told", async () => {
  const { llm, sent } = wired(() => Response.json({ data: [{ index: 0, embedding: [1] }] }));

  await llm.embed?.(["a"], { ...callOptions(), model: "text-embedding-3-large" });

  assert.deepEqual(firstBody(sent), { model: "text-embedding-3-large", input: ["a"], encoding_format: "float" });
});

test("embed() asks for floats and puts the vectors into the order of the texts", async () => {
  const data = [
    { object: "embedding", index: 1, embedding: [0, 1.5] },
    { object: "embedding", index: 0, embedding: [1, 0] },
  ];
  const { llm, sent } = wired(() =>
    Response.json({
      object: "list",
      data,
      model: "text-embedding-3-small",
      usage: { prompt_tokens: 4, total_tokens: 4 },
    }),
  );

  const embedded = await llm.embed?.(["a", "b"], callOptions({ operation: "embed" }));

  assert.equal(sent[0]?.url, "https://api.test/v1/embeddings");
  assert.deepEqual(firstBody(sent), { model: "text-embedding-3-small", input: ["a", "b"], encoding_format: "float" });
  assert.deepEqual(embedded, {
    vectors: [
      [1, 0],
      [0, 1.5],
    ],
    model: "text-embedding-3-small",
    usage: { inputTokens: 4, outputTokens: 0 },
  });
});

test("embed() asks nobody for no texts, and refuses an answer with too few vectors", async () => {
  const { llm, sent } = wired(() => Response.json({ data: [{ index: 0, embedding: [1] }] }), {
    embeddingModel: "tiny",
  });

  assert.deepEqual((await llm.embed?.([], callOptions()))?.vectors, []);
  assert.equal(sent.length, 0);
  const error = await failure(llm.embed?.(["a", "b"], callOptions()) ?? assert.fail());
  assert.deepEqual([error.kind, error.message], ["malformed", "Expected tiny to give 2 vectors, got 1"]);
});
