/**
 * An agent to talk with, for weeks. It says something, and then waits for as long as it finds right; a message ends the
 * wait, and what people write while it is busy stays in its inbox. Old talk becomes a summary, so that the questions to the
 * model do not grow, and what must not be lost is in its notes.
 *
 * Six weeks pass in a moment here, because the sample runs in virtual time, and the process dies twice in between. In
 * production the same agent runs in a `Runtime`. With OPENAI_API_KEY a real model talks.
 *
 * Prints:
 *   day  0 coach: Hello! What shall we train for?
 *   day  1 Ada: A half marathon in May, please.
 *   day  1 coach: Then run 5 km today. I shall ask in five days.
 *   day  6 coach: How was the first week?
 *   day 20 Ada: I was ill.
 *   day 20 coach: Get well soon.
 *   day 23 Ada: I am well again now.
 *   day 23 coach: Good that you are well! Run 3 km this week, no more.
 *   day 42 Ada: Thank you, I shall go on alone.
 *   success: Ada has trained for a half marathon in May, and was ill once.
 *   10 questions to the model, all within 1000 tokens: true
 *   the first talks are a summary now: true
 */
import { agent, agentEvents, agents, definitionsOf, narrate, note, tool, wait } from "@stet/agent";
import { activity, type Payload } from "@stet/core";
import { mock } from "@stet/mock";
import { openai } from "@stet/openai";
import { sqlite } from "@stet/sqlite";
import { TestEnvironment } from "@stet/testing";
import { z } from "zod";

// The agent

const say = activity("say", { effect: "irreversible", input: z.object({ text: z.string() }) }, (_ctx, { text }) => {
  show("coach", text); // in production: a push message, a mail, a row for the browser
});

const maxTokens = 1000;

const coach = agent({
  name: "coach",
  instructions:
    "You coach a runner, by messages. Speak only with say, and then always wait: minutes if you expect an answer, days if not. When the time is over without an answer you may ask once, or wait again. Note what you must never forget. You are done only when the runner says so.",
  planning: "plan",
  tools: [tool(say, { description: "Says something to the runner." }), wait, note],
  guardrails: { maxIterations: 10_000, maxTokens: 5_000_000, maxRepeats: 100 },
  memory: { maxTokens, keepLast: 2 },
});

// A script that reacts to what it is told, and remembers only what is in the question

const days = 24 * 60;
const plan = (
  thought: string,
  ...actions: (readonly [tool: string, params: { readonly [name: string]: Payload }])[]
) => ({
  thought,
  actions: actions.map(([name, params], i) => ({ tool: name, params, id: `${i}` })),
});
const waitAgain = plan("No word. There is no hurry.", ["wait", { minutes: 7 * days }]);

const scripted = mock()
  .on("summarize", "Coach and runner met, and the runner fell ill once.")
  .when("I shall go on alone", (_request, { prompt }) => ({
    thought: "That is all.",
    actions: [],
    done: true,
    summary: ["half marathon in May", "ill once"].every((fact) => prompt.includes(fact))
      ? "Ada has trained for a half marathon in May, and was ill once."
      : "I do not know any more what this was about.",
  }))
  .when(
    "I am well again",
    plan(
      "She must begin slowly.",
      ["say", { text: "Good that you are well! Run 3 km this week, no more." }],
      ["wait", { minutes: 7 * days }],
    ),
    waitAgain,
  )
  .when("I was ill", plan("Poor Ada.", ["say", { text: "Get well soon." }], ["wait", { minutes: 7 * days }]))
  .otherwise(
    plan("A beginning.", ["say", { text: "Hello! What shall we train for?" }], ["wait", { minutes: 2 * days }]),
    plan(
      "A goal!",
      ["note", { text: "Ada trains for a half marathon in May." }],
      ["say", { text: "Then run 5 km today. I shall ask in five days." }],
      ["wait", { minutes: 5 * days }],
    ),
    plan("Time to ask.", ["say", { text: "How was the first week?" }], ["wait", { minutes: 7 * days }]),
    waitAgain,
  );

// Six weeks

const env = await TestEnvironment.start({
  storage: sqlite(":memory:"),
  llm: process.env["OPENAI_API_KEY"] ? openai({ model: "gpt-5-mini" }) : scripted,
  ...definitionsOf(coach),
});
const begin = env.clock.now();

function show(who: string, text: string): void {
  const day = Math.floor((env.clock.now() - begin) / 86_400_000);
  console.log(`day ${String(day).padStart(2)} ${who}: ${text}`);
}

async function write(text: string): Promise<void> {
  show("Ada", text);
  await agents(env.client).send("coach-of-ada", text, { by: "Ada" });
  await env.settle();
}

const run = await env.startOrchestration(coach, { goal: "Coach Ada." }, { instanceId: "coach-of-ada" });
await env.settle();
await env.advance("1d");
await write("A half marathon in May, please.");
await env.advance("3d");
await env.restart();
await env.advance("16d");
await write("I was ill.");
await env.advance("3d");
await write("I am well again now.");
await env.advance("9d");
await env.restart();
await env.advance("10d");
await write("Thank you, I shall go on alone.");
const { outcome, summary } = await env.result(run);
console.log(`${outcome}: ${summary}`);

let hasSummary = false;
for await (const event of agentEvents(run)) {
  if (process.argv.includes("--watch")) console.log(narrate(event, { color: process.stdout.isTTY }));
  hasSummary ||= event.kind === "summarised";
}
const lengths = scripted.calls
  .filter(({ operation }) => operation === "generateStructured")
  .map(({ request }) => request.messages.reduce((sum, { content }) => sum + content.length / 4, 0));
console.log(
  `${lengths.length} questions to the model, all within ${maxTokens} tokens:`,
  Math.max(...lengths) <= maxTokens,
);
console.log("the first talks are a summary now:", hasSummary);
await env.close();
