/** Answers that are none: bodies that break off, that are not JSON, or not what was asked for. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ask, type Chapter, failure, listener } from "./bench.ts";

export const brokenAnswers: Chapter = (bench) => {
  describe("broken answers", () => {
    const body = (): string => JSON.stringify(bench.dialect.whole({ text: ["Hello"] }));

    for (const [what, text] of [
      ["half a JSON document", () => body().slice(0, -3)],
      ["a web page", () => "<html></html>"],
      ["nothing", () => ""],
      ["an object that is something else", () => "{}"],
      ["a list", () => "[1]"],
      ["null", () => "null"],
    ] as const) {
      it(`with ${what} are malformed, and may be asked for again`, async () => {
        const { llm } = bench.stage((response) => {
          response.writeHead(200, { "content-type": "application/json" });
          response.end(text());
        });

        const error = await failure(ask(llm));

        assert.deepEqual([error.kind, error.retryable], ["malformed", true]);
      });
    }

    it("that break off within the body are lost connections", async () => {
      const { llm } = bench.stage((response) => {
        response.writeHead(200, { "content-type": "application/json", "content-length": "5000" });
        response.write(body().slice(0, 10), () => response.destroy());
      });

      const error = await failure(ask(llm));

      assert.deepEqual([error.kind, error.retryable], ["connection", true]);
    });

    it("that never begin are lost connections, whole and streamed", async () => {
      const { llm, received } = bench.stage((response) => void response.socket?.destroy());

      for (const options of [{}, listener()]) {
        assert.equal((await failure(ask(llm, "Hi", options))).kind, "connection");
      }
      assert.equal(received.length, 2);
    });

    it("that are web pages instead of streams are no answers", async () => {
      const { llm } = bench.stage((response) => {
        response.writeHead(200, { "content-type": "text/html" });
        response.end("<html>not a stream</html>");
      });

      const error = await failure(ask(llm, "Hi", listener()));

      assert.ok(["connection", "malformed"].includes(error.kind), `Expected a broken stream, got ${error.kind}`);
      assert.equal(error.retryable, true);
    });

    it("of a server that is not there are lost connections", async () => {
      const llm = bench.dialect.open({ origin: "http://127.0.0.1:9", apiKey: "k", headers: {}, timeoutMs: 5000 });

      const error = await failure(ask(llm));

      assert.deepEqual([error.kind, error.retryable], ["connection", true]);
    });
  });
};
