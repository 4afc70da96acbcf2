/** Summaries, sentiments and validated answers: what fits is taken, what does not is asked for again, in bounds. */
import assert from "node:assert/strict";
import test from "node:test";
import { LlmOutputError, type LlmAnswerTrimmed, type StetError } from "@stet/core";
import { answer, given, start } from "@stet/testing";
import { z } from "zod";
import { answered, asking, lastWordsOf, questionOf, type Ask } from "./asking.ts";
import { bothWays, kinds, outputOf } from "./both-ways.ts";

const long = "One two three four five. Six seven eight nine ten. Eleven twelve thirteen.";

const summary =
  (maxWords: number): Ask =>
  (ctx) =>
    ctx.summarize("A long story.", { maxWords });

test("ctx.summarize() resolves with a summary that fits, without the white space around it", async () => {
  assert.equal(outputOf(await answered(summary(5), " One two three four five. \n")), "One two three four five.");
});

test("ctx.summarize() asks again for a summary that is too long, or empty", async () => {
  const end = await answered(summary(12), "", long, "One two three.");

  assert.equal(outputOf(end), "One two three.");
  assert.deepEqual(lastWordsOf(end).slice(1), [
    "That answer cannot be used: expected a summary of at most 12 words, got none. Answer again, and only with what was asked for.",
    "That answer cannot be used: expected a summary of at most 12 words, got 13 words. Answer again, and only with what was asked for.",
  ]);
});

test("ctx.summarize() cuts the last answer after a sentence, and history says so", async () => {
  const end = await answered(summary(12), long, long, long);

  const text = "One two three four five. Six seven eight nine ten.";
  assert.equal(outputOf(end), text);
  assert.deepEqual(kinds(end.events), ["LlmCompleted", "LlmAnswerTrimmed", "OrchestrationCompleted"]);
  const { source, text: recorded } = end.events[1] as LlmAnswerTrimmed & { id: number };
  assert.deepEqual([source, recorded], [6, text]);
});

test("ctx.summarize() cuts after a word where no sentence is short enough, in any language", async () => {
  const cut = async (text: string, maxWords: number) =>
    outputOf(await answered((ctx) => ctx.summarize("x", { maxWords }, { maxAsks: 1 }), text));

  assert.equal(await cut("one two, three four", 2), "one two...");
  assert.equal(await cut("一二三。今天天气很好，我们去公园散步。", 3), "一二三。");
});

test("ctx.summarize() gives up on a model that says nothing", async () => {
  const end = await answered(summary(5), "", "...", " ");

  assert.ok(end.closing?.kind === "OrchestrationFailed");
  assert.equal(end.closing.error.code, "llm_output_invalid");
});

test("a recorded summary stands though today's limit is another", async () => {
  const version = (maxWords: number, maxAsks: number) =>
    asking(async (ctx) => {
      const text = await ctx.summarize("A long story.", { maxWords }, { maxAsks });
      await ctx.timer("1s");
      return text;
    });
  const accepted = await bothWays(version(20, 1), [[start()], [answer.said(2, long)]]);
  const trimmed = await bothWays(version(12, 1), [[start()], [answer.said(2, long)]]);

  for (const today of [version(3, 1), version(3, 3), version(100, 1)]) {
    assert.equal(outputOf(await given(today, accepted.history).when(answer.timerFired(4))), long);
    const again = await given(today, trimmed.history).when(answer.timerFired(5));
    assert.equal(outputOf(again), "One two three four five. Six seven eight nine ten.");
  }
});

test("ctx.summarize() refuses a length that is no whole number from 1, before anything is asked", async () => {
  for (const maxWords of [0, 1.5, Number.NaN, -3]) {
    const end = await given(asking(summary(maxWords))).when(start());
    assert.ok(end.closing?.kind === "OrchestrationFailed");
    assert.match(end.closing.error.message, /maxWords of ctx\.summarize to be a whole number from 1/);
  }
});

const feeling: Ask = (ctx) => ctx.sentiment("I love it.");

test("ctx.sentiment() asks for a form and resolves with label and confidence", async () => {
  const { operation, request } = await questionOf(feeling);
  assert.equal(operation, "sentiment");
  assert.deepEqual(request.format?.schema["required"], ["label", "confidence"]);

  const end = await answered(feeling, '{"label":"positive","confidence":0.9,"why":"love"}');
  assert.deepEqual(outputOf(end), { label: "positive", confidence: 0.9 });
});

test("ctx.sentiment() refuses a confidence beyond 0 to 1 and any other label, and bends nothing", async () => {
  const end = await answered(
    feeling,
    '{"label":"positive","confidence":1.7}',
    '{"label":"happy","confidence":1}',
    '{"label":"neutral","confidence":0}',
  );

  assert.deepEqual(outputOf(end), { label: "neutral", confidence: 0 });
  assert.match(lastWordsOf(end)[1] ?? "", /at \$\.confidence/);
  assert.match(lastWordsOf(end)[2] ?? "", /at \$\.label/);
});

const short = (text: string) => (text.length > 10 ? `expected at most 10 characters, got ${text.length}` : undefined);

test("ctx.generateValidated() feeds the complaint back until there is none, every attempt in history", async () => {
  const end = await answered((ctx) => ctx.generateValidated("A slogan.", { validate: short }), "much too long", "fine");

  assert.equal(outputOf(end), "fine");
  assert.deepEqual(kinds(end.history), [
    "OrchestrationStarted",
    "LlmRequested",
    "LlmCompleted",
    "LlmRequested",
    "LlmCompleted",
    "OrchestrationCompleted",
  ]);
  assert.match(lastWordsOf(end)[1] ?? "", /: expected at most 10 characters, got 13\. Answer again/);
  const second = end.history[3];
  assert.ok(second?.kind === "LlmRequested");
  assert.deepEqual([second.operation, second.refines], ["generateValidated", 2]);
});

test("ctx.generateValidated() by a schema checks the schema first, and hands its value to the function", async () => {
  const schema = z.object({ n: z.number() }).transform(({ n }) => n);
  const ask: Ask = (ctx) =>
    ctx.generateValidated("?", { schema, validate: (n) => (n % 2 === 0 ? undefined : `expected an even n, got ${n}`) });

  const end = await answered(ask, "not json", '{"n":3}', '{"n":4}');

  assert.equal(outputOf(end), 4);
  assert.match(lastWordsOf(end)[1] ?? "", /expected JSON/);
  assert.match(lastWordsOf(end)[2] ?? "", /expected an even n, got 3/);
});

test("ctx.generateValidated() gives up after maxAttempts, with the last answer and the last complaint", async () => {
  const ask: Ask = (ctx) =>
    ctx.generateValidated("?", { validate: short, maxAttempts: 2 }).catch((error: unknown) => {
      assert.ok(error instanceof LlmOutputError);
      return [error.lastAnswer, error.message];
    });

  assert.deepEqual(outputOf(await answered(ask, "much too long", "still too long")), [
    "still too long",
    "Expected a usable answer to ctx.generateValidated in 2 questions, got none: expected at most 10 characters, got 14",
  ]);
});

test("a validator that answers with neither words nor nothing fails the call, and is not taken for content", async () => {
  for (const said of [true, false, null, Promise.resolve("bad")]) {
    const ask: Ask = (ctx) =>
      ctx
        .generateValidated("?", { validate: () => said as never })
        .catch((error: unknown) => (error as StetError).code);
    assert.equal(outputOf(await answered(ask, "anything")), "configuration_invalid");
  }
});

test("what a validator of that time accepted or refused stands, whatever today's says", async () => {
  const version = (validate: (value: number) => string | undefined, maxAttempts = 3) =>
    asking(async (ctx) => {
      const schema = z.object({ n: z.number() }).transform(({ n }) => n);
      const value = await ctx
        .generateValidated("?", { schema, validate, maxAttempts })
        .catch((error: unknown) => (error as StetError).code);
      await ctx.timer("1s");
      return value;
    });
  const content = () => undefined;
  const never = () => "no";
  const accepted = await bothWays(version(content), [[start()], [answer.said(2, '{"n":1}')]]);
  const refined = await bothWays(
    version((n) => (n > 1 ? undefined : "more")),
    [[start()], [answer.said(2, '{"n":1}')], [answer.said(4, '{"n":2}')]],
  );
  const givenUp = await bothWays(version(never, 1), [[start()], [answer.said(2, '{"n":1}')]]);

  assert.equal(outputOf(await given(version(never), accepted.history).when(answer.timerFired(4))), 1);
  assert.equal(outputOf(await given(version(content), refined.history).when(answer.timerFired(6))), 2);
  const end = await given(version(content), givenUp.history).when(answer.timerFired(5));
  assert.equal(outputOf(end), "llm_output_invalid");
});
