/** Memory: what a model is shown stays within its bound however long the agent lives, and what is left out is said. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { tool, type MemoryOptions } from "@stet/agent";
import { activity, type LlmRequest } from "@stet/core";
import { callTool, mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import Sqlite from "better-sqlite3";
import { z } from "zod";
import { newFolder } from "../runtime/world.ts";
import { finish, start } from "./world.ts";

const bytesOf = ({ messages }: LlmRequest): number =>
  messages.reduce(
    (sum, { content, toolCalls }) => sum + Buffer.byteLength(content + (toolCalls ? JSON.stringify(toolCalls) : "")),
    0,
  );

/** An agent that reads a book of so many pages of 5 KB, one an iteration. */
async function reader(t: TestContext, pages: number, memory: MemoryOptions) {
  const path = join(newFolder(), "app.db");
  const read = activity(
    "read",
    { description: "Reads a page.", input: z.object({ page: z.number() }) },
    (_ctx, { page }) => `page ${page}: ${`line ${page} `.repeat(900)}`.slice(0, 5_000),
  );
  let asked = 0;
  const llm = mock()
    .on("chat", () => (++asked > pages ? finish("success", "Read.") : callTool("read", { page: asked })))
    .on("summarize", (request) => `A summary of ${request.messages.length} messages, number ${asked}.`);
  const options = { tools: [tool(read)], memory, guardrails: { maxIterations: pages + 1 } };
  const { env, fixer } = await start(t, options, [], { llm, storage: sqlite(path), replayOnClose: pages < 50 });
  const run = await env.startOrchestration(fixer, { goal: "Read the book" });
  const result = await env.result(run);
  assert.deepEqual(
    [result.outcome, result.iterations, result.actions],
    ["success", pages + 1, { read: { completed: pages } }],
  );
  return { env, run, llm, path, result };
}

test("older results are shortened first, then older iterations are summarised; the last ones stay whole", async (t) => {
  const { llm, run, env } = await reader(t, 48, { maxTokens: 4_000, keepLast: 2 });

  const questions = llm.calls.filter(({ operation }) => operation === "chat").map(({ request }) => request);
  const shortened = questions.findIndex(({ messages }) =>
    messages.some(({ content }) => content.includes("(shortened: there were 5000 characters, see execution 1)")),
  );
  const summarised = questions.findIndex(({ messages }) => messages[2]?.content.startsWith("Your first ") === true);
  assert.ok(shortened > 2 && summarised > shortened, `shortened at ${shortened}, summarised at ${summarised}`);
  for (const [i, { messages }] of questions.entries()) {
    const results = messages.filter(({ role }) => role === "tool");
    for (const [back, page] of [
      [-1, i],
      [-2, i - 1],
    ] as const) {
      if (page >= 1) assert.ok((results.at(back)?.content.length ?? 0) > 5_000, `page ${page} at question ${i + 1}`);
    }
    assert.match(messages[1]?.content ?? "", /Read the book/);
  }
  const [system, goal, summary, next] = questions.at(-1)?.messages ?? [];
  assert.equal(system?.role, "system");
  assert.match(goal?.content ?? "", /Read the book/);
  const [, count] =
    /^Your first (\d+) iterations are left out here\. A summary of them:\n<text-.*>\nA summary of/.exec(
      summary?.content ?? "",
    ) ?? [];
  assert.ok(Number(count) > 10, `${count} iterations are summarised`);
  assert.match(next?.content ?? "", new RegExp(`^This is iteration ${Number(count) + 1} of`));
  // What was summarised is where the memory says it is.
  const { agent } = (await run.state()) as { agent: { summary: { executions: [number, number] } } };
  assert.deepEqual(agent.summary.executions, [1, Number(count)]);
  const source = await run.history(agent.summary.executions[1]);
  assert.ok(JSON.stringify(source).includes(`page ${count}: line`));
  // A summary is made of the summary before it.
  const summaries = llm.calls.filter(({ operation }) => operation === "summarize");
  assert.ok(summaries.length >= 2);
  assert.match(summaries[1]?.prompt ?? "", /Before that:\nA summary of 2 messages, number/);
  assert.equal((await env.client.usage(run.instanceId)).tree.byLabel["fixer memory"]?.calls, summaries.length);
});

test("each question begins with the one before it, until something is left out", async (t) => {
  const { llm } = await reader(t, 8, {});

  const questions = llm.calls.map(({ request }) => request.messages);
  for (const [i, messages] of questions.slice(1).entries()) {
    assert.deepEqual(messages.slice(0, questions[i]?.length), questions[i]);
  }
});

test("one result longer than its bound is cut when it comes, and says so", async (t) => {
  const { llm } = await reader(t, 2, { maxResultLength: 1_000 });

  const result = llm.calls[1]?.request.messages.find(({ role }) => role === "tool")?.content ?? "";
  assert.match(result, /\.\.\. \(cut: there were 5000 characters\)/);
  assert.ok(result.length < 1_200);
});

test("the last iterations give way too when they alone are too long for the question", async (t) => {
  const { llm } = await reader(t, 6, { maxTokens: 2_000, keepLast: 3 });

  for (const { request } of llm.calls.filter(({ operation }) => operation === "chat")) {
    assert.ok(bytesOf(request) <= 8_000 + 5_200, `${bytesOf(request)} bytes`);
  }
});

test(
  "500 iterations with results of 5 KB: question, history and store stay within bounds",
  { timeout: 300_000 },
  async (t) => {
    const maxTokens = 8_000;
    const { env, run, llm, path } = await reader(t, 500, { maxTokens });

    const question = Math.max(...llm.calls.map(({ request }) => bytesOf(request)));
    const executions = await env.client.executions(run.instanceId);
    const lengths: { readonly events: number; readonly bytes: number }[] = [];
    for (const { execution } of executions) {
      const history = await run.history(execution);
      lengths.push({ events: history.length, bytes: Buffer.byteLength(JSON.stringify(history)) });
    }
    const events = Math.max(...lengths.map((length) => length.events));
    const history = Math.max(...lengths.map((length) => length.bytes));
    const db = new Sqlite(path);
    db.pragma("wal_checkpoint(TRUNCATE)");
    db.close();
    const store = statSync(path).size;
    t.diagnostic(
      `500 iterations: largest question ${question} bytes, largest execution ${events} events and ${history} bytes as read, store ${store} bytes`,
    );

    assert.ok(question <= maxTokens * 4, `Expected a question of at most ${maxTokens * 4} bytes, got ${question}`);
    assert.ok(events <= 20, `Expected at most 20 events an execution, got ${events}`);
    assert.ok(history <= 6 * maxTokens * 4, `Expected at most six times the largest question, got ${history} bytes`);
    assert.ok(store <= 500 * 40_000, `Expected at most 40 KB an iteration, got ${store / 500}`);
  },
);
