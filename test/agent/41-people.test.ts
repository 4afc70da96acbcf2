/** People and a running agent: they write to it, change its goal, pause it, and answer what it asks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { agents, askHuman, note, wait } from "@stet/agent";
import { callTool } from "@stet/mock";
import { finish, fleet, plan, start } from "./world.ts";

test("what people write reaches the next question, and ends a wait", async (t) => {
  const { env, fixer, llm } = await start(t, { tools: [wait] }, [
    callTool("wait", { minutes: 60 }),
    callTool("wait", { minutes: 60 }),
    finish("success", "."),
  ]);
  const run = await env.startOrchestration(fixer, { goal: "Watch" }, { instanceId: "w" });
  const began = env.clock.now();
  await env.advance("10m");
  assert.equal(llm.calls.length, 1);
  await agents(env.client).send("w", "The customer has called again.", { by: "Ada" });
  await env.settle();
  assert.match(llm.calls[1]?.prompt ?? "", /Somebody wrote to you before the time was over/);
  assert.match(llm.calls[1]?.prompt ?? "", /A message from Ada: The customer has called again\./);

  await env.result(run);

  assert.equal(env.clock.now() - began, 70 * 60_000);
  assert.match(llm.calls[2]?.prompt ?? "", /The time is over/);
});

test("what people write while the model plans a wait is not slept through", async (t) => {
  const { env, fixer, llm } = await start(t, { tools: [wait] }, [
    async () => {
      await agents(env.client).send("w", "It is urgent.", { by: "Ada" });
      return callTool("wait", { minutes: 60 });
    },
    finish("success", "."),
  ]);
  const began = env.clock.now();

  await env.result(await env.startOrchestration(fixer, { goal: "Watch" }, { instanceId: "w" }));

  assert.equal(env.clock.now(), began);
  assert.match(llm.calls[1]?.prompt ?? "", /A message from Ada: It is urgent\./);
});

test("a question to people waits for their answer, also through a restart", async (t) => {
  const { env, fixer, llm } = await start(t, { tools: [askHuman] }, [
    callTool("ask_human", { question: "Which region?" }),
    finish("success", "."),
  ]);
  const run = await env.startOrchestration(fixer, { goal: "Provision" }, { instanceId: "p" });
  await env.settle();
  const people = agents(env.client);
  const { questions } = await people.questions();
  assert.deepEqual(
    questions.map(({ agent, text, iteration }) => [agent, text, iteration]),
    [["fixer", "Which region?", 1]],
  );
  await env.restart();

  await people.send("p", "Frankfurt");
  await env.result(run);

  assert.match(llm.calls[1]?.prompt ?? "", /It answered:\nThe people in charge: Frankfurt/);
  assert.deepEqual((await people.questions()).questions, []);
});

test("another goal withdraws what waits for approval and skips the rest of the plan", async (t) => {
  const { log, tools } = fleet();
  const { env, fixer, llm } = await start(
    t,
    { tools: [...tools, askHuman, wait], planning: "plan", guardrails: { approval: ["restart_vm"] } },
    [
      plan([["restart_vm", { vm: "a" }, "1"]]),
      plan([
        ["wait", { minutes: 60 }, "1"],
        ["get_metrics", { vm: "a" }, "2"],
      ]),
      plan([["ask_human", { question: "?" }, "1"]]),
      plan([], { done: true, summary: "." }),
    ],
  );
  const people = agents(env.client);
  const run = await env.startOrchestration(fixer, { goal: "Restart a" }, { instanceId: "g" });
  await env.settle();
  await people.changeGoal("g", "Leave a alone", { by: "Ada" });
  await env.settle();
  assert.deepEqual((await people.approvals.list()).approvals, []);
  const messages = llm.calls[1]?.request.messages ?? [];
  const [goal, last] = [messages[1], messages.at(-1)];
  assert.equal(goal?.content, "The goal:\nLeave a alone");
  assert.match(last?.content ?? "", /Ada has changed the goal\. It is now: Leave a alone/);

  await people.changeGoal("g", "Do nothing", { by: "Ada" });
  await env.settle();
  assert.match(llm.calls[2]?.prompt ?? "", /2 \(get_metrics\): It was not run:\nthe goal was changed/);
  await people.changeGoal("g", "Do even less", { by: "Ada" });
  const { actions } = await env.result(run);

  assert.deepEqual(log, []);
  assert.deepEqual(actions, {
    restart_vm: { rejected: 1 },
    wait: { completed: 1 },
    get_metrics: { skipped: 1 },
    ask_human: { skipped: 1 },
  });
});

test("what people say while the model is asked is heard: an agent that would end goes on, and a plan for the old goal is dropped", async (t) => {
  const { log, tools } = fleet();
  const { env, fixer, llm } = await start(t, { tools }, [
    async () => {
      await agents(env.client).send("busy", "One more thing.", { by: "Ada" });
      return finish("success", "Done.");
    },
    async () => {
      await agents(env.client).changeGoal("busy", "Look at nothing.", { by: "Ada" });
      return callTool("get_metrics", { vm: "a" });
    },
    finish("success", "Really done."),
  ]);
  const run = await env.startOrchestration(fixer, { goal: "Look" }, { instanceId: "busy" });

  const { summary, iterations, actions } = await env.result(run);

  assert.deepEqual([summary, iterations, log], ["Really done.", 3, []]);
  assert.deepEqual(actions, { get_metrics: { skipped: 1 } });
  assert.match(
    llm.calls[1]?.request.messages.at(-1)?.content ?? "",
    /^You were not done with "Done\.": this has come meanwhile\.\n\nA message from Ada: One more thing\./,
  );
  assert.match(llm.calls[2]?.prompt ?? "", /It was not run:\nthe goal was changed/);
});

test("a paused agent asks nothing and does nothing until it is resumed, and its time goes on", async (t) => {
  const { log, tools } = fleet();
  const { env, fixer, llm } = await start(
    t,
    { tools: [...tools, wait], planning: "plan", guardrails: { timeout: "3h" } },
    [
      plan([
        ["wait", { minutes: 5 }, "1"],
        ["get_metrics", { vm: "a" }, "2"],
      ]),
      plan([["wait", { minutes: 600 }, "1"]]),
    ],
  );
  const people = agents(env.client);
  const run = await env.startOrchestration(fixer, { goal: "Watch" }, { instanceId: "p" });
  await env.settle();
  await people.pause("p", { by: "Ada" });
  await env.advance("1h");
  assert.deepEqual([log, llm.calls.length], [[], 1]);
  assert.deepEqual((await run.status()).customStatus, { iteration: 1, phase: "paused", costUsd: 0.25 });
  await env.restart();
  await people.send("p", "Are you there?");
  await env.settle();
  assert.deepEqual([log, llm.calls.length], [[], 1]);

  await people.resume("p", { by: "Ada" });
  await env.settle();
  assert.deepEqual([log, llm.calls.length], [["get_metrics a"], 2]);
  assert.match(llm.calls[1]?.prompt ?? "", /Are you there\?/);
  await people.pause("p", { by: "Ada" });

  assert.equal((await env.result(run)).outcome, "timeout");
});

test("notes are shown every time as material, and there is room for only so many", async (t) => {
  const { env, fixer, llm } = await start(t, { tools: [note] }, [
    callTool("note", { text: "The door code is 17." }),
    callTool("note", { text: "x".repeat(2_000) }),
    callTool("note", { text: "y".repeat(2_000) }),
    callTool("note", { text: "z".repeat(2_000) }),
    callTool("note", { text: "w".repeat(2_000) }),
    finish("success", "."),
  ]);
  const { actions } = await env.result(await env.startOrchestration(fixer, { goal: "Keep it" }));

  assert.deepEqual(actions, { note: { completed: 4, failed: 1 } });
  assert.match(
    llm.calls.at(-1)?.request.messages[2]?.content ?? "",
    /^Your notes:\n<text-.*>\n- The door code is 17\./,
  );
  assert.match(llm.calls.at(-1)?.prompt ?? "", /there is room for 8000 characters of notes, and this would make 8020/);
});

test("what agents would not understand is refused at the door, and an ended one cannot be told anything", async (t) => {
  const { env, fixer } = await start(t, { tools: [] }, [finish("success", ".")]);
  const run = await env.startOrchestration(fixer, { goal: "Nothing" }, { instanceId: "e" });
  await env.result(run);
  const people = agents(env.client);

  await assert.rejects(people.send("e", ""), {
    code: "input_invalid",
    message: /somebody tells an agent.*at \$\.text/,
  });
  await assert.rejects(people.pause("e", { by: "" }), { code: "input_invalid" });
  await assert.rejects(people.send("e", "Hello"), { code: "instance_ended" });
  await assert.rejects(people.send("nobody", "Hello"), { code: "instance_not_found" });
});
