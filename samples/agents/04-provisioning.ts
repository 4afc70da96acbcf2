/**
 * An agent that sets up environments, and a saga around it: when the agent does not come to a good end, whatever the reason,
 * all that it made is taken down again, newest first. What there is to take down is asked of the cloud and not of the
 * model, so that what was made by a call whose answer got lost is found as well.
 *
 * With OPENAI_API_KEY a real model plans; with --watch each step is shown as it happens.
 *
 * Prints:
 *   dev-1: ready, success: dev-1 is like prod: a network, a database and an app.
 *   dev-2: undone app, database, network; gave_up: there is no certificate left, so dev-2 cannot be reached.
 *   dev-3: undone network; no_progress: It repeated itself 3 times in a row.
 *   left in the cloud: network of dev-1, database of dev-1, app of dev-1, certificate of dev-1
 */
import { agent, type AgentResult, agentEvents, definitionsOf, narrate, tool } from "@stet/agent";
import { activity, NonRetryableError, orchestration, Runtime } from "@stet/core";
import { callTool, mock } from "@stet/mock";
import { openai } from "@stet/openai";
import { sqlite } from "@stet/sqlite";
import { z } from "zod";

// The cloud: it has one certificate, and things need what is below them

const parts = ["network", "database", "app", "certificate"] as const;
const Resource = z.object({ kind: z.enum(parts), environment: z.string() });
const cloud: z.infer<typeof Resource>[] = [];

const create = activity("create", { effect: "compensable", input: Resource }, (_ctx, wanted) => {
  const { kind, environment } = wanted;
  const has = (part: string) => cloud.some((made) => made.kind === part && made.environment === environment);
  if (has(kind)) return "it is there already"; // so an attempt that is repeated does no harm
  if (kind === "certificate" && cloud.some((made) => made.kind === kind)) {
    throw new NonRetryableError("quota exceeded: 1 certificate");
  }
  const missing = parts.slice(0, parts.indexOf(kind)).find((part) => !has(part));
  if (missing !== undefined) throw new NonRetryableError(`${kind} needs ${missing}`);
  cloud.push(wanted);
  return "made";
});

const list = activity(
  "list",
  { effect: "pure", input: z.object({ environment: z.string() }) },
  (_ctx, { environment }) => cloud.filter((made) => made.environment === environment),
);

const remove = activity("remove", { effect: "idempotent", input: Resource }, (_ctx, { kind, environment }) => {
  const i = cloud.findIndex((made) => made.kind === kind && made.environment === environment);
  if (i >= 0) cloud.splice(i, 1);
});

// The agent may create and look. It has no tool to remove anything: undoing is not left to a model.

const provisioner = agent({
  name: "provisioner",
  instructions: `You set up environments like prod: ${parts.join(", ")}, in this order. Give up when a part cannot be had.`,
  tools: [
    tool(create, { description: "Creates a part of an environment." }),
    tool(list, { description: "Lists the parts of an environment." }),
  ],
  guardrails: { maxIterations: 6, maxTokens: 100_000, timeout: "1h" },
});

// The saga

const provision = orchestration("provision", async (ctx, environment: string) => {
  const undo = async () => {
    const made = await ctx.activity(list, { environment });
    for (const resource of made.toReversed()) await ctx.activity(remove, resource, { retry: { maxAttempts: 10 } });
    return made.map(({ kind }) => kind).reverse();
  };
  let ended: AgentResult;
  try {
    ended = await ctx.subOrchestration(provisioner, { goal: `Set up ${environment} like prod.` });
  } catch (error) {
    await undo(); // it failed, or somebody cancelled the saga
    throw error;
  }
  const { outcome, summary } = ended;
  if (outcome === "success") return `ready, ${outcome}: ${summary}`;
  return `undone ${(await undo()).join(", ")}; ${outcome}: ${summary}`;
});

/** Three runs of a model: one that works, one that meets a limit, and one in which the model is at a loss. */
const inOrder = (environment: string) => parts.map((kind) => callTool("create", { kind, environment }));
const end = (reason: string, summary: string) => callTool("finish", { reason, summary });
const scripted = mock()
  .when("quota exceeded", end("gave_up", "there is no certificate left, so dev-2 cannot be reached."))
  .when("dev-1", ...inOrder("dev-1"), end("success", "dev-1 is like prod: a network, a database and an app."))
  .when("dev-2", ...inOrder("dev-2"))
  .when(
    "dev-3",
    callTool("create", { kind: "network", environment: "dev-3" }),
    callTool("list", { environment: "dev-3" }),
  );

const { orchestrations, activities } = definitionsOf(provisioner);
const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  llm: process.env["OPENAI_API_KEY"] ? openai({ model: "gpt-5-mini" }) : scripted,
  orchestrations: [provision, ...orchestrations],
  activities: [remove, ...activities],
});

for (const environment of ["dev-1", "dev-2", "dev-3"]) {
  const run = await runtime.startOrchestration(provision, environment, { instanceId: environment });
  console.log(`${environment}: ${await run.result()}`);
  if (!process.argv.includes("--watch")) continue;
  const [, below] = await runtime.client.tree(environment);
  if (below === undefined) continue;
  for await (const event of agentEvents(runtime.client.instance(below.instanceId))) console.log(narrate(event));
}
console.log("left in the cloud:", cloud.map(({ kind, environment }) => `${kind} of ${environment}`).join(", "));
await runtime.shutdown();
