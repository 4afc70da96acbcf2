/** What the chapters about agents share: machines to be repaired, an agent that repairs them, and what a model may say. */
import type { TestContext } from "node:test";
import { type Agent, agent, type AgentOptions, definitionsOf, tool, type Tool } from "@stet/agent";
import { activity, type Payload } from "@stet/core";
import { callTool, type ExactAnswer, mock, type MockAnswer, type MockLlm } from "@stet/mock";
import type { TestEnvironment } from "@stet/testing";
import { z } from "zod";
import { environment, type WorldOptions } from "../runtime/world.ts";

/** Two tools, and what has been done with them. */
export function fleet(): { readonly log: string[]; readonly tools: readonly [metrics: Tool, restart: Tool] } {
  const log: string[] = [];
  const input = z.object({ vm: z.string() });
  const metrics = activity("get_metrics", { input, effect: "pure" }, (_ctx, { vm }) => {
    if (vm === "broken") throw new Error(`no such machine: ${vm}`);
    log.push(`get_metrics ${vm}`);
    return { cpu: 98 };
  });
  const restart = activity("restart_vm", { input, effect: "irreversible" }, (_ctx, { vm }) => {
    log.push(`restart_vm ${vm}`);
    return "restarted";
  });
  return {
    log,
    tools: [
      tool(metrics, { description: "Tells the load of a virtual machine." }),
      tool(restart, { description: "Restarts a virtual machine. It takes two minutes." }),
    ],
  };
}

/** An agent with a scripted model, in virtual time. */
export async function start(
  t: TestContext,
  options: Partial<AgentOptions>,
  answers: readonly MockAnswer[],
  world: WorldOptions = {},
): Promise<{ readonly env: TestEnvironment; readonly fixer: Agent; readonly llm: MockLlm }> {
  const fixer = agent({ name: "fixer", instructions: "You keep machines running.", tools: [], ...options });
  const llm = answers.length === 0 ? mock() : mock(answers);
  const env = await environment(t, { llm, prices: () => 0.25, ...definitionsOf(fixer), ...world });
  return { env, fixer, llm };
}

/** The model ends its work. */
export function finish(reason: "success" | "gave_up", summary: string): ExactAnswer {
  return callTool("finish", { reason, summary });
}

/** A plan as JSON. */
export function plan(
  actions: readonly (readonly [tool: string, params: Payload, id: string])[],
  more: { readonly [member: string]: Payload } = {},
): Payload {
  return {
    thought: "I think so.",
    actions: actions.map(([name, params, id]) => ({ tool: name, params, id })),
    ...more,
  };
}
