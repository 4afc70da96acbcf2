/** Hearing a whole chat completion. */
import { LlmError } from "@stet/core";
import { type Heard, itemsOf, member, textOf } from "@stet/core/provider-kit";
import { reportedUsage } from "./usage.ts";

/** @throws LlmError `malformed` when the body is no chat completion. */
export function fromChatCompletion(body: unknown): Heard {
  const choice = itemsOf(body, "choices")[0];
  const message = member(choice, "message");
  if (typeof message !== "object" || message === null) {
    throw new LlmError("malformed", `Expected OpenAI to answer with a chat completion, got ${described(body)}`);
  }
  const refusal = textOf(message, "refusal") ?? "";
  return {
    model: textOf(body, "model"),
    text: textOf(message, "content") ?? "",
    toolCalls: itemsOf(message, "tool_calls").map((call) => ({
      id: textOf(call, "id") ?? "",
      name: textOf(member(call, "function"), "name") ?? "",
      arguments: textOf(member(call, "function"), "arguments") ?? "",
    })),
    end: toEnd(textOf(choice, "finish_reason"), refusal),
    refusal,
    usage: reportedUsage(member(body, "usage")),
  };
}

/** What a `finish_reason` means. A refusal has none of its own. */
export function toEnd(finishReason: string | undefined, refusal: string): Heard["end"] {
  if (refusal !== "") return "refused";
  switch (finishReason) {
    case "length":
    case "content_filter":
      return finishReason;
    case "stop":
    case "tool_calls":
    case "function_call":
      return "stop";
    default:
      return { unknown: finishReason ?? "no finish_reason" };
  }
}

/** Its shape only: what a broken server says may hold anything. */
function described(body: unknown): string {
  if (body === undefined || body === null) return "nothing";
  return typeof body === "object" ? "an object without choices" : `a ${typeof body}`;
}
