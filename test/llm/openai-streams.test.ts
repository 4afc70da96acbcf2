/** What is OpenAI's own in streamed answers. What all providers promise is in the conformance suite. */
import assert from "node:assert/strict";
import test from "node:test";
import { ask, failure } from "./asking.ts";
import { events, piece, streaming, wired } from "./openai-harness.ts";

function collect(): { heard: string[]; onDelta: (text: string) => void } {
  const heard: string[] = [];
  return { heard, onDelta: (text) => void heard.push(text) };
}

test("a stream without usage is estimated, and one with a first piece of nothing is read", async () => {
  const { heard, onDelta } = collect();
  const filterResults = { choices: [], model: "", prompt_filter_results: [] };
  const { llm } = wired(() => streaming(filterResults, piece({ content: "12345" }), piece({}, "length")));

  const response = await ask(llm, "123456789", { onDelta });

  assert.deepEqual(heard, ["12345"]);
  assert.deepEqual(response.usage, { inputTokens: 3, outputTokens: 2, estimated: true });
  assert.equal(response.finishReason, "length");
});

test("tool calls are put together from their pieces, however these are interleaved", async () => {
  const part = (index: number, fn: { name?: string; arguments?: string }, id?: string) =>
    piece({ tool_calls: [{ index, ...(id !== undefined && { id, type: "function" }), function: fn }] });
  const { llm } = wired(() =>
    streaming(
      part(1, { name: "b", arguments: "" }, "c2"),
      part(0, { name: "a", arguments: '{"x"' }, "c1"),
      part(1, { arguments: "[1" }),
      part(0, { arguments: ":1}" }),
      part(1, { arguments: "]" }),
      piece({}, "tool_calls"),
    ),
  );

  const { answer, finishReason } = await ask(llm, "?", collect());

  assert.deepEqual(answer.toolCalls, [
    { id: "c1", name: "a", arguments: { x: 1 } },
    { id: "c2", name: "b", arguments: [1] },
  ]);
  assert.equal(finishReason, "tool_calls");
});

test("a stream that ends without saying why is cut, with [DONE] or without", async () => {
  const ends = [
    () => streaming(piece({ content: "Hel" })),
    () => new Response(events(piece({ content: "Hel" }))),
    () => streaming(),
    () => new Response(""),
    () => new Response("<html>not a stream</html>"),
  ];

  for (const end of ends) {
    const { llm } = wired(end);
    const error = await failure(ask(llm, "?", collect()));
    assert.deepEqual([error.kind, error.retryable], ["connection", true]);
    assert.match(error.message, /^Expected the stream to end with a finish_reason, got cut after [03] characters$/);
  }
});

for (const [error, kind] of [
  [{ message: "overloaded", type: "server_error" }, "unavailable"],
  [{ message: "slow down", code: "rate_limit_exceeded" }, "rate_limited"],
  [{ message: "pay", code: "insufficient_quota" }, "quota_exceeded"],
  [{ message: "no", type: "invalid_request_error" }, "bad_request"],
  [{ message: "gateway", code: 503 }, "unavailable"],
  [{ message: "who", code: 401 }, "auth"],
] as const) {
  test(`an error in the middle of a stream is one: ${JSON.stringify(error)}`, async () => {
    const { llm } = wired(() => streaming(piece({ content: "a" }), { error }));

    assert.equal((await failure(ask(llm, "?", collect()))).kind, kind);
  });
}

test("a stream that breaks off says what was counted before, by servers that count as they go", async () => {
  const usage = { prompt_tokens: 9, completion_tokens: 1 };
  const counted = { choices: [{ index: 0, delta: { content: "a" }, finish_reason: null }], usage };
  for (const [pieces, kind] of [
    [[counted], "connection"],
    [[counted, { error: { message: "overloaded" } }], "unavailable"],
    [[{ type: "response.failed", response: { error: { code: "server_error" }, usage } }], "unavailable"],
  ] as const) {
    const { llm } = wired(() => streaming(...pieces));

    const error = await failure(ask(llm, "?", collect()));

    assert.deepEqual([error.kind, error.usage], [kind, { inputTokens: 9, outputTokens: 1 }]);
  }
});
