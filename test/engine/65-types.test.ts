/**
 * The types that operations answer with: literal, and without a cast in user code. The compiler is the test; `npm run check`
 * fails when a line below does not hold.
 */
import assert from "node:assert/strict";
import test from "node:test";
import {
  activity,
  type AssistantMessage,
  type LlmTool,
  type OrchestrationContext,
  type Payload,
  type Sentiment,
} from "@stet/core";
import { answer, given, start } from "@stet/testing";
import { z } from "zod";
import { asking } from "./asking.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Takes `true` when the promise resolves with exactly this type, and `false` when it does not. */
function resolves<Expected>() {
  return <Actual>(_promise: Promise<Actual>, _same: Same<Actual, Expected>): void => undefined;
}

const Plan = z.object({ action: z.enum(["refund", "replace"]), amount: z.number().default(0) });
type PlanValue = { action: "refund" | "replace"; amount: number };

const decide = activity("decide", (_ctx, kind: "refund" | "replace") => kind);
const lookUp = activity("lookUp", { input: z.object({ id: z.string() }) }, () => "found");

/** Never run: it is here to be compiled. */
async function typed(ctx: OrchestrationContext): Promise<void> {
  resolves<"refund" | "bug">()(ctx.classify("text", ["refund", "bug"]), true);
  resolves<string>()(ctx.classify("text", ["refund", "bug"]), false);
  resolves<"a" | "b">()(ctx.classify("text", ["a", "b"] as ("a" | "b")[]), true);
  resolves<Record<"name" | "age", string>>()(ctx.extract("text", ["name", "age"]), true);
  resolves<Record<"name" | "age", string>>()(ctx.extractFeatures("text", ["name", "age"]), true);
  resolves<PlanValue>()(ctx.extract("text", Plan), true);
  resolves<PlanValue>()(ctx.generateStructured("prompt", Plan), true);
  resolves<unknown>()(ctx.generateStructured("prompt", { type: "object" }), true);
  resolves<boolean>()(ctx.ifTrue("Is it?"), true);
  resolves<string>()(ctx.summarize("text", { maxWords: 5 }), true);
  resolves<Sentiment>()(ctx.sentiment("text"), true);
  resolves<string>()(ctx.generateWithContext("prompt", { context: { maxContextTokens: 10 } }), true);
  resolves<string>()(
    ctx.generateValidated("prompt", { validate: (text) => (text === "" ? "empty" : undefined) }),
    true,
  );
  resolves<PlanValue>()(
    ctx.generateValidated("prompt", {
      schema: Plan,
      validate: ({ amount, action }) => (action === "refund" && amount > 100 ? "too much" : undefined),
    }),
    true,
  );
  resolves<AssistantMessage>()(ctx.chat([{ role: "user", content: "Hi" }], { toolChoice: "none" }), true);
  resolves<number[][]>()(ctx.embed(["a", "b"]), true);

  resolves<"refund" | "replace">()(ctx.activity(decide, "refund"), true);
  // @ts-expect-error: it takes neither
  void ctx.activity(decide, "bug");

  const kind = await ctx.classify("text", ["refund", "bug"]);
  // @ts-expect-error: it is none of the categories
  if (kind === "other") return;
  const { name } = await ctx.extract("text", ["name"]);
  name.toUpperCase();
  // @ts-expect-error: it was not asked for
  await ctx.extract("text", ["name"]).then(({ age }) => age);
  const { label } = await ctx.sentiment("text");
  // @ts-expect-error: it is none of the labels
  if (label === "happy") return;
  // @ts-expect-error: the words of a summary are counted
  await ctx.summarize("text");
  // @ts-expect-error: how often it asks is said with the validation
  await ctx.generateValidated("prompt", { validate: () => undefined }, { maxAsks: 2 });
  // @ts-expect-error: a conversation is sent as it stands
  await ctx.chat([{ role: "user", content: "Hi" }], {}, { context: {} });
  // @ts-expect-error: a validator answers at once
  await ctx.generateValidated("prompt", { validate: async () => undefined });
  // @ts-expect-error: nothing else is a role
  await ctx.chat([{ role: "human", content: "Hi" }]);

  const tools: LlmTool[] = ctx.describeTools([lookUp]);
  const said = await ctx.chat([{ role: "user", content: "Hi" }], { tools });
  const calls: readonly { id: string; name: string; arguments: Payload }[] = said.toolCalls ?? [];
  await ctx.chat([said, ...calls.map(({ id }) => ({ role: "tool" as const, toolCallId: id, content: "" }))]);
}

test("what is typed is what comes", async () => {
  assert.equal(typeof typed, "function");
  const turn = await given(asking((ctx) => ctx.classify("text", ["refund", "bug"]))).when(
    start(),
    answer.said(2, "bug"),
  );
  const { output } = turn.closing as { output: "refund" | "bug" };
  assert.equal(output, "bug");
});
