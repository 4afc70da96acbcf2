/** How long an answer is waited for: its headers, its body, and each piece of a stream. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { ask, type Chapter, failure, listener, write } from "./bench.ts";

export const timeouts: Chapter = (bench) => {
  // Side by side, because some of them wait long enough for a machine that is busy.
  describe("timeouts", { concurrency: true }, () => {
    it("headers that do not come in time are a timeout, whole and streamed", async () => {
      const { llm } = bench.stage(() => undefined, { timeoutMs: 60 });

      for (const options of [{}, listener()]) {
        const error = await failure(ask(llm, "Hi", options));
        assert.deepEqual([error.kind, error.retryable], ["timeout", true]);
        assert.match(error.message, /within 60 ms/);
      }
    });

    it("a body that does not come in time is a timeout", async () => {
      const { llm } = bench.stage(
        (response) => {
          response.writeHead(200, { "content-type": "application/json" });
          response.write("{");
        },
        { timeoutMs: 80 },
      );

      assert.equal((await failure(ask(llm))).kind, "timeout");
    });

    it("an error body that does not come in time is a timeout", async () => {
      const { llm } = bench.stage(
        (response) => {
          response.writeHead(500, { "content-type": "application/json" });
          response.write("{");
        },
        { timeoutMs: 80 },
      );

      assert.equal((await failure(ask(llm))).kind, "timeout");
    });

    it("a stream that falls silent is a timeout, after what came until then", async () => {
      const { heard, onDelta } = listener();
      const pieces = bench.dialect.streamed({ text: ["Hel", "lo"] });
      const at = pieces.findIndex((piece) => piece.includes("Hel"));
      const { llm } = bench.stage(
        async (response) => {
          bench.openStream(response);
          await write(response, pieces.slice(0, at + 1));
        },
        { timeoutMs: 1500 },
      );

      assert.equal((await failure(ask(llm, "Hi", { onDelta }))).kind, "timeout");
      assert.deepEqual(heard, ["Hel"]);
    });

    it("a stream may last longer than the timeout, as long as something comes", async () => {
      const text = Array.from({ length: 8 }, () => ".");
      const { llm } = bench.stage(
        async (response) => {
          bench.openStream(response);
          for (const piece of bench.dialect.streamed({ text })) {
            await write(response, [piece]);
            await new Promise((resolve) => setTimeout(resolve, 200));
          }
          response.end();
        },
        { timeoutMs: 1500 },
      );

      assert.equal((await ask(llm, "Hi", listener())).answer.text, text.join(""));
    });

    it("a call that is over leaves no listener behind", async () => {
      const caller = new AbortController();
      const { llm } = bench.saying({ text: ["ok"] });

      await ask(llm, "Hi", { signal: caller.signal });

      assert.deepEqual(getEventListeners(caller.signal, "abort"), []);
    });
  });
};
