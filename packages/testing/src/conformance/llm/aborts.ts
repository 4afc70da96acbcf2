/** A call that nobody wants any more ends at once, as cancelled, and the server sees it. */
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { describe, it } from "node:test";
import { ask, type Bench, callOptions, type Chapter, failure, listener, type Stage, write } from "./bench.ts";

export const aborts: Chapter = (bench) => {
  describe("aborts", () => {
    it("before the call: nothing is sent", async () => {
      const { llm, received } = bench.saying({ text: ["ok"] });

      for (const options of [{}, listener()]) {
        const error = await failure(ask(llm, "Hi", { ...options, signal: AbortSignal.abort() }));
        assert.deepEqual([error.kind, error.retryable], ["cancelled", false]);
      }
      assert.equal(received.length, 0);
    });

    for (const how of ["whole", "streamed"] as const) {
      const options = how === "streamed" ? listener() : {};

      it(`while the headers are awaited, ${how}`, async () => {
        const caller = new AbortController();
        const { stage, dropped } = dropping(bench, () => caller.abort(new Error("enough")));

        const error = await failure(ask(stage.llm, "Hi", { ...options, signal: caller.signal }));

        assert.deepEqual([error.kind, error.retryable], ["cancelled", false]);
        await dropped;
      });
    }

    it("within the body of a whole answer", async () => {
      const caller = new AbortController();
      const { stage, dropped } = dropping(bench, (response) => {
        response.writeHead(200, { "content-type": "application/json" });
        response.write("{", () => setTimeout(() => caller.abort(), 20));
      });

      assert.equal((await failure(ask(stage.llm, "Hi", { signal: caller.signal }))).kind, "cancelled");
      await dropped;
    });

    it("within a stream", async () => {
      const caller = new AbortController();
      const pieces = bench.dialect.streamed({ text: ["Hel", "lo"] });
      const at = pieces.findIndex((piece) => piece.includes("Hel"));
      const { stage, dropped } = dropping(bench, async (response) => {
        bench.openStream(response);
        await write(response, pieces.slice(0, at + 1));
      });
      const onDelta = (): void => caller.abort(new Error("enough"));

      const error = await failure(ask(stage.llm, "Hi", { signal: caller.signal, onDelta }));

      assert.equal(error.kind, "cancelled");
      await dropped;
    });

    it("of one call leaves the others alone", async () => {
      const caller = new AbortController();
      const { llm } = bench.stage((response, { text }) => {
        if (text.includes("give up")) return caller.abort();
        setTimeout(() => bench.whole(response, { text: ["ok"] }), 30);
      });

      const [given, kept] = await Promise.all([
        failure(ask(llm, "give up", { signal: caller.signal })),
        ask(llm, "go on"),
      ]);

      assert.deepEqual([given.kind, kept.answer.text], ["cancelled", "ok"]);
    });

    it("of embed()", async (t) => {
      const caller = new AbortController();
      const { llm } = bench.stage(() => caller.abort());
      if (llm.embed === undefined) return t.skip("this provider does not embed");

      const error = await failure(llm.embed(["a"], callOptions({ signal: caller.signal })));

      assert.equal(error.kind, "cancelled");
    });
  });
};

/** A stage, and a promise that the request is dropped by its client. */
function dropping(
  bench: Bench,
  play: (response: ServerResponse) => void | Promise<void>,
): { readonly stage: Stage; readonly dropped: Promise<void> } {
  let drop = (): void => undefined;
  const dropped = new Promise<void>((resolve) => (drop = resolve));
  const stage = bench.stage((response) => {
    response.on("close", () => drop());
    return play(response);
  });
  return { stage, dropped };
}
