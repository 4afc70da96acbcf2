/** OpenAI's own words for what went wrong. What all providers promise is in the conformance suite. */
import assert from "node:assert/strict";
import test from "node:test";
import { fromFailure, toFailure, type LlmErrorKind } from "@stet/core";
import { ask, failure } from "./asking.ts";
import { completion, wired } from "./openai-harness.ts";

for (const [status, code, kind, retryable] of [
  [400, "invalid_value", "bad_request", false],
  [400, "context_length_exceeded", "bad_request", false],
  [400, "content_filter", "content_filter", false],
  [401, "invalid_api_key", "auth", false],
  [402, null, "quota_exceeded", false],
  [403, "unsupported_country_region_territory", "auth", false],
  [404, "model_not_found", "not_found", false],
  [408, null, "timeout", true],
  [409, null, "unavailable", true],
  [413, null, "bad_request", false],
  [422, null, "bad_request", false],
  [425, null, "unavailable", true],
  [429, "rate_limit_exceeded", "rate_limited", true],
  [429, "insufficient_quota", "quota_exceeded", false],
  [500, "server_error", "unavailable", true],
  [502, null, "unavailable", true],
  [503, null, "unavailable", true],
  [529, null, "unavailable", true],
] as const satisfies readonly (readonly [number, string | null, LlmErrorKind, boolean])[]) {
  test(`${status}${code === null ? "" : ` with ${code}`} is ${kind}, asked once, and survives storage`, async () => {
    const body = { error: { message: "because", type: "some_type", param: null, code } };
    const { llm, sent } = wired(() => Response.json(body, { status, headers: { "x-request-id": "req_7" } }));

    const error = await failure(ask(llm, "?"));

    assert.deepEqual([error.kind, error.status, error.retryable, sent.length], [kind, status, retryable, 1]);
    assert.equal(
      error.message,
      `Expected an answer from OpenAI, got ${status} (${code ?? "some_type"}, request req_7): because`,
    );
    assert.equal(error.cause, undefined);
    const again = fromFailure(JSON.parse(JSON.stringify(toFailure(error))));
    assert.deepEqual(toFailure(again), toFailure(error));
    assert.deepEqual(again, error);
  });
}

for (const [what, response] of [
  ["nothing", () => new Response(null, { status: 204 })],
  ["no choices", () => Response.json({ choices: [] })],
  ["a choice without a message", () => Response.json({ choices: [{ finish_reason: "stop" }] })],
  ["no finish reason", () => completion({ content: "a" }, { finish_reason: null })],
  ["an unknown finish reason", () => completion({ content: "a" }, { finish_reason: "tired" })],
  ["a tool call without a name", () => completion({ tool_calls: [{ id: "c", function: { arguments: "{}" } }] })],
  ["a tool call without an id", () => completion({ tool_calls: [{ function: { name: "a", arguments: "{}" } }] })],
  [
    "a tool call with half its arguments",
    () => completion({ tool_calls: [{ id: "c", function: { name: "a", arguments: '{"a' } }] }),
  ],
] as const) {
  test(`an answer with ${what} is malformed, and may be asked for again`, async () => {
    const { llm } = wired(response);

    const error = await failure(ask(llm, "?"));

    assert.deepEqual([error.kind, error.retryable], ["malformed", true]);
  });
}

test("an error inside an answer with status 200 is an error", async () => {
  const { llm } = wired(() => Response.json({ error: { code: 429, message: "upstream is busy" } }));

  const error = await failure(ask(llm, "?"));

  assert.deepEqual([error.kind, error.status], ["rate_limited", 429]);
});

test("fetch's own impatience with a body is a timeout, and any other break in it a lost connection", async () => {
  for (const [code, kind] of [
    ["UND_ERR_BODY_TIMEOUT", "timeout"],
    ["UND_ERR_SOCKET", "connection"],
  ] as const) {
    const cause = Object.assign(new Error("other side"), { code });
    const body = new ReadableStream({ pull: (stream) => stream.error(new TypeError("terminated", { cause })) });
    const { llm } = wired(() => new Response(body, { headers: { "content-type": "application/json" } }));

    const error = await failure(ask(llm, "?"));

    assert.deepEqual([error.kind, error.message.includes(code)], [kind, true]);
  }
});
