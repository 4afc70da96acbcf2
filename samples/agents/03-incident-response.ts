/**
 * Incident response: an agent that leads, and another one, its tool, that investigates and may only look. What the leader
 * does to customers needs two people; the second of them changes the arguments, so the first must look again.
 *
 * With OPENAI_API_KEY a real model plans; with --watch each step is shown as it happens.
 *
 * Prints:
 *   alert: checkout fails for 31% of the customers
 *   Ada approves of roll_back {"service":"checkout","to":"v40"}
 *   Bo approves of roll_back {"service":"checkout","to":"v41"}
 *   Ada approves of roll_back {"service":"checkout","to":"v41"}
 *   success: v42 of checkout lost the tax of some baskets. It is rolled back to v41.
 *   now: v41, checkout fails for 0% of the customers
 *   model calls of commander: 4
 *   model calls of commander/investigator: 3
 */
import { agent, agentEvents, agents, definitionsOf, narrate, tool, wait } from "@stet/agent";
import { activity, Runtime } from "@stet/core";
import { callTool, mock, says } from "@stet/mock";
import { openai } from "@stet/openai";
import { sqlite } from "@stet/sqlite";
import { z } from "zod";

// The service: version 42 is broken, and version 40 is older than its database

const versions = ["v40", "v41", "v42"];
const deployed = ["v41", "v42"];
const failing = () => ({ v40: 100, v41: 0, v42: 31 })[deployed.at(-1) ?? ""];

const Service = z.object({ service: z.string() });

const readMetrics = activity("read_metrics", { effect: "pure", input: Service }, () => ({ failing: `${failing()}%` }));

const readDeploys = activity("read_deploys", { effect: "pure", input: Service }, () => deployed);

const readLogs = activity("read_logs", { effect: "pure", input: Service }, () =>
  failing() === 0 ? "all quiet" : "TypeError: basket.tax is undefined, at checkout.ts:112 (since v42)",
);

const rollBack = activity(
  "roll_back",
  { effect: "irreversible", input: Service.extend({ to: z.enum(versions) }) },
  (_ctx, { to }) => {
    deployed.push(to);
    return `${to} is deployed`;
  },
);

// The agents. The guardrails of the commander hold for the investigator as well.

const look = {
  metrics: tool(readMetrics, { description: "Tells how many requests of a service fail." }),
  deploys: tool(readDeploys, { description: "Lists the versions that were deployed, newest last." }),
  logs: tool(readLogs, { description: "Shows the errors that a service has logged." }),
};

const investigator = agent({
  name: "investigator",
  description: "Finds the cause of a problem. It only looks.",
  instructions: "You find causes. Look at several things at once, and finish with the cause and what shows it.",
  tools: [look.deploys, look.logs, look.metrics],
  guardrails: { maxIterations: 8, timeout: "10m" },
});

const commander = agent({
  name: "commander",
  instructions:
    "You lead the response to an incident. Have the cause investigated, repair it, wait a little, and check that the repair has helped before you finish.",
  tools: [
    tool(investigator),
    tool(rollBack, { description: "Deploys an earlier version of a service. Customers notice." }),
    look.metrics,
    wait,
  ],
  guardrails: {
    maxIterations: 12,
    maxTokens: 200_000,
    timeout: "2h",
    approval: ({ effect }) => (effect === "irreversible" ? "ask" : "allow"),
    quorum: 2,
    approvalTimeout: "15m",
  },
});

const scripted = mock()
  .when(
    { label: "commander/investigator" },
    says("What has changed, and what is logged?", {
      toolCalls: [
        { name: "read_deploys", arguments: { service: "checkout" } },
        { name: "read_logs", arguments: { service: "checkout" } },
      ],
    }),
    callTool("read_metrics", { service: "checkout" }),
    callTool("finish", { reason: "success", summary: "Since v42, basket.tax is undefined in checkout.ts:112." }),
  )
  .when({ label: "commander", prompt: /"failing":"0%"/ }, finish("success", "It is rolled back to v41."))
  .when({ label: "commander", prompt: "is deployed" }, callTool("read_metrics", { service: "checkout" }))
  .when({ label: "commander", prompt: "Since v42" }, callTool("roll_back", { service: "checkout", to: "v40" }))
  .when({ label: "commander" }, callTool("investigator", { goal: "Why does checkout fail?" }));

function finish(reason: string, what: string) {
  return callTool("finish", { reason, summary: `v42 of checkout lost the tax of some baskets. ${what}` });
}

// An incident, and the two people on call

const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  llm: process.env["OPENAI_API_KEY"] ? openai({ model: "gpt-5-mini" }) : scripted,
  ...definitionsOf(commander),
});
const { approvals } = agents(runtime.client);

const alert = `checkout fails for ${failing()}% of the customers`;
console.log("alert:", alert);
const run = await runtime.startOrchestration(commander, { goal: `Resolve this: ${alert}.` });
for await (const event of agentEvents(run)) {
  if (process.argv.includes("--watch")) console.log(narrate(event, { color: process.stdout.isTTY }));
  if (event.kind !== "awaited" && event.kind !== "decided") continue;
  const [open] = (await approvals.list({ instanceId: run.instanceId })).approvals;
  if (open === undefined) continue;
  const by = open.approvedBy.includes("Ada") ? "Bo" : "Ada";
  const args = by === "Bo" ? { service: "checkout", to: "v41" } : open.arguments; // Bo knows that v40 is too old
  console.log(`${by} approves of ${open.tool} ${JSON.stringify(args)}`);
  await approvals.approve(run.instanceId, open.actionId, { by, ...(by === "Bo" && { arguments: args }) });
}
const { outcome, summary } = await run.result();
console.log(`${outcome}: ${summary}`);
console.log(`now: ${deployed.at(-1)}, checkout fails for ${failing()}% of the customers`);
const { byLabel } = (await runtime.client.usage(run.instanceId)).tree;
for (const [label, { calls }] of Object.entries(byLabel)) console.log(`model calls of ${label}: ${calls}`);
await runtime.shutdown();
