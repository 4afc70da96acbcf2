/** Every question that a model can be asked. */
import { orchestration } from "@stet/core";
import { z } from "zod";

const Plan = z.object({ action: z.enum(["refund", "none"]) });
const moods = ["calm", "angry"] as const;

export const everyQuestion = orchestration("everyQuestion", async (ctx, text: string) => {
  const mood = await ctx.classify(text, moods, { label: "mood" });
  const { order } = await ctx.extract(text, ["order"]);
  await ctx.extractFeatures(text, ["name"]);
  await ctx.generateWithSystem("You are brief.", text, { label: "letter" });
  await ctx.generateWithContext("What next?");
  await ctx.generateStructured(text, Plan);
  await ctx.generateValidated("A code.", { validate: (said) => (said === "" ? "expected a code" : undefined) });
  await ctx.summarize(text, { maxWords: 5 });
  await ctx.sentiment(text);
  await ctx.chat([{ role: "user", content: text }]);
  await ctx.embed([text]);
  const answer = (await ctx.ifTrue("Is it urgent?", { about: text })) ? await ctx.generate(`Hurry: ${order}`) : mood;
  return answer;
});
