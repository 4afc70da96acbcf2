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

/** What a call with capacity in hand has used of it. Of one that failed it is mostly not known. */
export function usedBy({ asking, spent }: Job, answer?: AnswerBody): { readonly used?: UsedCapacity } {
  if (asking?.claimedAt === undefined || !asking.gate.countsTokens) return {};
  const usage = answer?.kind === "LlmCompleted" ? answer.usage : spent?.usage;
  if (usage === undefined) return {};
  const { gate, claimedAt } = asking;
  return { used: { model: gate.name, claimedAt, tokens: usage.inputTokens + usage.outputTokens } };
}
