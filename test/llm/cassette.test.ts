/** Cassettes: recorded once from a model that lives, replayed without one, and strict about what is asked. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { LlmError, type LlmProvider, orchestration, Runtime } from "@stet/core";
import { after, callTool, cassette, cutShort, mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { ask, callOptions, failure, user } from "./asking.ts";

async function place(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "stet-cassette-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, "kept", "talk.cassette.json");
}

const recording = (file: string, live: LlmProvider): LlmProvider => cassette(file, { live: () => live, record: true });
const never = (): never => assert.fail("Expected a replay to make no model.");

test("what was recorded is replayed, whole and streamed, and nobody else is asked", async (t) => {
  const file = await place(t);
  const live = mock({ name: "real", model: "real-1" })
    .when("tool", callTool("weather", { city: "Bern" }))
    .when("short", cutShort("Once"))
    .otherwise("Hello  there, 👋\nfriend.");
  const llm = recording(file, live);
  const questions = ["greet", "tool", "short"];
  const answers = [];
  for (const question of questions) answers.push(await ask(llm, question));

  const replayed = cassette(file, { live: never });

  const { name, model, capabilities } = live;
  assert.deepEqual([replayed.name, replayed.model, replayed.capabilities], [name, model, capabilities]);
  for (const [i, question] of questions.entries()) {
    const heard: string[] = [];
    assert.deepEqual(await ask(replayed, question), answers[i]);
    assert.deepEqual(await ask(replayed, question, { onDelta: (text) => heard.push(text) }), answers[i]);
    assert.equal(heard.join(""), answers[i]?.answer.text);
  }
  assert.equal(live.calls.length, questions.length);
});

test("vectors are recorded to the last bit, each on a line of its own", async (t) => {
  const file = await place(t);
  const llm = recording(file, mock());
  const texts = ["apples and pears", "ü"];
  const embedded = await llm.embed?.(texts, callOptions({ operation: "embed" }));

  const replayed = cassette(file);

  assert.deepEqual(await replayed.embed?.(texts, callOptions({ operation: "embed" })), embedded);
  await failure(replayed.embed?.(["other"], callOptions({ operation: "embed" })) ?? never());
  await failure(ask(replayed, "apples and pears"));
  const { length } = (await readFile(file, "utf8")).split("\n");
  assert.ok(length < 60, `Expected a short file, got ${length} lines`);
});

test("a model that makes no vectors makes none on a cassette", async (t) => {
  const file = await place(t);
  const live = mock(["a"]);
  const { name, model, capabilities } = live;
  const llm = recording(file, { name, model, capabilities, complete: (...call) => live.complete(...call) });

  assert.ok(!("embed" in llm));
  assert.ok(!("embed" in cassette(file)));
});

test("the answers to one question are given in their order, and the last one stays", async (t) => {
  const file = await place(t);
  const llm = recording(file, mock(["one", "two"]));
  for (const _ of [1, 2]) await ask(llm, "?");

  const replayed = cassette(file);

  const texts = [];
  for (const _ of [1, 2, 3]) texts.push((await ask(replayed, "?")).answer.text);
  assert.deepEqual(texts, ["one", "two", "two"]);
});

test("questions asked side by side are kept in the order in which they were asked", async (t) => {
  const file = await place(t);
  const llm = recording(file, mock().when("slow", after(30, "late")).otherwise("soon"));

  await Promise.all([ask(llm, "slow"), ask(llm, "quick")]);

  const { entries } = JSON.parse(await readFile(file, "utf8")) as {
    entries: { asked: { messages: { content: string }[] } }[];
  };
  assert.deepEqual(
    entries.map(({ asked }) => asked.messages[0]?.content),
    ["slow", "quick"],
  );
});

test("a failure that lasts is recorded, and one that passes is not", async (t) => {
  const file = await place(t);
  const answers = [new LlmError("unavailable", "down", { status: 503 }), "up"];
  const refused = new LlmError("bad_request", "too long", { status: 400 });
  const llm = recording(
    file,
    mock()
      .when("flaky", ...answers)
      .when("long", refused),
  );
  await failure(ask(llm, "flaky"));
  await ask(llm, "flaky");
  await failure(ask(llm, "long"));

  const replayed = cassette(file);

  assert.equal((await ask(replayed, "flaky")).answer.text, "up");
  const error = await failure(ask(replayed, "long"));
  assert.deepEqual([error.kind, error.status, error.message], ["bad_request", 400, "too long"]);
});

test("a question is known by all that is asked, and by nothing else", async (t) => {
  const file = await place(t);
  const asked = { messages: [user("?")], temperature: 0, model: "m" };
  await ask(recording(file, mock(["!"])), asked, { operation: "generate", label: "a", idempotencyKey: "1" });
  const replayed = cassette(file);

  const elsewhere = { operation: "chat", label: "b", idempotencyKey: "2" };
  assert.equal(
    (await ask(replayed, { model: "m", temperature: 0, messages: [user("?")] }, elsewhere)).answer.text,
    "!",
  );
  for (const changed of [
    { ...asked, temperature: 1 },
    { ...asked, model: "n" },
    { ...asked, maxTokens: 1 },
    { ...asked, messages: [user("? ")] },
    { ...asked, tools: [{ name: "t", parameters: {} }] },
    { ...asked, format: { name: "f", schema: {} } },
  ]) {
    assert.equal((await failure(ask(replayed, changed))).kind, "bad_request");
  }
});

test("a miss shows how the question differs from the nearest one", async (t) => {
  const file = await place(t);
  const llm = recording(file, mock().otherwise("ok"));
  const letter = (order: string) => `Dear shop,\nwhere is\nmy order ${order}?\nIt was\nfor my son.\nYours`;
  await ask(llm, "Something else entirely");
  await ask(llm, { messages: [{ role: "system", content: "Be brief." }, user(letter("17"))], temperature: 0 });
  const replayed = cassette(file);

  const error = await failure(
    ask(
      replayed,
      { messages: [{ role: "system", content: "Be brief." }, user(letter("18"))], temperature: 0 },
      { operation: "classify", label: "mail" },
    ),
  );

  assert.equal(error.retryable, false);
  assert.equal(
    error.message,
    [
      `Expected the cassette ${file} to hold an answer to classify (label mail), got none among 2: record it again when the change is meant. The nearest differs so (- recorded, + asked):`,
      "  user: Dear shop,",
      "  where is",
      "- my order 17?",
      "+ my order 18?",
      "  It was",
      "  for my son.",
    ].join("\n"),
  );
});

test("a miss shows the place within a long line, and not all of many lines", async (t) => {
  const file = await place(t);
  const llm = recording(file, mock().otherwise("ok"));
  const filler = "word ".repeat(400);
  await ask(llm, `${filler}cat ${filler}`);

  const inLine = await failure(ask(cassette(file), `${filler}dog ${filler}`));
  assert.match(inLine.message, /\n- \.\.\..*cat.*\.\.\.\n\+ \.\.\..*dog.*\.\.\.$/);
  assert.ok(inLine.message.length < 1000);

  const ofLines = await failure(ask(cassette(file), "line\n".repeat(500)));
  assert.match(ofLines.message, /\(\d+ more lines\)/);
  assert.ok(ofLines.message.length < 3000, `Expected a short message, got ${ofLines.message.length} characters`);
});

test("a call that nobody wants is not answered", async (t) => {
  const file = await place(t);
  await ask(recording(file, mock(["!"])), "?");

  assert.equal((await failure(ask(cassette(file), "?", { signal: AbortSignal.abort() }))).kind, "cancelled");
});

test("a cassette that is not there, is none, or has nobody to record is refused at once", async (t) => {
  const file = await place(t);
  const configuration = { code: "configuration_invalid" };

  assert.throws(() => cassette(file), { ...configuration, message: /got ENOENT: record it first$/ });
  assert.throws(() => cassette(file, { record: true }), configuration);
  recording(file, mock());
  assert.match((await failure(ask(cassette(file), "?"))).message, /got none among 0: record it again/);
  for (const text of ["", "{}", "null", '{"cassette":2}', '{"cassette":1,"name":"a","model":"b","entries":[{}]}']) {
    await writeFile(file, text);
    assert.throws(() => cassette(file), { ...configuration, message: /record it again$/ });
  }
});

test("an orchestration that was recorded runs from its cassette, in another store", async (t) => {
  const file = await place(t);
  const triage = orchestration("triage", async (ctx, text: string) => {
    const kind = await ctx.classify(text, ["refund", "bug"]);
    return `${kind}: ${await ctx.generate(`Answer this ${kind}:\n${text}`)}`;
  });
  const run = async (llm: LlmProvider, text: string): Promise<string> => {
    const runtime = await Runtime.start({ storage: sqlite(":memory:"), llm, orchestrations: [triage] });
    try {
      return await (await runtime.startOrchestration(triage, text)).result();
    } finally {
      await runtime.shutdown();
    }
  };
  const live = mock().on("classify", "refund").on("generate", "You get it back.");
  assert.equal(await run(recording(file, live), "Charged twice"), "refund: You get it back.");

  assert.equal(await run(cassette(file), "Charged twice"), "refund: You get it back.");
  await assert.rejects(run(cassette(file), "Charged thrice"), /to hold an answer to classify/);
});
