/** What a scripted model does, as whoever tests an orchestration relies on it. */
import assert from "node:assert/strict";
import test from "node:test";
import { isStetError, LlmError, type LlmCallOptions, type LlmProvider, type LlmRequest } from "@stet/core";
import { after, callTool, cutShort, mock, says, times, type MockLlm } from "@stet/mock";

interface Ask extends Partial<LlmCallOptions> {
  readonly system?: string;
  readonly request?: Partial<LlmRequest>;
}

function ask(llm: LlmProvider, prompt: string, { system, request, ...options }: Ask = {}) {
  const messages = [
    ...(system === undefined ? [] : [{ role: "system" as const, content: system }]),
    { role: "user" as const, content: prompt },
  ];
  return llm.complete({ messages, ...request }, callOptions(options));
}

async function textOf(...question: Parameters<typeof ask>): Promise<string> {
  return (await ask(...question)).answer.text;
}

function callOptions(options: Partial<LlmCallOptions> = {}): LlmCallOptions {
  return { operation: "generate", signal: new AbortController().signal, idempotencyKey: "key", ...options };
}

function kind(expected: LlmError["kind"], message?: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(isStetError(error, "llm_failed"));
    assert.equal((error as LlmError).kind, expected);
    if (message) assert.match(error.message, message);
    return true;
  };
}

test("mock() answers in the order of the calls, each answer once, whatever is asked", async () => {
  const llm = mock(["first", "second"]).reply("third");

  assert.deepEqual(
    [await textOf(llm, "a"), await textOf(llm, "b"), await textOf(llm, "c")],
    ["first", "second", "third"],
  );
  await assert.rejects(ask(llm, "d"), kind("bad_request", /reply\(\), 2 of 2 used; reply\(\), 1 of 1 used/));
});

test("mock() gives calls made side by side their answers in the order of the calls", async () => {
  const llm = mock([after(20, "slow"), "quick"]);

  assert.deepEqual(await Promise.all([textOf(llm, "a"), textOf(llm, "b")]), ["slow", "quick"]);
});

test("mock() fails loudly when nothing matches, showing the operation, the prompt and the rules", async () => {
  const llm = mock()
    .on("classify", "refund")
    .when(/entitled/, true)
    .when({ operation: "chat", label: "x" }, "y");

  await assert.rejects(
    ask(llm, `Is it a bird? ${"very long ".repeat(100)} end`, { operation: "ifTrue", label: "bird" }),
    kind(
      "bad_request",
      /^Expected the mock to be told an answer to ifTrue \(label bird\) "Is it a bird\? .{100,200} end", call 1, got none: its rules are on\("classify"\); when\(\/entitled\/\); when\(\{ operation: "chat", label: "x" \}\)$/,
    ),
  );
  await assert.rejects(
    ask(mock(), "hello"),
    kind("bad_request", /generate "hello", call 1, got none: it has no rules$/),
  );
});

test("on() answers an operation, and when() a text in the prompt", async () => {
  const llm = mock()
    .on("classify", "refund")
    .when("apple", "fruit")
    .when(/car(rot)?s/i, "vegetable");

  assert.equal(await textOf(llm, "an apple", { operation: "classify" }), "refund");
  assert.equal(await textOf(llm, "an apple"), "fruit");
  assert.equal(await textOf(llm, "CARROTS"), "vegetable");
});

test("when() takes a predicate of the request and a pattern of several conditions", async () => {
  const llm = mock()
    .when((request) => request.temperature === 0, "cold")
    .when({ operation: "ifTrue", prompt: /entitled/, system: "lawyer", label: "check" }, false)
    .otherwise("other");

  const matching: Ask = { operation: "ifTrue", label: "check", system: "You are a lawyer" };
  assert.equal(await textOf(llm, "?", { request: { temperature: 0 } }), "cold");
  assert.equal(await textOf(llm, "entitled?", matching), "false");
  for (const other of [{ operation: "chat" }, { label: "no" }, { system: "a judge" }]) {
    assert.equal(await textOf(llm, "entitled?", { ...matching, ...other }), "other");
  }
  assert.equal(await textOf(llm, "free?", matching), "other");
});

test("when() answers the same each time for an expression with the flags g and y", async () => {
  const llm = mock().when(/a/g, "found").when(/b/y, "at the start");

  assert.deepEqual([await textOf(llm, "xa"), await textOf(llm, "a")], ["found", "found"]);
  assert.deepEqual([await textOf(llm, "b"), await textOf(llm, "b")], ["at the start", "at the start"]);
});

test("when() looks at the words of the user and the tools, not of the system or the model", async () => {
  const llm = mock().when("sun", "yes").otherwise("no");
  const complete = async (...messages: LlmRequest["messages"]) =>
    (await llm.complete({ messages }, callOptions())).answer.text;

  assert.equal(await complete({ role: "system", content: "sun" }, { role: "user", content: "rain" }), "no");
  assert.equal(await complete({ role: "user", content: "rain" }, { role: "assistant", content: "sun" }), "no");
  assert.equal(
    await complete({ role: "user", content: "rain" }, { role: "tool", content: "sun", toolCallId: "1" }),
    "yes",
  );
});

test("rules are asked in the order in which they were written, otherwise() last wherever it stands", async () => {
  const llm = mock().otherwise("other").when("ab", "first").when("a", "second");

  assert.deepEqual(
    [await textOf(llm, "ab"), await textOf(llm, "a"), await textOf(llm, "c")],
    ["first", "second", "other"],
  );
});

test("a rule gives its answers one after the other, and the last one stays", async () => {
  const llm = mock().on("generate", "maybe", "true");

  assert.deepEqual([await textOf(llm, "a"), await textOf(llm, "b"), await textOf(llm, "c")], ["maybe", "true", "true"]);
});

test("a rule without an answer is refused where it is written", () => {
  assert.throws(() => mock().on("classify"), /Expected on\("classify"\) to be given an answer, got none/);
});

test("an answer that is no string is answered as JSON text, a string word for word", async () => {
  const llm = mock([{ a: [1, null] }, true, 0, null, "not { json", ""]);

  const texts = [];
  for (let i = 0; i < 6; i++) texts.push(await textOf(llm, "?"));
  assert.deepEqual(texts, ['{"a":[1,null]}', "true", "0", "null", "not { json", ""]);
});

test("a function answers from the request and the call, also later, also with an error or an exact answer", async () => {
  const llm = mock().when({ prompt: "add" }, (request) => `${request.messages.length} messages`);
  llm.when("later", async (_request, call) => Promise.resolve(says(`call ${call.order} of ${call.operation}`)));
  llm.when("fail", () => new LlmError("unavailable", "down"));
  llm.when("throw", () => {
    throw new LlmError("connection", "reset");
  });

  assert.equal(await textOf(llm, "add", { system: "s" }), "2 messages");
  assert.equal(await textOf(llm, "later"), "call 2 of generate");
  await assert.rejects(ask(llm, "fail"), kind("unavailable", /down/));
  await assert.rejects(ask(llm, "throw"), kind("connection", /reset/));
});

test("an error is thrown once, several times, or for ever", async () => {
  const limited = new LlmError("rate_limited", "slow down", { status: 429, retryAfterMs: 1000 });
  const llm = mock()
    .on("once", limited, "ok")
    .on("twice", ...times(2, limited), "ok")
    .on("always", limited);

  await assert.rejects(ask(llm, "?", { operation: "once" }), (error) => error === limited);
  assert.equal(await textOf(llm, "?", { operation: "once" }), "ok");
  for (let i = 0; i < 2; i++) await assert.rejects(ask(llm, "?", { operation: "twice" }), kind("rate_limited"));
  assert.equal(await textOf(llm, "?", { operation: "twice" }), "ok");
  for (let i = 0; i < 5; i++) await assert.rejects(ask(llm, "?", { operation: "always" }), kind("rate_limited"));
});

test("refusals, truncation and tool calls are answers like others", async () => {
  const llm = mock([
    new LlmError("refused", "I would rather not"),
    cutShort("Once upon"),
    callTool("weather", { city: "Bern" }),
  ]);
  llm.reply(says("both", { toolCalls: [{ name: "a" }, { name: "b", arguments: [1], id: "mine" }] }));

  await assert.rejects(ask(llm, "?"), kind("refused"));
  const cut = await ask(llm, "?");
  assert.deepEqual([cut.answer, cut.finishReason], [{ text: "Once upon" }, "length"]);
  const called = await ask(llm, "?");
  assert.deepEqual(called.answer, {
    text: "",
    toolCalls: [{ id: "call-3-1", name: "weather", arguments: { city: "Bern" } }],
  });
  assert.equal(called.finishReason, "tool_calls");
  assert.deepEqual((await ask(llm, "?")).answer, {
    text: "both",
    toolCalls: [
      { id: "call-4-1", name: "a", arguments: {} },
      { id: "mine", name: "b", arguments: [1] },
    ],
  });
});

test("usage is a quarter of the characters, rounded up, unless the script says otherwise", async () => {
  const llm = mock([
    "12345",
    says("", { usage: { inputTokens: 7, outputTokens: 1, cachedTokens: 5 }, model: "other" }),
  ]);

  const counted = await ask(llm, "123456", { system: "123" });
  assert.deepEqual(counted.usage, { inputTokens: 3, outputTokens: 2 });
  assert.equal(counted.model, "mock-1");
  const told = await ask(llm, "?");
  assert.deepEqual([told.usage, told.model], [{ inputTokens: 7, outputTokens: 1, cachedTokens: 5 }, "other"]);
});

test("calls are recorded with what was asked, how it was answered, and by which rule", async () => {
  const llm = mock().on("classify", "refund").when("down", new LlmError("unavailable", "down"));
  await ask(llm, "text", { operation: "classify", label: "kind", idempotencyKey: "k1", system: "be good" });
  await ask(llm, "down", { onDelta: () => undefined }).catch(() => undefined);
  await ask(llm, "unknown").catch(() => undefined);

  const [first, second, third] = llm.calls;
  assert.deepEqual(
    [
      first?.order,
      first?.operation,
      first?.label,
      first?.idempotencyKey,
      first?.rule,
      first?.prompt,
      first?.system,
      first?.streamed,
    ],
    [1, "classify", "kind", "k1", 'on("classify")', "text", "be good", false],
  );
  assert.equal(first?.outcome.kind === "answered" && first.outcome.response.answer.text, "refund");
  assert.deepEqual([second?.rule, second?.outcome.kind, second?.streamed], ['when("down")', "failed", true]);
  assert.deepEqual([third?.order, third?.rule, third?.outcome.kind], [3, undefined, "failed"]);
});

test("unused names the rules whose answers nobody has asked for", async () => {
  const llm = mock(["a"]).on("classify", "x", "y").otherwise("z");
  assert.deepEqual(llm.unused, ["reply()", 'on("classify")', "otherwise()"]);

  await ask(llm, "?");
  await ask(llm, "?");
  await ask(llm, "?", { operation: "classify" });
  assert.deepEqual(llm.unused, ['on("classify")']);
  await ask(llm, "?", { operation: "classify" });

  assert.deepEqual(llm.unused, []);
});

test("latency goes through the given delay, so that virtual time works", async () => {
  const waited: number[] = [];
  const delay = async (ms: number) => void waited.push(ms);
  const llm = mock(["a", after(500, "b")], { latencyMs: 100, delay });

  assert.deepEqual([await textOf(llm, "?"), await textOf(llm, "?")], ["a", "b"]);
  assert.deepEqual(waited, [100, 100, 500]);
});

test("an aborted signal ends a wait, also when the delay or the function does not listen", async () => {
  const deaf = () => new Promise<never>(() => undefined);
  const waits: MockLlm[] = [
    mock(["a"], { latencyMs: 60_000 }),
    mock(["a"], { latencyMs: 1, delay: deaf }),
    mock([deaf]),
  ];

  for (const llm of waits) {
    const caller = new AbortController();
    const asked = ask(llm, "?", { signal: caller.signal });
    caller.abort(new Error("enough"));
    await assert.rejects(asked, kind("cancelled"));
    assert.equal(llm.calls[0]?.outcome.kind, "failed");
  }
});

test("a call that nobody wants uses up no answer", async () => {
  const llm = mock(["a"]);

  await assert.rejects(ask(llm, "?", { signal: AbortSignal.abort() }), kind("cancelled"));
  assert.deepEqual([llm.calls.length, await textOf(llm, "?")], [0, "a"]);
});

test("a streamed answer comes word by word, and the pieces are the text", async () => {
  const text = " One, two\n\nthree  four. ";
  const pieces: string[] = [];
  const answer = await ask(mock([text]), "?", { onDelta: (piece) => pieces.push(piece) });

  assert.equal(pieces.length, 4);
  assert.deepEqual([pieces.join(""), answer.answer.text], [text, text]);
});

test("a stream may break, by the script or by the caller", async () => {
  const pieces: string[] = [];
  const broken = mock([says("one two three", { thenFails: new LlmError("connection", "reset") })]);
  await assert.rejects(ask(broken, "?", { onDelta: (piece) => pieces.push(piece) }), kind("connection"));
  assert.deepEqual(pieces, ["one ", "two ", "three"]);

  const caller = new AbortController();
  const heard: string[] = [];
  const onDelta = (piece: string) => {
    heard.push(piece);
    caller.abort();
  };
  await assert.rejects(ask(mock(["one two three"]), "?", { signal: caller.signal, onDelta }), kind("cancelled"));
  assert.deepEqual(heard, ["one "]);
});

test("embed() gives equal texts equal vectors, and texts with common words nearer ones", async () => {
  const llm = mock();
  const { vectors, model, usage } = await llm.embed(
    ["the cat sat", "The cat sat!", "the cat ran", "quantum flux", ""],
    callOptions({ operation: "embed" }),
  );
  const near = (a: number, b: number) => (vectors[a] ?? []).reduce((sum, x, i) => sum + x * (vectors[b]?.[i] ?? 0), 0);

  assert.deepEqual(vectors[0], vectors[1]);
  assert.ok(near(0, 2) > near(0, 3));
  for (let i = 0; i < 5; i++) assert.ok(Math.abs(near(i, i) - 1) < 1e-9);
  assert.deepEqual([model, usage], ["mock-1", { inputTokens: 3 + 3 + 3 + 3, outputTokens: 0 }]);
  assert.equal(llm.calls[0]?.outcome.kind, "embedded");
});

test("embed() is scripted only by rules that name the operation", async () => {
  const llm = mock(["not a vector"])
    .on("embed", new LlmError("unavailable", "down"), [[1, 0]], [[1]], "wrong")
    .otherwise("x");
  const embed = (...texts: string[]) => llm.embed(texts, callOptions({ operation: "embed" }));

  await assert.rejects(embed("a"), kind("unavailable"));
  assert.deepEqual((await embed("a")).vectors, [[1, 0]]);
  await assert.rejects(embed("a", "b"), kind("bad_request", /to be 2 vectors of numbers, got 1 in a list of 1/));
  await assert.rejects(embed("a"), kind("bad_request", /got "wrong"/));
});

test("a mock may claim to be another model that can do less", () => {
  const llm = mock({ name: "tiny", model: "tiny-1", capabilities: { structuredOutput: false } });

  assert.deepEqual([llm.name, llm.model], ["tiny", "tiny-1"]);
  assert.deepEqual(llm.capabilities, { structuredOutput: false, tools: true, streaming: true });
});

test("mocks share nothing", async () => {
  const [one, other] = [mock(["1"]), mock(["2"])];

  assert.deepEqual([await textOf(other, "?"), await textOf(one, "?"), one.calls.length], ["2", "1", 1]);
});
