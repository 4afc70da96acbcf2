/** Structured output of those that cannot do it by themselves: they are asked for it in words. */
import type { LlmMessage, LlmRequest } from "../conversation.ts";

/** The question with its format put into words at the end of what the system says. Without a format, the question. */
export function withFormatInWords(request: LlmRequest): LlmRequest {
  const { format, messages, ...rest } = request;
  if (format === undefined) return request;
  const instruction: LlmMessage = {
    role: "system",
    content: `Answer with one JSON value that satisfies this JSON Schema, and with nothing else: no explanation, no code fence.\n${JSON.stringify(format.schema)}`,
  };
  const leading = messages.findIndex(({ role }) => role !== "system");
  const at = leading < 0 ? messages.length : leading;
  return { ...rest, messages: [...messages.slice(0, at), instruction, ...messages.slice(at)] };
}
