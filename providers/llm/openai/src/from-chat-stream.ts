/**
 * Putting a streamed answer together. The SDK takes a stream that simply ends for a whole one; here it is whole only when
 * it said why it ended.
 */
import { LlmError } from "@stet/core";
import { countOf, type Heard, type HeardToolCall, itemsOf, member, textOf, withUsage } from "@stet/core/provider-kit";
import { toEnd } from "./from-chat-completion.ts";
import { reportedUsage } from "./usage.ts";

/**
 * Reads all pieces, handing the text on as it comes.
 *
 * @throws LlmError `connection` when the stream ends before the answer does.
 */
export async function fromChatStream(chunks: AsyncIterable<unknown>, onText: (text: string) => void): Promise<Heard> {
  const toolCalls = new Map<number, HeardToolCall>();
  let model: string | undefined;
  let finishReason: string | undefined;
  let usage: unknown;
  let text = "";
  let refusal = "";
  try {
    for await (const chunk of chunks) {
      model ??= textOf(chunk, "model");
      usage = member(chunk, "usage") ?? usage;
      const choice = itemsOf(chunk, "choices").find((candidate) => (countOf(candidate, "index") ?? 0) === 0);
      const delta = member(choice, "delta");
      const piece = textOf(delta, "content") ?? "";
      if (piece !== "") {
        text += piece;
        onText(piece);
      }
      refusal += textOf(delta, "refusal") ?? "";
      for (const part of itemsOf(delta, "tool_calls")) addToolCallPart(toolCalls, part);
      finishReason = textOf(choice, "finish_reason") ?? finishReason;
    }
    if (finishReason === undefined) {
      throw new LlmError(
        "connection",
        `Expected the stream to end with a finish_reason, got cut after ${text.length} characters`,
      );
    }
  } catch (error) {
    throw withUsage(error, reportedUsage(usage));
  }
  const inOrder = [...toolCalls].sort(([a], [b]) => a - b).map(([, call]) => call);
  return {
    model: model === "" ? undefined : model,
    text,
    toolCalls: inOrder,
    end: toEnd(finishReason, refusal),
    refusal,
    usage: reportedUsage(usage),
  };
}

/** The first part brings id and name, the others more of the arguments. Servers that never number send whole calls. */
function addToolCallPart(calls: Map<number, HeardToolCall>, part: unknown): void {
  const index = countOf(part, "index") ?? calls.size;
  const before = calls.get(index);
  const fn = member(part, "function");
  calls.set(index, {
    id: before?.id || (textOf(part, "id") ?? ""),
    name: (before?.name ?? "") + (textOf(fn, "name") ?? ""),
    arguments: (before?.arguments ?? "") + (textOf(fn, "arguments") ?? ""),
  });
}
