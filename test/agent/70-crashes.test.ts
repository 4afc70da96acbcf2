/** Agents whose process dies at every place: in a question, in a plan, in a wait for approval, between two executions. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { agent, agents, definitionsOf, note, tool, type Agent } from "@stet/agent";
import { activity, type Activity } from "@stet/core";
import { callTool, mock, says, type MockAnswer } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { exploreCrashes, type CrashWorld } from "@stet/testing";
import { z } from "zod";

const input = z.object({ vm: z.string() });

/** Which iteration a question is, and what it says: a model that is asked again says the same. */
const byIteration = (script: (iteration: number, prompt: string) => MockAnswer) =>
  mock().on("chat", (_request, { prompt }) => {
    const last = [...prompt.matchAll(/This is iteration (\d+)/g)].at(-1)?.[1];
    return script(Number(last), prompt);
  });

/** Runs an agent, approves of whatever waits for it, and tells what it did. */
function world(fixer: Agent, llm: CrashWorld<unknown>["llm"], effects: ReadonlyMap<string, string>) {
  const { orchestrations, activities } = definitionsOf(fixer);
  return {
    storage: sqlite(":memory:"),
    llm: llm as NonNullable<typeof llm>,
    orchestrations,
    activities,
    scenario: async (env: Parameters<CrashWorld<unknown>["scenario"]>[0]) => {
      const run = await env.startOrchestration(fixer, { goal: "Fix it" }, { instanceId: "fix" });
      const people = agents(env.client);
      for (;;) {
        await env.settle();
        const { approvals } = await people.approvals.list();
        for (const { instanceId, actionId } of approvals)
          await people.approvals.approve(instanceId, actionId, { by: "Ada" });
        if (approvals.length === 0) break;
      }
      const { outcome, summary, iterations, actions, usage } = await env.result(run);
      return { outcome, summary, iterations, actions, calls: usage.calls, effects: [...effects.values()].sort() };
    },
  };
}

test(
  "an agent that dies anywhere ends the same, with the same actions, and pays no recorded answer twice",
  { timeout: 300_000 },
  async () => {
    const explored = await exploreCrashes(
      () => {
        const effects = new Map<string, string>();
        const doing = (name: string): Activity<{ vm: string }, string> =>
          activity(name, { input, description: "Does it." }, (ctx, { vm }) => {
            effects.set(ctx.idempotencyKey, `${name} ${vm}`);
            return `${name} of ${vm}`;
          });
        const [look, restart, mail] = [doing("look"), doing("restart"), doing("mail")] as Parameters<typeof tool>[0][];
        assert.ok(look && restart && mail);
        const helper = agent({ name: "helper", description: "Sends mail.", tools: [tool(mail)] });
        const boss = agent({
          name: "boss",
          tools: [tool(look), tool(restart, { approval: true }), tool(helper), note],
          guardrails: { timeout: "1d" },
        });
        const llm = byIteration((iteration, prompt) => {
          if (prompt.includes("Write to the owner"))
            return iteration === 1
              ? callTool("mail", { vm: "owner" })
              : callTool("finish", { reason: "success", summary: "Written." });
          if (iteration === 1) {
            const calls = ["a", "b"].map((vm) => ({ name: "look", arguments: { vm } }));
            return says("", { toolCalls: [...calls, { name: "note", arguments: { text: "a is broken" } }] });
          }
          if (iteration === 2) return callTool("restart", { vm: "a" });
          if (iteration === 3) return callTool("helper", { goal: "Write to the owner" });
          return callTool("finish", { reason: "success", summary: "Fixed." });
        });
        return world(boss, llm, effects);
      },
      { timeout: "60s", pairs: 20 },
    );

    assert.ok(explored.points.length > 60, `${explored.points.length} points`);
    assert.deepEqual(explored.unreached, []);
    assert.equal(explored.crashes, explored.points.length + 2 * 20, "each point once, and twenty pairs");
    assert.deepEqual(Object.keys(explored.startedAgain).sort(), ["look", "mail", "restart"]);
  },
);

test(
  "an irreversible action is never done twice, wherever the process dies, and a person decides about doing it again",
  { timeout: 300_000 },
  async () => {
    const seen = new Set<string>();
    await exploreCrashes(
      () => {
        const effects = new Map<string, string>();
        const pay = activity("pay", { input, description: "Pays.", effect: "irreversible" }, (_ctx, { vm }) => {
          effects.set(String(effects.size), `paid ${vm}`);
          return "paid";
        });
        const payer = agent({ name: "payer", tools: [tool(pay)] });
        const llm = byIteration((iteration, prompt) => {
          if (iteration === 1) return callTool("pay", { vm: "a" });
          return callTool("finish", {
            reason: "success",
            summary: prompt.includes("Nobody knows") ? "Ask the bank." : "Paid.",
          });
        });
        return world(payer, llm, effects);
      },
      {
        timeout: "60s",
        pairs: 20,
        check: ({ outcome, summary, effects }) => {
          seen.add(`${summary} ${effects.length}`);
          assert.equal(outcome, "success");
          assert.ok(summary === "Paid." ? effects.length === 1 : effects.length <= 1, `${summary} ${effects.length}`);
        },
      },
    );

    assert.deepEqual([...seen].sort(), ["Ask the bank. 0", "Ask the bank. 1", "Paid. 1"]);
  },
);
