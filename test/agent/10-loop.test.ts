/** The loop of an agent: ask, act, remember, and again, in either way of planning. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { agent, definitionsOf, planJsonSchema, planSchema, tool, type AgentEvent } from "@stet/agent";
import { activity, LlmError } from "@stet/core";
import { callTool, says, type MockAnswer } from "@stet/mock";
import { z } from "zod";
import { aborted } from "../runtime/world.ts";
import { finish, fleet, plan, start } from "./world.ts";

test("an agent calls tools until the model finishes, one execution an iteration", async (t) => {
  const { log, tools } = fleet();
  const { env, fixer, llm } = await start(t, { tools }, [
    callTool("get_metrics", { vm: "web-1" }),
    callTool("restart_vm", { vm: "web-1" }),
    finish("success", "Restarted web-1."),
  ]);

  const run = await env.startOrchestration(fixer, { goal: "Fix the high CPU on web-1" });
  const result = await env.result(run);

  assert.deepEqual(log, ["get_metrics web-1", "restart_vm web-1"]);
  const { usage, costUsd, ...rest } = result;
  assert.deepEqual(rest, {
    outcome: "success",
    summary: "Restarted web-1.",
    iterations: 3,
    actions: { get_metrics: { completed: 1 }, restart_vm: { completed: 1 } },
  });
  assert.equal(usage.calls, 3);
  assert.equal(costUsd, usage.usd);
  assert.equal(usage.inputTokens, (await env.client.usage(run.instanceId)).tree.inputTokens);
  const executions = await env.client.executions(run.instanceId);
  assert.equal(executions.length, 3);
  for (const { execution } of executions)
    assert.ok((await run.history(execution)).length < 16, `execution ${execution}`);
  const [system, goal, first, said, answered, now] = llm.calls[1]?.request.messages ?? [];
  assert.match(system?.content ?? "", /You keep machines running/);
  assert.match(goal?.content ?? "", /Fix the high CPU on web-1/);
  assert.match(first?.content ?? "", /iteration 1 of at most 25/);
  assert.equal(said?.toolCalls?.[0]?.name, "get_metrics");
  assert.equal(answered?.toolCallId, said?.toolCalls?.[0]?.id);
  assert.match(answered?.content ?? "", /^It answered:\n<(text-[\w-]+)>\n\{"cpu":98\}\n<\/\1>$/);
  assert.match(now?.content ?? "", /iteration 2 of at most 25/);
});

test("a plan written as JSON runs in the same loop", async (t) => {
  const { log, tools } = fleet();
  const { env, fixer, llm } = await start(t, { tools, planning: "plan" }, [
    plan(
      [
        ["get_metrics", { vm: "web-1" }, "cpu"],
        ["get_metrics", { vm: "web-2" }, "other"],
      ],
      { parallel: true },
    ),
    plan([["restart_vm", { vm: "web-1" }, "step1"]]),
    plan([], { done: true, done_reason: "success", summary: "Restarted web-1." }),
  ]);

  const result = await env.result(await env.startOrchestration(fixer, { goal: "Fix web-1" }));

  assert.equal(result.outcome, "success");
  assert.deepEqual(log, ["get_metrics web-1", "get_metrics web-2", "restart_vm web-1"]);
  const { messages, format } = llm.calls[1]?.request ?? {};
  assert.deepEqual(format?.schema, planJsonSchema);
  assert.match(messages?.[0]?.content ?? "", /restart_vm: Restarts a virtual machine.*\nIts params by JSON Schema: \{/);
  assert.match(messages?.at(-2)?.content ?? "", /cpu \(get_metrics\): It answered:[^]*other \(get_metrics\)/);
});

test("a plan without actions or with one id twice is asked for again, with the reason", async (t) => {
  const { log, tools } = fleet();
  const { env, fixer, llm } = await start(t, { tools, planning: "plan" }, [
    { thought: "no actions" },
    plan([
      ["get_metrics", { vm: "a" }, "x"],
      ["get_metrics", { vm: "b" }, "x"],
    ]),
    plan([], { done: true, done_reason: "gave_up", summary: "I cannot." }),
  ]);

  const { outcome, iterations } = await env.result(await env.startOrchestration(fixer, { goal: "Fix it" }));

  assert.deepEqual([outcome, iterations, log], ["gave_up", 1, []]);
  assert.match(llm.calls[1]?.request.messages.at(-1)?.content ?? "", /actions/);
  assert.match(llm.calls[2]?.request.messages.at(-1)?.content ?? "", /own id, got another x at \$\.actions\[1\]\.id/);
});

test("the seed's plans satisfy the schema", () => {
  const seeds = [
    {
      thought: "check",
      actions: [{ tool: "top", params: { count: 10 }, id: "step1" }],
      parallel: false,
      done: false,
      done_reason: null,
    },
    {
      thought: "both",
      actions: [
        { tool: "cpu", params: {}, id: "cpu" },
        { tool: "mem", params: {}, id: "mem" },
      ],
      parallel: true,
      done: false,
    },
    { thought: "fine", actions: [], done: true, done_reason: "success", summary: "Resolved" },
  ];
  for (const seed of seeds) {
    const verdict = planSchema["~standard"].validate(seed);
    assert.ok(!(verdict instanceof Promise) && verdict.issues === undefined);
  }
  assert.deepEqual(planJsonSchema["required"], ["thought", "actions"]);
});

test("being done beside actions does not count: they run, and the model looks again", async (t) => {
  const { log, tools } = fleet();
  const { env, fixer, llm } = await start(t, { tools, planning: "plan" }, [
    plan([["restart_vm", { vm: "a" }, "x"]], { done: true, done_reason: "success", summary: "Done!" }),
    plan([], { done: true, summary: "Really done." }),
  ]);

  const { outcome, summary, iterations } = await env.result(await env.startOrchestration(fixer, { goal: "Fix it" }));

  assert.deepEqual([outcome, summary, iterations, log], ["success", "Really done.", 2, ["restart_vm a"]]);
  assert.match(llm.calls[1]?.request.messages.at(-1)?.content ?? "", /You were not done/);
});

test("a text without a call is the last word; finish beside other calls is refused, and nothing is run", async (t) => {
  const { log, tools } = fleet();
  const both = says("", {
    toolCalls: [
      { name: "restart_vm", arguments: { vm: "a" } },
      { name: "finish", arguments: { reason: "success", summary: "?" } },
    ],
  });
  const { env, fixer, llm } = await start(t, { tools }, [both, "All is well."]);

  const { outcome, summary } = await env.result(await env.startOrchestration(fixer, { goal: "Fix it" }));

  assert.deepEqual([outcome, summary, log], ["success", "All is well.", []]);
  assert.match(llm.calls[1]?.prompt ?? "", /finish must be called alone/);
});

test("actions in order stop at the first that fails; side by side all run", async (t) => {
  const actions = (): Parameters<typeof plan>[0] => [
    ["get_metrics", { vm: "a" }, "1"],
    ["get_metrics", { vm: "broken" }, "2"],
    ["restart_vm", { vm: "a" }, "3"],
  ];
  const { log, tools } = fleet();
  const { env, fixer, llm } = await start(t, { tools, planning: "plan" }, [
    plan(actions()),
    plan(actions(), { parallel: true }),
    plan([], { done: true, summary: "." }),
  ]);

  const { actions: counts } = await env.result(await env.startOrchestration(fixer, { goal: "Fix it" }));

  assert.deepEqual([log[0], ...log.slice(1).sort()], ["get_metrics a", "get_metrics a", "restart_vm a"]);
  assert.deepEqual(counts, { get_metrics: { completed: 2, failed: 2 }, restart_vm: { skipped: 1, completed: 1 } });
  assert.match(llm.calls[1]?.prompt ?? "", /2 \(get_metrics\): It failed:\n<text-[\w-]+>\nno such machine: broken/);
  assert.match(llm.calls[1]?.prompt ?? "", /3 \(restart_vm\): It was not run:\nget_metrics before it did not work/);
});

test("a model that fails for good fails the agent, and client.retry goes on where it stood", async (t) => {
  const { log, tools } = fleet();
  const answers: MockAnswer[] = [
    callTool("restart_vm", { vm: "a" }),
    new LlmError("auth", "no key"),
    finish("success", "Done."),
  ];
  const { env, fixer } = await start(t, { tools }, answers);

  const run = await env.startOrchestration(fixer, { goal: "Fix it" });
  await assert.rejects(env.result(run), { code: "orchestration_failed" });
  await env.client.retry(run.instanceId);
  const { outcome, iterations } = await env.result(run);

  assert.deepEqual([outcome, iterations, log], ["success", 2, ["restart_vm a"]]);
});

test("an agent tells what it does, across its executions", async (t) => {
  const { tools } = fleet();
  const { env, fixer } = await start(t, { tools }, [callTool("get_metrics", { vm: "a" }), finish("success", "Fine.")]);
  const run = await env.startOrchestration(fixer, { goal: "Look" });
  await env.result(run);

  const told: AgentEvent[] = [];
  for await (const { data } of run.outputs()) told.push(data as AgentEvent);

  assert.deepEqual(
    told.map((event) => event.kind),
    ["planned", "acted", "ended"],
  );
  const [planned, acted] = told;
  assert.ok(planned?.kind === "planned" && acted?.kind === "acted");
  assert.deepEqual(
    planned.actions.map(({ tool: name, arguments: args }) => [name, args]),
    [["get_metrics", { vm: "a" }]],
  );
  assert.equal(acted.actionId, planned.actions[0]?.id);
  assert.equal(acted.excerpt, '{"cpu":98}');
});

test("agent() refuses what cannot work, and says what", () => {
  const { tools } = fleet();
  const [one] = tools;
  assert.ok(one);
  const refused = (options: object, message: RegExp): void =>
    assert.throws(() => agent({ name: "a", tools, ...options }), { name: "ConfigurationError", message });

  refused({ name: "1" }, /name of the agent to start with a letter/);
  refused({ tool: [] }, /options of agent a to be among name, tools.*got tool/);
  refused({ planning: "magic" }, /planning of agent a to be "tools" or "plan", got "magic"/);
  refused({ guardrails: { maxIteration: 3 } }, /guardrails of agent a to be among.*got maxIteration/);
  refused({ guardrails: { maxIterations: 0 } }, /maxIterations of agent a to be a whole number from 1, got 0/);
  refused({ guardrails: { forbidden: ["restart"] } }, /forbidden of agent a to name its tools.*got "restart"/);
  refused({ guardrails: { approval: ["restart"] } }, /approval of agent a to name its tools.*got "restart"/);
  refused({ guardrails: { timeout: "soon" } }, /timeout of agent a to be milliseconds or a string/);
  refused({ memory: { keepLast: -1 } }, /keepLast of the memory of agent a to be a whole number from 1, got -1/);
  refused({ model: { temprature: 1 } }, /options of model of agent a to be among.*got temprature/);
  refused({ tools: [activity("x", () => 1)] }, /tools to be made by tool\(\) or toolSet\(\)/);
  const other = tool(
    activity("z", { description: "z", input: z.object({}) }, () => 1),
    { name: one.name },
  );
  refused({ tools: [one, other] }, /tools of a to differ in name, got two get_metrics/);
});

test("definitionsOf() has each definition once, with agents below and what they call", () => {
  const { tools } = fleet();
  const helper = agent({ name: "helper", description: "Helps.", tools });
  const boss = agent({ name: "boss", tools: [...tools, tool(helper)] });

  const { orchestrations, activities } = definitionsOf(boss, helper);

  assert.deepEqual(
    orchestrations.map(({ name }) => name),
    ["boss", "boss/helper", "helper"],
  );
  assert.deepEqual(activities.map(({ name }) => name).sort(), ["get_metrics", "restart_vm"]);
});

test("an agent is cancelled like any orchestration, and says what it had done", async (t) => {
  const { tools } = fleet();
  const hang = tool(activity("hang", { description: "Hangs." }, (ctx) => aborted(ctx.signal)));
  const { env, fixer } = await start(t, { tools: [...tools, hang] }, [
    callTool("get_metrics", { vm: "a" }),
    callTool("hang"),
  ]);
  const run = await env.startOrchestration(fixer, { goal: "Look" });
  await env.until(async () =>
    (await run.status()).waitingFor.some((wait) => wait.kind === "activity" && wait.name === "hang"),
  );

  await run.cancel("enough");
  const { outcome, summary, actions } = await env.result(run);

  assert.equal(outcome, "cancelled");
  assert.match(summary, /enough/);
  assert.deepEqual(actions, { get_metrics: { completed: 1 } });
});
