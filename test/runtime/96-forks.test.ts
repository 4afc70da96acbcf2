/** Forks: another instance goes on from a recorded history, and its origin does not notice. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { activity, aesGcm, type ForkOptions, type HistoryEvent, isDelivery, orchestration } from "@stet/core";
import { cutShort, mock } from "@stet/mock";
import type { TestEnvironment } from "@stet/testing";
import { z } from "zod";
import { all, environment, fails, gate, kinds, ofKind } from "./world.ts";

/** The id of the nth event of a kind. */
function idOf(history: readonly HistoryEvent[], kind: HistoryEvent["kind"], nth = 1): number {
  const event = history.filter((each) => each.kind === kind)[nth - 1];
  assert.ok(event, `Expected ${nth} ${kind}, got ${kinds(history).join(", ")}`);
  return event.id;
}

/** A ledger of what activities were seen to do. */
function ledger() {
  const entries: string[] = [];
  const work = activity("work", async (ctx, what: string) => {
    entries.push(`${what} ${ctx.idempotencyKey} attempt ${ctx.attempt}`);
    return `${what} done`;
  });
  return { entries, work };
}

/** Forks instance `origin` to `fork`. */
function fork<Output = unknown>(env: TestEnvironment, options: Partial<ForkOptions> & { atEvent: number }) {
  return env.client.fork<Output>("origin", { newInstanceId: "fork", ...options });
}

test("what if the model had said no: one answer is exchanged, and the code goes the other way", async (t) => {
  const { entries, work } = ledger();
  const decide = orchestration("decide", async (ctx, ticket: string) => {
    const found = await ctx.activity(work, `look up ${ticket}`);
    const entitled = await ctx.ifTrue(`Is it a refund? ${found}`);
    return entitled ? ctx.activity(work, `refund ${ticket}`) : `refused ${ticket}`;
  });
  const llm = mock().on("ifTrue", true);
  const env = await environment(t, { orchestrations: [decide], activities: [work], llm });
  const run = await env.startOrchestration(decide, "T-1", { instanceId: "origin" });
  assert.equal(await env.result(run), "refund T-1 done");
  const before = await run.history();
  const atEvent = idOf(before, "LlmCompleted");

  const other = await fork(env, { atEvent, replaceResult: { eventId: atEvent, result: false } });

  assert.equal(await env.result(other), "refused T-1");
  assert.deepEqual(entries, ["look up T-1 origin/1/2 attempt 1", "refund T-1 origin/1/6 attempt 1"]);
  assert.equal(llm.calls.length, 1);
  assert.deepEqual(await run.history(), before);
  const [started] = await other.history();
  assert.deepEqual(started?.kind === "OrchestrationStarted" && started.forkedFrom, {
    instanceId: "origin",
    execution: 1,
    atEvent,
    replaced: [atEvent],
  });
});

test("a fork without changes at any delivery ends as its origin did, and repeats nothing before it", async (t) => {
  const { entries, work } = ledger();
  const child = orchestration("child", async (ctx, n: number) => {
    await ctx.timer("1m");
    return n + 1;
  });
  const everything = orchestration("everything", async (ctx): Promise<unknown> => {
    ctx.emit("begun");
    ctx.state.set("step", 1);
    const [a, b] = await Promise.all([ctx.activity(work, "a"), ctx.activity(work, "b")]);
    ctx.setStatus("half way");
    const word = await ctx.classify("which?", ["red", "blue"]);
    const three = await ctx.subOrchestration(child, 2);
    const slow = ctx.subOrchestration(child, 5);
    const { winner } = await ctx.race({ timer: ctx.timer("10s"), event: ctx.waitForEvent("never") });
    ctx.state.set("step", 2);
    const note = await ctx.waitForEvent<string>("note", { timeout: "1d" }).catch(() => "no note");
    ctx.emit("ended");
    return { a, b, word, three, winner, note, six: await slow, id: ctx.random() < 2, step: ctx.state.get("step") };
  });
  const llm = mock().on("classify", "blue");
  const env = await environment(t, { orchestrations: [everything, child], activities: [work], llm });
  const run = await env.startOrchestration(everything, undefined, { instanceId: "origin", labels: { team: "blue" } });
  const expected = await env.result(run);
  const history = await run.history();
  const deliveries = history.filter(isDelivery);
  assert.ok(deliveries.length >= 8, `${deliveries.length} deliveries`);

  for (const { id: atEvent } of deliveries) {
    const newInstanceId = `fork-${atEvent}`;
    const done = entries.length;
    const other = await fork(env, { atEvent, newInstanceId });

    assert.deepEqual(await env.result(other), expected, `at event ${atEvent}`);
    const own = (await other.history()).slice(atEvent);
    assert.deepEqual(kinds(own).sort(), kinds(history.slice(atEvent)).sort(), `at event ${atEvent}`);
    const outstanding = ["a", "b"].length - ofKind(history.slice(0, atEvent), "ActivityCompleted").length;
    assert.equal(entries.length - done, outstanding, `at event ${atEvent}`);
    assert.deepEqual(
      (await all(other.outputs())).map(({ data }) => data),
      ["begun", "ended"],
    );
    assert.deepEqual(await other.state(), { step: 2 });
    const { customStatus, labels, status } = await other.status();
    assert.deepEqual([customStatus, labels, status], ["half way", { team: "blue" }, "completed"]);
    const tree = await env.client.tree(newInstanceId);
    assert.ok(tree.every((each) => each.status === "completed" && each.rootId === newInstanceId));
  }
  assert.deepEqual(await run.history(), history);
});

test("what is outstanding at the fork runs anew, as a first attempt under the fork's own key", async (t) => {
  const held = gate();
  const seen: string[] = [];
  const slow = activity("slow", { effect: "irreversible" }, async (ctx) => {
    seen.push(`${ctx.idempotencyKey} attempt ${ctx.attempt}`);
    if (ctx.instanceId === "origin") await held.opened;
    return ctx.instanceId;
  });
  const quick = activity("quick", async () => undefined);
  const both = orchestration("both", async (ctx) => {
    const pending = ctx.activity(slow);
    const said = ctx.generate("say something");
    await ctx.activity(quick);
    return [await pending, await said];
  });
  let calls = 0;
  const llm = mock().on("generate", () => `call ${++calls}`);
  const env = await environment(t, { orchestrations: [both], activities: [slow, quick], llm });
  const run = await env.startOrchestration(both, undefined, { instanceId: "origin" });
  await env.until(async () => kinds(await run.history()).includes("ActivityCompleted") && calls === 1);
  const atEvent = idOf(await run.history(), "ActivityCompleted");

  const other = await fork(env, { atEvent });
  assert.deepEqual(await other.result(), ["fork", "call 2"]);
  held.open();

  assert.deepEqual(await env.result(run), ["origin", "call 1"]);
  assert.deepEqual(seen.sort(), ["fork/1/2 attempt 1", "origin/1/2 attempt 1"]);
});

test("the time limit of an activity that runs anew begins anew", async (t) => {
  const hang = activity(
    "hang",
    { totalTimeout: "1h" },
    (ctx) =>
      new Promise((_, reject) => {
        ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason as Error));
      }),
  );
  const quick = activity("quick", async () => undefined);
  const limited = orchestration("limited", async (ctx) => {
    const pending = ctx.activity(hang).catch((error: Error) => error.message);
    await ctx.activity(quick);
    return [await pending, ctx.now()];
  });
  const env = await environment(t, { orchestrations: [limited], activities: [hang, quick] });
  const run = await env.startOrchestration(limited, undefined, { instanceId: "origin" });
  await env.until(async () => kinds(await run.history()).includes("ActivityCompleted"));
  const begun = env.clock.now();
  env.clock.jumpTo(begun + 30 * 60_000);

  const other = await fork(env, { atEvent: idOf(await run.history(), "ActivityCompleted") });
  env.clock.jumpTo(begun + 60 * 60_000);
  const [theirs] = (await run.result()) as [string];
  assert.equal((await other.status()).status, "running");
  env.clock.jumpTo(begun + 90 * 60_000);
  const [ours] = (await other.result()) as [string];

  assert.match(theirs, /instance origin .*within 3600000 ms/);
  assert.match(ours, /instance fork .*within 3600000 ms/);
});

test("a timer that runs at the fork keeps its time, and one that is over is over", async (t) => {
  const { work } = ledger();
  const sleeper = orchestration("sleeper", async (ctx) => {
    const long = ctx.timer("10h");
    await ctx.activity(work, "a");
    await long;
    return ctx.now();
  });
  const env = await environment(t, { orchestrations: [sleeper], activities: [work] });
  const begun = env.clock.now();
  const run = await env.startOrchestration(sleeper, undefined, { instanceId: "origin" });
  await env.settle();
  const atEvent = idOf(await run.history(), "ActivityCompleted");
  await env.advance("4h");

  const early = await fork<number>(env, { atEvent, newInstanceId: "early" });
  assert.equal(await env.result(early), begun + 10 * 3_600_000);
  await env.advance("2h");
  const late = await fork<number>(env, { atEvent, newInstanceId: "late" });

  assert.equal(await env.result(late), begun + 12 * 3_600_000);
  assert.equal(await env.result(run), begun + 10 * 3_600_000);
});

test("waits are listed for the fork, and events reach one instance only", async (t) => {
  const { work } = ledger();
  const waiter = orchestration("waiter", async (ctx) => {
    const approval = ctx.waitForEvent<string>("approval", { details: { amount: 7 }, timeout: "1d" });
    await ctx.activity(work, "a");
    return approval;
  });
  const env = await environment(t, { orchestrations: [waiter], activities: [work] });
  const run = await env.startOrchestration(waiter, undefined, { instanceId: "origin" });
  await env.settle();
  const atEvent = idOf(await run.history(), "ActivityCompleted");

  const other = await fork(env, { atEvent });

  const waitsOf = async (instanceId: string) => {
    const { waits } = await env.client.pendingWaits({ instanceId });
    return waits.map(({ name, details, eventId, timeoutAt, since }) => ({ name, details, eventId, timeoutAt, since }));
  };
  assert.deepEqual(await waitsOf("fork"), await waitsOf("origin"));
  assert.equal((await waitsOf("fork")).length, 1);
  await other.raiseEvent("approval", "ours");
  assert.equal(await env.result(other), "ours");
  assert.deepEqual(await waitsOf("fork"), []);
  assert.equal((await run.status()).status, "running");
  await run.raiseEvent("approval", "theirs");
  assert.equal(await env.result(run), "theirs");
});

test("events that were received and not taken are in the fork, later ones are not", async (t) => {
  const { work } = ledger();
  const collector = orchestration("collector", async (ctx) => {
    await ctx.waitForEvent("go");
    await ctx.activity(work, "a");
    const got: unknown[] = [];
    for (let next = ctx.tryReceive("item"); next !== undefined; next = ctx.tryReceive("item")) got.push(next.data);
    return got;
  });
  const env = await environment(t, { orchestrations: [collector], activities: [work] });
  const run = await env.startOrchestration(collector, undefined, { instanceId: "origin" });
  for (const [name, data] of [
    ["item", 1],
    ["item", 2],
    ["go", 0],
  ] as const) {
    await run.raiseEvent(name, data);
    await env.settle();
  }
  assert.deepEqual(await env.result(run), [1, 2]);
  const history = await run.history();

  const late = await fork(env, { atEvent: idOf(history, "EventReceived", 3), newInstanceId: "late" });
  const early = await fork(env, { atEvent: idOf(history, "EventReceived", 1), newInstanceId: "early" });
  await early.raiseEvent("item", 9);
  await early.raiseEvent("go");

  assert.deepEqual(await env.result(late), [1, 2]);
  assert.deepEqual(await env.result(early), [1, 9]);
});

test("a child that runs at the fork is started anew for the fork, and each parent has its own", async (t) => {
  const { entries, work } = ledger();
  const child = orchestration("child", async (ctx, name: string) => {
    await ctx.activity(work, name);
    return `${name} ${await ctx.waitForEvent<string>("go")}`;
  });
  const parent = orchestration("parent", async (ctx) => {
    const first = ctx.subOrchestration(child, "first", { labels: { rank: "1" } });
    const second = ctx.subOrchestration(child, "second", { instanceId: "chosen" });
    await ctx.activity(work, "parent");
    const third = ctx.subOrchestration(child, "third");
    return Promise.all([first, second, third]);
  });
  const env = await environment(t, { orchestrations: [parent, child], activities: [work] });
  const run = await env.startOrchestration(parent, undefined, { instanceId: "origin" });
  await env.settle();

  const other = await fork(env, { atEvent: idOf(await run.history(), "ActivityCompleted") });
  await env.settle();

  const children = (await env.client.tree("fork")).slice(1);
  assert.deepEqual(
    children.map(({ instanceId, parentId, labels }) => [instanceId, parentId, labels]),
    [
      ["fork:1:event-2", "fork", { rank: "1" }],
      ["fork:1:event-3", "fork", {}],
      ["fork:1:2", "fork", {}],
    ],
  );
  assert.deepEqual(
    (await other.status()).waitingFor
      .flatMap((each) => (each.kind === "subOrchestration" ? [each.instanceId] : []))
      .sort(),
    ["fork:1:2", "fork:1:event-2", "fork:1:event-3"],
  );
  for (const { instanceId } of children) await env.client.instance(instanceId).raiseEvent("go", "ours");
  assert.deepEqual(await env.result(other), ["first ours", "second ours", "third ours"]);
  for (const { instanceId } of (await env.client.tree("origin")).slice(1)) {
    await env.client.instance(instanceId).raiseEvent("go", "theirs");
  }
  assert.deepEqual(await env.result(run), ["first theirs", "second theirs", "third theirs"]);
  assert.equal(entries.length, 1 + 3 + 3);
});

for (const end of ["cancel", "terminate"] as const) {
  test(`${end}() of a fork ends its own children and leaves those of its origin`, async (t) => {
    const { work } = ledger();
    const child = orchestration("child", async (ctx) => ctx.waitForEvent("never"));
    const parent = orchestration("parent", async (ctx) => {
      const running = ctx.subOrchestration(child);
      await ctx.activity(work, "parent");
      await running;
    });
    const env = await environment(t, { orchestrations: [parent, child], activities: [work] });
    const run = await env.startOrchestration(parent, undefined, { instanceId: "origin" });
    await env.settle();
    const other = await fork(env, { atEvent: idOf(await run.history(), "ActivityCompleted") });
    await env.settle();

    await other[end]();
    await env.settle();

    const statuses = async (id: string) => (await env.client.tree(id)).map(({ status }) => status);
    assert.deepEqual(await statuses("fork"), [end === "cancel" ? "cancelled" : "terminated", "cancelled"]);
    assert.deepEqual(await statuses("origin"), ["running", "running"]);
  });
}

test("a fork of a child is a root: the parent of its origin hears nothing of it", async (t) => {
  const { work } = ledger();
  const child = orchestration("child", async (ctx) => {
    await ctx.activity(work, "a");
    return ctx.waitForEvent("go");
  });
  const parent = orchestration("parent", async (ctx) =>
    ctx.subOrchestration(child, undefined, { instanceId: "origin" }),
  );
  const env = await environment(t, { orchestrations: [parent, child], activities: [work] });
  const run = await env.startOrchestration(parent);
  await env.settle();

  const other = await fork(env, { atEvent: 3 });
  await other.raiseEvent("go", "ours");

  assert.equal(await env.result(other), "ours");
  const { parentId, rootId } = await other.status();
  assert.deepEqual([parentId, rootId], [undefined, "fork"]);
  assert.equal((await run.status()).status, "running");
  await env.client.instance("origin").raiseEvent("go", "theirs");
  assert.equal(await env.result(run), "theirs");
});

test("what was started or sent before the fork is not started or sent again", async (t) => {
  const { work } = ledger();
  const other = orchestration("other", async (ctx) => [
    await ctx.waitForEvent("hello"),
    ctx.tryReceive("hello") ?? null,
  ]);
  const sender = orchestration("sender", async (ctx) => {
    const id = ctx.startOrchestration(other);
    ctx.sendEvent(id, "hello", "from the origin");
    await ctx.activity(work, "a");
    return id;
  });
  const env = await environment(t, { orchestrations: [sender, other], activities: [work] });
  const run = await env.startOrchestration(sender, undefined, { instanceId: "origin" });
  await env.result(run);
  const instances = (await env.client.list()).instances.length;

  const forked = await fork(env, { atEvent: idOf(await run.history(), "ActivityCompleted") });

  assert.equal(await env.result(forked), "origin:1:1");
  assert.equal((await env.client.list()).instances.length, instances + 1);
  assert.deepEqual(await env.client.instance("origin:1:1").result(), ["from the origin", null]);
});

test("an earlier execution can be forked, with what was carried into it, and keeps its number", async (t) => {
  const { entries, work } = ledger();
  const rounds = orchestration("rounds", async (ctx, n: number): Promise<unknown> => {
    ctx.state.set(`round ${ctx.execution}`, n);
    ctx.setStatus({ round: ctx.execution });
    ctx.emit(ctx.execution);
    await ctx.activity(work, `round ${n}`);
    return ctx.execution < 3 ? ctx.continueAsNew(n + 1) : [ctx.execution, ctx.state.keys()];
  });
  const env = await environment(t, { orchestrations: [rounds], activities: [work] });
  const run = await env.startOrchestration(rounds, 1, { instanceId: "origin" });
  const expected = await env.result(run);
  assert.equal(entries.length, 3);

  const other = await fork(env, { atEvent: 6, execution: 2 });

  assert.deepEqual(await env.result(other), expected);
  assert.deepEqual(entries.slice(3), ["round 3 fork/3/5 attempt 1"]);
  assert.deepEqual(
    (await env.client.executions("fork")).map(({ execution }) => execution),
    [2, 3],
  );
  assert.deepEqual(await other.state(), { "round 1": 1, "round 2": 2, "round 3": 3 });
  assert.deepEqual(
    (await all(other.outputs())).map(({ data }) => data),
    [2, 3],
  );
  assert.deepEqual((await other.status()).customStatus, { round: 3 });
});

test("state that was deleted, and a status that was carried or cleared, are in the fork as they were", async (t) => {
  const { work } = ledger();
  const changing = orchestration("changing", async (ctx): Promise<unknown> => {
    if (ctx.execution === 1) {
      ctx.state.set("kept", 1);
      ctx.state.set("gone", 2);
      ctx.setStatus("carried");
      return ctx.continueAsNew();
    }
    ctx.state.delete("gone");
    await ctx.activity(work, "a");
    ctx.setStatus(null);
    await ctx.activity(work, "b");
    ctx.setStatus("ended");
    return ctx.waitForEvent("go");
  });
  const env = await environment(t, { orchestrations: [changing], activities: [work] });
  const run = await env.startOrchestration(changing, undefined, { instanceId: "origin" });
  await env.settle();
  const history = await run.history();
  await env.runtime.shutdown(); // what a fork begins with is seen before its code goes on

  const carried = await fork(env, { atEvent: idOf(history, "ActivityCompleted", 1), newInstanceId: "carried" });
  const cleared = await fork(env, { atEvent: idOf(history, "ActivityCompleted", 2), newInstanceId: "cleared" });

  for (const each of [carried, cleared]) assert.deepEqual(await each.state(), { kept: 1 });
  assert.equal((await carried.status()).customStatus, "carried");
  assert.equal((await cleared.status()).customStatus, undefined);
  await env.restart();
});

test("a model call that is outstanding at the fork is asked in full, however little of it is recorded", async (t) => {
  const { work } = ledger();
  const held = gate();
  const asking = orchestration("asking", async (ctx) => {
    const said = ctx.generate("what is the secret?");
    await ctx.activity(work, "a");
    return said;
  });
  let calls = 0;
  const llm = mock().on("generate", async ({ messages }) => {
    if (++calls === 1) await held.opened;
    return `call ${calls}: ${messages[0]?.content}`;
  });
  const env = await environment(t, { orchestrations: [asking], activities: [work], llm, recordPrompts: "hash" });
  t.after(() => held.open());
  const run = await env.startOrchestration(asking, undefined, { instanceId: "origin" });
  await env.until(async () => kinds(await run.history()).includes("ActivityCompleted"));

  const other = await fork(env, { atEvent: idOf(await run.history(), "ActivityCompleted") });

  assert.equal(await other.result(), "call 2: what is the secret?");
  const [completed] = ofKind(await other.history(), "LlmCompleted");
  assert.equal(completed?.attempts, undefined, "it was asked once");
  held.open();
});

test("a fork of a fork goes on, whether before or after where that one began", async (t) => {
  const { entries, work } = ledger();
  const steps = orchestration("steps", async (ctx) => {
    const ids = [ctx.instanceId];
    for (const name of ["a", "b", "c"]) {
      await ctx.activity(work, name);
      ids.push(`${ctx.instanceId} ${ctx.uuid().length}`);
    }
    return ids;
  });
  const env = await environment(t, { orchestrations: [steps], activities: [work] });
  await env.result(await env.startOrchestration(steps, undefined, { instanceId: "origin" }));
  await env.result(await fork(env, { atEvent: 5, newInstanceId: "middle" }));

  const after = await env.client.fork("middle", { atEvent: 7, newInstanceId: "after" });
  const before = await env.client.fork("middle", { atEvent: 3, newInstanceId: "before" });
  const same = await env.client.fork("middle", { atEvent: 5, newInstanceId: "same" });

  assert.deepEqual(await env.result(after), ["origin", "origin 36", "middle 36", "after 36"]);
  assert.deepEqual(await env.result(before), ["origin", "before 36", "before 36", "before 36"]);
  assert.deepEqual(await env.result(same), ["origin", "origin 36", "same 36", "same 36"]);
  assert.equal(entries.length, 3 + 1 + 0 + 2 + 1);
});

test("a blocked instance can be forked to where its code still fitted", async (t) => {
  const { work } = ledger();
  const before = orchestration("o", async (ctx) => {
    await ctx.activity(work, "a");
    await ctx.activity(work, "b");
    return ctx.waitForEvent("go");
  });
  const after = orchestration("o", async (ctx) => {
    await ctx.activity(work, "a");
    return ctx.activity(work, "c");
  });
  const env = await environment(t, { orchestrations: [before], activities: [work] });
  const run = await env.startOrchestration(before, undefined, { instanceId: "origin" });
  await env.settle();
  await env.restart({ orchestrations: [after] });
  await run.raiseEvent("go");
  await env.settle();
  assert.equal((await run.status()).status, "blocked");

  const other = await fork(env, { atEvent: idOf(await run.history(), "ActivityCompleted") });

  assert.equal(await env.result(other), "c done");
  assert.equal((await run.status()).status, "blocked");
});

test("a change that history does not know is on its new side when it is passed after the fork", async (t) => {
  const { work } = ledger();
  const before = orchestration("o", async (ctx) => {
    await ctx.activity(work, "a");
    return ctx.activity(work, "old");
  });
  const after = orchestration("o", async (ctx) => {
    const early = ctx.patched("early");
    await ctx.activity(work, "a");
    return [early, await ctx.activity(work, ctx.patched("late") ? "new" : "old")];
  });
  const env = await environment(t, { orchestrations: [before], activities: [work] });
  await env.result(await env.startOrchestration(before, undefined, { instanceId: "origin" }));
  await env.restart({ orchestrations: [after], replayOnClose: false });

  const other = await fork(env, { atEvent: 3 });

  assert.deepEqual(await env.result(other), [false, "new done"]);
});

test("long texts and growing conversations are stored anew under the fork, and sealed for it", async (t) => {
  const { work } = ledger();
  const long = "x".repeat(3_000);
  const talk = orchestration("talk", async (ctx, text: string) => {
    ctx.state.set("text", text);
    ctx.setStatus({ text });
    ctx.emit(text);
    const messages: { role: "user" | "assistant"; content: string }[] = [];
    for (let i = 0; i < 6; i++) {
      messages.push({ role: "user", content: `${i} ${text}` });
      messages.push({ role: "assistant", content: await ctx.generate({ messages: [...messages] }) });
    }
    const pending = ctx.activity(work, text);
    await ctx.waitForEvent("go", { details: { text } });
    return [messages.length, await pending];
  });
  const codec = aesGcm({ key: { id: "k", secret: new Uint8Array(32).fill(7) } });
  for (const sealed of [false, true]) {
    const llm = mock().on("generate", (request) => `answer ${request.messages.length} ${long}`);
    const options = sealed ? { codec } : {};
    const env = await environment(t, { orchestrations: [talk], activities: [work], llm, ...options });
    const run = await env.startOrchestration(talk, long, { instanceId: "origin" });
    await env.settle();
    const history = await run.history();
    const atEvent = idOf(history, "LlmCompleted", 6);

    const other = await fork(env, { atEvent });
    await env.settle();

    const own = await other.history();
    assert.deepEqual(own.slice(1, atEvent), history.slice(1, atEvent));
    assert.deepEqual(await other.state(), { text: long });
    assert.deepEqual((await other.status()).customStatus, { text: long });
    const { waits } = await env.client.pendingWaits({ instanceId: "fork" });
    assert.deepEqual(
      waits.map(({ details }) => details),
      [{ text: long }],
    );
    await env.client.delete("origin", { force: true });
    await env.restart();
    await other.raiseEvent("go");
    assert.deepEqual(await env.result(other), [12, `${long} done`]);
    assert.equal(llm.calls.length, 6);
    assert.deepEqual(
      (await all(other.outputs())).map(({ data }) => data),
      [long],
    );
    const capsule = JSON.stringify(await env.client.export("fork"));
    assert.ok(capsule.length < 90_000, `${capsule.length} characters: each text once`);
    assert.equal(capsule.includes('\\"after\\"'), !sealed, "lists of messages go on from one another");
    assert.equal(capsule.includes(long), !sealed);
  }
});

// What is exchanged

test("input is exchanged where the code asks for nothing that depends on it before", async (t) => {
  const { work } = ledger();
  const greet = orchestration("greet", async (ctx, name: string) => {
    await ctx.activity(work, "a");
    return `hello ${name}`;
  });
  const env = await environment(t, { orchestrations: [greet], activities: [work] });
  await env.result(await env.startOrchestration(greet, "Ada", { instanceId: "origin" }));

  assert.equal(await env.result(await fork(env, { atEvent: 3, input: "Bob" })), "hello Bob");
  assert.equal(await env.result(await fork(env, { atEvent: 1, input: "Cleo", newInstanceId: "again" })), "hello Cleo");
  const [started] = await env.client.instance("fork").history();
  assert.deepEqual(started?.kind === "OrchestrationStarted" && started.forkedFrom?.replaced, [1]);
});

test("a result that was already used is exchanged when what was asked does not depend on it", async (t) => {
  const { work } = ledger();
  const pair = orchestration("pair", async (ctx) => {
    const first = await ctx.activity(work, "a");
    const second = await ctx.activity(work, "b");
    return [first, second];
  });
  const env = await environment(t, { orchestrations: [pair], activities: [work] });
  await env.result(await env.startOrchestration(pair, undefined, { instanceId: "origin" }));

  const other = await fork(env, { atEvent: 5, replaceResult: { eventId: 3, result: "other" } });

  assert.deepEqual(await env.result(other), ["other", "b done"]);
});

test("a result on which later requests depend blocks the fork, which says where, and harms nobody else", async (t) => {
  const { entries, work } = ledger();
  const chain = orchestration("chain", async (ctx) => ctx.activity(work, await ctx.activity(work, "a")));
  const env = await environment(t, { orchestrations: [chain], activities: [work] });
  const run = await env.startOrchestration(chain, undefined, { instanceId: "origin" });
  await env.result(run);

  const other = await fork(env, { atEvent: 5, replaceResult: { eventId: 3, result: "other" } });
  await env.settle();

  const { status, error } = await other.status();
  assert.equal(status, "blocked");
  assert.equal(error?.code, "nondeterminism");
  assert.match(error?.message ?? "", /instance fork.*replay event 4.*input differs/);
  assert.equal(await run.result(), "a done done");
  assert.equal(entries.length, 2);
});

test("results of every kind are exchanged, failures among them", async (t) => {
  const { work } = ledger();
  const failing = activity("failing", async () => Promise.reject(new Error("no")));
  const child = orchestration("child", async () => "child");
  const bad = orchestration("bad", async () => Promise.reject(new Error("bad")));
  const Plan = z.object({ action: z.enum(["pay", "wait"]), amount: z.number() });
  const said = (error: Error) => `failed: ${error.message}`;
  const every = orchestration("every", async (ctx) => {
    const got: unknown[] = [];
    got.push(await ctx.activity(work, "a"));
    got.push((await ctx.activity(failing).catch(said)) ?? null);
    got.push(await ctx.subOrchestration(child));
    got.push(await ctx.subOrchestration(bad).catch(said));
    got.push(await ctx.waitForEvent("note"));
    got.push(await ctx.ifTrue("so?"));
    got.push(await ctx.classify("which?", ["red", "blue"]));
    got.push(await ctx.generateStructured("plan", Plan));
    got.push(await ctx.extract("text", ["name"]));
    got.push(await ctx.generate("say"));
    got.push(await ctx.generateWithSystem("fail", "say").catch(said));
    return got;
  });
  const llm = mock()
    .on("ifTrue", true)
    .on("classify", "red")
    .on("generateStructured", { action: "pay", amount: 1 })
    .on("extract", { name: "Ada" })
    .on("generate", "hello")
    .on("generateWithSystem", new Error("away"));
  const env = await environment(t, { orchestrations: [every, child, bad], activities: [work, failing], llm });
  const run = await env.startOrchestration(every, undefined, { instanceId: "origin" });
  await env.settle();
  await run.raiseEvent("note", "theirs");
  const expected = (await env.result(run)) as unknown[];
  const history = await run.history();
  const answers = history.filter(isDelivery).slice(1);
  const others: unknown[] = [
    "b",
    undefined,
    { a: [1] },
    7,
    null,
    false,
    "blue",
    { action: "wait", amount: 2 },
    { name: "" },
    "bye",
    "here",
  ];

  assert.equal(answers.length, expected.length);
  const last = (answers.at(-1) as HistoryEvent).id;
  for (const [i, { id: eventId, kind }] of answers.entries()) {
    const newInstanceId = `fork-${eventId}`;
    const other = await fork(env, { atEvent: last, newInstanceId, replaceResult: { eventId, result: others[i] } });

    assert.deepEqual(await env.result(other), expected.with(i, others[i] ?? null), kind);
  }
});

test("an answer that was cut off is whole when it is exchanged", async (t) => {
  const asking = orchestration("asking", async (ctx) => ctx.generate("say").catch((error: Error) => error.message));
  const env = await environment(t, { orchestrations: [asking], llm: mock().on("generate", cutShort("hel")) });
  const run = await env.startOrchestration(asking, undefined, { instanceId: "origin" });
  assert.match(String(await env.result(run)), /cut off/);

  const other = await fork(env, { atEvent: 3, replaceResult: { eventId: 3, result: "hello" } });

  assert.equal(await env.result(other), "hello");
});

const wrongResults: readonly (readonly [what: string, eventId: number, result: unknown, message: RegExp])[] = [
  ["a text for ifTrue", 3, "maybe", /event 3 to be what ctx.ifTrue answers.*expected true or false, got "maybe"/],
  ["a number for generate", 5, 7, /event 5 to be what ctx.generate answers.*expected a text, got 7/],
  ["nothing for generate", 5, undefined, /expected a text, got undefined/],
  ["an object that its schema refuses", 7, { amount: "7" }, /ctx.generateStructured answers.*\$\.amount/],
  ["a function", 9, () => 1, /replaced result of event 9 to be JSON, got a function|got the function/],
  ["a start", 1, "x", /event 1 to be the result of an activity.*got OrchestrationStarted/],
  ["a request", 2, "x", /event 2 to be the result of an activity.*got LlmRequested/],
  ["a timer", 11, "x", /event 11 to be the result of an activity.*got TimerFired/],
  ["an event after the fork", 13, "x", /eventId of replaceResult to be an event of the fork, from 1 to 11, got 13/],
  ["no event", 0, "x", /from 1 to 11, got 0/],
];

test("results that are none are refused with the reason, and nothing is forked", async (t) => {
  const { work } = ledger();
  const asking = orchestration("asking", async (ctx) => {
    await ctx.ifTrue("so?");
    await ctx.generate("say");
    await ctx.generateStructured("how much", z.object({ amount: z.number() }));
    await ctx.activity(work, "a");
    await ctx.timer("1s");
    await ctx.activity(work, "b");
  });
  const llm = mock().on("ifTrue", true).on("generate", "hello").on("generateStructured", { amount: 7 });
  const env = await environment(t, { orchestrations: [asking], activities: [work], llm });
  await env.result(await env.startOrchestration(asking, undefined, { instanceId: "origin" }));

  for (const [what, eventId, result, message] of wrongResults) {
    await assert.rejects(fork(env, { atEvent: 11, replaceResult: { eventId, result } }), (error: Error) => {
      assert.match(error.message, message, what);
      return true;
    });
  }
  assert.equal((await env.client.list()).instances.length, 1);
});

// Where a fork cannot begin

test("a fork begins with a delivery, and the error names the nearest ones", async (t: TestContext) => {
  const { work } = ledger();
  const two = orchestration("two", async (ctx) => {
    await Promise.all([ctx.activity(work, "a"), ctx.activity(work, "b")]);
  });
  const env = await environment(t, { orchestrations: [two], activities: [work] });
  const run = await env.startOrchestration(two, undefined, { instanceId: "origin" });
  await env.result(run);
  assert.deepEqual(kinds(await run.history()), [
    "OrchestrationStarted",
    "ActivityScheduled",
    "ActivityScheduled",
    "ActivityCompleted",
    "ActivityCompleted",
    "OrchestrationCompleted",
  ]);
  const refused = async (options: Partial<ForkOptions> & { atEvent: number }, message: RegExp) =>
    assert.rejects(fork(env, options), fails("configuration_invalid", message));

  await refused(
    { atEvent: 2 },
    /instance origin \(execution 1\) from outside, got event 2 \(ActivityScheduled\).*Nearest: event 1 \(OrchestrationStarted\) and event 4 \(ActivityCompleted\)$/,
  );
  await refused({ atEvent: 6 }, /got event 6 \(OrchestrationCompleted\).*Nearest: event 5 \(ActivityCompleted\)$/);
  await refused({ atEvent: 7 }, /got event 7 of 6.*Nearest: event 5 \(ActivityCompleted\)$/);
  await refused(
    { atEvent: 1, execution: 2 },
    /Expected execution 2 of instance origin to have a history to fork, got none/,
  );
  await refused({ atEvent: 0 }, /atEvent of client.fork to be a whole number from 1, got 0/);
  await refused({ atEvent: 1.5 }, /atEvent of client.fork to be a whole number from 1, got 1.5/);
  await refused({ atEvent: 1, execution: -1 }, /execution of client.fork to be a whole number from 1, got -1/);
  await refused({ atEvent: 1, newInstanceId: "" }, /instance id to be 1 to 500 characters/);
  await refused({ atEvent: 1, newInstanceId: undefined as unknown as string }, /instance id to be 1 to 500/);
  await refused({ atEvent: 1, at: 3 } as never, /options of client.fork to be among .*, got at/);
  await refused(
    { atEvent: 4, replaceResult: { event: 4, result: 1 } as never },
    /options of replaceResult of client.fork to be among eventId, result, got event/,
  );
  await refused(
    { atEvent: 4, replaceResult: { eventId: 4 } as never },
    /replaceResult of client.fork to have a result, got none/,
  );
  await refused({ atEvent: 4, replaceResult: null as never }, /replaceResult of client.fork to be given an object/);
  await assert.rejects(env.client.fork("nobody", { atEvent: 1, newInstanceId: "x" }), fails("instance_not_found"));
  const pending = await env.startOrchestration("unregistered", undefined, { instanceId: "pending" });
  await assert.rejects(
    env.client.fork(pending.instanceId, { atEvent: 1, newInstanceId: "x" }),
    fails("configuration_invalid", /got none: it has not begun, or it was pruned/),
  );
  await env.client.delete("pending", { force: true });
  assert.equal((await env.client.list()).instances.length, 1);
});

test("forking twice to the same id makes one fork", async (t) => {
  const { entries, work } = ledger();
  const one = orchestration("one", async (ctx) => ctx.activity(work, "a"));
  const env = await environment(t, { orchestrations: [one], activities: [work] });
  await env.result(await env.startOrchestration(one, undefined, { instanceId: "origin" }));

  const outcomes = await Promise.allSettled([1, 2, 3].map(() => fork(env, { atEvent: 1 })));

  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  await assert.rejects(fork(env, { atEvent: 1 }), fails("instance_exists", /instance fork not to exist/));
  assert.equal(await env.result(env.client.instance("fork")), "a done");
  assert.equal(entries.length, 2);
});
