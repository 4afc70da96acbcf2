/** What a call uses at most, as far as its request tells: what a budget reserves before the call is made. */
import { boundedAnswerTokens } from "../budget.ts";
import type { LlmRequest, LlmUsage } from "./conversation.ts";

/**
 * Two bytes of the request's JSON are counted as a token. Real texts have two to five bytes to a token, so it is too
 * much nearly always and by half or more mostly; what was not used is free again when the answer is recorded.
 */
const bytesPerToken = 2;

/** More than the call is going to use. */
export function usageAtMost({ messages, texts, tools, format, maxTokens }: LlmRequest): LlmUsage {
  const asked = JSON.stringify({ messages, texts, tools, format });
  return {
    inputTokens: Math.ceil(Buffer.byteLength(asked) / bytesPerToken),
    outputTokens: texts === undefined ? (maxTokens ?? boundedAnswerTokens) : 0,
  };
}
