/** Streamed answers: the same as whole ones, and their text as it comes. A stream that ends early is no answer. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ask, type Bench, type Chapter, failure, listener, type Stage, write } from "./bench.ts";
import type { Said } from "./dialect.ts";

const text = ["The ", "answer ", "is ", "zwölf ", "🍎", "."];
const usage = { inputTokens: 12, outputTokens: 5 };

export const streams: Chapter = (bench) => {
  describe("streams", () => {
    it("hand the text on as it comes, and come to the same answer", async () => {
      const { heard, onDelta } = listener();
      const { llm } = streaming(bench, { text, usage, model: "model-of-today" });

      const response = await ask(llm, "Hi", { onDelta });

      assert.deepEqual(heard, text);
      assert.deepEqual(response, {
        answer: { text: text.join("") },
        model: "model-of-today",
        usage,
        finishReason: "stop",
      });
    });

    for (const size of [1, 64]) {
      it(`are understood however they are cut into packets of ${size} bytes`, async () => {
        const { heard, onDelta } = listener();
        const body = Buffer.from(bench.dialect.streamed({ text, usage }).join(""));
        const packets = Array.from({ length: Math.ceil(body.length / size) }, (_, i) =>
          body.subarray(i * size, (i + 1) * size),
        );
        const { llm } = bench.stage(async (response) => {
          bench.openStream(response);
          await write(response, packets);
          response.end();
        });

        const { answer } = await ask(llm, "Hi", { onDelta });

        assert.deepEqual([heard.join(""), answer.text], [text.join(""), text.join("")]);
      });
    }

    it("are handed on before they end", async () => {
      let goOn = (): void => undefined;
      const heardOne = new Promise<void>((resolve) => (goOn = resolve));
      const pieces = bench.dialect.streamed({ text });
      const first = pieces.findIndex((piece) => piece.includes(text[0] ?? ""));
      const { llm } = bench.stage(async (response) => {
        bench.openStream(response);
        await write(response, pieces.slice(0, first + 1));
        await heardOne; // a provider that gathers before it hands on waits here for ever
        await write(response, pieces.slice(first + 1));
        response.end();
      });

      const { answer } = await ask(llm, "Hi", { onDelta: () => goOn() });

      assert.equal(answer.text, text.join(""));
    });

    it("that end early are no answer, wherever they end and however", async () => {
      const pieces = bench.dialect.streamed({ text, usage });
      const whole = pieces.length;
      for (let count = 0; count < whole; count++) {
        for (const how of ["end", "destroy"] as const) {
          const { heard, onDelta } = listener();
          const { llm } = bench.stage(async (response) => {
            bench.openStream(response);
            await write(response, pieces.slice(0, count));
            response[how]();
          });

          const outcome = await ask(llm, "Hi", { onDelta }).catch((error: unknown) => failure(Promise.reject(error)));

          assert.ok(text.join("").startsWith(heard.join("")));
          if (outcome instanceof Error) {
            assert.deepEqual([outcome.kind, outcome.retryable], ["connection", true], `${how} after ${count} pieces`);
          } else {
            // Only the very last pieces may be missing: those that say that nothing is missing.
            assert.ok(count >= whole - 2, `Expected a stream cut after ${count} of ${whole} pieces to fail`);
            assert.equal(outcome.answer.text, text.join(""));
          }
        }
      }
    });

    it("may hold nothing but their end", async () => {
      const { heard, onDelta } = listener();
      const { llm } = streaming(bench, { text: [] });

      const { answer, finishReason } = await ask(llm, "Hi", { onDelta });

      assert.deepEqual([heard, answer, finishReason], [[], { text: "" }, "stop"]);
    });

    it("at their token limit say so", async () => {
      const { llm } = streaming(bench, { text: ["Once"], end: "length" });

      assert.equal((await ask(llm, "Hi", listener())).finishReason, "length");
    });

    it("without a count are estimated", async () => {
      const { llm } = streaming(bench, { text: ["12345"], usage: null });

      assert.deepEqual((await ask(llm, "123456789", listener())).usage, {
        inputTokens: 3,
        outputTokens: 2,
        estimated: true,
      });
    });

    it("may refuse", { skip: bench.cannotSay("refused") }, async () => {
      const { llm } = streaming(bench, { end: "refused", refusal: "I cannot help with that.", usage });

      const error = await failure(ask(llm, "Hi", listener()));

      assert.deepEqual([error.kind, error.usage], ["refused", usage]);
      assert.match(error.message, /I cannot help with that\./);
    });

    it("may be stopped by a content filter", { skip: bench.cannotSay("content_filter") }, async () => {
      const { llm } = streaming(bench, { text: ["Well"], end: "content_filter", usage });

      const error = await failure(ask(llm, "Hi", listener()));

      assert.deepEqual([error.kind, error.usage], ["content_filter", usage]);
    });

    it("with an error in the middle are that error", async () => {
      const { heard, onDelta } = listener();
      const pieces = bench.dialect.streamed({ text: ["Hel", "lo"] });
      const at = pieces.findIndex((piece) => piece.includes("Hel"));
      const { llm } = bench.stage(async (response) => {
        bench.openStream(response);
        await write(response, [...pieces.slice(0, at + 1), bench.dialect.streamedError("the model fell over")]);
        response.end();
      });

      const error = await failure(ask(llm, "Hi", { onDelta }));

      assert.deepEqual([error.kind, error.retryable, heard], ["unavailable", true, ["Hel"]]);
      assert.match(error.message, /the model fell over/);
    });

    it("that fail when their tokens were counted say how many", { skip: bench.cannotSay("usageFirst") }, async () => {
      const pieces = bench.dialect.streamed({ text, usage });
      const { llm } = bench.stage(async (response) => {
        bench.openStream(response);
        await write(response, [...pieces.slice(0, -1), bench.dialect.streamedError("the model fell over")]);
        response.end();
      });

      const error = await failure(ask(llm, "Hi", listener()));

      assert.deepEqual([error.kind, error.usage], ["unavailable", usage]);
    });

    it("with a piece that is no JSON are malformed", async () => {
      const pieces = bench.dialect.streamed({ text: ["Hel", "lo"] });
      const broken = pieces.map((piece) => (piece.includes("lo") ? piece.replace(/\}(\s*)$/, "$1") : piece));
      assert.notDeepEqual(broken, pieces, "Expected the pieces of streams to be JSON objects.");
      const { llm } = bench.stage(async (response) => {
        bench.openStream(response);
        await write(response, broken);
        response.end();
      });

      const error = await failure(ask(llm, "Hi", listener()));

      assert.deepEqual([error.kind, error.retryable], ["malformed", true]);
    });

    it("whose listener fails fail with the listener's error, and are dropped", async () => {
      let drop = (): void => undefined;
      const dropped = new Promise<void>((resolve) => (drop = resolve));
      const { llm } = bench.stage(async (response) => {
        response.on("close", () => drop());
        bench.openStream(response);
        await write(response, bench.dialect.streamed({ text }).slice(0, -1));
      });
      const own = new RangeError("the output stream is full");

      await assert.rejects(
        ask(llm, "Hi", {
          onDelta: () => {
            throw own;
          },
        }),
        (error) => error === own,
      );
      await dropped;
    });
  });
};

/** A provider whose answer is streamed. */
export function streaming(bench: Bench, said: Said): Stage {
  return bench.stage(async (response) => {
    bench.openStream(response);
    await write(response, bench.dialect.streamed(said));
    response.end();
  });
}
