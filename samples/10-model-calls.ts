/**
 * Model calls are events like any other: asked for, answered, recorded. A replay asks nobody.
 *
 * An answer that does not fit is refused with the reason, and the question is asked again; each question is recorded, so
 * a crash between two of them pays for neither twice. Here the scripted model forgets the quotes the first time.
 *
 * With OPENAI_API_KEY the same program asks a real model, and answers differ.
 *
 * Prints:
 *   kind: refund
 *   angry: true
 *   order: A-100, wanted: money back
 *   plan: refund 25 in EUR
 *   letter: Dear customer, we refund 25 EUR for order A-100.
 *   questions: classify, ifTrue, extract, generateStructured, generateStructured (again), generate
 */
import { Runtime, orchestration } from "@stet/core";
import { mock } from "@stet/mock";
import { openai } from "@stet/openai";
import { sqlite } from "@stet/sqlite";
import { z } from "zod";

const Plan = z.object({ action: z.enum(["refund", "replace", "none"]), amount: z.number(), currency: z.string() });

const handleComplaint = orchestration("handleComplaint", async (ctx, text: string) => {
  const kind = await ctx.classify(text, ["refund", "bug", "other"]); // "refund" | "bug" | "other"
  const angry = await ctx.ifTrue("Is the writer angry?", { about: text }); // boolean
  const { order, wanted } = await ctx.extract(text, ["order", "wanted"]); // strings
  const plan = await ctx.generateStructured(`What should we do?\n${text}`, Plan); // as the schema says
  const letter = await ctx.generate({
    system: "You write one sentence, friendly and exact.",
    prompt: `Tell the writer of order ${order} that we will ${plan.action} ${plan.amount} ${plan.currency}.`,
  });
  return { kind, angry, order, wanted, plan, letter };
});

const scripted = mock()
  .on("classify", "refund")
  .on("ifTrue", true)
  .on("extract", { order: "A-100", wanted: "money back" })
  .on("generateStructured", "{ action: refund }", { action: "refund", amount: 25, currency: "EUR" })
  .on("generate", "Dear customer, we refund 25 EUR for order A-100.");

const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  llm: process.env["OPENAI_API_KEY"] ? openai({ model: "gpt-5-mini" }) : scripted,
  orchestrations: [handleComplaint],
});

const complaint = "Order A-100 arrived broken. This is the third time! I want my 25 euros back.";
const handle = await runtime.startOrchestration(handleComplaint, complaint);
const { kind, angry, order, wanted, plan, letter } = await handle.result();
console.log("kind:", kind);
console.log("angry:", angry);
console.log(`order: ${order}, wanted: ${wanted}`);
console.log("plan:", plan.action, plan.amount, "in", plan.currency);
console.log("letter:", letter);

const questions = (await handle.history()).flatMap((event) =>
  event.kind === "LlmRequested" ? [event.operation + (event.refines === undefined ? "" : " (again)")] : [],
);
console.log("questions:", questions.join(", "));

await runtime.shutdown();
