/** Vectors, for providers that make them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { callOptions, type Chapter, failure, json } from "./bench.ts";

export const vectors: Chapter = (bench) => {
  const { vectors: carrying } = bench.dialect;
  if (carrying === undefined) return;
  describe("vectors", () => {
    const embed = (texts: readonly string[], sent: readonly (readonly number[])[]) => {
      const stage = bench.stage((response) => json(response, 200, carrying(sent, 6)));
      const embedded = stage.llm.embed?.(texts, callOptions({ operation: "embed" }));
      return { ...stage, embedded: embedded ?? assert.fail("Expected a provider whose dialect has vectors to embed.") };
    };

    it("come in the order of the texts, with their tokens", async () => {
      const sent = [
        [1, 0.25],
        [0, -1.5],
      ];
      const { embedded, received } = embed(["ä", "b"], sent);

      const { vectors: got, usage } = await embedded;

      assert.deepEqual(got, sent);
      assert.deepEqual(usage, { inputTokens: 6, outputTokens: 0 });
      assert.match(received[0]?.text ?? "", /"ä","b"/);
    });

    it("are asked of the model that is named", async () => {
      const { llm, received } = bench.stage((response) => json(response, 200, carrying([[1]], 1)));

      await llm.embed?.(["a"], { ...callOptions(), model: "model-for-vectors" });

      assert.match(received[0]?.text ?? "", /"model":"model-for-vectors"/);
    });

    it("for no texts are asked of nobody", async () => {
      const { embedded, received } = embed([], []);

      assert.deepEqual((await embedded).vectors, []);
      assert.equal(received.length, 0);
    });

    it("that are too few, too many, empty or no numbers are malformed", async () => {
      for (const sent of [[[1]], [[1], [2], [3]], [[1], []], [[1], ["2" as unknown as number]]]) {
        const { embedded } = embed(["a", "b"], sent);
        const error = await failure(embedded);
        assert.deepEqual([error.kind, error.retryable], ["malformed", true]);
        assert.deepEqual(error.usage, { inputTokens: 6, outputTokens: 0 }, "they were paid for");
      }
    });
  });
};
