/** External events: kept until somebody waits, in order, once, and told to those who ask what is awaited. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStetError, orchestration, type StetError } from "@stet/core";
import { z } from "zod";
import { environment, fails, kinds, ofKind } from "./world.ts";

/** Receives `count` events of one name. */
const collect = orchestration("collect", async (ctx, count: number) => {
  const received: unknown[] = [];
  for (let i = 0; i < count; i++) received.push((await ctx.waitForEvent("item")) ?? null);
  return received;
});

test("an event reaches the code that waits for it, with its data", async (t) => {
  const env = await environment(t, { orchestrations: [collect] });
  const run = await env.startOrchestration(collect, 6);
  await env.settle();
  const values = [null, 0, "", false, { a: [1, { b: "ü" }] }];
  for (const value of values) await run.raiseEvent("item", value);
  await run.raiseEvent("item");
  assert.deepEqual(await env.result(run), [...values, null]);
  const history = await run.history();
  assert.equal("data" in (ofKind(history, "EventReceived")[5] ?? {}), false, "no data is no data");
});

test("events that come before anybody waits are kept in order, by name", async (t) => {
  const late = orchestration("late", async (ctx) => {
    await ctx.timer("1h");
    const b = await ctx.waitForEvent("b");
    const a1 = await ctx.waitForEvent("a");
    const a2 = await ctx.waitForEvent("a");
    return [b, a1, a2];
  });
  const env = await environment(t, { orchestrations: [late] });

  const run = await env.startOrchestration(late);
  await env.settle();
  await run.raiseEvent("a", "a1");
  await run.raiseEvent("a", "a2");
  await run.raiseEvent("b", "b1");
  await env.restart();
  assert.deepEqual(await env.result(run), ["b1", "a1", "a2"]);
});

test("events that come before the first turn are kept", async (t) => {
  const env = await environment(t, { orchestrations: [collect] });
  await env.crash();
  const run = await env.startOrchestration(collect, 3);
  for (const n of [1, 2, 3]) await run.raiseEvent("item", n);
  assert.equal((await run.status()).status, "pending");
  await env.restart();
  assert.deepEqual(await env.result(run), [1, 2, 3]);
});

test("a second event with the same idempotency key is dropped, also after the first was received", async (t) => {
  const env = await environment(t, { orchestrations: [collect] });
  const run = await env.startOrchestration(collect, 3);
  await run.raiseEvent("item", "one", { idempotencyKey: "k1" });
  await run.raiseEvent("item", "one again", { idempotencyKey: "k1" });
  await env.settle();
  await run.raiseEvent("item", "and again", { idempotencyKey: "k1" });
  await env.restart();
  await run.raiseEvent("item", "for ever", { idempotencyKey: "k1" });
  await run.raiseEvent("item", "two", { idempotencyKey: "k2" });
  await run.raiseEvent("item", "three");
  assert.deepEqual(await env.result(run), ["one", "two", "three"]);
});

test("the same key is another key for another instance", async (t) => {
  const env = await environment(t, { orchestrations: [collect] });
  const runs = [await env.startOrchestration(collect, 1), await env.startOrchestration(collect, 1)];
  for (const run of runs) await run.raiseEvent("item", "x", { idempotencyKey: "same" });
  for (const run of runs) assert.deepEqual(await env.result(run), ["x"]);
});

test("events not yet received go with continue-as-new", async (t) => {
  const drip = orchestration("drip", async (ctx, received: readonly unknown[]) => {
    const next = [...received, await ctx.waitForEvent("item")];
    return next.length < 5 ? ctx.continueAsNew(next) : next;
  });
  const env = await environment(t, { orchestrations: [drip] });
  const run = await env.startOrchestration(drip, []);
  await env.crash();
  for (const n of [1, 2, 3]) await run.raiseEvent("item", n);
  await env.restart();
  await env.settle();
  await run.raiseEvent("item", 4);
  await run.raiseEvent("item", 5);
  assert.deepEqual(await env.result(run), [1, 2, 3, 4, 5]);
  assert.equal((await run.status()).execution, 5);
});

test("500 buffered events are received in order, across continue-as-new and a crash", async (t) => {
  const drain = orchestration("drain", async (ctx, seen: readonly number[]) => {
    const next = [...seen];
    for (let i = 0; i < 100; i++) next.push(await ctx.waitForEvent<number>("item"));
    return next.length < 500 ? ctx.continueAsNew(next) : next;
  });
  const env = await environment(t, { orchestrations: [drain] });
  const run = await env.startOrchestration(drain, []);
  await Promise.all(Array.from({ length: 250 }, (_, n) => run.raiseEvent("item", n)));
  await env.settle();
  await env.crash();
  for (let n = 250; n < 500; n++) await run.raiseEvent("item", n);
  await env.restart();
  assert.deepEqual(
    await env.result(run),
    Array.from({ length: 500 }, (_, n) => n),
  );
});

test("several waits for one name are served in the order in which they were made; a cancelled one takes nothing", async (t) => {
  const three = orchestration("three", async (ctx) => {
    const waits = [ctx.waitForEvent("x"), ctx.waitForEvent("x"), ctx.waitForEvent("x")] as const;
    await ctx.timer("1m");
    waits[1].cancel();
    return [await waits[0], await waits[1].catch(() => "cancelled"), await waits[2]];
  });
  const env = await environment(t, { orchestrations: [three] });
  const run = await env.startOrchestration(three);
  await env.advance("1m");
  await run.raiseEvent("x", 1);
  await run.raiseEvent("x", 2);
  assert.deepEqual(await env.result(run), [1, "cancelled", 2]);
});

test("a wait with a timeout gives up with an error that code may catch, and a later event is kept for the next", async (t) => {
  const patient = orchestration("patient", async (ctx) => {
    try {
      return await ctx.waitForEvent("approval", { timeout: "3d" });
    } catch (error) {
      assert.ok(isStetError(error, "timeout"), String(error));
      return [error.message, await ctx.waitForEvent("approval")];
    }
  });
  const env = await environment(t, { orchestrations: [patient] });
  const run = await env.startOrchestration(patient, undefined, { instanceId: "p" });
  await env.advance("3d");
  await run.raiseEvent("approval", "too late, but welcome");
  assert.deepEqual(await env.result(run), [
    "Expected event approval of instance p within 259200 s, got none",
    "too late, but welcome",
  ]);
});

test("an event in time cancels the timeout: no later turn", async (t) => {
  const patient = orchestration("patient", async (ctx) => {
    const answer = await ctx.waitForEvent("approval", { timeout: "3d" });
    await ctx.waitForEvent("end");
    return answer;
  });
  const env = await environment(t, { orchestrations: [patient] });
  const run = await env.startOrchestration(patient);
  await env.settle();
  await run.raiseEvent("approval", "yes");
  await env.settle();
  const before = await run.history();
  await env.advance("10d");
  assert.deepEqual(await run.history(), before);
  assert.ok(kinds(before).includes("TimerCancelled"));
  await run.raiseEvent("end");
  assert.equal(await env.result(run), "yes");
});

test("an event that does not satisfy the schema rejects the wait, and the next one is waited for anew", async (t) => {
  const schema = z.object({ approved: z.boolean() });
  const strict = orchestration("strict", async (ctx) => {
    const problems: string[] = [];
    for (;;) {
      try {
        return { ...(await ctx.waitForEvent("approval", { schema })), problems };
      } catch (error) {
        problems.push(`${(error as StetError).code}: ${(error as StetError).message}`);
      }
    }
  });
  const env = await environment(t, { orchestrations: [strict] });
  const run = await env.startOrchestration(strict);
  await run.raiseEvent("approval", { approved: "yes" });
  await run.raiseEvent("approval", { approved: true });
  assert.deepEqual(await env.result(run), {
    approved: true,
    problems: [
      "input_invalid: Expected the data of event approval to satisfy its schema, got: Invalid input: expected boolean, received string at $.approved",
    ],
  });
});

test("tryReceive answers what is there and never waits", async (t) => {
  const drain = orchestration("drain", async (ctx) => {
    const none = ctx.tryReceive("item");
    await ctx.timer("1m");
    const items: unknown[] = [];
    for (let next = ctx.tryReceive("item"); next !== undefined; next = ctx.tryReceive("item")) items.push(next.data);
    return [none === undefined, ...items];
  });
  const env = await environment(t, { orchestrations: [drain] });
  const run = await env.startOrchestration(drain);
  await env.settle();
  for (const n of [1, null, 3]) await run.raiseEvent("item", n);
  assert.deepEqual(await env.result(run), [true, 1, null, 3]);
});

test("what is waited for and why is listed, everywhere and by instance, until it came", async (t) => {
  const ask = orchestration("ask", async (ctx, amount: number) => {
    const answer = await ctx.waitForEvent<boolean>("approval", { timeout: "3d", details: { amount, why: ["limit"] } });
    await ctx.waitForEvent("receipt");
    return answer;
  });
  const env = await environment(t, { orchestrations: [ask] });
  const since = env.clock.now();
  const [first, second] = [
    await env.startOrchestration(ask, 100, { instanceId: "i-1" }),
    await env.startOrchestration(ask, 200, { instanceId: "i-2" }),
  ];
  await env.settle();

  const timeoutAt = since + 3 * 86_400_000;
  const wait = (id: string, amount: number) => ({
    instanceId: id,
    rootId: id,
    orchestration: "ask",
    execution: 1,
    eventId: 2,
    name: "approval",
    details: { amount, why: ["limit"] },
    since,
    timeoutAt,
  });
  const { waits } = await env.client.pendingWaits({ name: "approval" });
  const byId = [...waits].sort((a, b) => a.instanceId.localeCompare(b.instanceId));
  assert.deepEqual(byId, [wait("i-1", 100), wait("i-2", 200)]);
  assert.deepEqual((await env.client.pendingWaits({ instanceId: "i-2" })).waits, [wait("i-2", 200)]);
  assert.deepEqual((await first.status()).waitingFor, [
    { kind: "event", name: "approval", eventId: 2, since, details: { amount: 100, why: ["limit"] }, timeoutAt },
    { kind: "timer", eventId: 3, since, fireAt: timeoutAt },
  ]);

  await first.raiseEvent("approval", true);
  await env.settle();
  assert.deepEqual(
    (await env.client.pendingWaits({ instanceId: "i-1" })).waits.map(({ name }) => name),
    ["receipt"],
  );
  assert.deepEqual(
    (await first.status()).waitingFor.map((each) => [each.kind, each.kind === "event" && each.name]),
    [["event", "receipt"]],
  );
  await first.raiseEvent("receipt");
  assert.equal(await env.result(first), true);
  assert.deepEqual((await first.status()).waitingFor, []);
  assert.deepEqual((await env.client.pendingWaits({ instanceId: "i-1" })).waits, []);
  await second.terminate();
  await env.settle();
  assert.deepEqual((await env.client.pendingWaits()).waits, []);
});

test("a wait that a kept event satisfies at once is never listed", async (t) => {
  const late = orchestration("late", async (ctx) => {
    await ctx.timer("1h");
    await ctx.waitForEvent("early");
    await ctx.waitForEvent("end");
  });
  const env = await environment(t, { orchestrations: [late] });
  const run = await env.startOrchestration(late);
  await env.settle();
  await run.raiseEvent("early");
  await env.advance("1h");
  assert.deepEqual(
    (await env.client.pendingWaits()).waits.map(({ name }) => name),
    ["end"],
  );
  assert.deepEqual(
    (await run.status()).waitingFor.map((each) => each.kind === "event" && each.name),
    ["end"],
  );
});

test("an event to an instance that is unknown or has ended is refused", async (t) => {
  const env = await environment(t, { orchestrations: [collect] });
  await assert.rejects(
    env.client.instance("nobody").raiseEvent("item"),
    fails("instance_not_found", "Expected instance nobody to exist, got none: it was never started, or it was deleted"),
  );
  const run = await env.startOrchestration(collect, 0, { instanceId: "over" });
  await env.result(run);
  await assert.rejects(
    run.raiseEvent("item"),
    fails("instance_ended", "Expected instance over to be running to receive event item, got one that has ended"),
  );
});

test("orchestrations send events to each other; to nobody they are dropped and hold up nothing", async (t) => {
  const sender = orchestration("sender", async (ctx, to: string) => {
    ctx.sendEvent("nobody", "item", 0);
    ctx.sendEvent("ended", "item", 0);
    ctx.sendEvent(to, "item", { from: ctx.instanceId });
    ctx.sendEvent("nobody either", "item", 0);
    return "sent";
  });
  const env = await environment(t, { orchestrations: [sender, collect] });
  const ended = await env.startOrchestration(collect, 0, { instanceId: "ended" });
  await env.result(ended);
  const receiver = await env.startOrchestration(collect, 1, { instanceId: "receiver" });
  const run = await env.startOrchestration(sender, "receiver", { instanceId: "s" });
  assert.equal(await env.result(run), "sent");
  assert.deepEqual(await env.result(receiver), [{ from: "s" }]);
  assert.deepEqual((await env.client.stats()).messages, { ready: 0, delayed: 0 });
});

test("an instance can send events to itself", async (t) => {
  const self = orchestration("self", async (ctx) => {
    ctx.sendEvent(ctx.instanceId, "echo", 1);
    return ctx.waitForEvent("echo");
  });
  const env = await environment(t, { orchestrations: [self] });
  assert.equal(await env.result(await env.startOrchestration(self)), 1);
});

test("events raised side by side are all received, once", async (t) => {
  const env = await environment(t, { orchestrations: [collect] });
  const run = await env.startOrchestration(collect, 100);
  await Promise.all(Array.from({ length: 100 }, (_, n) => run.raiseEvent("item", n)));
  const received = (await env.result(run)) as number[];
  assert.deepEqual(
    received.toSorted((a, b) => a - b),
    Array.from({ length: 100 }, (_, n) => n),
  );
});
