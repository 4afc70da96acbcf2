/** Streamed answers: whole ones, cut ones, slow ones, and ones that nobody wants any more. */
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import test from "node:test";
import { ask, failure, user } from "./asking.ts";
import { counted, events, piece, served, streaming, wired } from "./openai-harness.ts";

function collect(): { heard: string[]; onDelta: (text: string) => void } {
  const heard: string[] = [];
  return { heard, onDelta: (text) => void heard.push(text) };
}

function open(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
}

test("complete() streams when somebody listens, and asks for the usage", async () => {
  const { heard, onDelta } = collect();
  const { llm, sent } = wired(() =>
    streaming(
      piece({ role: "assistant", content: "" }),
      piece({ content: "Hel" }),
      piece({ content: "lo" }),
      piece({}, "stop"),
      counted,
    ),
  );

  const response = await ask(llm, "Hi", { onDelta });

  assert.deepEqual(sent[0]?.body, {
    model: "gpt-4o",
    messages: [{ role: "user", content: "Hi" }],
    stream: true,
    stream_options: { include_usage: true },
  });
  assert.deepEqual(heard, ["Hel", "lo"]);
  assert.deepEqual(response, {
    answer: { text: "Hello" },
    model: "gpt-4o-2024-08-06",
    usage: { inputTokens: 9, outputTokens: 3 },
    finishReason: "stop",
  });
});

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

test("an answer in an envelope is not shown in pieces", async () => {
  const { heard, onDelta } = collect();
  const { llm } = wired(() =>
    streaming(piece({ content: '{"answer":' }), piece({ content: "[1,2]}" }), piece({}, "stop")),
  );

  const format = { name: "numbers", schema: { type: "array", items: { type: "number" } } };
  const { answer } = await ask(llm, { messages: [user("?")], format }, { onDelta });

  assert.deepEqual([heard, answer.text], [["[1,2]"], "[1,2]"]);
});

test("a streamed refusal and a content filter are errors", async () => {
  const refusing = wired(() => streaming(piece({ refusal: "I can" }), piece({ refusal: "not" }), piece({}, "stop")));
  const filtered = wired(() => streaming(piece({ content: "Well" }), piece({}, "content_filter")));

  const refused = await failure(ask(refusing.llm, "?", collect()));
  assert.deepEqual([refused.kind, refused.message], ["refused", "Expected gpt-4o to answer, got a refusal: I cannot"]);
  assert.equal((await failure(ask(filtered.llm, "?", collect()))).kind, "content_filter");
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

test("a socket that closes in the middle is a lost connection, with what came until then", async (t) => {
  for (const close of [
    (response: ServerResponse) => response.end(),
    (response: ServerResponse) => response.destroy(),
  ]) {
    const { heard, onDelta } = collect();
    const llm = await served(t, (_request, response) => {
      open(response);
      response.write(events(piece({ content: "Hel" })), () => setTimeout(() => close(response), 20));
    });

    assert.equal((await failure(ask(llm, "?", { onDelta }))).kind, "connection");
    assert.deepEqual(heard, ["Hel"]);
  }
});

test("a piece that is no JSON is malformed", async () => {
  const { llm } = wired(() => new Response(`${events(piece({ content: "a" }))}data: {"choi\n\n`));

  assert.equal((await failure(ask(llm, "?", collect()))).kind, "malformed");
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

test("an error answer to a streamed question is like any other", async () => {
  const { llm } = wired(() => Response.json({ error: { message: "no" } }, { status: 401 }));

  assert.equal((await failure(ask(llm, "?", collect()))).kind, "auth");
});

test("a stream may last longer than the timeout, as long as something comes", async (t) => {
  const llm = await served(
    t,
    (_request, response) => {
      open(response);
      let count = 0;
      const timer = setInterval(() => {
        count += 1;
        response.write(events(count < 8 ? piece({ content: "." }) : piece({}, "stop")));
        if (count < 8) return;
        clearInterval(timer);
        response.end("data: [DONE]\n\n");
      }, 50);
    },
    { timeout: 250 },
  );

  assert.equal((await ask(llm, "?", collect())).answer.text, ".......");
});

test("a stream that falls silent is a timeout", async (t) => {
  const { heard, onDelta } = collect();
  const llm = await served(
    t,
    (_request, response) => {
      open(response);
      response.write(events(piece({ content: "Hel" })));
    },
    { timeout: 100 },
  );

  assert.equal((await failure(ask(llm, "?", { onDelta }))).kind, "timeout");
  assert.deepEqual(heard, ["Hel"]);
});

test("an abort in the middle of a stream is cancelled, and the server sees it", async (t) => {
  const caller = new AbortController();
  let closed = (): void => undefined;
  const dropped = new Promise<void>((resolve) => (closed = resolve));
  const llm = await served(t, (_request, response) => {
    open(response);
    response.on("close", closed);
    response.write(events(piece({ content: "Hel" })));
  });

  const error = await failure(
    ask(llm, "?", { signal: caller.signal, onDelta: () => caller.abort(new Error("enough")) }),
  );

  assert.equal(error.kind, "cancelled");
  await dropped;
});

test("an error of whoever listens is not taken for one of the server", async (t) => {
  let closed = (): void => undefined;
  const dropped = new Promise<void>((resolve) => (closed = resolve));
  const llm = await served(t, (_request, response) => {
    open(response);
    response.on("close", closed);
    response.write(events(piece({ content: "Hel" })));
  });
  const own = new RangeError("the output stream is full");
  const onDelta = (): never => {
    throw own;
  };

  await assert.rejects(ask(llm, "?", { onDelta }), (error) => error === own);
  await dropped;
});
