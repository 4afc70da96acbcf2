/** Tools: what is checked when they are made, what the model is offered, and what reaches the definition. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { agent, tool, toolSet, wait, type ToolOptions } from "@stet/agent";
import { activity, orchestration, type Payload } from "@stet/core";
import { callTool } from "@stet/mock";
import { z } from "zod";
import { finish, fleet, start } from "./world.ts";

const input = z.object({ vm: z.string() });
const restart = activity("restart_vm", { input, description: "Restarts." }, (_ctx, { vm }) => `restarted ${vm}`);

test("tool() refuses what cannot work, and says what", () => {
  const refused = (options: ToolOptions<{ vm: string }, string>, message: RegExp): void =>
    assert.throws(() => tool(restart, options), { name: "ConfigurationError", message });

  refused(
    { name: "restart vm" },
    /name of tool restart vm to start with a letter and hold only letters, digits, _ and -/,
  );
  refused({ description: "" }, /tool restart_vm to have a description, got none/);
  refused({ parameters: z.string() as never }, /parameters of tool restart_vm to be an object/);
  refused(
    { effect: "irreversible" },
    /effect of tool restart_vm to be that of its activity \(idempotent\), got irreversible/,
  );
  refused({ effect: "harmless" as "pure" }, /effect of tool restart_vm to be "pure" or/);
  refused({ timeout: "soon" as "1s" }, /timeout of tool restart_vm to be milliseconds/);
  refused({ approvals: true } as object, /options of tool restart_vm to be among.*got approvals/);
  refused(
    { examples: [{ description: "no machine", input: {} as { vm: string } }] },
    /input of the example "no machine" of tool restart_vm to satisfy its schema, got: .*\$\.vm/,
  );
  refused(
    { returns: z.string(), examples: [{ description: "a number", input: { vm: "a" }, output: 1 as never }] },
    /output of the example "a number" of tool restart_vm to satisfy its schema/,
  );
  assert.throws(() => tool(activity("a:b", { description: "." }, () => 1)), /name of tool a:b to start with a letter/);
  const pay = activity("pay", { description: ".", effect: "irreversible" }, () => 1);
  assert.throws(() => tool(pay, { retry: { maxAttempts: 2 } }), /irreversible tool pay to have no retries/);
  const child = orchestration("child", { description: "." }, () => 1);
  assert.throws(() => tool(child, { retry: { maxAttempts: 2 } }), /retry of tool child to be given to an activity/);
});

test("tools are offered in the order of their names, with schemas, answers and examples", async (t) => {
  const { tools } = fleet();
  const again = activity("restart_again", { input, description: "Restarts." }, (_ctx, { vm }) => `restarted ${vm}`);
  const described = tool(again, {
    name: "a-restart",
    returns: z.string(),
    examples: [{ description: "a web server", input: { vm: "web-1" }, output: "restarted web-1" }],
  });
  const sets = [toolSet("late", [tools[1]]), described, toolSet("early", [tools[0], wait]), wait];
  const { env, fixer, llm } = await start(t, { tools: sets }, [finish("success", ".")]);

  await env.result(await env.startOrchestration(fixer, { goal: "Look" }));

  const offered = llm.calls[0]?.request.tools ?? [];
  assert.deepEqual(
    offered.map(({ name }) => name),
    ["a-restart", "finish", "get_metrics", "restart_vm", "wait"],
  );
  assert.equal(
    offered[0]?.description,
    'Restarts.\nIt answers with JSON of this schema: {"type":"string"}\nExample, a web server: {"vm":"web-1"} answers "restarted web-1"',
  );
  assert.deepEqual(offered[0]?.parameters, {
    type: "object",
    properties: { vm: { type: "string" } },
    required: ["vm"],
    additionalProperties: false,
  });
});

test("a set has its tools by name and no others; an agent cannot call beyond its set", async (t) => {
  const { log, tools } = fleet();
  const query = toolSet("query", [tools[0]]);
  assert.equal(query.get("get_metrics"), tools[0]);
  assert.equal(query.get("restart_vm"), undefined);
  const { env, fixer, llm } = await start(t, { tools: [query] }, [
    callTool("restart_vm", { vm: "a" }),
    finish("gave_up", "."),
  ]);

  await env.result(await env.startOrchestration(fixer, { goal: "Look" }));

  assert.deepEqual(log, []);
  assert.match(llm.calls[1]?.prompt ?? "", /there is no tool restart_vm: the tools are get_metrics/);
});

test("a JSON Schema document checks arguments as a Zod schema does, and defaults of parameters are filled in", async (t) => {
  const seen: Payload[] = [];
  const call = activity("call", (_ctx, args: Payload) => void seen.push(args));
  const byDocument = tool(call, {
    name: "document",
    description: "By document.",
    parameters: { type: "object", properties: { n: { type: "integer", minimum: 1 } }, required: ["n"] },
  });
  const bySchema = tool(call, {
    name: "schema",
    description: "By schema.",
    parameters: z.object({ n: z.number().default(7) }) as z.ZodType<Payload>,
  });
  const { env, fixer, llm } = await start(t, { tools: [byDocument, bySchema] }, [
    callTool("document", { n: 0 }),
    callTool("document", { n: 1 }),
    callTool("schema", {}),
    finish("success", "."),
  ]);

  await env.result(await env.startOrchestration(fixer, { goal: "Call" }));

  assert.deepEqual(seen, [{ n: 1 }, { n: 7 }]);
  assert.match(llm.calls[1]?.prompt ?? "", /arguments of document do not fit: .*\$\.n/);
});

test("failures are retried as the tool says before the model hears of them; what the tool should not answer is a failure", async (t) => {
  let attempts = 0;
  const flaky = activity("flaky", { description: "Fails twice." }, () => {
    if (++attempts < 3) throw new Error("not yet");
    return { fine: true };
  });
  const wrong = activity("wrong", { description: "Answers wrongly." }, (): { n: number } => ({ n: "seven" as never }));
  const { env, fixer, llm } = await start(
    t,
    {
      tools: [
        tool(flaky, { retry: { maxAttempts: 3, initialInterval: "1s" } }),
        tool(wrong, { returns: z.object({ n: z.number() }) }),
      ],
    },
    [callTool("flaky"), callTool("wrong"), finish("success", ".")],
  );

  const { actions } = await env.result(await env.startOrchestration(fixer, { goal: "Call" }));

  assert.equal(attempts, 3);
  assert.deepEqual(actions, { flaky: { completed: 1 }, wrong: { failed: 1 } });
  assert.match(llm.calls[2]?.prompt ?? "", /it did not answer as it should: .*\$\.n/);
});

test("an orchestration is a tool like an activity, with its own instance below the agent's", async (t) => {
  const child = orchestration(
    "greet",
    { input: z.object({ name: z.string() }), description: "Greets." },
    async (ctx, { name }) => {
      await ctx.timer("1m");
      return { greeting: `Hello, ${name}` };
    },
  );
  const { env, fixer, llm } = await start(t, { tools: [tool(child)] }, [
    callTool("greet", { name: "Ada" }),
    finish("success", "."),
  ]);
  const run = await env.startOrchestration(fixer, { goal: "Greet" });

  await env.result(run);

  assert.match(llm.calls[1]?.prompt ?? "", /\{"greeting":"Hello, Ada"\}/);
  assert.deepEqual(
    (await env.client.tree(run.instanceId)).map(({ name }) => name),
    ["fixer", "greet"],
  );
});

test("a tool named finish is refused: it would end the agent", () => {
  const mine = tool(activity("finish", { description: "." }, () => 1));
  assert.throws(() => agent({ name: "a", tools: [mine] }), /other names than finish, got one/);
});
