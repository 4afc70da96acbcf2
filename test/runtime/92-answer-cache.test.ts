/** Answers that are kept: for whom, for how long, once for many who ask at once, and never in the way of anything. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  aesGcm,
  canonicalJson,
  type CacheScope,
  type HistoryEvent,
  isStetError,
  type LlmCompleted,
  LlmError,
  type LlmOptions,
  orchestration,
  Runtime,
  type StorageProvider,
} from "@stet/core";
import { after, callTool, cutShort, mock, type MockLlm, says } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { exploreCrashes, faulty, type TestEnvironment } from "@stet/testing";
import { environment, fails, gate, journal, newFolder, ofKind } from "./world.ts";

const global: CacheScope = { scope: "global", ttl: "1h" };

/** Answers each call with its number, so that an answer shows which call it is of. */
const counting = (): MockLlm => mock().otherwise((_request, { order }) => `answer ${order}`);

const ask = orchestration("ask", async (ctx, options: LlmOptions) => ctx.generate("?", options));

/** A store that tells which verbs are called, and what is saved. */
function watched(storage: StorageProvider): { storage: StorageProvider; verbs: string[]; saved: string[] } {
  const verbs: string[] = [];
  const saved: string[] = [];
  const proxy = new Proxy(storage, {
    get(target, name) {
      const verb: unknown = Reflect.get(target, name);
      if (typeof verb !== "function") return verb;
      return (...given: unknown[]): unknown => {
        verbs.push(String(name));
        if (name === "saveAnswers") saved.push(JSON.stringify(given[0]));
        return Reflect.apply(verb, target, given) as unknown;
      };
    },
  });
  return { storage: proxy, verbs, saved };
}

const answersIn = (history: readonly HistoryEvent[]): readonly LlmCompleted[] => ofKind(history, "LlmCompleted");

test("a question that was asked before is answered from the cache, costs nothing, and history says so", async (t) => {
  const llm = mock().otherwise(says("yes", { usage: { inputTokens: 10, outputTokens: 5 }, model: "mock-of-today" }));
  const twice = orchestration("twice", async (ctx) => [
    await ctx.generate("?", { cache: "execution", label: "first" }),
    await ctx.generate("?", { cache: "execution", label: "second" }),
  ]);
  const env = await environment(t, { orchestrations: [twice], llm, prices: () => 0.5 });
  const run = await env.startOrchestration(twice);

  assert.deepEqual(await env.result(run), ["yes", "yes"]);

  const [first, second] = answersIn(await run.history());
  assert.equal(llm.calls.length, 1);
  assert.deepEqual([first?.cached, first?.costUsd, first?.usage.inputTokens], [undefined, 0.5, 10]);
  const { id: _id, at: _at, ...hit } = (second ?? assert.fail()) as HistoryEvent & LlmCompleted;
  assert.deepEqual(hit, {
    kind: "LlmCompleted",
    source: second?.source,
    result: { text: "yes" },
    model: "mock-of-today",
    usage: { inputTokens: 0, outputTokens: 0 },
    finishReason: "stop",
    cached: true,
  });
  const { instance } = await env.client.usage(run.instanceId);
  assert.deepEqual([instance.calls, instance.cacheHits, instance.usd, instance.inputTokens], [1, 1, 0.5, 10]);
  assert.equal(instance.byLabel["second"]?.cacheHits, 1);
});

test("an answer that is kept takes no capacity and waits for none", async (t) => {
  const { storage, verbs } = watched(sqlite(":memory:"));
  const llm = counting();
  const modelLimits = { "mock-1": { requestsPerMinute: 1 } };
  const env = await environment(t, { storage, orchestrations: [ask], llm, modelLimits });
  const startedAt = env.clock.now();
  const question = { cache: global };
  await env.result(await env.startOrchestration(ask, question));
  verbs.length = 0;
  for (let i = 0; i < 10; i++) await env.result(await env.startOrchestration(ask, question));
  assert.equal(env.clock.now(), startedAt, "ten hits while the minute was used up");
  assert.deepEqual(
    verbs.filter((verb) => ["saveWork", "completeWork"].includes(verb)),
    [],
    "and no row",
  );
  await env.result(await env.startOrchestration(ask, { ...question, maxTokens: 7 }));
  assert.equal(env.clock.now() - startedAt, 60_100, "what was not asked is not counted");
  assert.equal(llm.calls.length, 2);
});

test("an answer that is kept is given while its model is down", async (t) => {
  let down = false;
  const llm = mock().otherwise(() => (down ? new LlmError("unavailable", "away", { retryAfterMs: 600_000 }) : "up"));
  const env = await environment(t, { orchestrations: [ask], llm });
  const question = { cache: global };
  await env.result(await env.startOrchestration(ask, question));
  down = true;
  const other = await env.startOrchestration(ask, {});
  await env.until(() => llm.calls.length === 2);
  await env.settle();
  const startedAt = env.clock.now();
  const run = await env.startOrchestration(ask, question);
  assert.equal(await env.result(run), "up");
  assert.equal(env.clock.now(), startedAt);
  await other.terminate();
});

test("another model, form, option or word is another question", async (t) => {
  const llm = { a: counting(), b: mock({ name: "other" }).otherwise("b") };
  const tool = { name: "look", parameters: { type: "object" } };
  const various = orchestration("various", async (ctx) => {
    const cache = "execution";
    await ctx.generate("?", { cache });
    await ctx.generate("? ", { cache });
    await ctx.generate("?", { cache, temperature: 0 });
    await ctx.generate("?", { cache, maxTokens: 100 });
    await ctx.generate("?", { cache, vendor: { top_p: 1 } });
    await ctx.generate("?", { cache, model: "mock/other" });
    await ctx.generate("?", { cache, model: "b" });
    await ctx.generateWithSystem("Be brief.", "?", { cache });
    await ctx.chat([{ role: "user", content: "?" }], { tools: [tool] }, { cache });
    await ctx.chat([{ role: "user", content: "?" }], { tools: [tool], toolChoice: "none" }, { cache });
    await ctx.embed(["?"], { cache });
    await ctx.embed(["?", "?"], { cache });
  });
  const env = await environment(t, { orchestrations: [various], llm });
  const run = await env.startOrchestration(various);
  await env.result(run);

  const answers = answersIn(await run.history());
  assert.deepEqual([answers.length, answers.filter(({ cached }) => cached).length], [12, 0]);
});

test("the same question in other words of the API is the same", async (t) => {
  const llm = mock().on("generate", callTool("look", {})).on("embed", [[1, 0.5]]); // prettier-ignore
  const same = orchestration("same", async (ctx) => {
    const cache = "execution";
    const first = await ctx.chat([{ role: "user", content: "?" }], {}, { cache, model: "only" });
    const second = await ctx.generate({ prompt: "?" }, { cache, timeout: "1m", label: "other", maxAsks: 1 });
    return [first.toolCalls?.length, second, await ctx.embed(["?"], { cache }), await ctx.embed(["?"], { cache })];
  });
  llm.on("chat", callTool("look", {}));
  const env = await environment(t, { orchestrations: [same], llm: { only: llm } });
  const run = await env.startOrchestration(same);

  assert.deepEqual(await env.result(run), [1, "", [[1, 0.5]], [[1, 0.5]]]);
  assert.deepEqual(
    answersIn(await run.history()).map(({ cached, result }) => [cached, result.toolCalls?.length]),
    [
      [undefined, 1],
      [true, 1],
      [undefined, undefined],
      [true, undefined],
    ],
  );
});

for (const { cache, expected } of [
  { cache: "off", expected: [1, 2, 3, 4, 5, 6] },
  { cache: "execution", expected: [1, 1, 2, 2, 3, 3] },
  { cache: "instance", expected: [1, 1, 1, 1, 2, 2] },
  { cache: global, expected: [1, 1, 1, 1, 1, 1] },
] as const) {
  test(`scope ${JSON.stringify(cache)}: an execution, the next one, and another instance`, async (t) => {
    const rounds = orchestration("rounds", async (ctx, said: readonly string[]): Promise<readonly string[]> => {
      const now = [...said, await ctx.generate("?", { cache }), await ctx.generate("?", { cache })];
      return ctx.execution === 1 && said.length === 0 ? ctx.continueAsNew(now) : now;
    });
    const env = await environment(t, { orchestrations: [rounds], llm: counting() });

    const first = await env.result(await env.startOrchestration(rounds, []));
    const second = await env.result(await env.startOrchestration(rounds, ["of another"]));

    const said = [...first, ...second.slice(1)];
    assert.deepEqual(
      said,
      expected.map((n) => `answer ${n}`),
    );
  });
}

test("a global answer is given for as long as its ttl, to other workers on the store too", async (t) => {
  const path = join(newFolder(), "app.db");
  const llm = counting();
  const env = await environment(t, { storage: sqlite(path), orchestrations: [ask], llm });
  const answer = async () => env.result(await env.startOrchestration(ask, { cache: global }));

  assert.equal(await answer(), "answer 1");
  await env.advance("59m");
  await env.restart();
  assert.equal(await answer(), "answer 1");
  await env.advance("1m");
  assert.equal(await answer(), "answer 2");

  const other = await environment(t, { storage: sqlite(path), orchestrations: [ask], llm, clock: env.clock });
  assert.equal(await other.result(await other.startOrchestration(ask, { cache: global })), "answer 2");
});

test("identical calls at the same time are made once, across instances, and the others are hits", async (t) => {
  const door = gate();
  const llm = mock().otherwise(() => door.opened.then(() => "one answer"));
  const env = await environment(t, { orchestrations: [ask], llm, concurrency: { models: 100 } });
  const runs = await Promise.all(Array.from({ length: 20 }, () => env.startOrchestration(ask, { cache: global })));
  await env.until(() => env.runtime.stats().runningWork === 20);

  door.open();
  for (const run of runs) assert.equal(await env.result(run), "one answer");

  const answers = (await Promise.all(runs.map((run) => run.history()))).flatMap((history) => answersIn(history));
  assert.equal(llm.calls.length, 1);
  assert.equal(answers.filter(({ cached }) => cached).length, 19);
});

test("a call that fails fails for those who wait for it, and each goes on by itself", async (t) => {
  const door = gate();
  const refusal = new LlmError("refused", "never");
  const llm = mock().otherwise(() => door.opened.then(() => refusal));
  const env = await environment(t, { orchestrations: [ask], llm });
  const runs = await Promise.all(Array.from({ length: 5 }, () => env.startOrchestration(ask, { cache: global })));
  await env.until(() => env.runtime.stats().runningWork === 5);

  door.open();
  for (const run of runs) await assert.rejects(env.result(run), fails("orchestration_failed"));

  assert.equal(llm.calls.length, 1);
});

test("a call that fails in passing is tried again by all, and made once again", async (t) => {
  const llm = mock().on("generate", new LlmError("unavailable", "busy", { retryAfterMs: 5_000 }), "at last");
  const env = await environment(t, { orchestrations: [ask], llm });
  const runs = await Promise.all(Array.from({ length: 5 }, () => env.startOrchestration(ask, { cache: global })));

  for (const run of runs) assert.equal(await env.result(run), "at last");
  assert.equal(llm.calls.length, 2);
});

test("when whoever asks is not wanted any more, the next of those who wait asks", async (t) => {
  const door = gate();
  const llm = mock().otherwise(
    () => new Promise<never>(() => undefined),
    () => door.opened.then(() => "second try"),
  );
  const impatient = orchestration("impatient", async (ctx) => {
    const first = await ctx.race({ answer: ctx.generate("?", { cache: global }), late: ctx.timer("1s") });
    return first.winner;
  });
  const env = await environment(t, { orchestrations: [impatient, ask], llm });
  const leaving = await env.startOrchestration(impatient);
  await env.until(() => llm.calls.length === 1);
  const staying = await Promise.all([1, 2, 3].map(() => env.startOrchestration(ask, { cache: global })));
  await env.until(() => env.runtime.stats().runningWork === 4);

  env.clock.jumpTo(env.clock.now() + 1_000);
  await env.until(() => llm.calls.length === 2);
  assert.equal(await leaving.result(), "late");
  door.open();

  for (const run of staying) assert.equal(await env.result(run), "second try");
  assert.equal(llm.calls.length, 2);
});

test("whoever waits for another's call may leave without it, and keeps to its own timeout", async (t) => {
  const door = gate();
  const llm = mock().otherwise(() => door.opened.then(() => "late"));
  const hasty = orchestration("hasty", async (ctx) => {
    const first = await ctx.race({ answer: ctx.generate("?", { cache: global }), late: ctx.timer("1s") });
    return first.winner;
  });
  const env = await environment(t, { orchestrations: [hasty, ask], llm });
  const patient = await env.startOrchestration(ask, { cache: global });
  await env.until(() => llm.calls.length === 1);
  const leaving = await env.startOrchestration(hasty);
  await env.until(() => env.runtime.stats().runningWork === 2);

  env.clock.jumpTo(env.clock.now() + 1_000);
  assert.equal(await leaving.result(), "late");
  await env.until(() => env.runtime.stats().runningWork === 1); // its slot is free
  door.open();
  assert.equal(await env.result(patient), "late");
  assert.equal(llm.calls.length, 1);
});

test("an answer that was cut off at its token limit is kept for nobody", async (t) => {
  const llm = mock().on("generate", cutShort("Once upon"), "whole");
  const tell = orchestration("tell", async (ctx) => {
    const first = await ctx.generate("?", { cache: "instance" }).catch((error: LlmError) => error.kind);
    return [first, await ctx.generate("?", { cache: "instance" })];
  });
  const env = await environment(t, { orchestrations: [tell], llm });

  assert.deepEqual(await env.result(await env.startOrchestration(tell)), ["truncated", "whole"]);
});

test("an answer that cannot be used is refined from the cache in the same way, but the last question is asked", async (t) => {
  const llm = mock().on("classify", "blue", "green", "yellow", "red");
  const choose = orchestration("choose", async (ctx) => {
    try {
      return await ctx.classify("sky", ["red", "black"], { cache: global });
    } catch (error) {
      assert.ok(isStetError(error, "llm_output_invalid"));
      return error.details;
    }
  });
  const env = await environment(t, { orchestrations: [choose], llm });
  const [first, second] = [await env.startOrchestration(choose), await env.startOrchestration(choose)];

  const results = [await env.result(first), await env.result(second)];

  const cached = async (run: typeof first) => answersIn(await run.history()).map((answer) => answer.cached ?? false);
  assert.equal(llm.calls.length, 4);
  assert.deepEqual(
    results.map((result) => (typeof result === "string" ? result : "unusable")).sort(),
    ["red", "unusable"],
    "an instance whose question was never answered well does not keep others from a good answer",
  );
  const hits = [...(await cached(first)), ...(await cached(second))].filter(Boolean).length;
  assert.equal(hits, 2);
});

test("an answer that cannot be used and may be asked for once only ends at once, each time", async (t) => {
  const llm = mock().otherwise("maybe");
  const decide = orchestration("decide", async (ctx) => {
    let failed = 0;
    for (let i = 0; i < 5; i++) await ctx.ifTrue("Is it?", { cache: "execution", maxAsks: 1 }).catch(() => failed++);
    return failed;
  });
  const env = await environment(t, { orchestrations: [decide], llm });

  assert.equal(await env.result(await env.startOrchestration(decide)), 5);
  assert.equal(llm.calls.length, 1);
});

test("calls without the option do not look for answers and keep none", async (t) => {
  let verbs: string[] = [];
  const wire = (storage: StorageProvider): StorageProvider => {
    const seen = watched(storage);
    ({ verbs } = seen);
    return seen.storage;
  };
  const env = await environment(t, { orchestrations: [ask], llm: counting(), wire });
  await env.result(await env.startOrchestration(ask, {}));
  await env.result(await env.startOrchestration(ask, { cache: "off" }));
  assert.deepEqual(
    verbs.filter((verb) => verb.endsWith("Answers")),
    [],
  );

  await env.result(await env.startOrchestration(ask, { cache: "execution" }));
  assert.deepEqual(
    verbs.filter((verb) => verb.endsWith("Answers")),
    ["readAnswers", "saveAnswers"],
  );
});

test("kept answers of an instance go when it is deleted, and are not there for one made anew", async (t) => {
  const env = await environment(t, { orchestrations: [ask], llm: counting() });
  const start = async (cache: CacheScope) =>
    env.result(await env.startOrchestration(ask, { cache }, { instanceId: "a" }));

  assert.equal(await start("instance"), "answer 1");
  await env.client.delete("a");
  assert.equal(await start("instance"), "answer 2");
});

test("an answer that was kept before its worker died is not paid for again", async () => {
  const hits: number[] = [];
  const world = () => ({
    storage: sqlite(":memory:"),
    orchestrations: [ask],
    llm: counting(),
    scenario: async (env: TestEnvironment) => {
      const said = await env.result(await env.startOrchestration(ask, { cache: "execution" }, { instanceId: "a" }));
      const { calls, cacheHits } = (await env.client.usage("a")).instance;
      hits.push(cacheHits);
      return [said, calls + cacheHits];
    },
  });
  const only = ["after saveAnswers #1"];
  const report = await exploreCrashes(world, { only });

  assert.deepEqual([report.crashes, report.unreached, hits], [1, [], [0, 0, 1]]);
});

test("calls that share answers survive crashes everywhere", async () => {
  const sharing = orchestration("sharing", async (ctx) => {
    const both = await Promise.all([
      ctx.generate("?", { cache: global }),
      ctx.classify("sky", ["red", "blue"], { cache: "instance" }),
    ]);
    return [...both, await ctx.generate("?", { cache: global }), await ctx.embed(["?"], { cache: "execution" })];
  });
  const report = await exploreCrashes(() => ({
    storage: sqlite(":memory:"),
    orchestrations: [sharing],
    llm: mock().on("generate", "said").on("classify", "green", "blue"),
    scenario: async (env: TestEnvironment) =>
      env.result(await env.startOrchestration(sharing, undefined, { instanceId: "a" })),
  }));

  assert.ok(report.points.includes("before saveAnswers #1") && report.crashes > 20, report.points.join());
  assert.deepEqual(report.unreached, []);
});

test("a store in trouble is waited for", async (t) => {
  const llm = counting();
  const env = await environment(t, {
    orchestrations: [ask],
    llm,
    wire: (storage, clock) =>
      faulty(storage, {
        clock,
        faults: [
          { kind: "fail", when: "before", verbs: ["readAnswers"], every: 2 },
          { kind: "fail", when: "after", verbs: ["readAnswers", "saveAnswers"], every: 3 },
        ],
      }),
  });
  for (let i = 0; i < 6; i++) {
    assert.equal(await env.result(await env.startOrchestration(ask, { cache: global })), "answer 1");
  }
  assert.equal(llm.calls.length, 1);
});

test("under a codec neither questions nor answers can be read or guessed from the store, and they are found again", async () => {
  const folder = newFolder();
  const path = join(folder, "app.db");
  const codec = aesGcm({ key: { id: "k", secret: randomBytes(32) } });
  const seen = watched(sqlite(path));
  const question = "Has Ada Lovelace paid?";
  const secretly = orchestration("secretly", async (ctx) => ctx.generate(question, { cache: global }));
  const llm = mock().on("generate", "She has, on Tuesday", "asked twice");
  const options = { orchestrations: [secretly], codec, llm, determinism: "off", logger: journal() } as const;
  const runtime = await Runtime.start({ storage: seen.storage, ...options });
  const [first, second] = [1, 2].map(() => runtime.startOrchestration(secretly));
  assert.equal(await (await first)?.result(), "She has, on Tuesday");
  assert.equal(await (await second)?.result(), "She has, on Tuesday");
  await runtime.shutdown();

  const request = { messages: [{ role: "user", content: question }] };
  const guess = (text: string) => createHash("sha256").update(text).digest("base64url");
  const guesses = [question, JSON.stringify(request), canonicalJson({ model: "mock-1", provider: "mock", request })];
  const bytes = readFileSync(path);
  for (const secret of ["Lovelace", "Tuesday", ...guesses.map(guess)]) assert.ok(!bytes.includes(secret), secret);
  assert.equal(llm.calls.length, 1);

  const plain = watched(sqlite(":memory:"));
  const open = await Runtime.start({ storage: plain.storage, ...options, codec: undefined as never });
  await (await open.startOrchestration(secretly)).result();
  await open.shutdown();
  assert.ok(
    plain.saved[0]?.includes(guess(guesses[2] ?? "")),
    "the guess is the digest that a store without codec has",
  );
});

test("an answer that cannot be opened is asked for again, replaced, and told of", async (t) => {
  const storage = sqlite(":memory:");
  const logger = journal();
  const keyOf = (id: string) => aesGcm({ key: { id, secret: Buffer.alloc(32, id) } });
  const env = await environment(t, {
    storage: new Proxy(storage, {
      get: (target, name) =>
        name === "readAnswers"
          ? async (keys: readonly unknown[]) => keys.map(() => (damaged ? '{"result":{"$stet":"sealed","text":"k.x.y.z"}}' : undefined)) // prettier-ignore
          : (Reflect.get(target, name) as unknown),
    }),
    orchestrations: [ask],
    llm: counting(),
    codec: keyOf("k"),
    logger,
  });
  const damaged = true;

  assert.equal(await env.result(await env.startOrchestration(ask, { cache: global })), "answer 1");
  assert.ok(logger.lines.some(({ message }) => message.includes("A kept answer cannot be read")));
});

test("a scope that is none is refused where the call is made", async (t) => {
  const env = await environment(t, { orchestrations: [ask], llm: counting() });
  const refused = async (cache: unknown): Promise<string> =>
    env.result(await env.startOrchestration(ask, { cache } as LlmOptions)).then(
      () => assert.fail("Expected the call to be refused"),
      (error: Error) => error.message,
    );

  const expected = /cache of ctx\.generate to be "off", "execution", "instance" or \{ scope: "global", ttl \}, got /;
  assert.match(await refused("global"), expected);
  assert.match(await refused({ scope: "global" }), expected);
  assert.match(await refused(true), expected);
  assert.match(await refused({ scope: "global", ttl: -1 }), /ttl of the cache of ctx\.generate/);
});

test("latencies: a hit does not wait for the model", async (t) => {
  const llm = mock({ delay: () => new Promise<never>(() => undefined) }).otherwise("first", after(60_000, "never"));
  const env = await environment(t, { orchestrations: [ask], llm });

  for (let i = 0; i < 3; i++) {
    assert.equal(await env.result(await env.startOrchestration(ask, { cache: global })), "first");
  }
});
