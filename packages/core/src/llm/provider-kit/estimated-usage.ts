/** Tokens of a call that nobody counted: four characters are a token. */
import type { LlmRequest, LlmUsage } from "../conversation.ts";

/** A guess for a question and what was written in answer to it. */
export function estimatedUsage(request: LlmRequest, written: string): LlmUsage {
  const { messages, tools = [], format } = request;
  const asked = [
    ...messages.map(({ content, toolCalls }) => content + (toolCalls === undefined ? "" : JSON.stringify(toolCalls))),
    ...tools.map((tool) => JSON.stringify(tool)),
    format === undefined ? "" : JSON.stringify(format.schema),
  ];
  return { inputTokens: tokens(asked.join("")), outputTokens: tokens(written), estimated: true };
}

/** A guess for texts to be embedded. */
export function estimatedEmbeddingUsage(texts: readonly string[]): LlmUsage {
  return { inputTokens: tokens(texts.join("")), outputTokens: 0, estimated: true };
}

function tokens(text: string): number {
  return Math.ceil(text.length / 4);
}
