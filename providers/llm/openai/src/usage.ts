/** Tokens of a call as the server counted them, by the names of chat completions or of responses. */
import type { LlmUsage } from "@stet/core";
import { countOf, member } from "@stet/core/provider-kit";

/** The server's count, when it gave one that can be believed. */
export function reportedUsage(usage: unknown): LlmUsage | undefined {
  const [input, output] = countOf(usage, "input_tokens") === undefined ? ["prompt", "completion"] : ["input", "output"];
  const inputTokens = countOf(usage, `${input}_tokens`);
  if (inputTokens === undefined) return undefined;
  const outputTokens = countOf(usage, `${output}_tokens`) ?? 0;
  const cachedTokens = countOf(member(usage, `${input}_tokens_details`), "cached_tokens");
  const reasoningTokens = countOf(member(usage, `${output}_tokens_details`), "reasoning_tokens");
  return {
    inputTokens,
    outputTokens,
    ...(cachedTokens !== undefined && { cachedTokens }),
    ...(reasoningTokens !== undefined && { reasoningTokens }),
  };
}
