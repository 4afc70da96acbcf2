/** What models say while they speak: in order, each piece once, and in the end the text that is recorded. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import {
  aesGcm,
  type InstanceHandle,
  type LlmCallOptions,
  LlmError,
  type LlmProvider,
  type LlmResponse,
  orchestration,
  type StorageProvider,
  type StreamPiece,
  type TextOptions,
} from "@stet/core";
import { mock, says } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { exploreCrashes, faulty, type TestEnvironment } from "@stet/testing";
import { all, environment, fails, journal, ofKind } from "./world.ts";

/** A model that says what the test tells it, when the test tells it. */
interface Speaker extends LlmProvider {
  readonly calls: Speech[];
}

interface Speech {
  say(text: string): void;
  end(text: string): void;
  fail(error: Error): void;
}

function speaker(): Speaker {
  const calls: Speech[] = [];
  const complete = (_request: unknown, { onDelta, signal }: LlmCallOptions): Promise<LlmResponse> =>
    new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error));
      const usage = { inputTokens: 1, outputTokens: 1 };
      calls.push({
        say: (text) => onDelta?.(text),
        end: (text) => resolve({ answer: { text }, model: "m", usage, finishReason: "stop" }),
        fail: reject,
      });
    });
  const capabilities = { structuredOutput: true, tools: true, streaming: true };
  return { name: "speaker", model: "m", capabilities, complete, calls };
}

const tell = orchestration("tell", async (ctx, options: TextOptions) => ctx.generate("?", options));

/** Rows as short as they can be read: `delta Once`, `end`. */
function shortly(pieces: readonly StreamPiece[]): string[] {
  return pieces.map(({ kind, text }) => (text === "" ? kind : `${kind} ${text}`));
}

/** What a reader of a call has in the end. */
function textOf(pieces: readonly StreamPiece[], eventId: number): string {
  const own = pieces.filter((piece) => piece.eventId === eventId);
  const from = own.findLastIndex(({ kind }) => kind === "superseded") + 1;
  return own
    .slice(from)
    .map(({ text }) => text)
    .join("");
}

async function assertRecorded(run: InstanceHandle): Promise<StreamPiece[]> {
  const pieces = await all(run.stream());
  for (const { source, result } of ofKind(await run.history(), "LlmCompleted")) {
    assert.equal(textOf(pieces, source), result.text);
    assert.equal(pieces.filter(({ eventId }) => eventId === source).at(-1)?.kind, "end");
  }
  return pieces;
}

/** The rows that are there at the moment, without waiting for more. */
async function soFar(storage: StorageProvider, instanceId: string): Promise<string[]> {
  const rows = await storage.admin.readOutputs(instanceId, 0, 1_000);
  return rows.map(({ body }) => {
    const { value, stream } = JSON.parse(body) as { value: string; stream?: { kind: string } };
    return stream === undefined ? value : `${stream.kind} ${value}`.trim();
  });
}

const hop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("what a model says is there within 50 ms, in one row for all of that time", async (t) => {
  const storage = sqlite(":memory:");
  const llm = speaker();
  const env = await environment(t, { storage, orchestrations: [tell], llm });
  const run = await env.startOrchestration(tell, { stream: true }, { instanceId: "a" });
  await env.until(() => llm.calls.length === 1);
  const [speech] = llm.calls;
  const pass = async (ms: number) => {
    env.clock.jumpTo(env.clock.now() + ms);
    await hop();
  };

  speech?.say("Once ");
  speech?.say("upon ");
  await pass(49);
  assert.deepEqual(await soFar(storage, "a"), []);
  await pass(1);
  assert.deepEqual(await soFar(storage, "a"), ["delta Once upon"]);
  await pass(1_000);
  speech?.say("a time");
  await pass(50);
  speech?.end("Once upon a time.");

  assert.equal(await env.result(run), "Once upon a time.");
  const pieces = await assertRecorded(run);
  assert.deepEqual(shortly(pieces), ["delta Once upon ", "delta a time", "delta .", "end"]);
  const { at: _at, offset: _offset, ...first } = pieces[0] ?? assert.fail();
  const [asked] = ofKind(await run.history(), "LlmRequested");
  assert.deepEqual(first, { kind: "delta", text: "Once upon ", execution: 1, eventId: asked?.id, attempt: 1 });
});

test("a reader that comes back with its offset misses nothing and reads nothing twice", async (t) => {
  const llm = mock().otherwise("one two three four five six seven");
  const several = orchestration("several", async (ctx) => {
    ctx.emit("begin");
    await ctx.generate("1", { stream: true });
    ctx.emit({ between: true });
    await ctx.generate("2", { stream: "second" });
    ctx.emit("end");
  });
  const env = await environment(t, { orchestrations: [several], llm });
  const run = await env.startOrchestration(several);
  await env.result(run);

  const whole = await all(run.outputs());
  for (let i = 0; i <= whole.length; i++) {
    const rest = await all(run.outputs({ from: whole[i - 1]?.offset ?? 0 }));
    assert.deepEqual([...whole.slice(0, i), ...rest], whole);
  }
  assert.deepEqual(
    whole.filter(({ stream }) => stream === undefined).map(({ data }) => data),
    ["begin", { between: true }, "end"],
  );
  const second = await all(run.stream({ channel: "second" }));
  assert.deepEqual([...new Set(second.map(({ channel }) => channel))], ["second"]);
  assert.equal(second.map(({ text }) => text).join(""), "one two three four five six seven");
  assert.deepEqual(await all(run.stream({ from: whole.at(-1)?.offset ?? 0 })), []);
});

test("a reader that reads live gets each piece as it comes, and ends with the instance or its signal", async (t) => {
  const llm = speaker();
  const env = await environment(t, { orchestrations: [tell], llm });
  const run = await env.startOrchestration(tell, { stream: "answer" });
  const heard: string[] = [];
  const reading = (async () => {
    for await (const { kind, text } of run.stream({ channel: "answer" })) heard.push(kind === "delta" ? text : kind);
  })();
  const leaving = new AbortController();
  const left = all(run.stream({ signal: leaving.signal }));
  await env.until(() => llm.calls.length === 1);

  for (const text of ["a", "b", "c"]) {
    llm.calls[0]?.say(text);
    env.clock.jumpTo(env.clock.now() + 50);
    await env.until(() => heard.includes(text));
  }
  leaving.abort();
  assert.deepEqual(shortly(await left), ["delta a", "delta b", "delta c"]);
  llm.calls[0]?.end("abc");
  await reading;

  assert.deepEqual(heard, ["a", "b", "c", "end"]);
});

test("calls of all instances are written together", async (t) => {
  const llm = speaker();
  const batches: number[] = [];
  const env = await environment(t, {
    orchestrations: [tell],
    llm,
    concurrency: { models: 100 },
    wire: (storage) =>
      new Proxy(storage, {
        get: (target, name) =>
          name === "appendOutputs"
            ? async (...given: Parameters<StorageProvider["appendOutputs"]>) => {
                batches.push(given[1].length);
                return target.appendOutputs(...given);
              }
            : (Reflect.get(target, name) as unknown),
      }),
  });
  const runs = await Promise.all(Array.from({ length: 50 }, () => env.startOrchestration(tell, { stream: true })));
  await env.until(() => llm.calls.length === 50);

  for (let i = 0; i < 10; i++) {
    for (const speech of llm.calls) speech.say(`${i} `);
    env.clock.jumpTo(env.clock.now() + 50);
    await hop();
  }
  assert.deepEqual(
    batches,
    Array.from({ length: 10 }, () => 50),
  );
  for (const speech of llm.calls) speech.end("0 1 2 3 4 5 6 7 8 9 ");
  for (const run of runs) await env.result(run);

  assert.ok(batches.length <= 12, `${batches.length} batches`);
  for (const run of runs) await assertRecorded(run);
});

test("after a crash in the middle the partial text is superseded, and the new one is whole", async (t) => {
  const storage = sqlite(":memory:");
  const llm = speaker();
  const env = await environment(t, { storage, orchestrations: [tell], llm });
  const run = await env.startOrchestration(tell, { stream: true }, { instanceId: "a" });
  await env.until(() => llm.calls.length === 1);
  llm.calls[0]?.say("It was a dark");
  env.clock.jumpTo(env.clock.now() + 50);
  await env.until(async () => (await soFar(storage, "a")).length === 1);
  const [seen] = await storage.admin.readOutputs("a", 0, 1);

  await env.crash();
  llm.calls[0]?.say(" and stormy"); // nobody hears it
  await env.restart();
  await env.until(() => llm.calls.length === 2);
  llm.calls[1]?.say("It was ");
  llm.calls[1]?.end("It was a bright day");

  assert.equal(await env.result(run), "It was a bright day");
  await assertRecorded(run);
  const rest = await all(run.stream({ from: seen?.offset ?? 0 }));
  assert.deepEqual(shortly(rest), ["superseded", "delta It was a bright day", "end"]);
  assert.deepEqual([...new Set(rest.map(({ attempt }) => attempt))], [2]);
});

test("an attempt that fails takes back at once what it said", async (t) => {
  const storage = sqlite(":memory:");
  const llm = speaker();
  const env = await environment(t, { storage, orchestrations: [tell], llm });
  const run = await env.startOrchestration(tell, { stream: true }, { instanceId: "a" });
  await env.until(() => llm.calls.length === 1);
  llm.calls[0]?.say("It was");
  env.clock.jumpTo(env.clock.now() + 50);
  await env.until(async () => (await soFar(storage, "a")).length === 1);
  llm.calls[0]?.say(" never");
  llm.calls[0]?.fail(new LlmError("unavailable", "the model fell over"));
  await env.settle();
  assert.deepEqual(await soFar(storage, "a"), ["delta It was", "superseded"]);

  env.clock.jumpTo(env.clock.now() + 1_000);
  await env.until(() => llm.calls.length === 2);
  llm.calls[0]?.say(" heard");
  llm.calls[1]?.end("well");
  assert.equal(await env.result(run), "well");
  assert.deepEqual(shortly(await assertRecorded(run)).slice(-3), ["superseded", "delta well", "end"]);
});

test("when another model takes over, it begins anew", async (t) => {
  const storage = sqlite(":memory:");
  const [first, second] = [speaker(), speaker()];
  const env = await environment(t, {
    storage,
    orchestrations: [tell],
    llm: { both: ["first", "second"], first, second },
  });
  const run = await env.startOrchestration(tell, { stream: true, model: "both" }, { instanceId: "a" });
  await env.until(() => first.calls.length === 1);
  first.calls[0]?.say("The first");
  env.clock.jumpTo(env.clock.now() + 50);
  await env.until(async () => (await soFar(storage, "a")).length === 1);
  first.calls[0]?.fail(new LlmError("unavailable", "the model fell over"));
  await env.until(() => second.calls.length === 1);
  first.calls[0]?.say(" goes on");
  second.calls[0]?.end("The second");

  assert.equal(await env.result(run), "The second");
  assert.deepEqual(shortly(await assertRecorded(run)), ["delta The first", "superseded", "delta The second", "end"]);
});

test("a call that fails for good leaves no text that counts, and one that said nothing leaves no rows", async (t) => {
  const llm = mock().on("generate", says("Well, ", { thenFails: new LlmError("refused", "I would rather not") }));
  llm.when("quiet", new LlmError("refused", "no"));
  const env = await environment(t, { orchestrations: [tell], llm });
  const run = await env.startOrchestration(tell, { stream: true });

  await assert.rejects(env.result(run), fails("orchestration_failed"));

  assert.deepEqual(await all(run.stream()), [], "what was never written need not be taken back");
});

test("a call that takes too long is superseded, and what it says later reaches nobody", async (t) => {
  const llm = speaker();
  const env = await environment(t, { orchestrations: [tell], llm });
  const run = await env.startOrchestration(tell, { stream: true, timeout: "1m" });
  await env.until(() => llm.calls.length === 1);
  llm.calls[0]?.say("Hm");
  env.clock.jumpTo(env.clock.now() + 50);
  await hop();
  env.clock.jumpTo(env.clock.now() + 60_000);
  await env.settle();
  llm.calls[0]?.say(" late");
  env.clock.jumpTo(env.clock.now() + 1_000);
  await env.until(() => llm.calls.length === 2);
  llm.calls[0]?.say(" later");
  llm.calls[1]?.end("Yes");

  assert.equal(await env.result(run), "Yes");
  const pieces = shortly(await assertRecorded(run));
  assert.deepEqual(pieces, ["delta Hm", "superseded", "delta Yes", "end"]);
});

test("a call that is cancelled ends without an end", async (t) => {
  const llm = speaker();
  const impatient = orchestration("impatient", async (ctx) => {
    const first = await ctx.race({ answer: ctx.generate("?", { stream: true }), late: ctx.timer("1s") });
    return first.winner;
  });
  const env = await environment(t, { orchestrations: [impatient], llm });
  const run = await env.startOrchestration(impatient);
  await env.until(() => llm.calls.length === 1);
  llm.calls[0]?.say("Let me");
  env.clock.jumpTo(env.clock.now() + 50);
  await hop();
  env.clock.jumpTo(env.clock.now() + 1_000);

  assert.equal(await env.result(run), "late");
  assert.deepEqual(shortly(await all(run.stream())), ["delta Let me"]);
});

test("a model that talks on when its call was given up is not heard", async (t) => {
  const storage = sqlite(":memory:");
  const llm = speaker();
  const { calls } = llm;
  const deaf: LlmProvider = {
    ...llm,
    complete: (request, options) => llm.complete(request, { ...options, signal: new AbortController().signal }),
  };
  const impatient = orchestration("impatient", async (ctx) => {
    await ctx.race({ answer: ctx.generate("?", { stream: true }), enough: ctx.waitForEvent("enough") });
    await ctx.waitForEvent("bye");
  });
  const env = await environment(t, { storage, orchestrations: [impatient], llm: deaf });
  const run = await env.startOrchestration(impatient, undefined, { instanceId: "a" });
  await env.until(() => calls.length === 1);
  calls[0]?.say("Let me");
  await run.raiseEvent("enough");
  await env.until(async () => ofKind(await run.history(), "LlmCancelled").length === 1);
  calls[0]?.say(" finish");
  env.clock.jumpTo(env.clock.now() + 50);
  await hop();
  calls[0]?.end("Let me finish");
  await run.raiseEvent("bye");
  await env.result(run);
  assert.deepEqual(await soFar(storage, "a"), []);
});

test("a worker that is shut down writes nothing more, and the next one begins anew", async (t) => {
  const logger = journal();
  const llm = speaker();
  const env = await environment(t, { orchestrations: [tell], llm, logger });
  const run = await env.startOrchestration(tell, { stream: true });
  await env.until(() => llm.calls.length === 1);
  llm.calls[0]?.say("Half a");
  await env.runtime.shutdown({ timeout: 0 });
  llm.calls[0]?.say(" sentence");
  env.clock.jumpTo(env.clock.now() + 1_000);
  await hop();
  assert.deepEqual(
    logger.lines.filter(({ level }) => level !== "debug"),
    [],
  );

  await env.restart();
  await env.until(() => llm.calls.length === 2);
  llm.calls[1]?.end("A whole one");
  assert.equal(await env.result(run), "A whole one");
  assert.deepEqual(shortly(await assertRecorded(run)), ["superseded", "delta A whole one", "end"]);
});

test("a provider that does not stream, or says something else in the end, is put right", async (t) => {
  const llm = speaker();
  const env = await environment(t, { orchestrations: [tell], llm });
  const silent = await env.startOrchestration(tell, { stream: true });
  await env.until(() => llm.calls.length === 1);
  llm.calls[0]?.end("all at once");
  const fickle = await env.startOrchestration(tell, { stream: true });
  await env.until(() => llm.calls.length === 2);
  llm.calls[1]?.say("all of");
  env.clock.jumpTo(env.clock.now() + 50);
  await hop();
  llm.calls[1]?.end("nothing");

  assert.equal(await env.result(silent), "all at once");
  assert.equal(await env.result(fickle), "nothing");
  assert.deepEqual(shortly(await assertRecorded(silent)), ["delta all at once", "end"]);
  assert.deepEqual(shortly(await assertRecorded(fickle)), ["delta all of", "superseded", "delta nothing", "end"]);
});

test("an answer from the cache comes as one piece, and many who wait for one call get it each", async (t) => {
  const llm = mock().otherwise("kept for all");
  const env = await environment(t, { orchestrations: [tell], llm });
  const options: TextOptions = { stream: true, cache: { scope: "global", ttl: "1h" } };
  const runs = await Promise.all([1, 2, 3].map(() => env.startOrchestration(tell, options)));
  for (const run of runs) {
    assert.equal(await env.result(run), "kept for all");
    assert.equal((await assertRecorded(run)).at(-1)?.kind, "end");
  }
  const later = await env.startOrchestration(tell, options);
  await env.result(later);

  assert.deepEqual(shortly(await assertRecorded(later)), ["delta kept for all", "end"]);
  assert.equal(llm.calls.length, 1);
});

test("each question of an operation that asks again is a call of its own, and so is each tool call's text", async (t) => {
  const llm = mock().on("summarize", "far too many words in here", "short enough").on("chat", says("Let me look.", { toolCalls: [{ name: "look" }] })); // prettier-ignore
  const various = orchestration("various", async (ctx) => {
    const summary = await ctx.summarize("...", { maxWords: 3 }, { stream: "summary" });
    const said = await ctx.chat([{ role: "user", content: "?" }], {}, { stream: "chat" });
    return [summary, said.content, said.toolCalls?.length];
  });
  const env = await environment(t, { orchestrations: [various], llm });
  const run = await env.startOrchestration(various);

  assert.deepEqual(await env.result(run), ["short enough", "Let me look.", 1]);
  const pieces = await assertRecorded(run);
  const asked = ofKind(await run.history(), "LlmRequested").map(({ id }) => id);
  assert.deepEqual([...new Set(pieces.map(({ eventId }) => eventId))], asked);
  assert.equal(asked.length, 3);
});

for (const when of ["before", "after"] as const) {
  for (const every of [2, 3]) {
    test(`trouble with the store ${when} it has written, each ${every}. time, repeats and loses nothing`, async (t) => {
      const llm = mock().otherwise("one two three four five");
      const env = await environment(t, {
        orchestrations: [tell],
        llm,
        wire: (storage, clock) =>
          faulty(storage, { clock, faults: [{ kind: "fail", when, verbs: ["appendOutputs"], every }] }),
      });
      for (let i = 0; i < 4; i++) {
        const run = await env.startOrchestration(tell, { stream: true });
        assert.equal(await env.result(run), "one two three four five");
        await assertRecorded(run);
      }
    });
  }
}

test("under a codec what models say cannot be read in the store", async (t) => {
  const storage = sqlite(":memory:");
  const codec = aesGcm({ key: { id: "k", secret: randomBytes(32) } });
  const env = await environment(t, { storage, codec, orchestrations: [tell], llm: mock(["a secret text"]) });
  const run = await env.startOrchestration(tell, { stream: true }, { instanceId: "a" });
  await env.result(run);

  const rows = await storage.admin.readOutputs("a", 0, 10);
  assert.ok(rows.length >= 2 && rows.every(({ body }) => !body.includes("secret text")));
  await assertRecorded(run);
});

test("calls without the option write nothing on their way", async (t) => {
  const verbs: string[] = [];
  const env = await environment(t, {
    orchestrations: [tell],
    llm: mock().otherwise("quiet"),
    wire: (storage) =>
      new Proxy(storage, {
        get: (target, name) => {
          verbs.push(String(name));
          return Reflect.get(target, name) as unknown;
        },
      }),
  });
  const run = await env.startOrchestration(tell, {});
  await env.result(run);
  await env.result(await env.startOrchestration(tell, { stream: false }));

  assert.deepEqual([verbs.includes("appendOutputs"), await all(run.outputs())], [false, []]);
  assert.equal(ofKind(await run.history(), "LlmRequested")[0]?.options, undefined);
});

test("a channel that is no name is refused where the call is made", async (t) => {
  const env = await environment(t, { orchestrations: [tell], llm: mock(), logger: journal() });
  const run = await env.startOrchestration(tell, { stream: "not a name" });

  await assert.rejects(env.result(run), /stream of ctx\.generate/);
});

test("streamed calls survive crashes everywhere, and readers end with what is recorded", async () => {
  const streaming = orchestration("streaming", async (ctx) => {
    ctx.emit("begin");
    const both = await Promise.all([
      ctx.generate("1", { stream: true }),
      ctx.summarize("2", { maxWords: 2 }, { stream: "summary", cache: "execution" }),
    ]);
    ctx.emit("end");
    return both;
  });
  const report = await exploreCrashes(() => ({
    storage: sqlite(":memory:"),
    orchestrations: [streaming],
    llm: mock().on("generate", "once upon a time").on("summarize", "too many words", "two words"),
    scenario: async (env: TestEnvironment) => {
      const run = await env.startOrchestration(streaming, undefined, { instanceId: "a" });
      const said = await env.result(run);
      await assertRecorded(run);
      return said;
    },
  }));

  assert.ok(report.points.includes("after appendOutputs #1") && report.crashes > 20, report.points.join());
  assert.deepEqual(report.unreached, []);
});
