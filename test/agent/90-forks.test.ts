/** What if: yesterday's run of an agent, with another ending. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { agents } from "@stet/agent";
import { callTool, mock } from "@stet/mock";
import type { AgentResult } from "@stet/agent";
import { finish, fleet, start } from "./world.ts";

test("a fork of an agent goes on from a recorded place, with another result, and pays only for what is new", async (t) => {
  const { log, tools } = fleet();
  const llm = mock().on("chat", (_request, { prompt }) => {
    if (!prompt.includes("It answered")) return callTool("get_metrics", { vm: "a" });
    if (prompt.includes('{"cpu":5}')) return finish("success", "Nothing to do.");
    return prompt.includes("restarted") ? finish("success", "Restarted.") : callTool("restart_vm", { vm: "a" });
  });
  const { env, fixer } = await start(t, { tools, guardrails: { timeout: "1h" } }, [], { llm });
  const run = await env.startOrchestration(fixer, { goal: "Fix a" }, { instanceId: "origin" });
  assert.equal((await env.result(run)).summary, "Restarted.");
  const measured = (await run.history(1)).find(({ kind }) => kind === "ActivityCompleted");
  assert.ok(measured?.kind === "ActivityCompleted");

  const atEvent = measured.id;
  const replaceResult = { eventId: atEvent, result: { cpu: 5 } };
  await env.client.fork("origin", { execution: 1, atEvent, newInstanceId: "fork", replaceResult });
  const { summary, iterations, actions } = await env.result(env.client.instance<AgentResult>("fork"));

  assert.deepEqual([summary, iterations, actions], ["Nothing to do.", 2, { get_metrics: { completed: 1 } }]);
  assert.deepEqual(log, ["get_metrics a", "restart_vm a"]);
  assert.equal((await env.client.usage("fork")).tree.calls, 1);
});

test("a fork from before a decision asks for its own, and decisions of the origin are none for it", async (t) => {
  const { log, tools } = fleet();
  const llm = mock().on("chat", (_request, { prompt }) =>
    prompt.includes("restart_vm") || prompt.includes("not run") || prompt.includes("restarted")
      ? finish("success", ".")
      : callTool("restart_vm", { vm: "a" }),
  );
  const { env, fixer } = await start(t, { tools, guardrails: { approval: ["restart_vm"] } }, [], { llm });
  const { approvals } = agents(env.client);
  const run = await env.startOrchestration(fixer, { goal: "Fix a" }, { instanceId: "origin" });
  await env.settle();
  const [first] = (await approvals.list()).approvals;
  await approvals.approve("origin", first?.actionId ?? "", { by: "Grace" });
  await env.result(run);
  const [started] = await run.history(1);

  await env.client.fork("origin", { execution: 1, atEvent: started?.id ?? 1, newInstanceId: "fork" });
  await env.settle();
  const [second] = (await approvals.list()).approvals;
  assert.equal(second?.instanceId, "fork");
  assert.notEqual(second?.actionId, first?.actionId);
  await assert.rejects(approvals.approve("fork", first?.actionId ?? "", { by: "Grace" }), {
    code: "approval_not_open",
  });
  await approvals.reject("fork", second?.actionId ?? "", { by: "Ada" });
  const { actions } = await env.result(env.client.instance<AgentResult>("fork"));

  assert.deepEqual([actions, log], [{ restart_vm: { rejected: 1 } }, ["restart_vm a"]]);
});
