/** Payloads at rest: what is stored once, how much is stored, and what can be read by whoever holds the file. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  activity,
  aesGcm,
  Client,
  isStetError,
  type LlmMessage,
  orchestration,
  type Payload,
  type StetError,
} from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import Sqlite from "better-sqlite3";
import { TestEnvironment } from "@stet/testing";
import { aborted, all, environment, fails, journal, ofKind, newFolder } from "./world.ts";

/** Where a test keeps its store. */
function newFile(): string {
  return join(newFolder(), "app.db");
}

/** The rows that a query finds in the file, beside the runtime that uses it. */
function rows<Row>(path: string, query: string): Row[] {
  const db = new Sqlite(path, { readonly: true });
  try {
    return db.prepare<[], Row>(query).all();
  } finally {
    db.close();
  }
}

/** All that the store has on disk at this moment. */
function bytesOf(path: string): Buffer {
  const files = [path, `${path}-wal`].filter((file) => existsSync(file));
  return Buffer.concat(files.map((file) => readFileSync(file)));
}

/** Bytes of the database file when all commits have reached it. */
function sizeOf(path: string): number {
  const db = new Sqlite(path);
  db.pragma("wal_checkpoint(TRUNCATE)");
  db.close();
  return statSync(path).size;
}

const secretOf = (id: string) => ({ id, secret: randomBytes(32) });

/** A text of its own, as long as asked. */
function essay(name: string, length: number): string {
  return Array.from({ length: Math.ceil(length / 16) }, (_, n) => `${name}-${n} `.padEnd(16, "~"))
    .join("")
    .slice(0, length);
}

test("a long text is stored once in a tree, however often it is passed around", async (t) => {
  const path = newFile();
  const text = essay("novel", 100_000);
  const echo = activity("echo", async (_ctx, given: { text: string; n: number }) => given);
  const child = orchestration("child", async (ctx, given: string) => {
    ctx.setStatus({ reading: given });
    ctx.state.set("text", given);
    ctx.emit(given);
    return (await ctx.activity(echo, { text: given, n: 0 })).text;
  });
  const parent = orchestration("parent", async (ctx, given: string) => {
    for (let n = 1; n <= 5; n++) await ctx.activity(echo, { text: given, n });
    const heard = await ctx.waitForEvent<string>("said", { details: [given] });
    return ctx.subOrchestration(child, heard);
  });
  const env = await environment(t, {
    storage: sqlite(path),
    orchestrations: [parent, child],
    activities: [echo],
  });

  const run = await env.startOrchestration(parent, text, { instanceId: "p" });
  await env.settle();
  const { waits } = await env.client.pendingWaits();
  assert.deepEqual(waits[0]?.details, [text]);
  await run.raiseEvent("said", text);
  assert.equal(await env.result(run), text);

  const stored = rows<{ bytes: number }>(path, "SELECT length(body) AS bytes FROM payloads");
  assert.deepEqual(stored, [{ bytes: text.length + 2 }]);
  const other = await env.startOrchestration(child, text, { instanceId: "other tree" });
  assert.equal(await env.result(other), text);
  assert.equal(rows(path, "SELECT 1 FROM payloads").length, 2, "another tree is deleted on its own");
});

test("the client sees values, never references", async (t) => {
  const path = newFile();
  const text = essay("long", 5_000);
  const value = { text, list: [text, text], short: "short" };
  const echo = activity("echo", async (_ctx, given: typeof value) => given);
  const telling = orchestration("telling", async (ctx, given: typeof value) => {
    ctx.setStatus(given);
    ctx.state.set("it", given);
    ctx.emit(given);
    await ctx.activity(echo, given);
    await ctx.waitForEvent("go", { details: given });
    return given;
  });
  const failing = orchestration("failing", async (_ctx, given: typeof value) => {
    throw Object.assign(new Error(given.text), { details: given });
  });
  const env = await environment(t, {
    storage: sqlite(path),
    orchestrations: [telling, failing],
    activities: [echo],
  });

  const run = await env.startOrchestration(telling, value, { instanceId: "t" });
  await env.settle();
  const waiting = await run.status();
  assert.deepEqual(waiting.customStatus, value);
  assert.deepEqual(waiting.waitingFor[0]?.kind === "event" && waiting.waitingFor[0].details, value);
  assert.deepEqual(await run.state(), { it: value });
  await run.raiseEvent("go");
  assert.deepEqual(await env.result(run), value);
  assert.deepEqual(
    (await all(run.outputs())).map(({ data }) => data),
    [value],
  );
  const history = await run.history();
  assert.deepEqual(ofKind(history, "OrchestrationStarted")[0]?.input, value);
  assert.deepEqual(ofKind(history, "ActivityScheduled")[0]?.input, value);
  assert.deepEqual(ofKind(history, "ActivityCompleted")[0]?.result, value);
  assert.deepEqual(ofKind(history, "OrchestrationCompleted")[0]?.output, value);
  const listed = await env.client.list({ idPrefix: "t" });
  assert.deepEqual(listed.instances[0]?.output, value);

  await assert.rejects(env.result(await env.startOrchestration(failing, value)), (error: StetError) => {
    assert.ok(error.message.endsWith(`failed: ${text}`));
    assert.deepEqual((error.cause as StetError).details, value);
    return true;
  });
  assert.equal(rows(path, "SELECT 1 FROM payloads WHERE body LIKE '%$stet%'").length, 0);
});

test("two references to one text are two values: changing one leaves the other alone", async (t) => {
  const message = essay("message", 2_000);
  const two = orchestration("two", async (ctx, given: { a: { text: string }; b: { text: string } }) => {
    given.a.text = "changed";
    await ctx.timer("1h");
    return given.b.text;
  });
  const env = await environment(t, { orchestrations: [two] });
  const run = await env.startOrchestration(two, { a: { text: message }, b: { text: message } });
  await env.settle();
  await env.restart();
  assert.equal(await env.result(run), message);
});

test("objects of users that look like references come back as they were", async (t) => {
  const long = essay("long", 1_000);
  const odd: Payload[] = [
    { $stet: "ref", digest: "AAAA" },
    { $stet: "sealed", text: "not ours" },
    { $stet: "plain", value: { $stet: "plain", value: 1 } },
    { $stet: null },
    { deep: [{ $stet: { $stet: long } }, long] },
    { text: '{"$stet":"ref"}', $stet: long },
    JSON.parse('{"__proto__":{"$stet":1},"constructor":"c"}') as Payload,
  ];
  const echo = activity("echo", async (_ctx, value: Payload) => value);
  const echoes = orchestration("echoes", async (ctx, values: Payload[]) => {
    ctx.state.set("values", values);
    ctx.setStatus(values);
    ctx.emit(values);
    const answers: Payload[] = [];
    for (const value of values) answers.push(await ctx.activity(echo, value));
    await ctx.timer("1h");
    return answers;
  });
  for (const codec of [undefined, aesGcm({ key: secretOf("k") })]) {
    const env = await environment(t, {
      orchestrations: [echoes],
      activities: [echo],
      ...(codec !== undefined && { codec }),
    });
    const run = await env.startOrchestration(echoes, odd);
    await env.settle();
    await env.restart();
    assert.deepEqual(await env.result(run), odd);
    assert.deepEqual(await run.state(), { values: odd });
    assert.deepEqual((await run.status()).customStatus, odd);
    assert.deepEqual((await all(run.outputs()))[0]?.data, odd);
  }
});

test("a conversation of 200,000 tokens in 100 calls stays small, and twice the calls take twice the room", async (t) => {
  const path = newFile();
  const search = activity("search", async (_ctx, n: number) => essay(`result ${n}`, 5_000));
  const agent = orchestration("agent", async (ctx, calls: number) => {
    const messages: LlmMessage[] = [{ role: "system", content: essay("system", 3_000) }];
    for (let n = 1; n <= calls; n++) {
      messages.push({ role: "user", content: await ctx.activity(search, n) });
      messages.push({ role: "assistant", content: await ctx.generate({ messages }) });
      if (n === calls / 2) await ctx.waitForEvent("half");
    }
    return messages.reduce((sum, { content }) => sum + content.length, 0);
  });
  const llm = mock().otherwise((_request, { order }) => essay(`thought ${order}`, 3_000));
  const env = await environment(t, {
    storage: sqlite(path),
    llm,
    orchestrations: [agent],
    activities: [search],
  });

  const run = await env.startOrchestration(agent, 100);
  await env.settle();
  const half = sizeOf(path);
  await run.raiseEvent("half");
  const characters = await env.result(run);
  const whole = sizeOf(path);
  assert.ok(characters / 4 >= 200_000, `${characters / 4} tokens`);
  assert.equal(llm.calls.length, 100);
  assert.ok(whole < 5_000_000, `${whole} bytes`);
  // The list of references in each request grows too; it must stay small beside the texts.
  assert.ok(whole / half < 2.3, `${half} bytes after 50 calls, ${whole} after 100`);
});

test("with a codec nothing of what users said can be read in the file", async (t) => {
  const path = newFile();
  const planted: string[] = [];
  /** A word that must not be found, once short and once long enough to be stored beside its event. */
  const plant = (what: string): string[] => {
    const word = `planted_${what.replaceAll(" ", "_")}`;
    planted.push(word);
    return [word, essay(word, 2_000)];
  };
  const text = (what: string) => plant(what).join(" ");
  const work = activity("work", { retry: { maxAttempts: 2, initialInterval: "1m" } }, async (ctx, how: Payload) => {
    if (how === "hang") {
      ctx.heartbeat(plant("heartbeat"));
      return aborted(ctx.signal);
    }
    if (how !== "fail") return plant("result");
    const details = plant("details of an error");
    const cause = new Error(text("cause of an error"));
    throw Object.assign(new Error(text("message of an error"), { cause }), { details });
  });
  const child = orchestration("child", async (ctx) => {
    await ctx.waitForEvent("never", { details: plant("details of a wait of a child") });
  });
  const listening = orchestration("listening", async (ctx) => {
    await ctx.waitForEvent("never");
  });
  const telling = orchestration("telling", { version: "1" }, async (ctx, given: Payload) => {
    ctx.setStatus(plant("status"));
    ctx.state.set("key", plant("state"));
    ctx.emit(plant("output"));
    await ctx.activity(work, plant("input of an activity"));
    await ctx.activity(work, "fail").catch(() => undefined);
    await ctx.generateWithSystem(text("system"), text("prompt"));
    await ctx.classify(text("text to classify"), [text("category"), "other"]).catch(() => undefined);
    ctx.sendEvent("listening", "also", plant("data of a sent event"));
    const heard = await ctx.waitForEvent("said", { details: plant("details of a wait") });
    const call = ctx.activity(work, "hang");
    await ctx.waitForEvent("enough");
    call.cancel(text("reason of a cancelled call"));
    const started = ctx.subOrchestration(child as never, plant("input of a child") as never);
    await Promise.allSettled([call]);
    await ctx.waitForEvent("more");
    started.cancel(text("reason of a cancelled child"));
    await Promise.allSettled([started]);
    return ctx.continueAsNew([given, heard, plant("input of the next execution")]);
  });
  const ending = orchestration("telling", { version: "2" }, async (ctx) => {
    await ctx.waitForEvent("end");
    return plant("output of the whole");
  });
  const failing = orchestration("failing", async () => {
    throw new Error(text("failure of the whole"));
  });
  const env = await environment(t, {
    storage: sqlite(path),
    codec: aesGcm({ key: secretOf("k") }),
    llm: mock().on("classify", text("answer nobody can use")).otherwise(text("answer")),
    orchestrations: [telling, ending, child, listening, failing],
    activities: [work],
  });
  const look = (): void => {
    const bytes = bytesOf(path);
    for (const word of planted) assert.ok(!bytes.includes(word), `${word} can be read in the file`);
  };

  const listener = await env.startOrchestration(listening, undefined, { instanceId: "listening" });
  const run = await env.startOrchestration(telling, plant("input"), { instanceId: "telling", version: "1" });
  look();
  await env.settle(); // the failed activity waits for its second attempt, under a row
  look();
  await env.advance("1m");
  look();
  await run.raiseEvent("said", plant("data of an event"));
  await env.until(() => env.runtime.stats().runningWork === 1);
  look();
  for (const name of ["enough", "more"]) {
    await run.raiseEvent(name, plant(`data of event ${name}`));
    await env.settle();
    look();
  }
  await run.raiseEvent("buffered", plant("data of an event that nobody waits for"));
  await env.settle();
  await run.raiseEvent("end");
  assert.equal(((await env.result(run)) as Payload[]).length, 2);
  await assert.rejects(env.result(await env.startOrchestration(failing)));
  const cancelled = await env.startOrchestration(child, undefined, { instanceId: "cancelled" });
  await env.settle();
  await cancelled.cancel(text("reason of a cancellation"));
  await listener.terminate(text("reason of a termination"));
  look();
  await assert.rejects(env.result(cancelled), fails("orchestration_cancelled", /planted_reason_of_a_cancellation/));
  await assert.rejects(env.result(listener), fails("orchestration_terminated", /planted_reason_of_a_termination/));
  look();
  assert.equal(new Set(planted).size, 31);
});

test("two equal texts are stored once, although each seal is another", async (t) => {
  const path = newFile();
  const text = essay("novel", 10_000);
  const echo = activity("echo", async (_ctx, given: string) => given);
  const echoing = orchestration("echoing", async (ctx, given: string) => {
    for (let n = 0; n < 5; n++) await ctx.activity(echo, given);
    return given;
  });
  const codec = aesGcm({ key: secretOf("k") });
  const env = await environment(t, { storage: sqlite(path), codec, orchestrations: [echoing], activities: [echo] });

  for (const instanceId of ["a", "b"]) {
    assert.equal(await env.result(await env.startOrchestration(echoing, text, { instanceId })), text);
  }
  const stored = rows<{ root: number; digest: string; body: string }>(path, "SELECT root, digest, body FROM payloads");
  assert.equal(stored.length, 2, "one for each tree");
  assert.equal(new Set(stored.map(({ root }) => root)).size, 2);
  assert.equal(new Set(stored.map(({ digest }) => digest)).size, 2, "digests do not tell that two trees share a text");
  assert.notEqual(codec.seal(text, { scopeId: "a" }), codec.seal(text, { scopeId: "a" }));
});

test("keys are rotated: former keys open what they sealed, the new one seals", async (t) => {
  const path = newFile();
  const old = secretOf("2025");
  const young = secretOf("2026");
  const text = essay("letter", 3_000);
  const keeping = orchestration("keeping", async (ctx, given: string) => {
    ctx.state.set("first", given);
    const heard = await ctx.waitForEvent<string>("go");
    ctx.state.set("second", heard);
    await ctx.waitForEvent("end");
    return [given, heard];
  });
  const env = await environment(t, {
    storage: sqlite(path),
    codec: aesGcm({ key: old }),
    orchestrations: [keeping],
    replayOnClose: false, // the client of the environment has the old key only
  });
  const run = await env.startOrchestration(keeping, text, { instanceId: "k" });
  await env.settle();
  await run.raiseEvent("go", "sealed by the old key, read by the new one's owner");
  const codec = aesGcm({ key: young, formerKeys: [old] });
  await env.restart({ codec });
  await env.settle();

  const client = await Client.connect({ storage: sqlite(path), codec, clock: env.clock });
  t.after(() => client.close());
  await client.instance("k").raiseEvent("end");
  await env.settle();
  const heard = "sealed by the old key, read by the new one's owner";
  assert.deepEqual(await client.instance("k").result(), [text, heard]);
  assert.deepEqual(await client.instance("k").state(), { first: text, second: heard });
  const bytes = rows<{ body: string }>(path, "SELECT body FROM history ORDER BY key").map(({ body }) => body);
  assert.match(bytes[0] ?? "", /"2025\./);
  assert.match(bytes.at(-1) ?? "", /"2026\./);
  assert.doesNotMatch(bytes.at(-1) ?? "", /"2025\./);
});

for (const [what, wrong, said] of [
  [
    "another key",
    { key: secretOf("other") },
    'Expected codec aes-256-gcm to open *, got an error: Expected a payload sealed by key other, got one by key "right": give aesGcm its secret in formerKeys',
  ],
  [
    "another key of the same name",
    { key: secretOf("right") },
    "Expected codec aes-256-gcm to open *, got an error: Expected a payload as key right sealed it for instance p, got one that was changed, moved from another instance, or sealed with another secret of that id",
  ],
  [
    "no codec",
    undefined,
    "Expected * to be plain, got a sealed payload: give runtimes and clients the codec that sealed it",
  ],
] as const) {
  test(`a worker with ${what} blocks what it cannot read, destroys nothing, and the right key goes on`, async (t) => {
    const right = { id: "right", secret: Buffer.alloc(32, 7) };
    let paid = 0;
    const pay = activity("pay", async (_ctx, amount: number) => {
      paid++;
      return `paid ${amount}`;
    });
    const paying = orchestration("paying", async (ctx, amount: number) => {
      const receipt = await ctx.activity(pay, amount);
      const heard = await ctx.waitForEvent<string>("go");
      return [receipt, heard];
    });
    const logger = journal();
    const env = await environment(t, {
      codec: aesGcm({ key: right }),
      orchestrations: [paying],
      activities: [pay],
      logger,
    });

    const run = await env.startOrchestration(paying, 5, { instanceId: "p" });
    await env.settle();
    const before = await run.history();
    await run.raiseEvent("go", "gone");
    const fresh = await env.startOrchestration(paying, 6, { instanceId: "never started" });
    await env.restart({ codec: wrong === undefined ? (undefined as never) : aesGcm(wrong) });
    await env.settle();
    for (const { instanceId, status, error } of (await env.client.list()).instances) {
      assert.equal(status, "blocked", instanceId);
      assert.ok(isStetError(error, "history_corrupt"), instanceId);
    }
    const line = logger.lines.find(({ fields }) => fields?.["instanceId"] === "p");
    assert.equal(line?.message, "An instance is blocked until other code or client.resume() tries again");
    assert.equal(line.fields?.["error"], said.replace("*", "a message to instance p"));
    assert.deepEqual(await run.history(), before);

    await env.restart({ codec: aesGcm({ key: right }), buildId: "mended" });
    assert.deepEqual(await env.result(run), ["paid 5", "gone"]);
    await env.settle();
    await fresh.raiseEvent("go", "too");
    assert.deepEqual(await env.result(fresh), ["paid 6", "too"]);
    assert.equal(paid, 2);
  });
}

for (const [what, change] of [
  ["changed", "UPDATE history SET body = replace(body, '.', '.A') WHERE instance = 1"],
  [
    "moved from another instance",
    "UPDATE history SET body = (SELECT body FROM history WHERE instance = 2) WHERE instance = 1",
  ],
] as const) {
  test(`a sealed text that was ${what} is refused`, async (t) => {
    const path = newFile();
    const waiting = orchestration("waiting", async (ctx, given: string) => {
      const heard = await ctx.waitForEvent<string>("go");
      return `${given} ${heard}`;
    });
    const env = await environment(t, {
      storage: sqlite(path),
      codec: aesGcm({ key: secretOf("k") }),
      orchestrations: [waiting],
    });
    const victim = await env.startOrchestration(waiting, "mine", { instanceId: "victim" });
    const other = await env.startOrchestration(waiting, "theirs", { instanceId: "other" });
    await env.settle();
    await env.runtime.evictCache();
    const db = new Sqlite(path);
    assert.equal(db.prepare(change).run().changes, 1);
    db.close();

    await victim.raiseEvent("go", "!");
    await other.raiseEvent("go", "!");
    assert.equal(await env.result(other), "theirs !");
    const { status, error } = await victim.status();
    assert.equal(status, "blocked");
    assert.equal(error?.code, "history_corrupt");
    assert.equal(
      error.message,
      "Expected codec aes-256-gcm to open the history of instance victim, execution 1, got an error: Expected a payload as key k sealed it for instance victim, got one that was changed, moved from another instance, or sealed with another secret of that id",
    );
  });
}

test("a call of a growing conversation stores what is new, also after its owner has changed", async () => {
  const talk = orchestration("talk", async (ctx) => {
    const messages: LlmMessage[] = [];
    for (let i = 0; i < 12; i++) {
      messages.push({ role: "user", content: `question ${i}` });
      messages.push({ role: "assistant", content: await ctx.generate({ messages }) });
      await ctx.waitForEvent("more");
    }
    return messages.length;
  });
  const storage = sqlite(":memory:");
  const llm = mock().otherwise(({ messages }) => `answer to ${messages.at(-1)?.content}`);
  const env = await TestEnvironment.start({ storage, orchestrations: [talk], llm });
  const handle = await env.startOrchestration(talk);
  await env.settle();
  for (let i = 0; i < 12; i++) {
    if (i === 8) await env.restart();
    await handle.raiseEvent("more");
    await env.settle();
  }

  assert.equal(await env.result(handle), 24);
  const requests = (await handle.history()).filter((event) => event.kind === "LlmRequested");
  assert.deepEqual(
    requests.map(({ request }) => request.messages.length),
    Array.from({ length: 12 }, (_, i) => 2 * i + 1),
  );
  assert.equal(requests.at(-1)?.request.messages[3]?.content, "answer to question 1");
  const chunks = await storage.admin.readHistory(handle.instanceId, 1);
  const longest = Math.max(...chunks.map((chunk) => chunk.length));
  assert.ok(longest < 900, `a call of 23 messages is one reference, got a chunk of ${longest} characters`);
  await env.close();
});
