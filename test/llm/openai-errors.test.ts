/** What becomes of refusals, error answers, broken bodies, slow servers and lost connections. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import test from "node:test";
import { fromFailure, toFailure, type LlmErrorKind } from "@stet/core";
import { ask, callOptions, failure, user } from "./asking.ts";
import { completion, saying, served, wired } from "./openai-harness.ts";

const key = "test-key-123456";

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

for (const body of ["<html>Bad gateway</html>", ""]) {
  test(`an error whose body is ${JSON.stringify(body)} is known by its status`, async () => {
    const { llm } = wired(() => new Response(body, { status: 502 }));

    const error = await failure(ask(llm, "?"));

    assert.deepEqual([error.kind, error.status], ["unavailable", 502]);
    assert.match(error.message, body === "" ? /got 502: status code \(no body\)$/ : /Bad gateway/);
  });
}

for (const [headers, expected] of [
  [{ "retry-after": "2" }, 2000],
  [{ "retry-after": "0.5" }, 500],
  [{ "retry-after": "0" }, 0],
  [{ "retry-after-ms": "150", "retry-after": "2" }, 150],
  [{ "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", date: "Wed, 21 Oct 2026 07:28:00 GMT" }, 30_000],
  [{ "retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", date: "Wed, 21 Oct 2026 07:28:00 GMT" }, 0],
  [{ "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT" }, 0],
  [{ "retry-after": "soon" }, undefined],
  [{ "retry-after": "-1" }, undefined],
  [{}, undefined],
] as const) {
  test(`${JSON.stringify(headers)} asks to wait ${expected ?? "no given time"}`, async () => {
    const { llm } = wired(() =>
      Response.json({ error: { message: "slow down" } }, { status: 429, headers: { ...headers } }),
    );

    const error = await failure(ask(llm, "?"));

    assert.deepEqual([error.kind, error.retryAfterMs], ["rate_limited", expected]);
  });
}

test("a refusal is refused, with the model's words", async () => {
  const { llm } = wired(() => completion({ role: "assistant", content: null, refusal: "I cannot help with that" }));

  const error = await failure(ask(llm, "?"));

  assert.deepEqual([error.kind, error.retryable], ["refused", false]);
  assert.match(error.message, /got a refusal: I cannot help with that$/);
});

test("an answer stopped by the content filter is content_filter", async () => {
  const { llm } = wired(() => completion({ content: "Well" }, { finish_reason: "content_filter" }));

  assert.equal((await failure(ask(llm, "?"))).kind, "content_filter");
});

for (const [what, response] of [
  ["half a JSON document", () => new Response('{"choices": [', { headers: { "content-type": "application/json" } })],
  ["a web page", () => new Response("<html></html>", { headers: { "content-type": "text/html" } })],
  ["nothing", () => new Response(null, { status: 204 })],
  ["no choices", () => Response.json({ choices: [] })],
  ["a choice without a message", () => Response.json({ choices: [{ finish_reason: "stop" }] })],
  ["a list", () => Response.json([1])],
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

test("a server that is not there is a lost connection", async () => {
  const { llm } = wired(() => saying("never"), { fetch: globalThis.fetch, baseURL: "http://127.0.0.1:9/v1" });

  const error = await failure(ask(llm, "?"));

  assert.deepEqual([error.kind, error.retryable], ["connection", true]);
  assert.match(error.message, /ECONNREFUSED|bad port/);
});

test("a connection that breaks before or within the answer is a lost connection", async (t) => {
  const before = await served(t, (request) => request.socket.destroy());
  const within = await served(t, (_request, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
    response.write('{"choices"', () => response.destroy());
  });

  for (const llm of [before, within]) assert.equal((await failure(ask(llm, "?"))).kind, "connection");
});

test("headers that do not come in time are a timeout", async (t) => {
  const llm = await served(t, () => undefined, { timeout: 50 });

  const error = await failure(ask(llm, "?"));

  assert.deepEqual([error.kind, error.retryable], ["timeout", true]);
});

test("a body that does not come in time is a timeout", async (t) => {
  const llm = await served(
    t,
    (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write('{"choices"');
    },
    { timeout: 100 },
  );

  const error = await failure(ask(llm, "?"));

  assert.deepEqual([error.kind, error.message], ["timeout", "Expected an answer from OpenAI within 100 ms, got none"]);
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

test("a call that is over leaves no timer and no listener behind", async () => {
  const caller = new AbortController();
  const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
  const before = timers();
  const { llm } = wired(() => saying("ok"), { timeout: "1h" });

  await ask(llm, "?", { signal: caller.signal });

  assert.deepEqual([timers(), getEventListeners(caller.signal, "abort").length], [before, 0]);
});

test("an abort is cancelled, whether before, while waiting for headers, or within the body", async (t) => {
  let closed = 0;
  const caller = new AbortController();
  const silent = await served(t, (_request, response) => {
    response.on("close", () => (closed += 1));
    setTimeout(() => caller.abort(new Error("enough")), 20);
  });
  const halting = await served(t, (_request, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.write("{");
    setTimeout(() => later.abort(), 20);
  });
  const later = new AbortController();

  assert.equal((await failure(ask(silent, "?", { signal: AbortSignal.abort() }))).kind, "cancelled");
  const error = await failure(ask(silent, "?", { signal: caller.signal }));
  assert.deepEqual([error.kind, error.retryable], ["cancelled", false]);
  assert.equal((await failure(ask(halting, "?", { signal: later.signal }))).kind, "cancelled");
  for (let i = 0; i < 100 && closed === 0; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(closed, 1, "the request is dropped, not left running");
});

test("keys never appear in errors, whatever the server repeats, and nothing is printed", async (t) => {
  const printed = t.mock.method(process.stderr, "write", () => true);
  const echo = `Incorrect key ${key}; header was Bearer other-token-1; did you mean sk-proj-abc*****xyz? team-secret-9`;
  const options = { headers: { "x-gateway-key": "team-secret-9" } };
  const answers = [
    () => Response.json({ error: { message: echo, code: `code-${key}` } }, { status: 401 }),
    () => Response.json({ error: { message: echo } }),
    () => new Response(echo, { status: 500 }),
    () => new Response(`${key} is no JSON`, { headers: { "content-type": "application/json" } }),
    () => Response.json({ [key]: 1 }),
    () => Promise.reject(new Error("fetch failed", { cause: new Error(echo) })),
    () => new Response(`data: {"error":{"message":${JSON.stringify(echo)}}}\n\n`),
    () => new Response(`data: ${key}\n\n`),
  ];

  for (const answer of answers) {
    const { llm } = wired(answer, options);
    for (const stream of [{}, { onDelta: () => undefined }]) {
      const error = await failure(ask(llm, { messages: [user("?")] }, stream));
      const stored = JSON.stringify(toFailure(error));
      assert.doesNotMatch(stored, /test-key-123456|team-secret-9|other-token|sk-proj|abc\*/);
      assert.doesNotMatch(String(error.stack), /test-key-123456|team-secret-9/);
    }
  }
  assert.equal(printed.mock.callCount(), 0);
});

test("embed() fails like complete()", async () => {
  const { llm } = wired(() =>
    Response.json({ error: { message: "slow down" } }, { status: 429, headers: { "retry-after": "1" } }),
  );

  const error = await failure(llm.embed?.(["a"], callOptions()) ?? assert.fail());

  assert.deepEqual([error.kind, error.retryAfterMs], ["rate_limited", 1000]);
});
