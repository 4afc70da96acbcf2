/** Hearing a whole message. */
import { LlmError, type LlmUsage } from "@stet/core";
import { countOf, type Heard, itemsOf, member, textOf } from "@stet/core/provider-kit";

/** @throws LlmError `malformed` when the body is no message. */
export function fromMessage(body: unknown): Heard {
  if (!Array.isArray(member(body, "content"))) {
    throw new LlmError("malformed", "Expected Anthropic to answer with a message, got a body without content");
  }
  const blocks = itemsOf(body, "content");
  const end = toEnd(textOf(body, "stop_reason"));
  // The input of a call that was cut short arrives as an object all the same: only the end tells.
  const calls = blocks.filter((block, i) => isToolUse(block) && !(end === "length" && i === blocks.length - 1));
  return {
    model: textOf(body, "model"),
    text: blocks.map((block) => (textOf(block, "type") === "text" ? (textOf(block, "text") ?? "") : "")).join(""),
    toolCalls: calls.map((call) => ({
      id: textOf(call, "id") ?? "",
      name: textOf(call, "name") ?? "",
      arguments: JSON.stringify(member(call, "input") ?? {}),
    })),
    end,
    refusal: refusalOf(member(body, "stop_details")),
    usage: reportedUsage(member(body, "usage")),
  };
}

function isToolUse(block: unknown): boolean {
  return textOf(block, "type") === "tool_use";
}

/** What a `stop_reason` means. */
export function toEnd(stopReason: string | undefined): Heard["end"] {
  switch (stopReason) {
    case "end_turn":
    case "stop_sequence":
    case "tool_use":
      return "stop";
    case "max_tokens":
    case "model_context_window_exceeded":
      return "length";
    case "refusal":
      return "refused";
    default:
      return { unknown: stopReason ?? "no stop_reason" };
  }
}

/** What was said about a refusal, where something was. */
export function refusalOf(stopDetails: unknown): string {
  return textOf(stopDetails, "explanation") ?? textOf(stopDetails, "category") ?? "no reason given";
}

/** The server's count. Anthropic counts what it read from its cache, and what it wrote there, apart from the input. */
export function reportedUsage(usage: unknown): LlmUsage | undefined {
  const input = countOf(usage, "input_tokens");
  const outputTokens = countOf(usage, "output_tokens");
  if (input === undefined || outputTokens === undefined) return undefined;
  const cachedTokens = countOf(usage, "cache_read_input_tokens");
  const reasoningTokens = countOf(member(usage, "output_tokens_details"), "thinking_tokens");
  return {
    inputTokens: input + (cachedTokens ?? 0) + (countOf(usage, "cache_creation_input_tokens") ?? 0),
    outputTokens,
    ...(cachedTokens !== undefined && { cachedTokens }),
    ...(reasoningTokens !== undefined && { reasoningTokens }),
  };
}
