/** What is made of whole answers: text, model, tokens, and why they end. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ask, type Chapter, failure } from "./bench.ts";

export const answers: Chapter = (bench) => {
  describe("answers", () => {
    const usage = { inputTokens: 12, outputTokens: 5 };

    it("a whole answer is its text, model, tokens and reason to stop", async () => {
      const { llm } = bench.saying({ text: ["Grüezi ", "👋"], model: "model-of-today", usage });

      assert.deepEqual(await ask(llm), {
        answer: { text: "Grüezi 👋" },
        model: "model-of-today",
        usage,
        finishReason: "stop",
      });
    });

    it("an empty answer is an answer", async () => {
      const { llm } = bench.saying({ text: [] });

      const { answer, finishReason } = await ask(llm);

      assert.deepEqual([answer, finishReason], [{ text: "" }, "stop"]);
    });

    it("an answer at its token limit says so", async () => {
      const { llm } = bench.saying({ text: ["Once upon"], end: "length" });

      const { answer, finishReason } = await ask(llm);

      assert.deepEqual([answer.text, finishReason], ["Once upon", "length"]);
    });

    it("cached tokens are part of the input", { skip: bench.cannotSay("cachedTokens") }, async () => {
      const counted = { inputTokens: 100, outputTokens: 7, cachedTokens: 80 };
      const { llm } = bench.saying({ text: ["ok"], usage: counted });

      assert.deepEqual((await ask(llm)).usage, counted);
    });

    it("reasoning tokens are part of the output", { skip: bench.cannotSay("reasoningTokens") }, async () => {
      const counted = { inputTokens: 10, outputTokens: 70, reasoningTokens: 60 };
      const { llm } = bench.saying({ text: ["ok"], usage: counted });

      assert.deepEqual((await ask(llm)).usage, counted);
    });

    it("tokens that nobody counted are estimated, and said to be", async () => {
      const { llm } = bench.saying({ text: ["12345"], usage: null });

      assert.deepEqual((await ask(llm, "123456789")).usage, { inputTokens: 3, outputTokens: 2, estimated: true });
    });

    it(
      "a refusal is an error with the model's words, and not tried again",
      { skip: bench.cannotSay("refused") },
      async () => {
        const { llm } = bench.saying({ end: "refused", refusal: "I cannot help with that.", usage });

        const error = await failure(ask(llm));

        assert.deepEqual([error.kind, error.retryable, error.usage], ["refused", false, usage]);
        assert.match(error.message, /I cannot help with that\./);
      },
    );

    it("an answer stopped by a content filter is an error", { skip: bench.cannotSay("content_filter") }, async () => {
      const { llm } = bench.saying({ text: ["Well"], end: "content_filter", usage });

      const error = await failure(ask(llm));

      assert.deepEqual([error.kind, error.retryable, error.usage], ["content_filter", false, usage]);
    });

    it("what was used in vain is not guessed", { skip: bench.cannotSay("refused") }, async () => {
      const { llm } = bench.saying({ end: "refused", refusal: "I cannot help with that.", usage: null });

      assert.equal((await failure(ask(llm))).usage, undefined);
    });
  });
};
