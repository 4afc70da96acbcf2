/** Every model operation, killed at every place where a process can die: the same answers, and none recorded twice. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { activity, orchestration, type LlmMessage } from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { type CrashWorld, exploreCrashes } from "@stet/testing";
import { z } from "zod";
import { journal, kinds } from "./world.ts";

const find = activity("find", { input: z.object({ id: z.string() }) }, (_ctx, { id }) => `found ${id}`);

const everything = orchestration("everything", async (ctx, text: string) => {
  const greetings = [await ctx.generate("Hello"), await ctx.generateWithSystem("Be formal.", "Hello")];
  const kind = await ctx.classify(text, ["bug", "refund"]);
  const truth = await ctx.ifTrue("Is it?", { about: text });
  const { name } = await ctx.extract(text, ["name"]);
  const mood = await ctx.sentiment(text);
  const summary = await ctx.summarize(text, { maxWords: 2 }, { maxAsks: 2 });
  const plan = await ctx.generateStructured("?", z.object({ n: z.number() }));
  const even = await ctx.generateValidated("?", { validate: (said) => (said === "4" ? undefined : "expected 4") });
  const messages: LlmMessage[] = [{ role: "user", content: "Find it." }];
  for (const id of ["1", "2"]) {
    messages.push(await ctx.chat(messages, { tools: ctx.describeTools([find]) }));
    messages.push({ role: "user", content: await ctx.activity(find, { id }) });
  }
  const [vector] = await ctx.embed([text]);
  const next = await ctx.generateWithContext("What now?");
  return {
    greetings,
    kind,
    truth,
    name,
    mood,
    summary,
    plan,
    even,
    said: messages.length,
    length: vector?.length,
    next,
  };
});

/** The answer depends on nothing but the question, so that a call made again is answered as before. */
function world(): CrashWorld<unknown> {
  const llm = mock()
    .on("generate", "hi")
    .on("generateWithSystem", "Good day.")
    .on("classify", "bug")
    .on("ifTrue", ({ messages }) => (messages.length === 2 ? "perhaps" : true))
    .on("extract", { name: "Ada" })
    .on("sentiment", { label: "neutral", confidence: 0.5 })
    .on("summarize", "far too long")
    .on("generateStructured", { n: 1 })
    .on("generateValidated", ({ messages }) => (messages.length === 1 ? "3" : "4"))
    .on("chat", ({ messages }) => `said after ${messages.length}`)
    .on("generateWithContext", ({ messages }) => (messages[0]?.content.includes("found 2") ? "go on" : "lost"));
  return {
    storage: sqlite(":memory:"),
    logger: journal(),
    orchestrations: [everything],
    activities: [find],
    llm,
    promptDrift: "error",
    prices: () => 0.001,
    scenario: async (env) => {
      const run = await env.startOrchestration(everything, "Ada's lamp", { instanceId: "e" });
      const result = await env.result(run);
      const { calls, usd } = (await env.client.usage("e")).instance;
      return { result, calls, usd, events: kinds(await run.history()).toSorted() };
    },
  };
}

test("every operation answers the same wherever the process dies", { timeout: 120_000 }, async () => {
  const report = await exploreCrashes(world);

  assert.ok(report.runs > 60, `Expected many places to die at, got ${report.runs}`);
});
