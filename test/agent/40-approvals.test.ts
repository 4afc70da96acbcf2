/** Approvals: actions that wait for people, and every way in which people may decide about them. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { agents, tool, type AgentEvent, type AgentOptions, type Approvals, type Guardrails } from "@stet/agent";
import { activity, type Payload } from "@stet/core";
import { callTool, says, type MockAnswer } from "@stet/mock";
import { z } from "zod";
import { finish, fleet, plan, start } from "./world.ts";

/** An agent that wants to restart a machine, and has asked. */
async function asked(
  t: TestContext,
  guardrails: Guardrails,
  more: readonly MockAnswer[] = [],
  options: Partial<AgentOptions> = {},
) {
  const { log, tools } = fleet();
  const { env, fixer, llm } = await start(t, { tools, guardrails, ...options }, [
    callTool("restart_vm", { vm: "a" }),
    ...more,
    finish("success", "."),
  ]);
  const people = agents(env.client);
  const run = await env.startOrchestration(fixer, { goal: "Fix a" }, { instanceId: "fix" });
  await env.settle();
  const { approvals } = await people.approvals.list();
  const [approval] = approvals;
  assert.ok(approval, "Expected the agent to wait for approval");
  const events = async (): Promise<AgentEvent[]> => {
    const told: AgentEvent[] = [];
    for await (const { data } of run.outputs()) told.push(data as AgentEvent);
    return told;
  };
  /** What the model is told about the action in the end. */
  const outcome = async (): Promise<string> => {
    await env.result(run);
    return llm.calls[1]?.request.messages.find(({ role }) => role === "tool")?.content ?? "";
  };
  return { env, run, llm, log, people, approval, events, outcome };
}

const list = { approval: ["restart_vm"] };

test("an action that needs approval waits, and says what it is, why, since when and at what cost", async (t) => {
  const { env, log, run, people, approval, outcome } = await asked(t, { ...list, approvalTimeout: "1h" });

  const { since, actionId, ...rest } = approval;
  assert.match(actionId, /^1-1-\w{4}$/);
  assert.equal(since, env.clock.now());
  assert.deepEqual(rest, {
    instanceId: "fix",
    rootId: "fix",
    agent: "fixer",
    iteration: 1,
    costUsd: 0.25,
    tool: "restart_vm",
    arguments: { vm: "a" },
    effect: "irreversible",
    thought: "",
    why: "the rules of this agent ask for it",
    expiresAt: since + 3_600_000,
    quorum: 1,
    approvedBy: [],
  });
  assert.deepEqual((await run.status()).customStatus, { iteration: 1, phase: "waiting for approval", costUsd: 0.25 });
  await env.restart();
  await env.advance("30m");
  assert.deepEqual(log, []);

  await people.approvals.approve("fix", actionId, { by: "Grace" });

  assert.match(await outcome(), /^It answered:\n<.*>\nrestarted/);
  assert.deepEqual(log, ["restart_vm a"]);
  assert.deepEqual((await people.approvals.list()).approvals, []);
});

test("a rejection reaches the next question with its reason, and nothing is run", async (t) => {
  const { log, people, approval, outcome, env, run } = await asked(t, list);

  await people.approvals.reject("fix", approval.actionId, { by: "Grace", reason: "customers are on it" });

  assert.equal(await outcome(), "It was rejected and not run:\nGrace rejected it: customers are on it");
  assert.deepEqual(log, []);
  assert.deepEqual((await env.result(run)).actions, { restart_vm: { rejected: 1 } });
});

test("nobody's answer counts as a rejection", async (t) => {
  const { env, log, outcome, events } = await asked(t, { ...list, approvalTimeout: "1h" });

  await env.advance("59m");
  assert.deepEqual(log, []);
  await env.advance("2m");

  assert.match(await outcome(), /rejected and not run:\nnobody decided about it in time/);
  assert.ok((await events()).some((event) => event.kind === "decided" && event.decision === "expired"));
});

test("an action runs with edited arguments when they fit, and the model is told", async (t) => {
  const { env, log, people, approval, outcome } = await asked(t, list);
  const approve = (args: Payload) =>
    people.approvals.approve("fix", approval.actionId, { by: "Grace", arguments: args }).then(() => env.settle());

  await approve({ vm: 7 });
  const { approvals } = await people.approvals.list();
  assert.match(approvals[0]?.problem ?? "", /the arguments of Grace cannot be used: .*at \$\.vm/);
  assert.deepEqual([approvals[0]?.arguments, approvals[0]?.approvedBy, log], [{ vm: "a" }, [], []]);
  await approve({ vm: "b" });

  assert.match(await outcome(), /It answered:[^]*Approved with other arguments: \{"vm":"b"\}\nrestarted/);
  assert.deepEqual(log, ["restart_vm b"]);
});

test("a person may take an action over", async (t) => {
  const { log, people, approval, outcome, env, run } = await asked(t, list);

  await people.approvals.takeOver("fix", approval.actionId, { by: "Grace", result: { restarted: "by hand" } });

  assert.match(await outcome(), /^A person did it instead:\nGrace did it and says: \{"restarted":"by hand"\}/);
  assert.deepEqual(log, []);
  assert.deepEqual((await env.result(run)).actions, { restart_vm: { takenOver: 1 } });
});

test("a quorum needs so many people, each once; one who rejects is enough", async (t) => {
  const { env, log, people, approval } = await asked(t, { ...list, quorum: 2 });
  const approve = (by: string) => people.approvals.approve("fix", approval.actionId, { by }).then(() => env.settle());
  const votes = async () => (await people.approvals.list()).approvals[0]?.approvedBy;

  await approve("Grace");
  await approve("Grace");
  assert.deepEqual([await votes(), log], [["Grace"], []]);
  await approve("Ada");

  assert.deepEqual([await votes(), log], [undefined, ["restart_vm a"]]);

  const other = await asked(t, { ...list, quorum: 2 });
  await other.people.approvals.approve("fix", other.approval.actionId, { by: "Grace" });
  await other.people.approvals.reject("fix", other.approval.actionId, { by: "Ada" });
  assert.match(await other.outcome(), /Ada rejected it$/);
  assert.deepEqual(other.log, []);
});

test("who edits the arguments begins the quorum anew, and the edit stays", async (t) => {
  const { env, log, people, approval } = await asked(t, { ...list, quorum: 2 });
  const approve: Approvals["approve"] = (...args) => people.approvals.approve(...args);

  await approve("fix", approval.actionId, { by: "Grace" });
  await approve("fix", approval.actionId, { by: "Ada", arguments: { vm: "b" } });
  await env.settle();
  const { approvals } = await people.approvals.list();
  assert.deepEqual([approvals[0]?.approvedBy, approvals[0]?.arguments, log], [["Ada"], { vm: "b" }, []]);
  await approve("fix", approval.actionId, { by: "Grace" });
  await env.settle();

  assert.deepEqual(log, ["restart_vm b"]);
});

test("decisions about old and unknown actions change nothing and say so, at the door and behind it", async (t) => {
  const { env, log, people, approval, events, run } = await asked(t, list, [callTool("get_metrics", { vm: "a" })]);
  const { actionId } = approval;

  await assert.rejects(people.approvals.approve("fix", "1-2-0000", { by: "Grace" }), {
    code: "approval_not_open",
    message: new RegExp(`Expected action 1-2-0000 of instance fix to wait for approval, got only ${actionId}`),
  });
  await assert.rejects(people.approvals.approve("nobody", actionId, { by: "Grace" }), { code: "approval_not_open" });
  // Two people at once: both find it waiting.
  const note = { kind: "decision", actionId, by: "Grace" };
  await run.raiseEvent("agent.inbox", { ...note, actionId: "9-9-early", verdict: "approve" });
  await run.raiseEvent("agent.inbox", { ...note, verdict: "reject", reason: "no" });
  await run.raiseEvent("agent.inbox", { ...note, verdict: "approve", by: "Ada" });
  await run.raiseEvent("agent.inbox", { nonsense: true });
  await env.result(run);

  assert.deepEqual(log, ["get_metrics a"]);
  await assert.rejects(people.approvals.reject("fix", actionId, { by: "Grace" }), { code: "approval_not_open" });
  const told = (await events()).flatMap((event) => (event.kind === "ignored" ? [event.why] : []));
  assert.equal(told.length, 3);
  assert.match(told[0] ?? "", /got approve of 9-9-early by Grace/);
  assert.match(told[1] ?? "", new RegExp(`got approve of ${actionId} by Ada`));
  assert.match(told[2] ?? "", /Expected a note that agents understand/);
});

test("a decision that comes before the question does not count for it", async (t) => {
  const { tools, log } = fleet();
  const { env, fixer } = await start(t, { tools, guardrails: list }, [
    says("", { toolCalls: [{ name: "get_metrics", arguments: { vm: "a" } }] }),
    callTool("restart_vm", { vm: "a" }),
  ]);
  const run = await env.startOrchestration(fixer, { goal: "Fix a" });
  await run.raiseEvent("agent.inbox", { kind: "decision", actionId: "2-1", verdict: "approve", by: "Grace" });
  await env.settle();

  assert.deepEqual(log, ["get_metrics a"]);
  assert.equal((await agents(env.client).approvals.list()).approvals.length, 1);
});

test("all actions of a plan are asked for together, and none runs before each is decided", async (t) => {
  const { log, tools } = fleet();
  const { env, fixer } = await start(t, { tools, planning: "plan", guardrails: list }, [
    plan([
      ["get_metrics", { vm: "x" }, "1"],
      ["restart_vm", { vm: "a" }, "2"],
      ["restart_vm", { vm: "b" }, "3"],
    ]),
    plan([], { done: true, summary: "." }),
  ]);
  const people = agents(env.client);
  const run = await env.startOrchestration(fixer, { goal: "Fix" }, { instanceId: "fix" });
  await env.settle();
  const { approvals } = await people.approvals.list();
  assert.deepEqual(
    approvals.map(({ arguments: args }) => args),
    [{ vm: "a" }, { vm: "b" }],
  );
  assert.equal(approvals[0]?.thought, "I think so.");

  await people.approvals.reject("fix", approvals[1]?.actionId ?? "", { by: "Grace" });
  await env.settle();
  assert.deepEqual(log, []);
  await people.approvals.approve("fix", approvals[0]?.actionId ?? "", { by: "Grace" });
  const { actions } = await env.result(run);

  assert.deepEqual(log, ["get_metrics x", "restart_vm a"]);
  assert.deepEqual(actions, { get_metrics: { completed: 1 }, restart_vm: { completed: 1, rejected: 1 } });
});

test("a tool can ask for approval by itself, a rule by what it sees, and always means always", async (t) => {
  const { tools, log } = fleet();
  const wipe = tool(
    activity("wipe", { description: "Wipes a disk.", input: z.object({ disk: z.string() }) }, (_ctx, { disk }) => {
      log.push(`wipe ${disk}`);
    }),
    { approval: true },
  );
  const branches: Guardrails["approval"] = ({ tool: name, arguments: args, costUsd, iteration, effect }) => {
    assert.equal(effect, name === "restart_vm" ? "irreversible" : name === "wipe" ? "idempotent" : "pure");
    if ((args as { vm?: string }).vm === "forbidden") return "deny";
    return costUsd >= 0.75 && iteration === 3 ? "ask" : "allow";
  };
  const { env, fixer, llm } = await start(t, { tools: [...tools, wipe], guardrails: { approval: branches } }, [
    callTool("restart_vm", { vm: "forbidden" }),
    callTool("restart_vm", { vm: "a" }),
    callTool("get_metrics", { vm: "a" }),
    callTool("wipe", { disk: "c" }),
    finish("success", "."),
  ]);
  const people = agents(env.client);
  const run = await env.startOrchestration(fixer, { goal: "Fix" }, { instanceId: "fix" });
  await env.settle();
  assert.deepEqual(log, ["restart_vm a"]);
  assert.match(llm.calls[1]?.prompt ?? "", /refused and not run:\nthe rules of this agent do not allow restart_vm/);
  for (const expected of ["get_metrics", "wipe"]) {
    const [approval] = (await people.approvals.list()).approvals;
    assert.equal(approval?.tool, expected);
    await people.approvals.approve("fix", approval?.actionId ?? "", { by: "Grace" });
    await env.settle();
  }
  assert.deepEqual((await env.result(run)).actions, {
    restart_vm: { refused: 1, completed: 1 },
    get_metrics: { completed: 1 },
    wipe: { completed: 1 },
  });

  const { approval } = await asked(t, { approval: "always" });
  assert.equal(approval.tool, "restart_vm");
});
