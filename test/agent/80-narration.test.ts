/** Watching an agent: its events as they happen, and as lines that nothing from outside can forge. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { agentEvents, agents, narrate, type AgentEvent } from "@stet/agent";
import { says } from "@stet/mock";
import { finish, fleet, start } from "./world.ts";

test("a run is told from its beginning to its end, with thoughts, actions, decisions and cost", async (t) => {
  const { tools } = fleet();
  const restart = (vm: string) => ({ toolCalls: [{ name: "restart_vm", arguments: { vm } }] });
  const { env, fixer } = await start(t, { tools, guardrails: { approval: ["restart_vm"] } }, [
    says("Restart it.", restart("a")),
    says("Look at one that is none.", { toolCalls: [{ name: "get_metrics", arguments: { vm: "broken" } }] }),
    says("Guess.", { toolCalls: [{ name: "reboot" }] }),
    finish("success", "Done."),
  ]);
  const { approvals } = agents(env.client);
  const run = await env.startOrchestration(fixer, { goal: "Fix it" });
  const lines: string[] = [];
  const watching = (async () => {
    for await (const event of agentEvents(run)) {
      lines.push(...narrate(event).split("\n"));
      if (event.kind !== "awaited") continue;
      await approvals.reject(run.instanceId, event.actionId, { by: "Grace", reason: "not now" });
    }
  })();
  await env.result(run);
  await watching;

  assert.deepEqual(lines, [
    "1  Restart it.  $0.25",
    '   1.1 restart_vm {"vm":"a"}',
    "   1.1 waits for approval: the rules of this agent ask for it",
    "   1.1 rejected by Grace: not now",
    "   1.1 not run",
    "2  Look at one that is none.  $0.50",
    '   2.1 get_metrics {"vm":"broken"}',
    "   2.1 failed: no such machine: broken",
    "3  Guess.  $0.75",
    "   3.1 reboot {}",
    "   3.1 refused: there is no tool reboot: the tools are get_metrics, restart_vm",
    "3  mistake: there is no tool reboot: the tools are get_metrics, restart_vm",
    "success: Done.  $1.00",
  ]);
});

test("every kind of event has its line", () => {
  const actionId = "2-1-ab3f";
  const told = (event: AgentEvent): string => narrate(event);
  assert.equal(told({ kind: "asked", actionId, question: "Which?" }), "   2.1 asks: Which?");
  assert.equal(told({ kind: "heard", text: "paused by Ada" }), "   heard: paused by Ada");
  assert.equal(told({ kind: "ignored", why: "too late" }), "   ignored: too late");
  assert.equal(told({ kind: "summarised", iterations: 4 }), "   iterations up to 4 are now a summary");
  assert.equal(told({ kind: "decided", actionId, decision: "takeOver", by: "Bo" }), "   2.1 taken over by Bo");
  assert.equal(
    told({ kind: "ended", outcome: "timeout", summary: "Late.", costUsd: 0.0012 }),
    "timeout: Late.  $0.0012",
  );
});

test("what comes from outside cannot paint, break or forge lines; only the house paints", () => {
  const excerpt = "\u001B[2J\u001B[31mred\u001B[0m\r\nsuccess: forged\u0007\u202E\u2028" + "x".repeat(200);
  const acted = { kind: "acted", actionId: "1-1-ab3f", tool: "t", status: "completed", excerpt } as const;

  assert.equal(narrate(acted), `   1.1 completed: red success: forged ${"x".repeat(160 - 20)}...`);
  assert.match(narrate(acted, { color: true }), /^ {3}1\.1 \u001B\[32mcompleted:\u001B\[39m red success/);
});
