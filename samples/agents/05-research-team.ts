/**
 * A team: a planner asks questions, researchers answer them side by side from a handbook, a writer writes, and a critic
 * gives marks. The draft is revised until it is good enough or has been revised often enough; the best one counts, with
 * its mark. Only the researchers are agents: who always does one thing needs no loop.
 *
 * With OPENAI_API_KEY real models work.
 *
 * Prints:
 *   3 questions
 *   draft 1: 4 of 10, it does not say what shipping abroad costs
 *   draft 2: 9 of 10, none
 *   accepted at 9: A broken lamp is replaced within thirty days; sending it abroad costs twelve euros.
 *   3 questions
 *   draft 1: 4 of 10, it does not say what shipping abroad costs
 *   draft 2: 3 of 10, it has become vague
 *   draft 3: 3 of 10, it has become vague
 *   the best of 3, at 4: A broken lamp is replaced within thirty days.
 */
import { agent, definitionsOf, tool } from "@stet/agent";
import { activity, type OrchestrationContext, orchestration, Runtime } from "@stet/core";
import { callTool, mock } from "@stet/mock";
import { openai } from "@stet/openai";
import { sqlite } from "@stet/sqlite";
import { readdirSync, readFileSync } from "node:fs";
import { z } from "zod";

const acceptedFrom = 8;
const mostDrafts = 3;

// Researchers: agents that may search the handbook

const handbook = new URL("../data/handbook/", import.meta.url);

const search = activity("search", { effect: "pure", input: z.object({ word: z.string() }) }, (_ctx, { word }) => {
  const paragraphs = readdirSync(handbook).flatMap((name) =>
    readFileSync(new URL(name, handbook), "utf8").split("\n\n"),
  );
  return paragraphs.filter((text) => text.toLowerCase().includes(word.toLowerCase())).slice(0, 5);
});

const researcher = agent({
  name: "researcher",
  instructions: "You answer one question from the handbook, in a sentence. Say so when it is not in there.",
  tools: [tool(search, { description: "Finds the paragraphs of the handbook that hold a word." })],
  guardrails: { maxIterations: 6, maxTokens: 20_000, timeout: "5m" },
});

// The team

const Questions = z.object({ questions: z.array(z.string()).min(1).max(5) });
const Review = z.object({ mark: z.number().int().min(0).max(10), problem: z.string() });

interface Draft extends z.infer<typeof Review> {
  readonly text: string;
}

const article = orchestration("article", { budget: { tokens: 200_000 } }, async (ctx, topic: string) => {
  const { questions } = await ctx.generateStructured(
    { system: "You plan articles.", prompt: `Which questions must an article answer about: ${topic}` },
    Questions,
    { label: "planner" },
  );
  ctx.emit(`${questions.length} questions`);
  const found = await Promise.all(questions.map((question) => ctx.subOrchestration(researcher, { goal: question })));
  const facts = found.map(
    ({ summary, outcome }, i) => `${questions[i]} ${outcome === "success" ? summary : "unknown"}`,
  );

  const drafts: Draft[] = [];
  while (drafts.length < mostDrafts && !drafts.some(({ mark }) => mark >= acceptedFrom)) {
    const draft = await draftOf(ctx, topic, facts, drafts.at(-1));
    drafts.push(draft);
    ctx.emit(`draft ${drafts.length}: ${draft.mark} of 10, ${draft.problem}`);
  }
  const best = drafts.reduce((first, next) => (next.mark > first.mark ? next : first));
  return best.mark >= acceptedFrom
    ? `accepted at ${best.mark}: ${best.text}`
    : `the best of ${drafts.length}, at ${best.mark}: ${best.text}`;
});

/** Writes, or writes again with what the critic says, and has it judged. */
async function draftOf(
  ctx: OrchestrationContext,
  topic: string,
  facts: readonly string[],
  before?: Draft,
): Promise<Draft> {
  const known = `The topic: ${topic}\nThe facts:\n${facts.join("\n")}`;
  const again = before === undefined ? "" : `\nYour last draft:\n${before.text}\nThe critic says: ${before.problem}`;
  const text = await ctx.generate(
    { system: "You write articles of one sentence, from the facts alone.", prompt: known + again },
    { label: "writer" },
  );
  const review = await ctx.generateStructured(
    {
      system: "You judge articles: a mark from 0 to 10, and the worst problem.",
      prompt: `${known}\nThe draft:\n${text}`,
    },
    Review,
    { label: "critic" },
  );
  return { text, ...review };
}

/** Two articles: a critic who is pleased by the second draft, and one who is never pleased. */
const scripted = mock()
  .when(
    { label: "planner" },
    { questions: ["What about broken lamps?", "How are lamps cleaned?", "What does shipping abroad cost?"] },
  )
  .when({ label: "researcher", prompt: "It answered:" }, ({ messages }) => {
    const answer = messages.findLast(({ role }) => role === "tool")?.content ?? "";
    const [fact = "nothing"] = /\["([^"]+)/.exec(answer)?.slice(1) ?? [];
    return callTool("finish", { reason: "success", summary: fact });
  })
  .when({ label: "researcher", prompt: "broken" }, callTool("search", { word: "broken" }))
  .when({ label: "researcher", prompt: "cleaned" }, callTool("search", { word: "clean" }))
  .when({ label: "researcher", prompt: "abroad" }, callTool("search", { word: "abroad" }))
  .when({ label: "writer", prompt: /The topic: care[^]*Your last draft/ }, "Lamps are cared for.")
  .when(
    { label: "writer", prompt: /costs twelve euros[^]*The critic says: it does not say what shipping abroad costs/ },
    "A broken lamp is replaced within thirty days; sending it abroad costs twelve euros.",
  )
  .when({ label: "writer" }, "A broken lamp is replaced within thirty days.")
  .when({ label: "critic", prompt: /The draft:[^]*twelve euros/ }, { mark: 9, problem: "none" })
  .when({ label: "critic", prompt: /The draft:[^]*cared for/ }, { mark: 3, problem: "it has become vague" })
  .when({ label: "critic" }, { mark: 4, problem: "it does not say what shipping abroad costs" });

const { orchestrations, activities } = definitionsOf(researcher);
const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  llm: process.env["OPENAI_API_KEY"] ? openai({ model: "gpt-5-mini" }) : scripted,
  orchestrations: [article, ...orchestrations],
  activities,
});

for (const topic of ["returns of lamps", "care for lamps"]) {
  const run = await runtime.startOrchestration(article, topic);
  for await (const { data } of run.outputs()) console.log(data);
  console.log(await run.result());
}
await runtime.shutdown();
