/** Errors as data: class, code, cause, retryability and details survive history, whoever threw them. */
import assert from "node:assert/strict";
import test from "node:test";
import {
  ActivityError,
  CancelledError,
  ConfigurationError,
  DeterminismError,
  fromFailure,
  HistoryCorruptError,
  InputError,
  InstanceError,
  isStetError,
  LlmError,
  LlmOutputError,
  NondeterminismError,
  NonRetryableError,
  orchestration,
  OrchestrationError,
  OutcomeUnknownError,
  PayloadError,
  PayloadTooLargeError,
  StetError,
  StorageError,
  SubOrchestrationError,
  TimeoutError,
  toFailure,
  type Failure,
} from "@stet/core";
import { answer, start } from "@stet/testing";
import { bothWays, outputOf } from "./both-ways.ts";

const cause = new TimeoutError("slow", { details: { after: 5 } });
const options = { cause, details: { n: 1 } };

const family: readonly StetError[] = [
  new StetError("mine", "message", true, options),
  new StetError("mine", "message", false, options),
  new ConfigurationError("message", options),
  new PayloadError("message", options),
  new PayloadTooLargeError("message", options),
  new InputError("message", options),
  new ActivityError("message", options),
  new SubOrchestrationError("message", options),
  new OrchestrationError("orchestration_failed", "message", options),
  new OrchestrationError("orchestration_cancelled", "message", options),
  new OrchestrationError("orchestration_terminated", "message", options),
  new TimeoutError("message", options),
  new CancelledError("message", options),
  new OutcomeUnknownError("message", options),
  new NonRetryableError("message", options),
  new DeterminismError("message", options),
  new NondeterminismError("message", options),
  new HistoryCorruptError("message", options),
  new InstanceError("instance_exists", "message", options),
  new InstanceError("instance_not_found", "message", options),
  new InstanceError("instance_ended", "message", options),
  new InstanceError("instance_running", "message", options),
  new StorageError("message", true, options),
  new StorageError("message", false, options),
  new LlmError("refused", "message", { cause }),
  new LlmError("rate_limited", "message", { cause, status: 429, retryAfterMs: 10 }),
  new LlmOutputError("message", "the last answer", { cause }),
];

const stored = (failure: Failure): Failure => JSON.parse(JSON.stringify(failure)) as Failure;

test("each error of the family comes back from storage as what it was", () => {
  for (const error of family) {
    const back = fromFailure(stored(toFailure(error)));

    assert.equal(back.constructor, error.constructor, error.code);
    assert.deepEqual(
      [back.name, back.message, back.code, back.retryable, back.details],
      [error.name, error.message, error.code, error.retryable, error.details],
    );
    assert.ok(isStetError(back.cause, "timeout"));
    assert.deepEqual([back.cause.message, back.cause.details], ["slow", { after: 5 }]);
    assert.deepEqual(toFailure(back), toFailure(error));
    assert.ok(back instanceof Error && back.stack !== undefined);
  }
});

test("an LlmError keeps kind, status and retryAfterMs, and an LlmOutputError its last answer", () => {
  const limited = fromFailure(
    stored(toFailure(new LlmError("rate_limited", "m", { status: 429, retryAfterMs: 9 }))),
  ) as LlmError;
  assert.deepEqual([limited.kind, limited.status, limited.retryAfterMs], ["rate_limited", 429, 9]);
  const refused = fromFailure(stored(toFailure(new LlmError("refused", "m")))) as LlmError;
  assert.deepEqual([refused.kind, refused.status, refused.retryAfterMs], ["refused", undefined, undefined]);
  const output = fromFailure(stored(toFailure(new LlmOutputError("m", "said")))) as LlmOutputError;
  assert.equal(output.lastAnswer, "said");
});

test("only some kinds of LlmError are worth another try", () => {
  const retryable = (["rate_limited", "unavailable", "timeout", "connection", "malformed"] as const).map(
    (kind) => new LlmError(kind, "m").retryable,
  );
  const final = (
    [
      "auth",
      "bad_request",
      "not_found",
      "quota_exceeded",
      "refused",
      "truncated",
      "content_filter",
      "cancelled",
    ] as const
  ).map((kind) => new LlmError(kind, "m").retryable);

  assert.ok(retryable.every(Boolean));
  assert.ok(!final.some(Boolean));
});

test("a foreign error keeps name, message, code, retryability and details, and is no class of ours", () => {
  class CardDeclined extends Error {
    override name = "CardDeclined";
    readonly code = "card_declined";
    readonly retryable = false;
    readonly details = { card: "4242" };
  }

  const back = fromFailure(stored(toFailure(new CardDeclined("declined"))));

  assert.equal(back.constructor, StetError);
  assert.deepEqual(
    [back.name, back.message, back.code, back.retryable, back.details],
    ["CardDeclined", "declined", "card_declined", false, { card: "4242" }],
  );
});

test("a foreign error that happens to have a code of ours keeps its own retryability", () => {
  for (const retryable of [true, false]) {
    for (const code of [
      "timeout",
      "cancelled",
      "storage_failed",
      "activity_failed",
      "llm_failed",
      "llm_output_invalid",
    ]) {
      const back = fromFailure(stored(toFailure(Object.assign(new Error("m"), { code, retryable }))));
      assert.equal(back.retryable, retryable, code);
      assert.equal(back.code, code);
      assert.equal(back.name, "Error");
    }
  }
});

test("an error without code, retryability or details is retryable with the code error", () => {
  assert.deepEqual(toFailure(new TypeError("no")), {
    name: "TypeError",
    message: "no",
    code: "error",
    retryable: true,
  });
  assert.deepEqual(toFailure(Object.assign(new Error("no"), { code: 42 })).code, "error");
  assert.deepEqual(toFailure(Object.assign(new Error("no"), { code: "ENOENT", errno: -2 })).code, "ENOENT");
});

test("anything thrown becomes a failure", () => {
  const things: readonly (readonly [unknown, string])[] = [
    ["text", "text"],
    [42, "42"],
    [null, "null"],
    [undefined, "undefined"],
    [true, "true"],
    [10n, "10"],
    [Symbol("s"), "Symbol(s)"],
    [{ message: "like an error" }, "like an error"],
    [{}, "an object without a message"],
    [Object.create(null), "an object without a message"],
    [[], "an object without a message"],
  ];
  for (const [thrown, message] of things) {
    const failure = toFailure(thrown);
    assert.equal(failure.message, message);
    assert.deepEqual(stored(failure), failure);
  }
});

test("even an object that throws when it is looked at becomes a failure", () => {
  const hostile = new Proxy(
    {},
    {
      get() {
        throw new Error("hands off");
      },
    },
  );

  assert.equal(toFailure(hostile).message, "an object that cannot be read");
});

test("details that JSON cannot carry are left out, of foreign errors and of causes", () => {
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;

  assert.equal(toFailure(Object.assign(new Error("m"), { details: cyclic })).details, undefined);
  assert.equal(toFailure(Object.assign(new Error("m"), { details: () => 1 })).details, undefined);
  assert.equal(toFailure(Object.assign(new Error("m"), { details: 1n })).details, undefined);
  assert.deepEqual(toFailure(Object.assign(new Error("m"), { details: null })).details, null);
});

test("causes are kept five deep, in cycles too", () => {
  let deep = new Error("0");
  for (let i = 1; i < 10; i++) deep = new Error(String(i), { cause: deep });
  const cyclic = new Error("round");
  cyclic.cause = cyclic;

  const messages = (failure: Failure | undefined): string[] =>
    failure === undefined ? [] : [failure.message, ...messages(failure.cause)];

  assert.deepEqual(messages(toFailure(deep)), ["9", "8", "7", "6", "5", "4"]);
  assert.equal(messages(toFailure(cyclic)).length, 6);
});

test("an AggregateError keeps its reasons, a bounded number of them", () => {
  const errors = Array.from({ length: 50 }, (_, i) => new TypeError(`no ${i}`));

  const { details } = toFailure(new AggregateError(errors, "all of them"));

  const kept = (details as unknown as { errors: Failure[] }).errors;
  assert.equal(kept.length, 20);
  assert.deepEqual(kept[0], { name: "TypeError", message: "no 0", code: "error", retryable: true });
});

test("errors are told by brand and code, never by class", () => {
  const foreignCopy = Object.assign(new Error("m"), { code: "timeout" });
  Object.defineProperty(foreignCopy, Symbol.for("stet.error"), { value: true });

  assert.ok(isStetError(foreignCopy, "timeout"));
  assert.ok(!isStetError(foreignCopy, "cancelled"));
  assert.ok(!isStetError(Object.assign(new Error("m"), { code: "timeout" })));
  assert.ok(!isStetError(null) && !isStetError("timeout") && !isStetError(undefined));
});

test("an activity's error reaches the code as it was thrown, through history", async () => {
  const thrown = Object.assign(new RangeError("too far", { cause: new TypeError("root") }), {
    code: "out_of_range",
    retryable: false,
    details: { max: 5 },
  });
  const asking = orchestration("asking", (ctx) =>
    ctx.activity("a").catch((error: unknown) => {
      const { cause: found } = error as ActivityError;
      assert.ok(isStetError(found));
      return [found.name, found.message, found.code, found.retryable, found.details, (found.cause as Error).message];
    }),
  );

  const end = await bothWays(asking, [[start()], [answer.activityFailed(2, thrown)]]);

  assert.deepEqual(outputOf(end), ["RangeError", "too far", "out_of_range", false, { max: 5 }, "root"]);
});

test("what fails an orchestration reaches its parent as it was thrown", async () => {
  const link = { instanceId: "parent", execution: 1, eventId: 2 };
  const child = orchestration("child", () => {
    throw Object.assign(new RangeError("too far"), { code: "out_of_range", details: [1] });
  });
  const ended = await bothWays(child, [[start(undefined, { parent: link })]]);
  const message = ended.effects.messages[0]?.message;
  assert.ok(message?.kind === "SubOrchestrationFailed");

  const parent = orchestration("parent", (ctx) =>
    ctx.subOrchestration("child").catch((error: unknown) => toFailure((error as StetError).cause)),
  );
  const end = await bothWays(parent, [[start()], [message]]);

  assert.deepEqual(outputOf(end), {
    name: "RangeError",
    message: "too far",
    code: "out_of_range",
    retryable: true,
    details: [1],
  });
});
