/**
 * Testing: thirty days pass in a moment, a process dies when the test says so, and yesterday's history is replayed
 * against today's code. The lines below would stand in a test file; they need no test runner of their own.
 *
 * Prints:
 *   ok: the reminder goes out after thirty days, not before
 *   ok: the thirty days survive the death of the process
 *   ok: one turn, without store or clock
 *   ok: the history fits the code that made it
 *   ok: code that reminds twice does not fit it: the code asks for more than was recorded
 *   ok: code that does it only for new instances does
 */
import assert from "node:assert/strict";
import { activity, orchestration } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { TestEnvironment, given, replayHistory, start } from "@stet/testing";

// The code under test

const sent: string[] = [];
const mail = activity("mail", async (_ctx, customer: string) => {
  sent.push(customer);
});
const remind = orchestration("remind", async (ctx, customer: string) => {
  await ctx.timer("30d");
  await ctx.activity(mail, customer);
  return "reminded";
});

// Virtual time

const env = await TestEnvironment.start({
  storage: sqlite(":memory:"),
  orchestrations: [remind],
  activities: [mail],
  logger: { debug() {}, info() {}, warn() {}, error() {} },
});
const ada = await env.startOrchestration(remind, "Ada");
await env.advance("29d");
assert.deepEqual(sent, []);
await env.advance("1d");
assert.deepEqual(sent, ["Ada"]);
console.log("ok: the reminder goes out after thirty days, not before");

// A crash in the middle

const bob = await env.startOrchestration(remind, "Bob");
await env.advance("15d");
await env.restart();
assert.equal(await env.result(bob), "reminded");
assert.deepEqual(sent, ["Ada", "Bob"]);
console.log("ok: the thirty days survive the death of the process");

// Given, when, then

const first = await given(remind).when(start("Cleo"));
assert.deepEqual(
  first.events.map(({ kind }) => kind),
  ["OrchestrationStarted", "TimerCreated"],
);
const second = await first.when({ kind: "TimerFired", source: 2 });
assert.deepEqual(
  second.events.map(({ kind }) => kind),
  ["TimerFired", "ActivityScheduled"],
);
console.log("ok: one turn, without store or clock");

// Yesterday's history, today's code

const history = await env.client.instance(ada.instanceId).history();
const same = await replayHistory(remind, history);
assert.equal(same.failure, undefined);
console.log("ok: the history fits the code that made it");

const remindTwice = orchestration("remind", async (ctx, customer: string) => {
  await ctx.timer("30d");
  await ctx.activity(mail, customer);
  await ctx.activity(mail, customer);
  return "reminded";
});
const changed = await replayHistory(remindTwice, history);
const why = /the code asks for more than was recorded/.exec(changed.failure?.message ?? "");
assert.ok(why);
console.log(`ok: code that reminds twice does not fit it: ${why[0]}`);

const remindTwiceFromNowOn = orchestration("remind", async (ctx, customer: string) => {
  await ctx.timer("30d");
  await ctx.activity(mail, customer);
  if (ctx.patched("remind-twice")) await ctx.activity(mail, customer);
  return "reminded";
});
const patched = await replayHistory(remindTwiceFromNowOn, history);
assert.equal(patched.failure, undefined);
console.log("ok: code that does it only for new instances does");

await env.close(); // replays every history in the store against the registered code
