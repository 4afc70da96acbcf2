/** What is Anthropic's own: what it is asked to remember, which schemas it takes, how it fails, and who is asked as whom. */
import assert from "node:assert/strict";
import test from "node:test";
import { anthropic, type AnthropicOptions } from "@stet/anthropic";
import type { JsonSchema, LlmErrorKind, LlmMessage, LlmRequest, Payload } from "@stet/core";
import { ask, failure, user } from "./asking.ts";

interface Body {
  readonly system?: readonly { readonly text: string; readonly cache_control?: Payload }[];
  readonly tools?: readonly { readonly cache_control?: Payload }[];
  readonly cache_control?: Payload;
  readonly messages: readonly { readonly role: string; readonly content: Payload }[];
  readonly output_config?: { readonly format: { readonly schema: JsonSchema } };
  readonly max_tokens: number;
}

function wired(answer: () => Response, options: Partial<AnthropicOptions> = {}) {
  const sent: { url: string; headers: Headers; body: Body }[] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    sent.push({ url: request.url, headers: request.headers, body: (await request.json()) as Body });
    return answer();
  };
  return { llm: anthropic({ model: "claude-sonnet-5", apiKey: "test-key-123456", fetch, ...options }), sent };
}

function message(content: Payload, rest: { [name: string]: Payload } = {}): Response {
  return Response.json({ type: "message", role: "assistant", model: "m", content, stop_reason: "end_turn", ...rest });
}

const saying = (text: string): Response => message([{ type: "text", text }]);

async function bodyOf(request: LlmRequest, options: Partial<AnthropicOptions> = {}): Promise<Body> {
  const { llm, sent } = wired(() => saying("{}"), options);
  await ask(llm, request);
  return sent[0]?.body ?? assert.fail("Expected a request, got none");
}

const long = "word ".repeat(1000);
const fiveMinutes = { type: "ephemeral", ttl: "5m" };

test("a long system prompt is marked to be remembered, and a short one is not", async () => {
  const brief: LlmMessage = { role: "system", content: "Be brief." };
  const rules: LlmMessage = { role: "system", content: long };

  const marked = await bodyOf({ messages: [brief, rules, user("?")] });
  assert.deepEqual(
    marked.system?.map(({ cache_control }) => cache_control),
    [undefined, fiveMinutes],
  );
  assert.equal(marked.cache_control, undefined);
  assert.equal((await bodyOf({ messages: [brief, user(long)] })).system?.[0]?.cache_control, undefined);
});

test("long tools without a system prompt are marked at the last of them", async () => {
  const tools = ["a", "b"].map((name) => ({ name, description: long, parameters: {} }));

  const body = await bodyOf({ messages: [user("?")], tools });

  assert.deepEqual(
    body.tools?.map(({ cache_control }) => cache_control),
    [undefined, fiveMinutes],
  );
});

test("a long conversation that goes on is marked, and a question that is asked once is not", async () => {
  const once = [user(long)];
  const goingOn: LlmMessage[] = [user(long), { role: "assistant", content: "Yes." }, user("And?")];

  assert.equal((await bodyOf({ messages: once })).cache_control, undefined);
  assert.deepEqual((await bodyOf({ messages: goingOn })).cache_control, fiveMinutes);
  assert.deepEqual((await bodyOf({ messages: goingOn }, { promptCache: "1h" })).cache_control, {
    type: "ephemeral",
    ttl: "1h",
  });
  const off = await bodyOf({ messages: [{ role: "system", content: long }, ...goingOn] }, { promptCache: "off" });
  assert.doesNotMatch(JSON.stringify(off), /cache_control/);
});

const object = (properties: { [name: string]: JsonSchema }, rest: JsonSchema = {}): JsonSchema => ({
  type: "object",
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
  ...rest,
});

for (const [what, schema, native] of [
  ["a closed object", object({ a: { type: "string" } }), true],
  ["an object that does not say that it is closed", { type: "object", properties: { a: { type: "string" } } }, true],
  ["limits", object({ a: { type: "integer", minimum: 3 }, b: { type: "array", items: {}, maxItems: 2 } }), false],
  [
    "limits on what is typed",
    object({ a: { type: "integer", minimum: 3 }, b: { type: "string", maxLength: 2 } }),
    true,
  ],
  ["an enum and a constant", object({ a: { enum: ["x", "y"] }, b: { const: 1 } }), true],
  ["a nullable member", object({ a: { anyOf: [{ type: "string" }, { type: "null" }] } }), true],
  ["several types", object({ a: { type: ["string", "null"] } }), true],
  ["definitions", object({ a: { $ref: "#/$defs/n" } }, { $defs: { n: object({}) } }), true],
  ["an open object", object({ a: { type: "object", additionalProperties: { type: "string" } } }), false],
  ["an object of anything", object({ a: { type: "object" } }), false],
  ["an open object in a definition", object({ a: { $ref: "#/$defs/n" } }, { $defs: { n: { type: "object" } } }), false],
  ["an open object in a choice", object({ a: { anyOf: [{ type: "object" }, { type: "null" }] } }), false],
  ["an open object among types", object({ a: { type: ["object", "null"] } }), false],
  ["an open object in a list", object({ a: { type: "array", items: { type: "object" } } }), false],
  ["anything", object({ a: {} }), false],
  ["a tuple", object({ a: { type: "array", prefixItems: [{ type: "string" }] } }), false],
  ["allOf", object({ a: { allOf: [{ type: "string" }] } }), false],
  ["recursion to the root", object({ a: { anyOf: [{ $ref: "#" }, { type: "null" }] } }), false],
  [
    "recursion through definitions",
    object(
      { a: { $ref: "#/$defs/n" } },
      { $defs: { n: object({ m: { $ref: "#/$defs/m" } }), m: object({ n: { $ref: "#/$defs/n" } }) } },
    ),
    false,
  ],
  ["a reference to nothing", object({ a: { $ref: "#/$defs/none" } }), false],
  ["a reference to elsewhere", object({ a: { $ref: "https://example.com/schema" } }), false],
] as const satisfies readonly (readonly [string, JsonSchema, boolean])[]) {
  test(`a schema with ${what} travels ${native ? "natively" : "in words"}`, async () => {
    const body = await bodyOf({ messages: [user("?")], format: { name: "answer", schema } });

    const inWords = body.system?.some(({ text }) => text.includes(JSON.stringify(schema))) ?? false;
    assert.deepEqual([body.output_config !== undefined, inWords], [native, !native]);
    if (native) assert.deepEqual(openObjects(body.output_config?.format.schema), []);
  });
}

/** What Anthropic would refuse. */
function openObjects(schema: Payload | undefined): Payload[] {
  if (typeof schema !== "object" || schema === null) return [];
  const inner = Object.values(schema).flatMap((part: Payload) => openObjects(part));
  return "type" in schema && schema.type === "object" && (schema as JsonSchema)["additionalProperties"] !== false
    ? [schema, ...inner]
    : inner;
}

test("limits that Anthropic does not take are put into descriptions, not lost", async () => {
  const schema = object({ a: { type: "integer", minimum: 3, description: "A number." } });

  const body = await bodyOf({ messages: [user("?")], format: { name: "answer", schema } });

  assert.match(JSON.stringify(body.output_config), /A number\..*minimum: 3/);
});

test("the results of tools of one turn are one turn, and empty turns of the model are left out", async () => {
  const { messages } = await bodyOf({
    messages: [
      user("?"),
      { role: "assistant", content: "" },
      { role: "assistant", content: "", toolCalls: [{ id: "a", name: "t", arguments: null }] },
      { role: "tool", content: "1", toolCallId: "a" },
      user("Thanks."),
    ],
  });

  assert.deepEqual(messages, [
    { role: "user", content: "?" },
    { role: "assistant", content: [{ type: "tool_use", id: "a", name: "t", input: {} }] },
    { role: "user", content: [{ type: "tool_result", tool_use_id: "a", content: "1" }] },
    { role: "user", content: "Thanks." },
  ]);
});

test("a request says how many tokens it wants, or the provider does", async () => {
  const messages = [user("?")];

  assert.equal((await bodyOf({ messages })).max_tokens, 16_384);
  assert.equal((await bodyOf({ messages }, { maxTokens: 100 })).max_tokens, 100);
  assert.equal((await bodyOf({ messages, maxTokens: 7 }, { maxTokens: 100 })).max_tokens, 7);
});

test("an answer with very many tokens may be asked for without a stream", async () => {
  assert.equal((await bodyOf({ messages: [user("?")], maxTokens: 120_000 })).max_tokens, 120_000);
});

for (const reason of ["max_tokens", "model_context_window_exceeded"]) {
  test(`of an answer that ends with ${reason} the last tool call is not believed`, async () => {
    const calls = ["a", "b"].map((id) => ({ type: "tool_use", id, name: "t", input: {} }));
    const { llm } = wired(() => message(calls, { stop_reason: reason }));

    const { answer, finishReason } = await ask(llm, "?");

    assert.deepEqual([answer.toolCalls?.map(({ id }) => id), finishReason], [["a"], "length"]);
  });
}

for (const [stop_details, words] of [
  [{ type: "refusal", category: "cyber", explanation: "I will not." }, /I will not\./],
  [{ type: "refusal", category: "cyber", explanation: null }, /cyber/],
  [null, /no reason given/],
] as const) {
  test(`a refusal with ${JSON.stringify(stop_details)} says what is known`, async () => {
    const { llm } = wired(() => message([], { stop_reason: "refusal", stop_details }));

    const error = await failure(ask(llm, "?"));

    assert.equal(error.kind, "refused");
    assert.match(error.message, words);
  });
}

test("an answer that pauses, or ends for an unknown reason, is malformed", async () => {
  for (const stop_reason of ["pause_turn", "tired", null]) {
    const { llm } = wired(() => message([{ type: "text", text: "a" }], { stop_reason }));
    assert.equal((await failure(ask(llm, "?"))).kind, "malformed");
  }
});

for (const [status, type, details, kind] of [
  [400, "invalid_request_error", {}, "bad_request"],
  [402, "billing_error", {}, "quota_exceeded"],
  [403, "permission_error", { error_code: "enforced_spend_limit_reached" }, "quota_exceeded"],
  [429, "rate_limit_error", { error_code: "contract_spend_limit_reached" }, "quota_exceeded"],
  [429, "rate_limit_error", {}, "rate_limited"],
  [529, "overloaded_error", {}, "unavailable"],
] as const satisfies readonly (readonly [number, string, object, LlmErrorKind])[]) {
  test(`${status} ${type} ${JSON.stringify(details)} is ${kind}`, async () => {
    const body = { type: "error", error: { type, message: "because", details } };
    const { llm } = wired(() => Response.json(body, { status, headers: { "request-id": "req_7" } }));

    const error = await failure(ask(llm, "?"));

    const code = "error_code" in details ? details.error_code : type;
    assert.equal(error.kind, kind);
    assert.equal(error.message, `Expected an answer from Anthropic, got ${status} (${code}, request req_7): because`);
  });
}

for (const [type, kind] of [
  ["overloaded_error", "unavailable"],
  ["api_error", "unavailable"],
  ["rate_limit_error", "rate_limited"],
  ["timeout_error", "timeout"],
  ["invalid_request_error", "bad_request"],
  ["authentication_error", "auth"],
  ["billing_error", "quota_exceeded"],
  ["constructor", "unavailable"],
] as const) {
  test(`${type} in the middle of a stream is ${kind}`, async () => {
    const data = JSON.stringify({ type: "error", error: { type, message: "because" } });
    const { llm } = wired(() => new Response(`event: error\ndata: ${data}\n\n`));

    assert.equal((await failure(ask(llm, "?", { onDelta: () => undefined }))).kind, kind);
  });
}

test("a stream that breaks off says what was counted before", async () => {
  const event = (data: { readonly type: string; readonly [name: string]: Payload }) =>
    `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
  const usage = { input_tokens: 10, cache_read_input_tokens: 2, output_tokens: 1 };
  const start = event({ type: "message_start", message: { type: "message", model: "m", content: [], usage } });
  for (const [end, kind] of [
    ["", "connection"],
    [event({ type: "error", error: { type: "overloaded_error", message: "busy" } }), "unavailable"],
  ] as const) {
    const { llm } = wired(() => new Response(start + end, { headers: { "content-type": "text/event-stream" } }));
    const error = await failure(ask(llm, "?", { onDelta: () => undefined }));
    assert.deepEqual([error.kind, error.usage], [kind, { inputTokens: 12, outputTokens: 1, cachedTokens: 2 }]);
  }
});

test("anthropic() takes key and server from the environment, and nothing else", async (t) => {
  const names = ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS"];
  const before = names.map((name) => process.env[name]);
  const set = (values: readonly (string | undefined)[]): void =>
    names.forEach((name, i) => {
      const value = values[i];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    });
  t.after(() => set(before));
  const seen: (string | null)[] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const { url, headers } = new Request(input, init);
    seen.push(url, headers.get("authorization"));
    return saying("ok");
  };

  set(["env-key-1", "http://env.test/", "env-token", undefined]);
  await ask(anthropic({ model: "m", fetch }), "?");
  await ask(anthropic({ model: "m", fetch, apiKey: "own-key", baseURL: "http://own.test" }), "?");
  set([undefined, undefined, undefined, undefined]);
  await ask(anthropic({ model: "m", fetch, baseURL: "http://localhost:4000" }), "?");

  assert.deepEqual(seen, [
    ...["http://env.test/v1/messages", "Bearer env-key-1"],
    ...["http://own.test/v1/messages", "Bearer own-key"],
    ...["http://localhost:4000/v1/messages", "Bearer no-key"],
  ]);

  set([undefined, undefined, undefined, "x-gateway: team-secret-9"]);
  const echo = Response.json({ error: { message: "your team-secret-9" } }, { status: 401 });
  const gateway = anthropic({ model: "m", apiKey: "k", fetch: async () => echo.clone() });
  assert.doesNotMatch((await failure(ask(gateway, "?"))).message, /team-secret/);

  const configuration = { code: "configuration_invalid" };
  assert.throws(() => anthropic({ model: "m" }), configuration);
  assert.throws(() => anthropic({ model: "", apiKey: "k" }), configuration);
  assert.throws(() => anthropic({ model: "m", apiKey: "k", maxTokens: 0 }), configuration);
  assert.throws(() => anthropic({ model: "m", apiKey: "k", timeout: "soon" as "1s" }), configuration);
  assert.throws(() => anthropic({ model: "m", apiKey: "k", promptCache: "2h" as "1h" }), configuration);
  assert.throws(
    () => anthropic({ model: "m", apiKey: "k", baseURL: "https://me:secret-word@x.test" }),
    (error: Error) => !error.message.includes("secret-word") && error.name === "ConfigurationError",
  );
});

test("gateways of older versions are reached by headers", async () => {
  const { llm, sent } = wired(() => saying("ok"), {
    headers: { "anthropic-version": "2023-06-01", "x-api-key": "old-key-123" },
  });

  await ask(llm, "?");

  const { headers } = sent[0] ?? assert.fail();
  assert.deepEqual([headers.get("anthropic-version"), headers.get("x-api-key")], ["2023-06-01", "old-key-123"]);
});
