/** What is sent: every question letter by letter, as whom, under which key, and nothing that is not the vendor's business. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Payload } from "@stet/core";
import { ask, type Chapter, listener, secrets, write } from "./bench.ts";
import { type QuestionName, questions } from "./questions.ts";

export const requests: Chapter = (bench) => {
  describe("requests", () => {
    const { dialect } = bench;
    for (const [name, request] of Object.entries(questions)) {
      it(`the question ${name} becomes its golden body`, async () => {
        const { llm, received } = bench.stage(async (response) => {
          if (name !== "streamed") return bench.whole(response, { text: ["ok"] });
          bench.openStream(response);
          await write(response, dialect.streamed({ text: ["ok"] }));
          response.end();
        });

        await ask(llm, request, name === "streamed" ? listener() : {});

        const [{ method, path, body } = assert.fail("Expected a request, got none")] = received;
        const golden = dialect.golden[name as QuestionName];
        assert.deepEqual([method, path, received.length], ["POST", golden.path, 1]);
        assert.deepEqual(body, golden.body);
      });
    }

    it("carries what only the vendor understands, which overrides nothing", async () => {
      const { llm, received } = bench.saying({ text: ["ok"] });
      const vendor = { x_setting: { deep: [1, null] }, model: "evil", messages: [], input: [] };

      await ask(llm, { ...questions.plain, vendor });

      const [{ path, body, text } = assert.fail("Expected a request, got none")] = received;
      const settings = (all: Payload): Payload => {
        const { messages: _messages, input: _input, ...rest } = all as { [name: string]: Payload };
        return rest;
      };
      const plain = settings(dialect.golden.plain.body) as { [name: string]: Payload };
      assert.equal(path, dialect.golden.plain.path);
      assert.deepEqual(settings(body), { ...plain, x_setting: vendor.x_setting });
      assert.match(text, /"Hi"/);
    });

    it("carries the key and the headers that were given", async () => {
      const { llm, received } = bench.saying({ text: ["ok"] });

      await ask(llm);

      const [header, value] = dialect.authorization(secrets.apiKey);
      const { headers } = received[0] ?? assert.fail();
      assert.equal(headers[header], value);
      assert.equal(headers["x-gateway-key"], secrets.header);
      assert.match(String(headers["content-type"]), /^application\/json/);
    });

    it(
      "carries the idempotency key, whatever it is made of, the same for every attempt",
      { skip: dialect.idempotencyHeader === undefined && "this vendor has no such header" },
      async () => {
        const { llm, received } = bench.saying({ text: ["ok"] });

        for (const idempotencyKey of ["ticket-17/1/8", "ticket-17/1/8", "Zürich 17/ü\n"]) {
          await ask(llm, "Hi", { idempotencyKey });
        }

        const keys = received.map(({ headers }) => headers[dialect.idempotencyHeader ?? ""]);
        assert.deepEqual(keys.slice(0, 2), ["ticket-17/1/8", "ticket-17/1/8"]);
        assert.match(String(keys[2]), /^[\x21-\x7e]+$/);
      },
    );

    it("keeps operation, label and idempotency key out of what the model sees", async () => {
      const { llm, received } = bench.saying({ text: ["ok"] });

      await ask(llm, "Hi", { operation: "op-17", label: "label-17", idempotencyKey: "key-17" });

      const { text, headers } = received[0] ?? assert.fail();
      assert.doesNotMatch(text, /op-17|label-17|key-17/);
      assert.doesNotMatch(JSON.stringify(headers), /op-17|label-17/);
    });

    it("leaves the request as it was", async () => {
      const { llm } = bench.saying({ text: ["ok"] });
      const request = structuredClone(questions.conversation);

      await ask(llm, request);

      assert.deepEqual(request, questions.conversation);
    });

    it("answers calls made side by side each with its own answer", async () => {
      const { llm } = bench.stage((response, { text }) => {
        const number = /number (\d+)/.exec(text)?.[1] ?? "";
        bench.whole(response, { text: [number] });
      });

      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(llm, `number ${i}`)));

      assert.deepEqual(
        answers.map(({ answer }) => answer.text),
        answers.map((_, i) => String(i)),
      );
    });

    it("refuses a tool message that names no call, before anything is sent", async () => {
      const { llm, received } = bench.saying({ text: ["ok"] });

      await assert.rejects(ask(llm, { messages: [{ role: "tool", content: "x" }] }), { kind: "bad_request" });
      assert.equal(received.length, 0);
    });

    it("says who it is and what it can do", () => {
      const { llm } = bench.saying({});

      assert.match(llm.name, /^[a-z][a-z0-9-]*$/);
      assert.notEqual(llm.model, "");
      assert.deepEqual(
        Object.values(llm.capabilities).map((capability) => typeof capability),
        ["boolean", "boolean", "boolean"],
      );
    });
  });
};
