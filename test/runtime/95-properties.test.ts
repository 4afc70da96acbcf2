/**
 * Properties of payloads and their stored form, for any JSON that fast-check can think of.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { aesGcm, canonicalJson, type Payload, type PayloadCodec, samePayload, type StoredPayload } from "@stet/core";
import { PayloadSink, TextCodec, toPayload } from "@stet/core/internal";
import fc from "fast-check";

/** JSON with what the stored form must take care of: markers, long texts, awkward keys. */
const payloads = fc.letrec<{ payload: Payload }>((tie) => ({
  payload: fc.oneof(
    { depthSize: "small" },
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0),
    fc.string({ unit: "grapheme" }),
    fc.string({ minLength: 500, maxLength: 700 }),
    fc.array(tie("payload"), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.string(), fc.constantFrom("$stet", "kind", "request", "messages")), tie("payload"), {
      maxKeys: 4,
      noNullPrototype: true,
    }),
  ),
})).payload;

test("toPayload() copies any JSON as it is", () => {
  fc.assert(
    fc.property(payloads, (payload) => {
      const copy = toPayload(payload, "value");

      assert.deepEqual(copy, payload);
      assert.ok(typeof payload !== "object" || payload === null || copy !== payload);
    }),
  );
});

test("samePayload() holds exactly when the canonical texts are equal", () => {
  fc.assert(
    fc.property(payloads, payloads, (a, b) => {
      assert.equal(samePayload(a, b), canonicalJson(a) === canonicalJson(b));
      assert.ok(samePayload(a, JSON.parse(canonicalJson(a)) as Payload));
    }),
  );
});

const sealed = aesGcm({ key: { id: "test", secret: randomBytes(32) } });

for (const [name, codec] of [
  ["plain", undefined],
  ["sealed", sealed],
] satisfies [string, PayloadCodec | undefined][]) {
  test(`what TextCodec encodes it decodes again (${name})`, async () => {
    await fc.assert(
      fc.asyncProperty(payloads, fc.boolean(), async (input, putAside) => {
        const text = new TextCodec(codec);
        const sink = putAside ? new PayloadSink() : undefined;
        const event = { id: 1, at: 2, kind: "ActivityScheduled", name: "any", input };

        const body = text.encode(event, "root", sink);
        const stored = new Map(sink?.payloads.map((payload): [string, StoredPayload] => [payload.digest, payload]));
        const source = async (digests: readonly string[]) => digests.flatMap((digest) => stored.get(digest) ?? []);
        const [decoded] = await text.decode([body], "root", source, "the event");

        assert.deepEqual(decoded, event);
      }),
    );
  });
}
