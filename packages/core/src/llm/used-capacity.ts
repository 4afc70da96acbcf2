/**
 * What a call that was claimed with capacity has really used of it, for the store to count instead of what was expected.
 */
import type { Job } from "../job.ts";
import type { AnswerBody } from "../messages.ts";
import type { UsedCapacity } from "../storage.ts";

/** Whether no model was asked for the answer. */
export function isCached(answer: AnswerBody): boolean {
  return answer.kind === "LlmCompleted" && answer.cached === true;
}

/** What a call with capacity in hand has used of it. Of one that failed it is not known. */
export function usedBy({ asking }: Job, answer?: AnswerBody): { readonly used?: UsedCapacity } {
  if (asking?.claimedAt === undefined || !asking.gate.countsTokens || answer?.kind !== "LlmCompleted") return {};
  const { inputTokens, outputTokens } = answer.usage;
  const { gate, claimedAt } = asking;
  const tokens = isCached(answer) ? 0 : inputTokens + outputTokens;
  return { used: { model: gate.name, claimedAt, tokens } };
}
