/** Model calls: asked once, answered once, read by today's code without paying for anything twice. */
import assert from "node:assert/strict";
import test from "node:test";
import {
  canonicalHash,
  isStetError,
  LlmError,
  LlmOutputError,
  orchestration,
  type HistoryEvent,
  type LlmRequested,
  type StetError,
} from "@stet/core";
import { answer, given, replayHistory, start } from "@stet/testing";
import { z } from "zod";
import { answered, asking, questionOf, type Ask } from "./asking.ts";
import { bothWays, kinds, outputOf } from "./both-ways.ts";

test("ctx.generate() records the whole request with its hash, and hands it out as work", async () => {
  const turn = await given(asking((ctx) => ctx.generate("Say hello"))).when(start());

  const request = { messages: [{ role: "user" as const, content: "Say hello" }] };
  const asked = { kind: "LlmRequested", operation: "generate", promptHash: canonicalHash(request), request };
  assert.deepEqual(turn.events[1], { id: 2, at: 1_000_000, ...asked });
  assert.deepEqual(turn.effects.work, new Map([[2, asked]]));
});

test("ctx.generate() resolves with the text, whatever it is", async () => {
  for (const text of ["hello", "", "  spaced ", "{}"]) {
    assert.equal(outputOf(await answered((ctx) => ctx.generate("?"), text)), text);
  }
});

test("a prompt is a text, a text with a system prompt, or a conversation", async () => {
  const messages = [
    { role: "user", content: "1 + 1?" },
    { role: "assistant", content: "2" },
    { role: "user", content: "Sure?" },
  ] as const;
  const system = { role: "system", content: "Be short." };

  const asked = async (ask: Ask) => (await questionOf(ask)).request.messages;

  assert.deepEqual(await asked((ctx) => ctx.generate({ prompt: "Hi" })), [{ role: "user", content: "Hi" }]);
  assert.deepEqual(await asked((ctx) => ctx.generate({ system: "Be short.", prompt: "Hi" })), [
    system,
    { role: "user", content: "Hi" },
  ]);
  assert.deepEqual(await asked((ctx) => ctx.generateWithSystem("Be short.", "Hi")), [
    system,
    { role: "user", content: "Hi" },
  ]);
  assert.deepEqual(await asked((ctx) => ctx.generate({ messages })), messages);
  assert.deepEqual(await asked((ctx) => ctx.generate({ system: "Be short.", messages })), [system, ...messages]);
});

test("options of a call are recorded where they belong, and absent where not given", async () => {
  const question = await questionOf((ctx) =>
    ctx.generate("Hi", {
      model: "small",
      temperature: 0,
      maxTokens: 10,
      timeout: "30s",
      label: "greeting",
      maxAsks: 1,
      vendor: { top_p: 0.5 },
    }),
  );

  assert.deepEqual(question.request, {
    messages: [{ role: "user", content: "Hi" }],
    model: "small",
    temperature: 0,
    maxTokens: 10,
    vendor: { top_p: 0.5 },
  });
  assert.deepEqual(question.options, { timeoutMs: 30_000 });
  assert.equal(question.label, "greeting");
});

test("ctx.generateStructured() asks for the schema and resolves with the value it makes of the answer", async () => {
  const schema = z.object({ city: z.string(), people: z.number().int().default(0) });
  const ask: Ask = (ctx) => ctx.generateStructured("Which city?", schema);

  const { request } = await questionOf(ask);
  assert.equal(request.format?.name, "answer");
  assert.deepEqual((request.format?.schema["properties"] as { city: object } | undefined)?.city, { type: "string" });

  assert.deepEqual(outputOf(await answered(ask, '{ "city": "Bern" }')), { city: "Bern", people: 0 });
  assert.deepEqual(outputOf(await answered(ask, '```json\n{ "city": "Bern", "people": 3 }\n```')), {
    city: "Bern",
    people: 3,
  });
});

test("ctx.generateStructured() by a JSON Schema document checks by it", async () => {
  const document = { type: "object", properties: { n: { type: "number" } }, required: ["n"] };
  const ask: Ask = (ctx) => ctx.generateStructured("How many?", document);

  assert.deepEqual((await questionOf(ask)).request.format?.schema, document);
  assert.deepEqual(outputOf(await answered(ask, '{"n":"three"}', '{"n":3}')), { n: 3 });
});

test("ctx.generateStructured() takes null, false, 0, an empty text and an empty list for answers", async () => {
  const ask: Ask = (ctx) => ctx.generateStructured("?", z.unknown());
  for (const value of [null, false, 0, "", [], {}]) {
    assert.deepEqual(outputOf(await answered(ask, JSON.stringify(value))), value);
  }
});

test("ctx.ifTrue() fences the text that the question is about, and not the question", async () => {
  const turn = await given(orchestration("o", (ctx) => ctx.ifTrue("Is it a complaint?", { about: "Is 1 = 1?" }))).when(
    start(),
  );

  const asked = turn.events.find((event) => event.kind === "LlmRequested");
  assert.match(
    asked?.request.messages.at(-1)?.content ?? "",
    /^<(text-\S+)>\nIs 1 = 1\?\n<\/\1>\n\nThat was the material\. .*:\nIs it a complaint\?$/,
  );
});

test("ctx.ifTrue() resolves with true or false, however the model spells it", async () => {
  for (const [text, truth] of [
    ["true", true],
    ["False.", false],
    ["YES", true],
    ["**no**", false],
  ] as const) {
    assert.equal(outputOf(await answered((ctx) => ctx.ifTrue("Is it?"), text)), truth);
  }
});

test("ctx.classify() resolves with the category as it was given, however the model spells it", async () => {
  const ask: Ask = (ctx) => ctx.classify("My money!", ["Refund", "bug", "other"]);

  for (const text of ["Refund", "refund.", '"REFUND"', " refund\n"]) {
    assert.equal(outputOf(await answered(ask, text)), "Refund");
  }
});

test("ctx.classify() tells categories apart that differ only in case", async () => {
  const ask: Ask = (ctx) => ctx.classify("x", ["a", "A"]);

  assert.equal(outputOf(await answered(ask, "A")), "A");
  assert.equal(outputOf(await answered(ask, '"A".')), "A");
  assert.equal(outputOf(await answered(ask, "a")), "a");
});

test("ctx.extract() resolves with exactly the asked features as texts", async () => {
  const ask: Ask = (ctx) => ctx.extract("Ada, 36", ["name", "age", "city"]);

  const { request, operation } = await questionOf(ask);
  assert.equal(operation, "extract");
  assert.deepEqual(request.format?.schema["required"], ["name", "age", "city"]);
  assert.deepEqual(outputOf(await answered(ask, '{"name":"Ada","age":36,"city":null,"more":"x"}')), {
    name: "Ada",
    age: "36",
    city: "",
  });
  assert.deepEqual(
    (await questionOf((ctx) => ctx.extractFeatures("Ada, 36", ["name"]))).request,
    (await questionOf((ctx) => ctx.extract("Ada, 36", ["name"]))).request,
  );
});

test("ctx.extract() by a schema resolves with a typed object", async () => {
  const ask: Ask = (ctx) => ctx.extract("Ada, 36", z.object({ age: z.number() }));

  assert.deepEqual(outputOf(await answered(ask, '{"age":36}')), { age: 36 });
});

test("an answer that cannot be used is refused with the reason and asked again, in history", async () => {
  const end = await answered((ctx) => ctx.ifTrue("Is it?", { label: "check" }), "perhaps", "true");

  assert.equal(outputOf(end), true);
  assert.deepEqual(kinds(end.history), [
    "OrchestrationStarted",
    "LlmRequested",
    "LlmCompleted",
    "LlmRequested",
    "LlmCompleted",
    "OrchestrationCompleted",
  ]);
  const [first, second] = [end.history[1], end.history[3]] as (LlmRequested & HistoryEvent)[];
  assert.equal(first?.refines, undefined);
  assert.equal(second?.refines, 2);
  assert.equal(second?.label, "check");
  assert.deepEqual(second?.request.messages.slice(0, 2), first?.request.messages);
  assert.deepEqual(second?.request.messages.slice(2), [
    { role: "assistant", content: "perhaps" },
    {
      role: "user",
      content:
        'That answer cannot be used: expected true or false, got "perhaps". Answer again, and only with what was asked for.',
    },
  ]);
});

test("each refusal shows the model all of its earlier answers", async () => {
  const end = await answered((ctx) => ctx.ifTrue("Is it?"), "perhaps", "who knows", "no");

  const last = end.history[5] as LlmRequested & HistoryEvent;
  assert.deepEqual(
    last.request.messages.filter(({ role }) => role === "assistant").map(({ content }) => content),
    ["perhaps", "who knows"],
  );
  assert.equal(last.refines, 4);
});

test("a schema's complaint goes back to the model in its words", async () => {
  const end = await answered(
    (ctx) => ctx.generateStructured("?", z.object({ n: z.number() })),
    '{"n":"x"}',
    "not json",
    '{"n":1}',
  );

  const complaints = end.history.flatMap((event) =>
    event.kind === "LlmRequested" ? [event.request.messages.at(-1)?.content] : [],
  );
  assert.match(complaints[1] ?? "", /at \$\.n/);
  assert.match(complaints[2] ?? "", /expected JSON, got "not json"/);
});

test("after maxAsks questions the call rejects with LlmOutputError that holds the last answer", async () => {
  const caught: Ask = (ctx) =>
    ctx.ifTrue("Is it?", { maxAsks: 2 }).catch((error: unknown) => {
      assert.ok(error instanceof LlmOutputError);
      return [error.message, error.lastAnswer, error.details];
    });

  const end = await answered(caught, "perhaps", "who knows");

  assert.deepEqual(outputOf(end), [
    'Expected a usable answer to ctx.ifTrue in 2 questions, got none: expected true or false, got "who knows"',
    "who knows",
    { lastAnswer: "who knows" },
  ]);
  assert.deepEqual(kinds(end.events), ["LlmCompleted", "LlmAnswerRefused", "OrchestrationCompleted"]);
});

test("three questions are asked when maxAsks is not given", async () => {
  const end = await answered((ctx) => ctx.ifTrue("Is it?"), "x", "y", "z");

  assert.ok(end.closing?.kind === "OrchestrationFailed");
  assert.equal(end.closing.error.code, "llm_output_invalid");
  assert.equal(end.history.filter(({ kind }) => kind === "LlmRequested").length, 3);
});

test("maxAsks that is no whole number from 1, a wrong timeout and bad lists are refused where the call is made", async () => {
  const calls: Ask[] = [
    (ctx) => ctx.ifTrue("?", { maxAsks: 0 }),
    (ctx) => ctx.ifTrue("?", { maxAsks: 1.5 }),
    (ctx) => ctx.generate("?", { timeout: "soon" as never }),
    (ctx) => ctx.classify("?", []),
    (ctx) => ctx.classify("?", ["a", "a"]),
    (ctx) => ctx.extract("?", ["a", 1 as never]),
    (ctx) =>
      ctx.generateStructured("?", { "~standard": { version: 1, vendor: "other", validate: () => ({ issues: [] }) } }),
  ];
  for (const call of calls) {
    const end = await given(asking(call)).when(start());
    assert.ok(end.closing?.kind === "OrchestrationFailed", String(call));
    assert.equal(end.closing.error.code, "configuration_invalid", String(call));
    assert.deepEqual(kinds(end.history), ["OrchestrationStarted", "OrchestrationFailed"]);
  }
});

test("a request larger than the limit is refused where the call is made", async () => {
  const ask: Ask = (ctx) => ctx.generate("x".repeat(2_000)).catch((error: unknown) => (error as StetError).code);

  const end = await bothWays(asking(ask), [[start()]], { payloadLimit: 1_000 });

  assert.equal(outputOf(end), "payload_too_large");
});

test("an answer cut off at maxTokens is LlmError of kind truncated with what there was, and is not asked again", async () => {
  const ask: Ask = (ctx) =>
    ctx.generateStructured("?", z.unknown(), { maxTokens: 5 }).catch((error: unknown) => {
      assert.ok(error instanceof LlmError);
      return [error.kind, error.retryable, error.details];
    });

  const end = await bothWays(asking(ask), [[start()], [answer.said(2, '{"n":', { finishReason: "length" })]]);

  assert.deepEqual(outputOf(end), ["truncated", false, { kind: "truncated", text: '{"n":' }]);
});

test("a failed call rejects with the LlmError that the provider threw, kind, status and all", async () => {
  const ask: Ask = (ctx) =>
    ctx.generate("?").catch((error: unknown) => {
      assert.ok(isStetError(error, "llm_failed"));
      const { kind, status, retryAfterMs, retryable, message } = error as LlmError;
      return [kind, status, retryAfterMs, retryable, message];
    });
  const thrown = new LlmError("rate_limited", "slow down", { status: 429, retryAfterMs: 1_500 });

  const end = await bothWays(asking(ask), [[start()], [answer.modelFailed(2, thrown)]]);

  assert.deepEqual(outputOf(end), ["rate_limited", 429, 1_500, true, "slow down"]);
});

test("a call that fails between two questions is not asked again by itself", async () => {
  const end = await bothWays(
    asking((ctx) => ctx.ifTrue("?").catch((error: unknown) => (error as LlmError).kind)),
    [[start()], [answer.said(2, "perhaps")], [answer.modelFailed(4, new LlmError("refused", "no"))]],
  );

  assert.equal(outputOf(end), "refused");
});

test("model calls made side by side are asked at once and answered in any order", async () => {
  const ask: Ask = (ctx) => Promise.all([ctx.ifTrue("a?"), ctx.generate("b"), ctx.classify("c", ["x", "y"])]);

  const end = await bothWays(asking(ask), [
    [start()],
    [answer.said(4, "z"), answer.said(3, "B")],
    [answer.said(2, "true"), answer.said(6, "y")],
  ]);

  assert.deepEqual(outputOf(end), [true, "B", "y"]);
});

test("promise.cancel() gives the question up that is open, also a refined one", async () => {
  const ask: Ask = async (ctx) => {
    const truth = ctx.ifTrue("Is it?");
    await ctx.timer("1s");
    truth.cancel("too slow");
    return truth.catch((error: unknown) => (error as StetError).message);
  };

  const first = await bothWays(asking(ask), [[start()], [answer.timerFired(3)]]);
  const refined = await bothWays(asking(ask), [[start()], [answer.said(2, "perhaps")], [answer.timerFired(3)]]);

  assert.equal(outputOf(first), "too slow");
  assert.equal(outputOf(refined), "too slow");
  assert.deepEqual(kinds(refined.events), ["TimerFired", "LlmCancelled", "OrchestrationCompleted"]);
  assert.deepEqual(refined.effects.cancelledWork, [3, 5]);
});

test("a call that nobody awaits ends nothing when its answers are refused", async () => {
  const ask: Ask = async (ctx) => {
    void ctx.ifTrue("?", { maxAsks: 1 });
    await ctx.timer("1s");
    return "calm";
  };

  const end = await bothWays(asking(ask), [[start()], [answer.said(2, "perhaps")], [answer.timerFired(3)]]);

  assert.equal(outputOf(end), "calm");
});

test("a changed prompt is drift, not nondeterminism: the recorded answer stands and the drift is told", async () => {
  const version = (prompt: string) =>
    asking(async (ctx) => {
      const text = await ctx.generate(prompt, { label: "greeting" });
      await ctx.timer("1s");
      return text;
    });
  const before = await bothWays(version("Say hi"), [[start()], [answer.said(2, "hi")]]);

  const after = await given(version("Say hello"), before.history).when(answer.timerFired(4));

  assert.equal(outputOf(after), "hi");
  const hashOf = (content: string) => canonicalHash({ messages: [{ role: "user", content }] });
  const drift = {
    eventId: 2,
    operation: "generate",
    label: "greeting",
    recordedHash: hashOf("Say hi"),
    hash: hashOf("Say hello"),
  };
  assert.deepEqual(after.promptDrift, [drift]);
  assert.deepEqual((await replayHistory(version("Say hello"), before.history)).promptDrift, [drift]);
});

test("the order of members makes no drift", async () => {
  const version = (...messages: readonly { role: "user"; content: string }[]) =>
    asking((ctx) => ctx.generate({ messages }));
  const before = await given(version({ role: "user", content: "hi" })).when(start());

  const { ok, promptDrift } = await replayHistory(version({ content: "hi", role: "user" }), before.history);

  assert.ok(ok);
  assert.deepEqual(promptDrift, []);
});

test("with promptDrift: error a changed prompt blocks, naming both hashes and the line", async () => {
  const version = (prompt: string) => asking((ctx) => ctx.generate(prompt));
  const before = await given(version("Say hi")).when(start());

  const after = await given(version("Say hello"), before.history, { promptDrift: "error" }).when();

  assert.equal(after.status, "blocked");
  assert.ok(isStetError(after.failure, "nondeterminism"));
  assert.match(
    after.failure.message,
    /event 2, prompt [\w-]{43}; got prompt [\w-]{43} at .*60-model-calls.* prompt differs/,
  );
});

test("another operation than the recorded one is nondeterminism", async () => {
  const before = await given(asking((ctx) => ctx.generate("?"))).when(start());

  const after = await given(
    asking((ctx) => ctx.ifTrue("?")),
    before.history,
  ).when();

  assert.ok(isStetError(after.failure, "nondeterminism"));
  assert.match(after.failure.message, /operation differs/);
});

const lenient = z.object({ n: z.number() });
const strict = z.object({ n: z.number().max(5) });

/** Asks by a schema, then waits: so that a replay goes past the answer. */
const structured = (schema: typeof lenient, maxAsks?: number) =>
  asking(async (ctx) => {
    const value = await ctx
      .generateStructured("?", schema, maxAsks === undefined ? {} : { maxAsks })
      .catch((error: unknown) => (error as StetError).code);
    await ctx.timer("1s");
    return value;
  });

test("a recorded answer stands though today's schema is stricter", async () => {
  const before = await bothWays(structured(lenient), [[start()], [answer.said(2, '{"n":9}')]]);

  const after = await given(structured(strict), before.history).when(answer.timerFired(4));

  assert.deepEqual(outputOf(after), { n: 9 });
});

test("a recorded answer stands though it was the last that could be asked for", async () => {
  const once = await bothWays(structured(lenient, 1), [[start()], [answer.said(2, '{"n":9}')]]);
  const twice = await bothWays(structured(lenient, 2), [[start()], [answer.said(2, "?")], [answer.said(4, '{"n":9}')]]);

  assert.deepEqual(outputOf(await given(structured(strict, 1), once.history).when(answer.timerFired(4))), { n: 9 });
  assert.deepEqual(outputOf(await given(structured(strict, 2), twice.history).when(answer.timerFired(6))), { n: 9 });
});

test("a recorded refusal stands though today's schema is more lenient", async () => {
  const before = await bothWays(structured(strict), [
    [start()],
    [answer.said(2, '{"n":9}')],
    [answer.said(4, '{"n":1}')],
  ]);

  const after = await given(structured(lenient), before.history).when(answer.timerFired(6));

  assert.deepEqual(outputOf(after), { n: 1 });
});

test("a recorded last refusal stands though today more may be asked, or the schema is more lenient", async () => {
  const before = await bothWays(structured(strict, 1), [[start()], [answer.said(2, '{"n":9}')]]);

  for (const today of [structured(strict, 3), structured(lenient, 1)]) {
    const after = await given(today, before.history).when(answer.timerFired(5));
    assert.equal(outputOf(after), "llm_output_invalid");
  }
});

test("a recorded question that refines stands though today fewer may be asked", async () => {
  const before = await bothWays(structured(strict), [
    [start()],
    [answer.said(2, '{"n":9}')],
    [answer.said(4, '{"n":1}')],
  ]);

  const after = await given(structured(strict, 1), before.history).when(answer.timerFired(6));

  assert.deepEqual(outputOf(after), { n: 1 });
});

test("an answer that comes after the replay is judged by today's schema", async () => {
  const before = await given(structured(lenient)).when(start());

  const after = await given(structured(strict), before.history).when(answer.said(2, '{"n":9}'));

  assert.deepEqual(kinds(after.events), ["LlmCompleted", "LlmRequested"]);
});

test("a recorded category stands though it is offered no longer", async () => {
  const version = (...categories: string[]) =>
    asking(async (ctx) => {
      const category = await ctx.classify("?", categories);
      await ctx.timer("1s");
      return category;
    });
  const before = await bothWays(version("refund", "bug"), [[start()], [answer.said(2, '"refund".')]]);

  const after = await given(version("bug", "other"), before.history).when(answer.timerFired(4));

  assert.equal(outputOf(after), "refund");
});
