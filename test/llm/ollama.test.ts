/** What is Ollama's own: where it is, how its tool calls are told apart, and what its SDK would swallow or print. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { LlmRequest, Payload } from "@stet/core";
import { ollama, type OllamaOptions } from "@stet/ollama";
import { ask, callOptions, failure, user } from "./asking.ts";

function wired(answer: () => Response, options: Partial<OllamaOptions> = {}) {
  const sent: { url: string; headers: Headers; body: { [name: string]: Payload } }[] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    sent.push({
      url: request.url,
      headers: request.headers,
      body: (await request.json()) as { [name: string]: Payload },
    });
    return answer();
  };
  return { llm: ollama({ model: "llama3.2", fetch, ...options }), sent };
}

const said = (message: { [name: string]: Payload }, rest: { [name: string]: Payload } = {}): Payload => ({
  model: "llama3.2",
  message: { role: "assistant", content: "", ...message },
  done: true,
  done_reason: "stop",
  ...rest,
});
const saying = (content: string): Response => Response.json(said({ content }));
const calls = (...names: readonly string[]): { [name: string]: Payload } => ({
  tool_calls: names.map((name) => ({ function: { name, arguments: {} } })),
});
const quietly = (t: TestContext) =>
  ["log", "warn", "error"].map((level) => t.mock.method(console, level as "log", () => undefined));

test("tool calls are numbered within the conversation, so that none has the id of another", async () => {
  const request: LlmRequest = {
    messages: [
      user("?"),
      { role: "assistant", content: "", toolCalls: [{ id: "call_1", name: "a", arguments: {} }] },
      { role: "tool", content: "1", toolCallId: "call_1" },
    ],
    tools: [
      { name: "a", parameters: {} },
      { name: "b", parameters: {} },
    ],
  };
  const streamed = [said(calls("b"), { done: false }), said(calls("a"), { done: false }), said({})].map(
    (piece) => `${JSON.stringify(piece)}\n`,
  );
  const whole = wired(() => Response.json(said(calls("b", "a"))));
  const inPieces = wired(() => new Response(streamed.join("")));

  for (const { answer } of [
    await ask(whole.llm, request),
    await ask(inPieces.llm, request, { onDelta: () => undefined }),
  ]) {
    assert.deepEqual(
      answer.toolCalls?.map(({ id, name }) => [id, name]),
      [
        ["call_2", "b"],
        ["call_3", "a"],
      ],
    );
  }
});

test("ids of a server that has some are kept", async () => {
  const tool_calls = [{ id: "call_xyz", function: { name: "a", arguments: {} } }];
  const { llm } = wired(() => Response.json(said({ tool_calls })));

  assert.equal((await ask(llm, "?")).answer.toolCalls?.[0]?.id, "call_xyz");
});

test("the result of a tool goes by the tool's name on the wire", async () => {
  const { llm, sent } = wired(() => saying("ok"));

  await ask(llm, {
    messages: [
      { role: "assistant", content: "", toolCalls: [{ id: "x", name: "tickets.fetch", arguments: null }] },
      { role: "tool", content: "1", toolCallId: "x" },
      { role: "tool", content: "2", toolCallId: "unheard of" },
    ],
  });

  const messages = sent[0]?.body["messages"] as unknown as {
    tool_name?: string;
    tool_calls?: { function: { name: string; arguments: Payload } }[];
  }[];
  const call = messages[0]?.tool_calls?.[0]?.function;
  assert.deepEqual(call?.arguments, {});
  assert.deepEqual([messages[1]?.tool_name, messages[2]?.tool_name], [call?.name, undefined]);
});

test("options of the model join those of the request", async () => {
  const { llm, sent } = wired(() => saying("ok"));

  const vendor = { keep_alive: "1h", options: { num_ctx: 8192, temperature: 1 } };
  await ask(llm, { messages: [user("?")], temperature: 0, vendor });

  const { keep_alive, options } = sent[0]?.body ?? {};
  assert.deepEqual([keep_alive, options], ["1h", { num_ctx: 8192, temperature: 0 }]);
});

test("how long a model stays in memory is left to the server", async () => {
  const { llm, sent } = wired(() => saying("ok"));

  await ask(llm, "?");

  assert.deepEqual(Object.keys(sent[0]?.body ?? {}).sort(), ["messages", "model", "stream"]);
});

test("an answer that only loaded a model is malformed", async () => {
  for (const done_reason of ["load", "unload", "tired"]) {
    const { llm } = wired(() => Response.json(said({}, { done_reason })));
    assert.equal((await failure(ask(llm, "?"))).kind, "malformed");
  }
});

test("servers of older versions give no reason, and end all the same", async () => {
  const { done_reason: _reason, ...old } = said({ content: "ok" }) as { [name: string]: Payload };
  const { llm } = wired(() => Response.json(old));

  assert.equal((await ask(llm, "?")).finishReason, "stop");
});

test("a whole answer may be spread over lines, and a stream may hold empty ones", async (t) => {
  const printed = quietly(t);
  const spread = wired(() => new Response(JSON.stringify(said({ content: "ok" }), null, 2)));
  const gappy = wired(() => new Response(`\n${JSON.stringify(said({ content: "ok" }))}\n\n`));

  assert.equal((await ask(spread.llm, "?")).answer.text, "ok");
  assert.equal((await ask(gappy.llm, "?", { onDelta: () => undefined })).answer.text, "ok");
  assert.deepEqual(
    printed.map(({ mock }) => mock.callCount()),
    [0, 0, 0],
  );
});

test("nothing is printed, whatever the server says", async (t) => {
  const printed = quietly(t);
  for (const [type, body] of [
    ["text/plain", "no"],
    ["application/json", "{"],
    ["application/json", '{"error":{"message":"nested"}}'],
  ] as const) {
    const { llm } = wired(() => new Response(body, { status: 500, headers: { "content-type": type } }));
    const error = await failure(ask(llm, "?"));
    assert.equal(error.kind, "unavailable");
    if (body.includes("nested")) assert.match(error.message, /: nested$/);
  }
  const { llm } = wired(() => new Response("half a line\n"));
  assert.equal((await failure(ask(llm, "?", { onDelta: () => undefined }))).kind, "malformed");

  assert.deepEqual(
    printed.map(({ mock }) => mock.callCount()),
    [0, 0, 0],
  );
});

test("embed() asks the embedding model, and estimates what nobody counted", async () => {
  const { llm, sent } = wired(() => Response.json({ embeddings: [[1, 2]] }), { embeddingModel: "tiny" });

  const embedded = await llm.embed?.(["12345"], callOptions({ operation: "embed" }));

  assert.deepEqual(sent[0]?.body, { model: "tiny", input: ["12345"] });
  assert.deepEqual(embedded, {
    vectors: [[1, 2]],
    model: "tiny",
    usage: { inputTokens: 2, outputTokens: 0, estimated: true },
  });
});

test("ollama() takes server and key from the environment", async (t) => {
  const { OLLAMA_HOST, OLLAMA_API_KEY } = process.env;
  const set = (host: string | undefined, key: string | undefined): void => {
    for (const [name, value] of [
      ["OLLAMA_HOST", host],
      ["OLLAMA_API_KEY", key],
    ] as const) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  t.after(() => set(OLLAMA_HOST, OLLAMA_API_KEY));
  const asked = async (options: Partial<OllamaOptions> = {}): Promise<(string | null)[]> => {
    const { llm, sent } = wired(() => saying("ok"), options);
    await ask(llm, "?");
    return [sent[0]?.url ?? "", sent[0]?.headers.get("authorization") ?? null];
  };

  set(undefined, undefined);
  assert.deepEqual(await asked(), ["http://127.0.0.1:11434/api/chat", null]);
  set("gpu-box:9999", "env-key-1");
  assert.deepEqual(await asked(), ["http://gpu-box:9999/api/chat", "Bearer env-key-1"]);
  assert.deepEqual(await asked({ baseURL: "https://ollama.com", apiKey: "own-key" }), [
    "https://ollama.com/api/chat",
    "Bearer own-key",
  ]);
  assert.deepEqual(await asked({ baseURL: "http://127.0.0.1:11434/behind/a/proxy/" }), [
    "http://127.0.0.1:11434/behind/a/proxy/api/chat",
    "Bearer env-key-1",
  ]);

  const configuration = { code: "configuration_invalid" };
  assert.throws(() => ollama({ model: "" }), configuration);
  assert.throws(() => ollama({ model: "m", timeout: "soon" as "1s" }), configuration);
  for (const baseURL of ["ftp://x", "me:secret-word@x.test", "http://"]) {
    assert.throws(
      () => ollama({ model: "m", baseURL }),
      (error: Error) => !error.message.includes("secret-word") && error.name === "ConfigurationError",
    );
  }
});
