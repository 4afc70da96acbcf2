/** What tools say of each other, sets that are chosen at the start, and tools from a folder. */
import assert from "node:assert/strict";
import { symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  agent,
  agents,
  note,
  tool,
  type Tool,
  toolSet,
  toolsIn,
  type ProposedAction,
  type ToolOptions,
} from "@stet/agent";
import { activity, type Activity, type Effect } from "@stet/core";
import { callTool, says } from "@stet/mock";
import { z } from "zod";
import { aborted, fails, newFolder } from "../runtime/world.ts";
import { finish, fleet, plan, start } from "./world.ts";

const input = z.object({ vm: z.string() });

/** A tool that writes down that it was called, and then fails or answers. */
function maker(log: string[]) {
  return (
    name: string,
    options: ToolOptions<{ vm: string }, string> = {},
    { breaks = false, effect = "idempotent" as Effect } = {},
  ): Tool => {
    const definition: Activity<{ vm: string }, string> = activity(
      name,
      { input, effect, description: name },
      (_ctx, { vm }) => {
        log.push(`${name} ${vm}`);
        if (breaks) throw new Error(`${name} is broken`);
        return `${name} is done`;
      },
    );
    return tool(definition, options);
  };
}

const chain = plan(
  ["first", "middle", "last"].map((name, i) => [name, { vm: "a" }, `${i}`] as const),
  {},
);

test("when a tool fails for good its fallback is called, the plan goes on, and the model is told", async (t) => {
  const log: string[] = [];
  const make = maker(log);
  const middle = make(
    "middle",
    { fallback: "spare", retry: { maxAttempts: 2, initialInterval: "1s" } },
    { breaks: true },
  );
  const tools = [make("first"), middle, make("last"), make("spare")];
  const done = plan([], { done: true, summary: "Done." });
  const { env, fixer, llm } = await start(t, { tools, planning: "plan" }, [chain, done]);

  const { outcome, actions } = await env.result(await env.startOrchestration(fixer, { goal: "Do it" }));

  assert.equal(outcome, "success");
  assert.deepEqual(log, ["first a", "middle a", "middle a", "spare a", "last a"]);
  assert.deepEqual(actions, { first: { completed: 1 }, last: { completed: 1 }, middle: { completed: 1 } });
  const prompt = llm.calls[1]?.prompt ?? "";
  assert.match(prompt, /middle failed: middle is broken\nIts fallback spare was called instead.*\nspare is done/);
});

test("when the fallback fails as well, or is denied, the rest of the plan is not run", async (t) => {
  for (const [breaks, guardrails, told] of [
    [true, {}, /Its fallback spare was called instead, and this came of it:\nspare is broken/],
    [false, { forbidden: ["spare"] }, /Its fallback spare was not used: this agent may not call it/],
    [
      false,
      { approval: ({ tool: name }: { tool: string }) => (name === "spare" ? ("deny" as const) : ("allow" as const)) },
      /Its fallback spare was not used: a rule of this agent denies it/,
    ],
  ] as const) {
    const log: string[] = [];
    const make = maker(log);
    const tools = [make("first"), make("middle", { fallback: "spare" }, { breaks: true }), make("last")];
    const done = plan([], { done: true, done_reason: "gave_up", summary: "No." });
    const all = { tools: [...tools, make("spare", {}, { breaks })], planning: "plan" as const, guardrails };
    const { env, fixer, llm } = await start(t, all, [chain, done]);

    const { actions } = await env.result(await env.startOrchestration(fixer, { goal: "Do it" }));

    assert.deepEqual(log, ["first a", "middle a", ...(breaks ? ["spare a"] : [])]);
    assert.deepEqual(actions, { first: { completed: 1 }, middle: { failed: 1 }, last: { skipped: 1 } });
    assert.match(llm.calls[1]?.prompt ?? "", told);
  }
});

test("a fallback that needs approval is asked for with the action, before anything of the plan runs", async (t) => {
  const log: string[] = [];
  const make = maker(log);
  const tools = [make("middle", { fallback: "spare" }, { breaks: true }), make("spare", { approval: true })];
  const { env, fixer } = await start(t, { tools }, [callTool("middle", { vm: "a" }), finish("success", ".")]);
  const run = await env.startOrchestration(fixer, { goal: "Do it" });
  const people = agents(env.client);
  await env.settle();

  assert.deepEqual(log, []);
  const [waiting] = (await people.approvals.list()).approvals;
  assert.match(waiting?.why ?? "", /^its fallback spare: /);
  await people.approvals.approve(run.instanceId, waiting?.actionId ?? "", { by: "Ada" });
  await env.result(run);

  assert.deepEqual(log, ["middle a", "spare a"]);
});

test("who approves of an action has not approved of a fallback that was not shown", async (t) => {
  const log: string[] = [];
  const make = maker(log);
  const tools = [make("middle", { fallback: "spare", approval: true }, { breaks: true }), make("spare")];
  // Edited arguments make the fallback one that needs approval, and nobody was told so.
  const approval = ({ tool: name, arguments: args }: ProposedAction) =>
    name === "spare" && JSON.stringify(args).includes("b") ? "ask" : "allow";
  const { env, fixer, llm } = await start(t, { tools, guardrails: { approval } }, [
    callTool("middle", { vm: "a" }),
    finish("gave_up", "."),
  ]);
  const run = await env.startOrchestration(fixer, { goal: "Do it" });
  const people = agents(env.client);
  await env.settle();
  const [waiting] = (await people.approvals.list()).approvals;
  await people.approvals.approve(run.instanceId, waiting?.actionId ?? "", { by: "Ada", arguments: { vm: "b" } });

  await env.result(run);

  assert.deepEqual(log, ["middle b"]);
  assert.match(llm.calls[1]?.prompt ?? "", /Its fallback spare was not used: a person would have to approve of it/);
});

test("an irreversible tool that may have happened has no fallback", async (t) => {
  const log: string[] = [];
  const make = maker(log);
  let starts = 0;
  const definition = activity("pay", { input, effect: "irreversible", description: "Pays." }, (ctx) => {
    starts++;
    return aborted(ctx.signal);
  });
  const pay = tool(definition, { fallback: "spare" });
  const answers = [callTool("pay", { vm: "a" }), finish("gave_up", ".")];
  const { env, fixer } = await start(t, { tools: [pay, make("spare")] }, answers);

  const run = await env.startOrchestration(fixer, { goal: "Pay" });
  await env.until(() => starts === 1);
  await env.restart();
  const { actions } = await env.result(run);

  assert.deepEqual(actions, { pay: { unknown: 1 } });
  assert.deepEqual(log, []);
});

test("an agent refuses tools that lack what they require, and two versions of one", () => {
  const make = maker([]);
  const refused = (tools: readonly (Tool | ReturnType<typeof toolSet>)[], message: RegExp): void =>
    assert.throws(() => agent({ name: "a", tools }), { name: "ConfigurationError", message });
  const [one, two] = [make("look", { version: "1" }), make("look", { version: "2" })];
  const fix = make("fix", { requires: ["look@2"] });

  refused([fix], /tools of a to include look@2, which fix requires, got none: add it, or leave fix out/);
  refused([fix, one], /tools of a to include look@2, which fix requires, got version 1/);
  refused([fix, make("look")], /which fix requires, got version none/);
  refused([one, two], /tools of a to differ in name, got two look \(versions: 1 and 2\)/);
  refused([toolSet("fixing", [fix]), two], /tools of fixing to include look@2/);
  agent({ name: "a", tools: [toolSet("fixing", [fix, two]), two] });
  agent({ name: "a", tools: [make("fix", { requires: ["look"] }), one] });

  const spare = (fallback: string) => make("middle", { fallback });
  refused([spare("spare")], /fallback spare of tool middle to be another tool of a that can take its place, got none/);
  refused([spare("middle")], /can take its place, got itself/);
  refused([spare("note"), note], /can take its place, got a built-in one/);
  refused([spare("pay"), make("pay", {}, { effect: "irreversible" })], /can take its place, got an irreversible one/);
  assert.throws(() => spare("not a name"), /name of the fallback of tool middle to start with a letter/);
});

test("an agent started with a set cannot call a tool outside it, in any of its executions", async (t) => {
  const { log, tools } = fleet();
  const sets = [toolSet("query", [tools[0]]), toolSet("repair", tools), note];
  const { env, fixer, llm } = await start(t, { tools: sets }, [
    callTool("get_metrics", { vm: "a" }),
    callTool("restart_vm", { vm: "a" }),
    says("", { toolCalls: [{ name: "note", arguments: { text: "a" } }] }),
    callTool("get_metrics", { vm: "b" }),
    finish("gave_up", "I may only look."),
  ]);
  const run = await env.startOrchestration(fixer, { goal: "Fix it", toolSet: "query" });

  const { actions } = await env.result(run);

  assert.deepEqual(log, ["get_metrics a", "get_metrics b"]);
  assert.deepEqual(actions, {
    get_metrics: { completed: 2 },
    note: { refused: 1 },
    restart_vm: { refused: 1 },
  });
  for (const { request } of llm.calls) {
    assert.deepEqual(
      (request.tools ?? []).map(({ name }) => name),
      ["finish", "get_metrics"],
    );
  }
  assert.match(llm.calls[2]?.prompt ?? "", /restart_vm is forbidden to this agent/);
});

test("a set that the agent does not have is refused when it is started", async (t) => {
  const { tools } = fleet();
  const { env, fixer } = await start(t, { tools: [toolSet("query", tools)] }, []);
  const begun = env.startOrchestration(fixer, { goal: "Fix it", toolSet: "all" });

  await assert.rejects(
    begun.then((run) => env.result(run)),
    /Expected toolSet to be a tool set of agent fixer \(query\)/,
  );
  assert.throws(
    () => agent({ name: "a", tools: [toolSet("query", tools), toolSet("query", [])] }),
    fails("configuration_invalid", /tool sets of agent a to differ in name, got two query/),
  );
});

test("modules of a folder become tools; broken ones are reported and the others load", async () => {
  const folder = newFolder();
  symlinkSync(fileURLToPath(new URL("../../node_modules", import.meta.url)), join(folder, "node_modules"));
  const write = (file: string, text: string) => writeFileSync(join(folder, file), text);
  const head = 'import { tool, toolSet } from "@stet/agent"; import { activity } from "@stet/core";\n';
  const make = (name: string) => `tool(activity("${name}", { description: "." }, () => 1))`;
  write("mail.mjs", `${head}export const mail = ${make("mail")};`);
  write("search.mjs", `${head}export default toolSet("s", [${make("find")}, ${make("list")}]); export const most = 7;`);
  write("broken.mjs", "throw new Error('no key');");
  write("torn.mjs", "export const = 1;");
  write("twice.mjs", `${head}export const again = ${make("mail")};`);
  write("mail.d.ts", "this is no code");
  write("notes.txt", "neither is this");

  const { tools, broken } = await toolsIn(folder);

  assert.equal(tools.name, basename(folder));
  assert.deepEqual(
    tools.tools.map(({ name }) => name),
    ["find", "list", "mail"],
  );
  assert.deepEqual(
    broken.map(({ file }) => file),
    ["broken.mjs", "torn.mjs", "twice.mjs"].map((file) => join(folder, file)),
  );
  assert.match(String(broken[0]?.error), /no key/);
  assert.match(String(broken[2]?.error), /to differ in name, got two mail/);
  await assert.rejects(toolsIn(join(folder, "nowhere")), /ENOENT/);
});
