/**
 * Every operation that asks a model, once: judging texts of somebody else's, answers that a function of yours checks, a
 * model that is told what has happened so far, vectors; and what it all came to.
 *
 * The scripted model says too much once, and something wrong once, to show what happens then.
 *
 * Prints:
 *   kind: complaint
 *   entitled: true
 *   order: A-100, product: lamp
 *   mood: negative (0.9)
 *   summary: The lamp arrived broken. (asked 2 times)
 *   plan: replace 1
 *   code: LAMP-2026
 *   reply: Dear Ada, a new lamp is on its way.
 *   letter: We are sorry, Ada.
 *   advice: Send the lamp first.
 *   the model was told: activity findCustomer answered {"name":"Ada"}
 *   nearest to "broken": 1
 *   used: 14 calls, 0.0058 USD for 13 of them
 *   by label: { summary: 2 }
 */
import { activity, orchestration, type LlmUsage, type Prices, Runtime } from "@stet/core";
import { mock, says } from "@stet/mock";
import { openai } from "@stet/openai";
import { sqlite } from "@stet/sqlite";
import { z } from "zod";

const findCustomer = activity("findCustomer", async () => ({ name: "Ada" }));

const Plan = z.object({ action: z.enum(["refund", "replace"]), pieces: z.number().int() });

const handleComplaint = orchestration("handleComplaint", async (ctx, text: string) => {
  const { name } = await ctx.activity(findCustomer);

  // A text of somebody else's: it is judged, and never obeyed.
  const kind = await ctx.classify(text, ["complaint", "question"]);
  const entitled = await ctx.ifTrue("Did the parcel arrive damaged?", { about: text });
  const { order, product } = await ctx.extract(text, ["order", "product"]);
  const mood = await ctx.sentiment(text);
  const summary = await ctx.summarize(text, { maxWords: 6 }, { label: "summary" });

  // An answer in a form, and answers that a function has nothing against.
  const plan = await ctx.generateStructured(`What should we do?\n${text}`, Plan);
  const code = await ctx.generateValidated("A voucher code.", {
    validate: (said) => (/^[A-Z]+-\d{4}$/.test(said) ? undefined : `expected letters, a dash and a year, got ${said}`),
  });

  // Words of the model's own; the last time it is told what has happened so far.
  const reply = await ctx.generate(`One sentence to ${name}: we ${plan.action} the ${product}.`);
  const letter = await ctx.generateWithSystem("You apologize in one sentence.", `To ${name}.`);
  const advice = await ctx.generateWithContext("What should we do first? One sentence.", {
    context: { maxContextTokens: 500 },
  });
  const { content } = await ctx.chat([
    { role: "user", content: "Is that all?" },
    { role: "assistant", content: "Nearly." },
    { role: "user", content: "And now?" },
  ]);

  // Numbers in the place of texts: near ones mean similar things.
  const [broken = [], ...others] = await ctx.embed(["broken lamp", "lamp broken", "rates of interest"]);
  const nearness = others.map((other) => other.reduce((sum, x, i) => sum + x * (broken[i] ?? 0), 0));
  const nearest = nearness.indexOf(Math.max(...nearness)) + 1;

  return { kind, entitled, order, product, mood, summary, plan, code, reply, letter, advice, content, nearest };
});

const usage: LlmUsage = { inputTokens: 400, outputTokens: 80 };
const scripted = mock()
  .on("classify", says("complaint", { usage }))
  .on("ifTrue", says(true, { usage }))
  .on("extract", says({ order: "A-100", product: "lamp" }, { usage }))
  .on("sentiment", says({ label: "negative", confidence: 0.9 }, { usage }))
  .on(
    "summarize",
    says("The writer says that the lamp arrived broken.", { usage }),
    says("The lamp arrived broken.", { usage }),
  )
  .on("generateStructured", says({ action: "replace", pieces: 1 }, { usage }))
  .on("generateValidated", says("lamp", { usage }), says("LAMP-2026", { usage }))
  .on("generate", says("Dear Ada, a new lamp is on its way.", { usage }))
  .on("generateWithSystem", says("We are sorry, Ada.", { usage }))
  .on("generateWithContext", says("Send the lamp first.", { usage }))
  .on("chat", says("Now it is.", { usage, model: "of-unknown-price" }));

/** A cent for ten thousand tokens. Without it the packaged prices are asked, and they know no mock. */
const prices: Prices = ({ model, usage: { inputTokens, outputTokens } }) =>
  model === "of-unknown-price" ? undefined : (inputTokens + outputTokens) / 1_000_000;

const isLive = Boolean(process.env["OPENAI_API_KEY"]);
const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  llm: isLive ? openai({ model: "gpt-5-mini" }) : scripted,
  ...(!isLive && { prices }),
  orchestrations: [handleComplaint],
  activities: [findCustomer],
});

const handle = await runtime.startOrchestration(handleComplaint, "Order A-100: the lamp is broken. This is too much!");
const answers = await handle.result();
const questions = (await handle.history()).filter((event) => event.kind === "LlmRequested");
const timesAsked = questions.filter(({ operation }) => operation === "summarize").length;
const told = questions.find(({ operation }) => operation === "generateWithContext")?.request.messages[0]?.content ?? "";
const { instance } = await runtime.client.usage(handle.instanceId);

console.log("kind:", answers.kind);
console.log("entitled:", answers.entitled);
console.log(`order: ${answers.order}, product: ${answers.product}`);
console.log(`mood: ${answers.mood.label} (${answers.mood.confidence})`);
console.log(`summary: ${answers.summary} (asked ${timesAsked} times)`);
console.log("plan:", answers.plan.action, answers.plan.pieces);
console.log("code:", answers.code);
console.log("reply:", answers.reply);
console.log("letter:", answers.letter);
console.log("advice:", answers.advice);
console.log(
  "the model was told:",
  told
    .split("\n")
    .find((line) => line.includes("findCustomer"))
    ?.slice(2),
);
console.log('nearest to "broken":', answers.nearest);
console.log(
  `used: ${instance.calls} calls, ${instance.usd.toFixed(4)} USD for ${instance.calls - instance.unpriced} of them`,
);
console.log("by label:", { summary: instance.byLabel["summary"]?.calls });

await runtime.shutdown();
