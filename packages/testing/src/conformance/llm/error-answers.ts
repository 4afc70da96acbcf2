/** Error answers: which kind they are, whether asking again may help, and when. Nobody asks again behind our back. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fromFailure, type LlmErrorKind, toFailure } from "@stet/core";
import { ask, callOptions, type Chapter, failure, json, listener } from "./bench.ts";

const kinds: readonly (readonly [status: number, kind: LlmErrorKind, retryable: boolean])[] = [
  [400, "bad_request", false],
  [401, "auth", false],
  [402, "quota_exceeded", false],
  [403, "auth", false],
  [404, "not_found", false],
  [408, "timeout", true],
  [409, "unavailable", true],
  [413, "bad_request", false],
  [422, "bad_request", false],
  [425, "unavailable", true],
  [429, "rate_limited", true],
  [500, "unavailable", true],
  [502, "unavailable", true],
  [503, "unavailable", true],
  [504, "unavailable", true],
  [529, "unavailable", true],
];

const waits: readonly (readonly [headers: Record<string, string>, waitMs: number | undefined])[] = [
  [{ "retry-after": "2" }, 2000],
  [{ "retry-after": "0.5" }, 500],
  [{ "retry-after": "0" }, 0],
  [{ "retry-after-ms": "150", "retry-after": "2" }, 150],
  [{ "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", date: "Wed, 21 Oct 2026 07:28:00 GMT" }, 30_000],
  [{ "retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", date: "Wed, 21 Oct 2026 07:28:00 GMT" }, 0],
  [{ "retry-after": "soon" }, undefined],
  [{ "retry-after": "-1" }, undefined],
  [{}, undefined],
];

export const errorAnswers: Chapter = (bench) => {
  describe("error answers", () => {
    for (const [status, kind, retryable] of kinds) {
      it(`${status} is ${kind}, whole and streamed, asked once, and survives storage`, async () => {
        const { llm, received } = bench.stage((response) =>
          json(response, status, bench.dialect.error(status, "because of something"), { "x-should-retry": "true" }),
        );

        for (const options of [{}, listener()]) {
          const error = await failure(ask(llm, "Hi", options));

          assert.deepEqual([error.kind, error.status, error.retryable], [kind, status, retryable]);
          assert.match(error.message, /because of something/);
          assert.match(error.message, new RegExp(`^Expected an answer from .+, got ${status}`));
          assert.equal(error.cause, undefined, "Expected no cause: the SDK's error carries the request.");
          assert.deepEqual(fromFailure(JSON.parse(JSON.stringify(toFailure(error)))), error);
        }
        assert.equal(received.length, 2);
      });
    }

    for (const body of ["<html>Bad gateway</html>", "", "{", "null", '"down"']) {
      it(`an error whose body is ${JSON.stringify(body)} is known by its status`, async () => {
        for (const type of ["text/html", "application/json"]) {
          const { llm } = bench.stage((response) => {
            response.writeHead(502, { "content-type": type });
            response.end(body);
          });

          for (const options of [{}, listener()]) {
            const error = await failure(ask(llm, "Hi", options));
            assert.deepEqual([error.kind, error.status], ["unavailable", 502]);
          }
        }
      });
    }

    for (const [headers, waitMs] of waits) {
      it(`${JSON.stringify(headers)} asks to wait ${waitMs ?? "no given time"}`, async () => {
        for (const status of [429, 503, 529]) {
          const { llm } = bench.stage((response) => {
            response.sendDate = false;
            json(response, status, bench.dialect.error(status, "slow down"), headers);
          });
          for (const options of [{}, listener()]) {
            assert.equal((await failure(ask(llm, "Hi", options))).retryAfterMs, waitMs);
          }
        }
      });
    }

    it("a date without the server's clock is compared with ours", async () => {
      const { llm } = bench.stage((response) => {
        response.sendDate = false;
        const at = new Date(Date.now() + 60_000).toUTCString();
        json(response, 429, bench.dialect.error(429, "slow down"), { "retry-after": at });
      });

      const { retryAfterMs = 0 } = await failure(ask(llm));

      assert.ok(retryAfterMs > 50_000 && retryAfterMs <= 60_000, `Expected about a minute, got ${retryAfterMs}`);
    });

    it("embed() fails like complete()", async (t) => {
      const { llm, received } = bench.stage((response) =>
        json(response, 429, bench.dialect.error(429, "slow down"), { "retry-after": "1" }),
      );
      if (llm.embed === undefined) return t.skip("this provider does not embed");

      const error = await failure(llm.embed(["a"], callOptions()));

      assert.deepEqual([error.kind, error.retryAfterMs, received.length], ["rate_limited", 1000, 1]);
    });
  });
};
