/** Tools: their calls, whole and streamed, and their names. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LlmRequest } from "@stet/core";
import { ask, type Chapter, failure, listener, type Stage } from "./bench.ts";
import type { Said } from "./dialect.ts";
import { streaming } from "./streams.ts";

const request: LlmRequest = {
  messages: [{ role: "user", content: "Weather?" }],
  tools: [
    { name: "weather", parameters: { type: "object" } },
    { name: "now", parameters: { type: "object" } },
  ],
};

const said: Said = {
  toolCalls: [
    { id: "call_a", name: "weather", arguments: '{"city":"Zürich 🏔","days":[1,2],"deep":{"a":null}}' },
    { id: "call_b", name: "now", arguments: "{}" },
  ],
};

export const tools: Chapter = (bench) => {
  for (const [how, stageOf] of [
    ["whole", (words: Said) => bench.saying(words)],
    ["streamed", (words: Said) => streaming(bench, words)],
  ] as const satisfies readonly (readonly [string, (words: Said) => Stage])[]) {
    describe(`tool calls, ${how}`, () => {
      const options = how === "streamed" ? listener() : {};
      const brokenArguments = bench.cannotSay(how === "streamed" ? "brokenArgumentsStreamed" : "brokenArguments");

      it("are read with their arguments, and end the answer", async () => {
        const { llm } = stageOf(said);

        const { answer, finishReason } = await ask(llm, request, options);

        assert.deepEqual(
          answer.toolCalls?.map(({ name, arguments: args }) => ({ name, arguments: args })),
          [
            { name: "weather", arguments: { city: "Zürich 🏔", days: [1, 2], deep: { a: null } } },
            { name: "now", arguments: {} },
          ],
        );
        assert.deepEqual([answer.text, finishReason], ["", "tool_calls"]);
        assert.equal(new Set(answer.toolCalls?.map(({ id }) => id)).size, 2, "Expected ids that tell the calls apart.");
      });

      it("keep the ids that the vendor gave them", { skip: bench.cannotSay("toolCallIds") }, async () => {
        const { llm } = stageOf(said);

        const { answer } = await ask(llm, request, options);

        assert.deepEqual(
          answer.toolCalls?.map(({ id }) => id),
          ["call_a", "call_b"],
        );
      });

      it("may come with a text", async () => {
        const { llm } = stageOf({ ...said, text: ["Let me ", "look."] });

        const { heard, onDelta } = listener();
        const { answer, finishReason } = await ask(llm, request, how === "streamed" ? { onDelta } : {});

        assert.deepEqual([answer.text, answer.toolCalls?.length, finishReason], ["Let me look.", 2, "tool_calls"]);
        assert.deepEqual(
          heard,
          how === "streamed" ? ["Let me ", "look."] : [],
          "Expected to hear the text and no more.",
        );
      });

      it("that were cut short are left out", { skip: brokenArguments }, async () => {
        const { llm } = stageOf({
          toolCalls: [
            { id: "call_a", name: "now", arguments: "{}" },
            { id: "call_b", name: "weather", arguments: '{"city":"Be' },
          ],
          end: "length",
        });

        const { answer, finishReason } = await ask(llm, request, options);

        assert.deepEqual([answer.toolCalls?.map(({ name }) => name), finishReason], [["now"], "length"]);
      });

      it("with arguments that are no JSON are malformed", { skip: brokenArguments }, async () => {
        const { llm } = stageOf({ toolCalls: [{ id: "call_a", name: "weather", arguments: '{"city":' }] });

        const error = await failure(ask(llm, request, options));

        assert.deepEqual([error.kind, error.retryable], ["malformed", true]);
      });
    });
  }

  describe("names of tools", () => {
    it("that the wire would refuse travel under others, and come back as they were", async () => {
      const names = ["tickets.fetch", "tickets/fetch", "x".repeat(65), "größe", "plain_name"];
      const { llm, received } = bench.stage((response, { body }) =>
        bench.whole(response, {
          toolCalls: bench.dialect.offeredTools(body).map((name, i) => ({ id: `c${i}`, name, arguments: "{}" })),
        }),
      );

      const { answer } = await ask(llm, {
        messages: [
          { role: "user", content: "?" },
          { role: "assistant", content: "", toolCalls: [{ id: "c", name: "tickets.fetch", arguments: {} }] },
          { role: "tool", content: "none", toolCallId: "c" },
        ],
        tools: names.map((name) => ({ name, parameters: { type: "object" } })),
      });

      const { body, text } = received[0] ?? assert.fail();
      const onWire = bench.dialect.offeredTools(body);
      for (const name of onWire) assert.match(name, /^[\w-]{1,64}$/);
      assert.equal(new Set(onWire).size, names.length);
      assert.doesNotMatch(text, /tickets\.fetch/, "Expected earlier calls to carry the name on the wire.");
      assert.deepEqual(
        answer.toolCalls?.map(({ name }) => name),
        names,
      );
    });
  });
};
