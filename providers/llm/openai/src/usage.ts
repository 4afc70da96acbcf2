/** Tokens of a call: as the server counted them, or guessed from the length of the texts. */
import type { LlmRequest, LlmUsage } from "@stet/core";
import { countOf, member } from "./json-reading.ts";

/** The server's count, when it gave one that can be believed. */
export function reportedUsage(usage: unknown): LlmUsage | undefined {
  const inputTokens = countOf(usage, "prompt_tokens");
  const outputTokens = countOf(usage, "completion_tokens") ?? (inputTokens === undefined ? undefined : 0);
  if (inputTokens === undefined || outputTokens === undefined) return undefined;
  const cachedTokens = countOf(member(usage, "prompt_tokens_details"), "cached_tokens");
  const reasoningTokens = countOf(member(usage, "completion_tokens_details"), "reasoning_tokens");
  return {
    inputTokens,
    outputTokens,
    ...(cachedTokens !== undefined && { cachedTokens }),
    ...(reasoningTokens !== undefined && { reasoningTokens }),
  };
}

/** A guess: four characters are a token. */
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
