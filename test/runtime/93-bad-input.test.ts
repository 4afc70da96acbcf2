/**
 * Bad input: each is refused where it is given, in words that say what was expected, what was found, where, and what to
 * do, and it harms nobody else.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  activity,
  aesGcm,
  Client,
  InputError,
  isStetError,
  orchestration,
  type OrchestrationContext,
  Runtime,
  type StetError,
} from "@stet/core";
import { sqlite } from "@stet/sqlite";
import type { TestEnvironment } from "@stet/testing";
import Sqlite from "better-sqlite3";
import { z } from "zod";
import { environment, journal, kinds, newFolder } from "./world.ts";

const invalid = "configuration_invalid";
const nothing = async (): Promise<void> => undefined;
const idle = orchestration("idle", async (ctx) => ctx.waitForEvent<string>("go"));

/** Tries one bad thing after another: `[what is done, the code, the whole message]`. */
async function refuses(tries: readonly (readonly [() => unknown, string, string])[]): Promise<void> {
  for (const [attempt, code, message] of tries) {
    const error = await Promise.resolve()
      .then(attempt)
      .then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    assert.ok(isStetError(error), `Expected ${String(attempt)} to be refused, got ${String(error)}`);
    assert.deepEqual({ code: error.code, message: error.message }, { code, message });
    assert.equal(error.retryable, false, "trying again does not help");
  }
}

/** What TypeScript would have refused. */
function untyped<Value>(value: unknown): Value {
  return value as Value;
}

async function everythingElseGoesOn(env: TestEnvironment): Promise<void> {
  const run = await env.startOrchestration(idle);
  await run.raiseEvent("go", "on");
  assert.equal(await env.result(run), "on");
}

// Definitions

test("titles and looks are refused where they are defined", async () => {
  const title = (got: string) => `Expected the title of activity x to be one line of 1 to 100 characters, got ${got}`;
  await refuses([
    [() => activity("x", { title: "" }, nothing), invalid, title('""')],
    [() => activity("x", { title: "two\nlines" }, nothing), invalid, title('"two\\nlines"')],
    [() => activity("x", { title: untyped(7) }, nothing), invalid, title("7")],
    [
      () => orchestration("o", { diagram: { icon: "not an icon at all" } }, nothing),
      invalid,
      'Expected icon in the diagram of orchestration o to be one line of 1 to 16 characters, got "not an icon at all"',
    ],
    [
      () => orchestration("o", { diagram: { color: untyped("#ff0000") } }, nothing),
      invalid,
      'Expected color in the diagram of orchestration o to be "blue" or "green" or "yellow" or "orange" or "red" or "purple" or "grey", got "#ff0000"',
    ],
    [
      () => activity("x", { diagram: untyped({ colour: "red" }) }, nothing),
      invalid,
      "Expected options of the diagram of activity x to be among icon, color, got colour",
    ],
  ]);
});

test("names are refused where they are defined", async () => {
  const said = (what: string, got: string) =>
    `Expected the name of the ${what} to start with a letter and hold only letters, digits and _ . : / - (at most 200), got ${got}`;
  for (const [name, got] of [
    ["", '""'],
    ["1st", '"1st"'],
    ["two words", '"two words"'],
    ["käse", '"käse"'],
    ["a".repeat(201), `"${"a".repeat(79)}... (203 characters)`],
    [undefined, "undefined"],
    [5, "5"],
  ] as const) {
    await refuses([
      [() => activity(untyped<string>(name), nothing), invalid, said("activity", got)],
      [() => orchestration(untyped<string>(name), nothing), invalid, said("orchestration", got)],
    ]);
  }
});

test("versions, durations, policies, tags and effects are refused where they are defined", async () => {
  const duration = (what: string, got: string) =>
    `Expected ${what} of activity x to be milliseconds or a string like "500ms", "10s", "5m", "2h", "1d" (at most 100 years), got ${got}`;
  const version = (got: string) =>
    `Expected the version of orchestration x to be numbers with dots, such as "2" or "1.4.0", got ${got}`;
  await refuses([
    [() => orchestration("x", { version: "v1" }, nothing), invalid, version('"v1"')],
    [() => orchestration("x", { version: untyped(2) }, nothing), invalid, version("2")],
    [() => activity("x", { timeout: untyped("10 s") }, nothing), invalid, duration("timeout", '"10 s"')],
    [() => activity("x", { totalTimeout: -1 }, nothing), invalid, duration("totalTimeout", "-1")],
    [() => activity("x", { heartbeatTimeout: NaN }, nothing), invalid, duration("heartbeatTimeout", "NaN")],
    [() => activity("x", { timeout: "999999d" }, nothing), invalid, duration("timeout", '"999999d"')],
    [
      () => activity("x", { retry: { initialInterval: untyped("soon") } }, nothing),
      invalid,
      duration("retry.initialInterval", '"soon"'),
    ],
    [
      () => activity("x", { retry: { maxAttempts: 0 } }, nothing),
      invalid,
      "Expected retry.maxAttempts of activity x to be a whole number from 1, got 0",
    ],
    [
      () => activity("x", { retry: { backoff: 0.5 } }, nothing),
      invalid,
      "Expected retry.backoff of activity x to be 1 or more, got 0.5",
    ],
    [
      () => activity("x", { retry: { jitter: 2 } }, nothing),
      invalid,
      "Expected retry.jitter of activity x to be from 0 to 1, got 2",
    ],
    [
      () => activity("x", { tag: "" }, nothing),
      invalid,
      'Expected the tag of activity x to be 1 to 200 characters, got ""',
    ],
    [
      () => activity("x", { effect: untyped("harmless") }, nothing),
      invalid,
      'Expected effect of activity x to be "pure" or "idempotent" or "compensable" or "irreversible", got "harmless"',
    ],
  ]);
});

test("misspelt options and missing functions are refused where they are defined", async () => {
  await refuses([
    [
      () => activity("x", untyped<object>({ retries: 3 }), nothing),
      invalid,
      "Expected options of activity x to be among input, effect, title, description, diagram, retry, timeout, totalTimeout, heartbeatTimeout, tag, got retries",
    ],
    [
      () => activity("x", { retry: untyped({ attempts: 3 }) }, nothing),
      invalid,
      "Expected options of retry of activity x to be among maxAttempts, initialInterval, backoff, maxInterval, jitter, nonRetryable, got attempts",
    ],
    [
      () => orchestration("x", untyped<object>({ versoin: "2" }), nothing),
      invalid,
      "Expected options of orchestration x to be among version, input, title, description, diagram, budget, got versoin",
    ],
    [
      () => activity("x", untyped<typeof nothing>({})),
      invalid,
      "Expected activity x to be given its function last, got {}",
    ],
    [
      () => orchestration("x", untyped<typeof nothing>(undefined)),
      invalid,
      "Expected orchestration x to be given its function last, got undefined",
    ],
  ]);
});

// Runtime and client

test("duplicate and wrong registrations are refused, and nothing is left open", async () => {
  const work = activity("work", nothing);
  const storage = sqlite(":memory:");
  const start = (options: object) => () => Runtime.start(untyped({ storage, logger: journal(), ...options }));
  await refuses([
    [
      start({ activities: [work, activity("work", nothing)] }),
      invalid,
      "Expected one activity work, got two: rename one",
    ],
    [
      start({ orchestrations: [idle, orchestration("idle", nothing)] }),
      invalid,
      "Expected one orchestration idle of version 1, got two: give one another version",
    ],
    [
      start({ orchestrations: [work] }),
      invalid,
      "Expected each of orchestrations to be a definition made by orchestration(), got the activity work",
    ],
    [
      start({ orchestrations: [nothing] }),
      invalid,
      "Expected each of orchestrations to be a definition made by orchestration(), got the function nothing",
    ],
    [
      start({ activities: [undefined] }),
      invalid,
      "Expected each of activities to be a definition made by activity(), got undefined",
    ],
  ]);
  await assert.rejects(storage.nextWakeAt(0), "the store was never opened");
});

test("options of Runtime.start that are misspelt or wrong are refused", async () => {
  const names =
    "storage, orchestrations, activities, llm, modelLimits, prices, concurrency, tags, cacheSize, codec, payloadLimit, determinism, promptDrift, recordPrompts, onNondeterminism, buildId, workerName, logger, clock";
  const start = (options: object) => () => Runtime.start(untyped({ storage: sqlite(":memory:"), ...options }));
  const storageNeeded = (got: string) =>
    `Expected Runtime.start to be given a storage provider, such as { storage: sqlite("app.db") }, got ${got}`;
  await refuses([
    [
      start({ orchestration: [] }),
      invalid,
      `Expected options of Runtime.start to be among ${names}, got orchestration`,
    ],
    [
      start({ concurrency: { activites: 5 } }),
      invalid,
      "Expected options of concurrency of Runtime.start to be among activities, models, got activites",
    ],
    [
      () => Runtime.start(untyped(undefined)),
      invalid,
      "Expected Runtime.start to be given an object of options, got undefined",
    ],
    [() => Runtime.start(untyped({})), invalid, storageNeeded("undefined")],
    [() => Runtime.start({ storage: untyped("app.db") }), invalid, storageNeeded('"app.db"')],
    [
      start({ concurrency: { activities: 0 } }),
      invalid,
      "Expected concurrency.activities of Runtime.start to be a whole number from 1, got 0",
    ],
    [
      start({ payloadLimit: "4 MiB" }),
      invalid,
      'Expected payloadLimit of Runtime.start to be a whole number from 1, got "4 MiB"',
    ],
    [start({ cacheSize: -1 }), invalid, "Expected cacheSize of Runtime.start to be a whole number from 1, got -1"],
    [start({ determinism: "on" }), invalid, 'Expected determinism of Runtime.start to be "guarded" or "off", got "on"'],
    [
      start({ recordPrompts: "none" }),
      invalid,
      'Expected recordPrompts of Runtime.start to be "full" or "hash", got "none"',
    ],
    [start({ prices: { "gpt-5": 1 } }), invalid, 'Expected prices of Runtime.start to be a function, got {"gpt-5":1}'],
    [
      start({ promptDrift: true }),
      invalid,
      'Expected promptDrift of Runtime.start to be "report" or "error", got true',
    ],
    [
      start({ onNondeterminism: "explode" }),
      invalid,
      'Expected onNondeterminism of Runtime.start to be "block" or "fail", got "explode"',
    ],
    [start({ tags: "gpu" }), invalid, 'Expected tags of Runtime.start to be an array, got "gpu"'],
    [start({ tags: [""] }), invalid, 'Expected the tags of Runtime.start to be 1 to 200 characters, got ""'],
    [start({ activities: {} }), invalid, "Expected activities of Runtime.start to be an array, got {}"],
    [start({ llm: {} }), invalid, "Expected llm to name at least one provider, got an empty table"],
    [
      start({ llm: { fast: "gpt-5" } }),
      invalid,
      'Expected llm of Runtime.start to be a provider, such as openai({ model }), or a table of them and of lists of names, got "gpt-5" for fast',
    ],
    [
      start({ codec: {} }),
      invalid,
      "Expected codec of Runtime.start to be a payload codec, such as aesGcm({ key }), got {}",
    ],
  ]);
});

test("clients and codecs refuse what is missing, misspelt or wrong", async () => {
  const secret = Buffer.alloc(32);
  await refuses([
    [
      () => Client.connect(untyped({})),
      invalid,
      'Expected Client.connect to be given a storage provider, such as { storage: sqlite("app.db") }, got undefined',
    ],
    [
      () => Client.connect(untyped({ storage: sqlite(":memory:"), codek: 1 })),
      invalid,
      "Expected options of Client.connect to be among storage, codec, clock, payloadLimit, got codek",
    ],
    [
      () => aesGcm({ key: { id: "k", secret: secret.subarray(1) } }),
      invalid,
      "Expected the secret of key k to be 32 bytes in a Buffer, got 31",
    ],
    [
      () => aesGcm({ key: { id: "k", secret: untyped("a password of thirty-two letters") } }),
      invalid,
      "Expected the secret of key k to be 32 bytes in a Buffer, got a secret of type string",
    ],
    [
      () => aesGcm({ key: { id: "k", secret }, formerKeys: [{ id: "k", secret }] }),
      invalid,
      'Expected each key id to be used once and hold only letters, digits, _ and -, got "k"',
    ],
    [
      () => aesGcm(untyped({})),
      invalid,
      "Expected each key id to be used once and hold only letters, digits, _ and -, got undefined",
    ],
  ]);
});

// Starting

test("an unknown orchestration is refused by the runtime that was asked, and waits when a client starts it", async (t) => {
  const stray = orchestration("stray", nothing);
  const env = await environment(t, { orchestrations: [idle] });
  const start = env.runtime.startOrchestration;
  const unknown = (what: string) =>
    `Expected orchestration ${what} to be registered with this runtime, got idle@1: add it to Runtime.start({ orchestrations }), or start it through runtime.client`;
  await refuses([
    [() => start("idel"), invalid, unknown("idel")],
    [() => start(stray), invalid, unknown("stray")],
    [() => start("idle", undefined, { version: "7" }), invalid, unknown("idle version 7")],
    [
      () => start(untyped<typeof idle>(undefined)),
      invalid,
      "Expected what is started to be a definition made by orchestration(), got undefined",
    ],
    [
      () => env.client.startOrchestration(untyped<typeof idle>(activity("work", nothing))),
      invalid,
      "Expected what is started to be a definition made by orchestration(), got the activity work",
    ],
  ]);
  assert.deepEqual((await env.client.list()).instances, []);

  const run = await env.client.startOrchestration("elsewhere");
  await env.settle();
  assert.equal((await run.status()).status, "pending");
  assert.deepEqual((await env.client.stats()).missingHandlers.orchestrations, ["elsewhere"]);
  await everythingElseGoesOn(env);
});

test("a start with a bad id, version, label or option stores nothing", async (t) => {
  const env = await environment(t, { orchestrations: [idle] });
  const start = (options: object) => () => env.startOrchestration("idle", undefined, options);
  const id = (got: string) =>
    `Expected an instance id to be 1 to 500 characters without control characters, got ${got}`;
  await refuses([
    [start({ instanceId: "" }), invalid, id('""')],
    [start({ instanceId: "a\nb" }), invalid, id('"a\\nb"')],
    [start({ instanceId: "x".repeat(501) }), invalid, id(`"${"x".repeat(79)}... (503 characters)`)],
    [start({ instanceId: "\ud800" }), invalid, id('"\\ud800"')],
    [start({ instanceId: null }), invalid, id("null")],
    [() => env.client.instance(""), invalid, id('""')],
    [
      start({ version: "latest" }),
      invalid,
      'Expected the version of orchestration idle to be numbers with dots, such as "2" or "1.4.0", got "latest"',
    ],
    [start({ labels: ["a"] }), invalid, 'Expected labels to be an object of strings, got ["a"]'],
    [start({ labels: { a: 1 } }), invalid, "Expected label a to be a string of at most 200 characters, got 1"],
    [start({ labels: { "": "x" } }), invalid, 'Expected the label name to be 1 to 200 characters, got ""'],
    [
      start({ id: "idle-1" }),
      invalid,
      "Expected options of the start of orchestration idle to be among instanceId, version, labels, budget, ifExists, got id",
    ],
    [
      start({ ifExists: "replace" }),
      invalid,
      'Expected ifExists of the start of orchestration idle to be "fail" or "attach", got "replace"',
    ],
  ]);
  assert.deepEqual((await env.client.list()).instances, []);
  await everythingElseGoesOn(env);
});

test("an input that does not satisfy the schema is refused at the start, by client and runtime, and nothing is stored", async (t) => {
  const input = z.object({ name: z.string(), items: z.array(z.object({ count: z.number().int() })) });
  let runs = 0;
  const strict = orchestration("strict", { input }, async (_ctx, { name }) => {
    runs++;
    return name;
  });
  const env = await environment(t, { orchestrations: [strict, idle] });
  const wrong = untyped<z.infer<typeof input>>({ items: [{ count: 1 }, { count: 1.5 }] });
  const said =
    "Expected the input of orchestration strict to satisfy its schema, got: Invalid input: expected string, received undefined at $.name; Invalid input: expected int, received number at $.items[1].count";
  await refuses([
    [() => env.runtime.startOrchestration(strict, wrong), "input_invalid", said],
    [() => env.runtime.startOrchestration("strict", wrong), "input_invalid", said],
    [() => env.client.startOrchestration(strict, wrong), "input_invalid", said],
  ]);
  await assert.rejects(env.startOrchestration(strict, wrong), (error: InputError) => {
    assert.deepEqual(error.details, [
      { path: "$.name", message: "Invalid input: expected string, received undefined" },
      { path: "$.items[1].count", message: "Invalid input: expected int, received number" },
    ]);
    return error instanceof InputError;
  });
  assert.deepEqual((await env.client.list()).instances, []);

  // A client that knows the name alone cannot check: then the instance fails, and says the same.
  const run = await env.client.startOrchestration("strict", wrong, { instanceId: "s" });
  await assert.rejects(env.result(run), (error: StetError) => {
    assert.equal(error.message, `Orchestration strict (instance s) failed: ${said}`);
    return isStetError(error.cause, "input_invalid");
  });
  assert.equal(runs, 0);
});

test("an input that does not satisfy an activity's schema is a typed failure without a retry", async (t) => {
  let runs = 0;
  const input = z.object({ amount: z.number().positive() });
  const pay = activity("pay", { input, retry: { maxAttempts: 5 } }, async () => runs++);
  const paying = orchestration("paying", async (ctx, amount: number) => {
    try {
      return await ctx.activity(pay, { amount });
    } catch (error) {
      const { cause } = error as StetError;
      assert.ok(isStetError(cause, "input_invalid"));
      return { message: cause.message, details: cause.details, retryable: cause.retryable };
    }
  });
  const env = await environment(t, { orchestrations: [paying], activities: [pay] });
  assert.deepEqual(await env.result(await env.startOrchestration(paying, -1)), {
    message:
      "Expected the input of activity pay to satisfy its schema, got: Too small: expected number to be >0 at $.amount",
    details: [{ path: "$.amount", message: "Too small: expected number to be >0" }],
    retryable: false,
  });
  assert.equal(runs, 0);
});

// Payloads

/** Every way into the store, with how errors name it. Each is given the value and may answer it. */
const waysIn: readonly (readonly [
  string | ((instanceId: string) => string),
  (ctx: OrchestrationContext, value: unknown) => unknown,
])[] = [
  ["the input of activity echo", (ctx, value) => ctx.activity("echo", value)],
  ["the input of orchestration child", (ctx, value) => ctx.subOrchestration("child", value)],
  ["the state key", (ctx, value) => ctx.state.set("key", value)],
  [(id) => `the status of instance ${id}`, (ctx, value) => ctx.setStatus(value)],
  ["the output of orchestration giving", (_ctx, value) => value],
  ["the data of event other", (ctx, value) => ctx.sendEvent("nobody", "other", value)],
  ["the details of the wait for other", (ctx, value) => ctx.waitForEvent("other", { details: value })],
  ["the input of orchestration giving", (ctx, value) => ctx.continueAsNew(value)],
  [(id) => `the output of instance ${id}`, (ctx, value) => ctx.emit(value)],
];

function named(what: (typeof waysIn)[number][0], instanceId: string): string {
  return typeof what === "string" ? what : what(instanceId);
}

for (const [name, bad, found] of [
  ["a function", () => ({ to: [1, { call: () => 1 }] }), "the function call at $.to[1].call"],
  ["a date", () => ({ to: [1, { at: new Date(0) }] }), "an instance of Date at $.to[1].at"],
  ["a BigInt", () => ({ "odd key": 5n }), 'the BigInt 5n (write it as a string) at $["odd key"]'],
] as const) {
  test(`${name} is refused wherever it would be stored, with its path`, async (t) => {
    const giving = orchestration("giving", async (ctx, way: number) => waysIn[way]?.[1](ctx, bad()));
    const result = activity("result", async () => bad());
    const calling = orchestration("calling", async (ctx) => ctx.activity<unknown>("result"));
    const env = await environment(t, { orchestrations: [giving, calling, idle], activities: [result] });

    for (const [way, [what]] of waysIn.entries()) {
      const run = await env.startOrchestration(giving, way, { instanceId: `way ${way}` });
      await assert.rejects(env.result(run), (error: StetError) => {
        assert.equal(
          error.message,
          `Orchestration giving (instance way ${way}) failed: Expected ${named(what, `way ${way}`)} to be JSON, got ${found}`,
        );
        return isStetError(error.cause, "payload_invalid");
      });
      assert.deepEqual(kinds(await run.history()), ["OrchestrationStarted", "OrchestrationFailed"]);
    }
    const run = await env.startOrchestration(calling, undefined, { instanceId: "c" });
    await assert.rejects(env.result(run), (error: StetError) => {
      assert.equal(
        error.message,
        `Orchestration calling (instance c) failed: Activity result of instance c (event 2) failed after 1 attempt: Expected the result of activity result to be JSON, got ${found}`,
      );
      return true;
    });
    const waiting = await env.startOrchestration(idle, undefined, { instanceId: "i" });
    await refuses([
      [
        () => env.startOrchestration("idle", bad()),
        "payload_invalid",
        `Expected the input of orchestration idle to be JSON, got ${found}`,
      ],
      [
        () => waiting.raiseEvent("go", bad()),
        "payload_invalid",
        `Expected the data of event go to be JSON, got ${found}`,
      ],
    ]);
    await waiting.raiseEvent("go", "on");
    assert.equal(await env.result(waiting), "on");
  });
}

test("a payload above the limit is refused wherever it would be stored, with its size and what to do", async (t) => {
  const many = Array.from({ length: 500 }, () => "twenty characters...");
  const said = (what: string) =>
    `Expected ${what} to have at most 10000 bytes, got 11502: store it elsewhere and pass a reference, or raise payloadLimit`;
  const giving = orchestration("giving", async (ctx, way: number) => waysIn[way]?.[1](ctx, many));
  const result = activity("result", { retry: { maxAttempts: 5 } }, async () => many);
  const calling = orchestration("calling", async (ctx) => ctx.activity<unknown>("result"));
  const env = await environment(t, {
    orchestrations: [giving, calling, idle],
    activities: [result],
    payloadLimit: 10_000,
  });

  for (const [way, [what]] of waysIn.entries()) {
    const run = await env.startOrchestration(giving, way);
    await assert.rejects(env.result(run), (error: StetError) => {
      assert.ok(isStetError(error.cause, "payload_too_large"));
      assert.equal(error.cause.message, said(named(what, run.instanceId)));
      return true;
    });
  }
  const run = await env.startOrchestration(calling, undefined, { instanceId: "c" });
  await assert.rejects(env.result(run), (error: StetError) => {
    assert.ok(error.message.endsWith(`failed after 1 attempt: ${said("the result of activity result")}`));
    return true;
  });
  const waiting = await env.startOrchestration(idle);
  await refuses([
    [() => env.startOrchestration("idle", many), "payload_too_large", said("the input of orchestration idle")],
    [() => waiting.raiseEvent("go", many), "payload_too_large", said("the data of event go")],
    [
      () => waiting.raiseEvent("go", "x".repeat(10_001)),
      "payload_too_large",
      "Expected each text in the data of event go to have at most 10000 bytes, got 10001: store it elsewhere and pass a reference, or raise payloadLimit",
    ],
  ]);
  await waiting.raiseEvent("go", "x".repeat(10_000));
  assert.equal((await env.result(waiting)).length, 10_000);
});

// Talking to instances

test("an event to an unknown or ended instance is an error to the sender and delays nobody", async (t) => {
  const env = await environment(t, { orchestrations: [idle] });
  const ended = await env.startOrchestration(idle, undefined, { instanceId: "ended" });
  await ended.raiseEvent("go", "at once");
  await env.result(ended);
  const nobody = env.client.instance("nobody");
  const unknown = "Expected instance nobody to exist, got none: it was never started, or it was deleted";
  await refuses([
    [() => nobody.raiseEvent("go"), "instance_not_found", unknown],
    [() => nobody.cancel(), "instance_not_found", unknown],
    [() => nobody.terminate(), "instance_not_found", unknown],
    [() => nobody.result(), "instance_not_found", unknown],
    [() => nobody.status(), "instance_not_found", unknown],
    [() => nobody.history(), "instance_not_found", unknown],
    [() => env.client.tree("nobody"), "instance_not_found", unknown],
    [() => env.client.resume("nobody"), "instance_not_found", unknown],
    [() => env.client.retry("nobody"), "instance_not_found", unknown],
    [() => env.client.delete("nobody"), "instance_not_found", unknown],
    [
      () => ended.raiseEvent("go"),
      "instance_ended",
      "Expected instance ended to be running to receive event go, got one that has ended",
    ],
    [
      () => ended.raiseEvent("two words"),
      invalid,
      'Expected the name of the event to start with a letter and hold only letters, digits and _ . : / - (at most 200), got "two words"',
    ],
    [() => ended.cancel(untyped<string>(5)), invalid, "Expected the reason to end instance ended to be a text, got 5"],
    [
      () => env.startOrchestration(idle, undefined, { instanceId: "ended" }),
      "instance_exists",
      'Expected instance ended not to exist, got one: choose another id, or start with ifExists "attach"',
    ],
  ]);
  assert.deepEqual((await env.client.stats()).work, { ready: 0, delayed: 0, running: 0 });
  await everythingElseGoesOn(env);
});

test("what is running is neither deleted nor tried again by mistake", async (t) => {
  const parent = orchestration("parent", async (ctx) =>
    ctx.subOrchestration(idle, undefined, { instanceId: "child", parentClosePolicy: "abandon" }),
  );
  const env = await environment(t, { orchestrations: [parent, idle] });
  await env.startOrchestration(parent, undefined, { instanceId: "parent" });
  await env.settle();
  await refuses([
    [
      () => env.client.delete("parent"),
      "instance_running",
      "Expected instance parent to have ended to be deleted without force, got one that is running",
    ],
    [
      () => env.client.retry("child"),
      "instance_running",
      "Expected instance child to have ended to be tried again, got one that is running",
    ],
    [
      () => env.client.delete("child", { force: true }),
      invalid,
      "Expected instance child to be the root of its tree to be deleted, got one with a parent",
    ],
  ]);
});

test("limits, cursors, dates and conditions of lists and prune are checked", async (t) => {
  const env = await environment(t, { orchestrations: [idle] });
  const { client } = env;
  const limit = (most: number, got: string) => `Expected a limit to be a whole number from 1 to ${most}, got ${got}`;
  await refuses([
    [() => client.list({ limit: 0 }), invalid, limit(1000, "0")],
    [() => client.list({ limit: 1001 }), invalid, limit(1000, "1001")],
    [() => client.list({ limit: 1.5 }), invalid, limit(1000, "1.5")],
    [() => client.pendingWaits({ limit: 0 }), invalid, limit(1000, "0")],
    [() => client.prune({ keepExecutions: 1, limit: 0 }), invalid, limit(100_000, "0")],
    [
      () => client.list({ cursor: "garbage" }),
      invalid,
      'Expected the cursor to be one that a page before gave, got "garbage"',
    ],
    [
      () => client.list({ status: untyped("done") }),
      invalid,
      'Expected status of client.list to be "pending" or "running" or "blocked" or "completed" or "failed" or "cancelled" or "terminated", got "done"',
    ],
    [
      () => client.list({ createdAfter: new Date("yesterday") }),
      invalid,
      "Expected createdAfter of list to be a valid date or epoch milliseconds, got Invalid Date",
    ],
    [
      () => client.list(untyped({ label: {} })),
      invalid,
      "Expected options of client.list to be among status, name, version, labels, idPrefix, parentId, createdAfter, createdBefore, limit, cursor, got label",
    ],
    [
      () => client.prune({}),
      invalid,
      "Expected prune to be given endedBefore, olderThan or keepExecutions, got none of them",
    ],
    [
      () => client.prune(untyped({ endedbefore: 5 })),
      invalid,
      "Expected options of client.prune to be among endedBefore, olderThan, keepExecutions, limit, got endedbefore",
    ],
    [
      () => client.prune({ endedBefore: new Date("yesterday") }),
      invalid,
      "Expected endedBefore of prune to be a valid date or epoch milliseconds, got Invalid Date",
    ],
    [
      () => client.prune({ keepExecutions: 0 }),
      invalid,
      "Expected keepExecutions of prune to be a whole number from 1, got 0",
    ],
    [
      () => client.prune({ olderThan: untyped("a week") }),
      invalid,
      'Expected olderThan of prune to be milliseconds or a string like "500ms", "10s", "5m", "2h", "1d" (at most 100 years), got "a week"',
    ],
  ]);
  await everythingElseGoesOn(env);
});

// Stores

test("a file that is no database, is newer, damaged in place or nowhere is refused by name, and left alone", async () => {
  const folder = newFolder();
  const diary = join(folder, "diary.db");
  writeFileSync(diary, "Dear diary, ".repeat(1_000));
  const newer = join(folder, "newer.db");
  await (await Client.connect({ storage: sqlite(newer) })).close();
  const db = new Sqlite(newer);
  db.pragma("user_version = 1000");
  db.close();
  const missing = join(folder, "missing", "app.db");

  for (const [path, said] of [
    [diary, /is no SQLite database/],
    [newer, /got 1000: written by newer code/],
    [missing, /expected the folder .*missing to exist/],
  ] as const) {
    await assert.rejects(Runtime.start({ storage: sqlite(path), logger: journal() }), (error: StetError) => {
      assert.equal(error.code, "storage_failed");
      assert.ok(error.message.includes(path), error.message);
      assert.match(error.message, said);
      assert.equal(error.retryable, false);
      return true;
    });
  }
  assert.ok(Date.now.toString().includes("[native code]"), "no guard is left behind");
});

for (const [what, change, said] of [
  [
    "no JSON",
    "UPDATE history SET body = '[{' WHERE instance = 1",
    /^Expected the history of instance victim, execution 1 to be JSON, got "\[\{"$/,
  ],
  [
    "another shape",
    "UPDATE history SET body = '[]' WHERE instance = 1",
    /^Expected the history of instance victim, execution 1 to begin with OrchestrationStarted and have 2 events, got 0 beginning with undefined$/,
  ],
  [
    "a lost payload",
    "DELETE FROM payloads WHERE root = 1",
    /^Expected the history of instance victim, execution 1 to find payload [\w-]{43}, got none$/,
  ],
] as const) {
  test(`an instance whose history is damaged (${what}) is blocked, and others go on`, async (t) => {
    const path = join(newFolder(), "app.db");
    const long = orchestration(
      "long",
      async (ctx, text: string) => text.length + (await ctx.waitForEvent<number>("go")),
    );
    const env = await environment(t, { storage: sqlite(path), orchestrations: [long, idle] });
    const victim = await env.startOrchestration(long, "x".repeat(1_000), { instanceId: "victim" });
    const other = await env.startOrchestration(long, "x".repeat(1_000), { instanceId: "other" });
    await env.settle();
    await env.runtime.evictCache();
    const db = new Sqlite(path);
    const undo = db.prepare<[], { body: string }>("SELECT body FROM history WHERE instance = 1").get();
    const lost = db
      .prepare<[], { digest: string; body: string }>("SELECT digest, body FROM payloads WHERE root = 1")
      .get();
    assert.equal(db.prepare(change).run().changes, 1);

    await victim.raiseEvent("go", 1);
    await other.raiseEvent("go", 1);
    assert.equal(await env.result(other), 1_001);
    await everythingElseGoesOn(env);
    const { status, error } = await victim.status();
    assert.equal(status, "blocked");
    assert.ok(isStetError(error, "history_corrupt"));
    assert.match(error.message, said);
    assert.equal((await env.client.stats()).blocked, 1);

    db.prepare("UPDATE history SET body = ? WHERE instance = 1").run(undo?.body);
    db.prepare("INSERT OR IGNORE INTO payloads (root, digest, body) VALUES (1, ?, ?)").run(lost?.digest, lost?.body);
    db.close();
    assert.equal(await env.client.resume("victim"), true);
    assert.equal(await env.result(victim), 1_001);
  });
}
