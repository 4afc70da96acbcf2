/** Asking the model what comes next, in either of the two ways, and reading what it says as one kind of plan. */
import {
  type AssistantMessage,
  type DurablePromise,
  isStetError,
  type LlmError,
  type LlmMessage,
  type OrchestrationContext,
  type Payload,
} from "@stet/core";
import { z } from "zod";
import { type Plan, planSchema, type WrittenPlan } from "./plan.ts";
import { finishTool, offered, type Planning } from "./prompts.ts";
import type { Tool } from "./tool.ts";
import type { ModelOptions } from "./agent-options.ts";

/** A plan, or why what the model said is none. */
export type Answer = { readonly plan: Plan } | { readonly mistake: string };

/** Asks once. A plan that cannot be read is asked for again within the call, with `planning: "plan"`. */
export async function askForPlan(
  ctx: OrchestrationContext,
  messages: readonly LlmMessage[],
  { planning, tools, model, name }: { planning: Planning; tools: readonly Tool[]; model: ModelOptions; name: string },
  within: <Value>(promise: DurablePromise<Value>) => Promise<Value>,
): Promise<Answer> {
  const options = { label: name, ...model };
  try {
    if (planning === "plan") return planOf(await within(ctx.generateStructured({ messages }, planSchema, options)));
    const offer = [...tools.map(offered), finishTool].sort((a, b) => (a.name < b.name ? -1 : 1));
    return calls(await within(ctx.chat(messages, { tools: offer }, options)));
  } catch (error) {
    if (isUnusable(error)) return { mistake: (error as Error).message };
    throw error;
  }
}

/** Whether it is the model's fault, so that asking it otherwise may help. */
function isUnusable(error: unknown): boolean {
  if (isStetError(error, "llm_output_invalid")) return true;
  if (!isStetError(error, "llm_failed")) return false;
  return ["refused", "truncated", "content_filter", "malformed"].includes((error as LlmError).kind);
}

function planOf({ thought, actions, parallel, done, done_reason: reason, summary }: WrittenPlan): Answer {
  if (actions.length === 0 && !done)
    return { mistake: "there was nothing to do in the plan, and it did not say that you are done" };
  const plan: Plan = {
    thought,
    actions: actions.map(({ tool, params, id }) => ({ tool, arguments: params, writtenId: id })),
    parallel,
    ...(done && { finish: { reason: reason ?? "success", summary: summary ?? thought } }),
  };
  return { plan };
}

const finishing = z.object({ reason: z.enum(["success", "gave_up"]), summary: z.string() });

/** Calls that come together may run together. A text without any is the last word. */
function calls({ content, toolCalls = [] }: AssistantMessage): Answer {
  const actions = toolCalls.map(({ name, arguments: args }) => ({ tool: name, arguments: namedArguments(args) }));
  const [only] = actions;
  if (only === undefined) {
    if (content.trim() === "") return { mistake: "you said nothing and called no tool" };
    return { plan: { thought: content, actions, parallel: false, finish: { reason: "success", summary: content } } };
  }
  if (actions.length > 1 || only.tool !== finishTool.name)
    return { plan: { thought: content, actions, parallel: true } };
  const finish = finishing.safeParse(only.arguments);
  if (!finish.success)
    return {
      mistake: `finish takes a reason (success or gave_up) and a summary, got ${JSON.stringify(only.arguments)}`,
    };
  return { plan: { thought: content, actions: [], parallel: false, finish: finish.data } };
}

/** Vendors take only objects for arguments when they are told what a model called before. */
function namedArguments(args: Payload): Payload {
  return typeof args === "object" && args !== null && !Array.isArray(args) ? args : { value: args };
}
