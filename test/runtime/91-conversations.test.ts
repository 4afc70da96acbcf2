/** Conversations with tools at rest: what call N adds to the store is what is new in it, however long the rest is. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { activity, type LlmMessage, orchestration } from "@stet/core";
import { callTool, mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import Sqlite from "better-sqlite3";
import { z } from "zod";
import { environment, ofKind, newFolder } from "./world.ts";

/** Ten tools whose descriptions come to 10 KB. */
const tools = Array.from({ length: 10 }, (_, n) =>
  activity(
    `tool${n}`,
    { description: `${n} `.repeat(500), input: z.object({ page: z.number() }) },
    (_ctx, { page }) => `page ${page} of tool ${n}: ${`line ${page} `.repeat(300)}`,
  ),
);

/** Calls tools until it has called enough of them. */
const converse = orchestration("converse", async (ctx, pages: number) => {
  const messages: LlmMessage[] = [{ role: "user", content: "Read it page by page." }];
  for (let page = 1; page <= pages; page++) {
    const said = await ctx.chat(messages, { tools: ctx.describeTools(tools) });
    messages.push(said);
    for (const { id, name, arguments: input } of said.toolCalls ?? []) {
      messages.push({ role: "tool", toolCallId: id, content: await ctx.activity<string>(name, input) });
    }
  }
  return messages.length;
});

async function conversation(t: TestContext, pages: number) {
  const path = join(newFolder(), "app.db");
  const llm = mock().on("chat", (_request, { order }) => callTool(`tool${order % 10}`, { page: order }));
  const env = await environment(t, { storage: sqlite(path), orchestrations: [converse], activities: tools, llm });
  const run = await env.startOrchestration(converse, pages);
  assert.equal(await env.result(run), 1 + 2 * pages);
  const history = await run.history();
  const db = new Sqlite(path);
  db.pragma("wal_checkpoint(TRUNCATE)");
  db.close();
  return { bytes: statSync(path).size, history, llm };
}

test("a conversation grows by its new messages: its tools and its past are stored once", async (t) => {
  const [none, half, whole] = [await conversation(t, 1), await conversation(t, 50), await conversation(t, 100)];

  const growth = (whole.bytes - half.bytes) / (half.bytes - none.bytes);
  assert.ok(growth < 1.2, `Expected the second half to cost what the first did, got ${growth} times as much`);
  const perCall = (whole.bytes - none.bytes) / 99;
  assert.ok(perCall < 8_000, `Expected a call to add a page of 2.4 KB, its place and its events, got ${perCall} bytes`);
});

test("what was stored by reference is read as it was asked", async (t) => {
  const { history, llm } = await conversation(t, 8);

  const requests = ofKind(history, "LlmRequested").map(({ request }) => request);
  assert.deepEqual(
    requests,
    llm.calls.map(({ request }) => request),
  );
  assert.equal(requests.at(-1)?.tools?.length, 10);
});
