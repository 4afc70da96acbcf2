/** From a scripted answer to what the seam asks for. Usage is a pure function of the texts, so tests can count on it. */
import type { LlmFinishReason, LlmRequest, LlmResponse, LlmUsage, Payload } from "@stet/core";
import type { AnswerDetails } from "./answers.ts";
import type { MockCall } from "./calls.ts";

/** A text or JSON value and its details, as a response. */
export function toResponse(value: Payload, details: AnswerDetails, call: MockCall, ownModel: string): LlmResponse {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const toolCalls = (details.toolCalls ?? []).map((tool, i) => ({
    id: tool.id ?? `call-${call.order}-${i + 1}`,
    name: tool.name,
    arguments: tool.arguments ?? {},
  }));
  const finishReason: LlmFinishReason = details.finishReason ?? (toolCalls.length > 0 ? "tool_calls" : "stop");
  const written = text + toolCalls.map((tool) => tool.name + JSON.stringify(tool.arguments)).join("");
  return {
    answer: { text, ...(toolCalls.length > 0 && { toolCalls }) },
    model: details.model ?? call.request.model ?? ownModel,
    usage: details.usage ?? { inputTokens: inputTokens(call.request), outputTokens: tokens(written) },
    finishReason,
  };
}

/** A token is four characters, the last one perhaps fewer. */
function tokens(text: string): number {
  return Math.ceil(text.length / 4);
}

/** What embedding these texts would cost. */
export function embeddingUsage(texts: readonly string[]): LlmUsage {
  return { inputTokens: texts.reduce((sum, text) => sum + tokens(text), 0), outputTokens: 0 };
}

function inputTokens(request: LlmRequest): number {
  return tokens(request.messages.map(({ content }) => content).join(""));
}
