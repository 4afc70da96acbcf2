/** Keys are secrets: they are in no error, whatever a server repeats, and nothing is printed. */
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import { toFailure } from "@stet/core";
import { ask, callOptions, type Chapter, failure, json, listener, secrets, write } from "./bench.ts";

export const secrecy: Chapter = (bench) => {
  describe("secrets", () => {
    const echo = `Incorrect key ${secrets.apiKey}; gateway ${secrets.header}; Authorization: Bearer other-token-1; sk-proj-abc*****xyz`;
    const padding = "x".repeat(470); // where a message is cut, the cut must not save a half of a key
    const ways: readonly (readonly [what: string, play: (response: ServerResponse) => void | Promise<void>])[] = [
      ["an error", (response) => json(response, 401, bench.dialect.error(401, echo))],
      ["a long error", (response) => json(response, 400, bench.dialect.error(400, padding + echo))],
      [
        "an error page",
        (response) => {
          response.writeHead(500, { "content-type": "text/html" });
          response.end(echo);
        },
      ],
      ["an error with status 200", (response) => json(response, 200, bench.dialect.error(400, echo))],
      [
        "a body that is no JSON",
        (response) => {
          response.writeHead(200, { "content-type": "application/json" });
          response.end(`${secrets.apiKey} is no JSON`);
        },
      ],
      ["a body that is something else", (response) => json(response, 200, { [secrets.apiKey]: echo })],
      [
        "an error in a stream",
        async (response) => {
          bench.openStream(response);
          await write(response, [bench.dialect.streamedError(echo)]);
          response.end();
        },
      ],
      [
        "a stream that is no JSON",
        async (response) => {
          bench.openStream(response);
          await write(
            response,
            bench.dialect.streamed({ text: ["ok"] }).map((piece) => piece.replace("{", secrets.apiKey)),
          );
          response.end();
        },
      ],
    ];

    for (const [what, play] of ways) {
      it(`are kept when ${what} repeats them`, async (t) => {
        const printed = ["log", "info", "warn", "error", "debug"].map((level) =>
          t.mock.method(console, level as "log", () => undefined),
        );
        const { llm } = bench.stage(play);

        for (const options of [{}, listener()]) {
          const error = await failure(ask(llm, "Hi", options));
          const seen = [JSON.stringify(toFailure(error)), String(error.stack), inspect(error, { depth: 9 })].join("\n");
          assert.doesNotMatch(seen, /5ecret|other-token|sk-proj|abc\*/);
        }
        assert.deepEqual(
          printed.map(({ mock }) => mock.callCount()),
          [0, 0, 0, 0, 0],
        );
      });
    }

    it("are kept by embed()", async (t) => {
      const { llm } = bench.stage((response) => json(response, 401, bench.dialect.error(401, echo)));
      if (llm.embed === undefined) return t.skip("this provider does not embed");

      assert.doesNotMatch(inspect(await failure(llm.embed(["a"], callOptions()))), /5ecret|other-token|sk-proj/);
    });

    it("are not to be seen in the provider itself", () => {
      const { llm } = bench.saying({});

      assert.doesNotMatch(inspect(llm, { depth: 9 }) + JSON.stringify(llm), /5ecret/);
    });
  });
};
