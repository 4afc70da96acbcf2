/** Vectors: asked for as texts, recorded as packed floats, and the same numbers on every replay. */
import assert from "node:assert/strict";
import test from "node:test";
import { canonicalHash, type LlmAnswer } from "@stet/core";
import { answer, given, start } from "@stet/testing";
import { asking, questionOf, type Ask } from "./asking.ts";
import { bothWays, outputOf } from "./both-ways.ts";

/** As a worker records it: the bytes are written out here, so that the format stays what it is. */
const recorded: LlmAnswer = { text: "", vectors: ["AACAPwAAAL8=", "zczMPQAAAAA="] };

test("ctx.embed() asks with the texts and no messages", async () => {
  const { operation, request, promptHash, label } = await questionOf((ctx) =>
    ctx.embed(["a", "b"], { model: "vectors", label: "index" }),
  );

  const asked = { messages: [], texts: ["a", "b"], model: "vectors" };
  assert.deepEqual([operation, request, promptHash, label], ["embed", asked, canonicalHash(asked), "index"]);
});

test("ctx.embed() resolves with a vector for each text, as 32-bit floats, live and replayed", async () => {
  const ask: Ask = (ctx) => ctx.embed(["a", "b"]);

  const end = await bothWays(asking(ask), [[start()], [answer.said(2, "", { result: recorded })]]);

  assert.deepEqual(outputOf(end), [
    [1, -0.5],
    [Math.fround(0.1), 0],
  ]);
});

test("ctx.embed() refuses an empty list where the call is made", async () => {
  const end = await given(asking((ctx) => ctx.embed([]))).when(start());

  assert.ok(end.closing?.kind === "OrchestrationFailed");
  assert.match(end.closing.error.message, /ctx\.embed to be given texts, got none/);
});
