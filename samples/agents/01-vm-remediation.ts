/**
 * An agent that repairs virtual machines. It has five tools, looks before it acts, and asks a person before it restarts a
 * whole machine. The person says no and why, and the agent finds another way.
 *
 * With OPENAI_API_KEY a real model plans; with --watch each step is shown as it happens.
 *
 * Prints:
 *   before: web-1 cpu 97% (nginx 3%, report-job 94%), web-2 cpu 12% (nginx 12%)
 *   Grace is asked about restart_vm
 *   success: web-1 is calm again after a restart of report-job.
 *   after: web-1 cpu 3% (nginx 3%, report-job 0%), web-2 cpu 12% (nginx 12%)
 *   tools: get_logs 1 completed, get_metrics 2 completed, restart_container 1 completed, restart_vm 1 rejected
 */
import { agent, agentEvents, agents, definitionsOf, narrate, tool } from "@stet/agent";
import { activity, NonRetryableError, Runtime } from "@stet/core";
import { mock } from "@stet/mock";
import { openai } from "@stet/openai";
import { sqlite } from "@stet/sqlite";
import { z } from "zod";

// The fleet: what each container of each machine uses. The tools really change it.

const fleet = new Map([
  [
    "web-1",
    new Map([
      ["nginx", 3],
      ["report-job", 94],
    ]),
  ],
  ["web-2", new Map([["nginx", 12]])],
]);

function machine(vmId: string): Map<string, number> {
  const found = fleet.get(vmId);
  if (found === undefined) throw new NonRetryableError(`no machine ${vmId}: there are ${[...fleet.keys()].join(", ")}`);
  return found;
}

const cpuOf = (vmId: string): number => [...machine(vmId).values()].reduce((sum, cpu) => sum + cpu, 0);

// The tools

const Vm = z.object({ vmId: z.string() });
const Container = Vm.extend({ container: z.string() });

const getMetrics = activity("get_metrics", { effect: "pure", input: Vm }, (_ctx, { vmId }) => ({
  cpu: cpuOf(vmId),
  containers: Object.fromEntries(machine(vmId)),
}));

const getLogs = activity("get_logs", { effect: "pure", input: Container }, (_ctx, { vmId, container }) => {
  if ((machine(vmId).get(container) ?? 0) < 90) return "all quiet";
  return `${container}: retrying for the 48213th time: ECONNREFUSED reports-db:5432`;
});

const restartContainer = activity("restart_container", { input: Container }, (_ctx, { vmId, container }) => {
  if (!machine(vmId).has(container)) throw new NonRetryableError(`${vmId} has no container ${container}`);
  machine(vmId).set(container, container === "nginx" ? 3 : 0);
  return "restarted";
});

const restartVm = activity("restart_vm", { effect: "irreversible", input: Vm }, (_ctx, { vmId }) => {
  for (const container of machine(vmId).keys()) machine(vmId).set(container, 0);
  return "restarted, the machine was away for two minutes";
});

const resetNetwork = activity("reset_network", { input: Vm }, (_ctx, { vmId }) => `the network of ${vmId} is reset`);

// The agent

const remediator = agent({
  name: "remediator",
  instructions:
    "You keep virtual machines healthy. Look first, prefer the smallest repair, and check that it has helped.",
  planning: "plan",
  tools: [
    tool(getMetrics, { description: "Tells the CPU of a machine and of its containers, in percent." }),
    tool(getLogs, { description: "Tells the last lines that a container has logged." }),
    tool(restartContainer, { description: "Restarts one container. It takes seconds." }),
    tool(restartVm, { description: "Restarts a machine. It takes minutes, and its customers notice.", approval: true }),
    tool(resetNetwork, { description: "Resets the network of a machine." }),
  ],
  guardrails: { maxIterations: 10, maxTokens: 100_000, timeout: "1h", approvalTimeout: "30m" },
});

/** Looks, wants the big hammer, and heeds whoever holds it back. */
const scripted = mock()
  .when(
    /rejected it: .* container/,
    act("The machine must stay up, so only the job is restarted.", "restart_container", {
      vmId: "web-1",
      container: "report-job",
    }),
    act("Has it helped?", "get_metrics", { vmId: "web-1" }),
    {
      thought: "It has.",
      actions: [],
      done: true,
      done_reason: "success",
      summary: "web-1 is calm again after a restart of report-job.",
    },
  )
  .otherwise(
    act("What uses the CPU?", "get_metrics", { vmId: "web-1" }),
    act("report-job does. What is it doing?", "get_logs", { vmId: "web-1", container: "report-job" }),
    act("It retries without end. A restart of the machine will end it.", "restart_vm", { vmId: "web-1" }),
  );

function act(thought: string, name: string, params: { readonly [name: string]: string }) {
  return { thought, actions: [{ tool: name, params, id: "step" }] };
}

// A run, and the person in charge

const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  llm: process.env["OPENAI_API_KEY"] ? openai({ model: "gpt-5-mini" }) : scripted,
  ...definitionsOf(remediator),
});
const { approvals } = agents(runtime.client);

console.log("before:", describeFleet());
const run = await runtime.startOrchestration(remediator, { goal: "Fix the high CPU on web-1." });
for await (const event of agentEvents(run)) {
  if (process.argv.includes("--watch")) console.log(narrate(event, { color: process.stdout.isTTY }));
  if (event.kind !== "awaited") continue;
  console.log("Grace is asked about", event.tool);
  const reason = "customers are on it; restart the container that hangs";
  await approvals.reject(run.instanceId, event.actionId, { by: "Grace", reason });
}
const { outcome, summary, actions } = await run.result();
console.log(`${outcome}: ${summary}`);
console.log("after:", describeFleet());
const counted = Object.entries(actions).flatMap(([name, counts]) =>
  Object.entries(counts).map(([status, n]) => `${name} ${n} ${status}`),
);
console.log("tools:", counted.sort().join(", "));
await runtime.shutdown();

function describeFleet(): string {
  return [...fleet]
    .map(([vmId, containers]) => {
      const parts = [...containers].map(([name, cpu]) => `${name} ${cpu}%`);
      return `${vmId} cpu ${cpuOf(vmId)}% (${parts.join(", ")})`;
    })
    .join(", ");
}
