/** Hearing an answer of `POST /api/chat`, whole or piece by piece. */
import { LlmError, type LlmRequest, type LlmUsage } from "@stet/core";
import { countOf, type Heard, type HeardToolCall, itemsOf, member, textOf } from "@stet/core/provider-kit";

/** @throws LlmError `malformed` when the body is no answer. */
export function fromChat(body: unknown, request: LlmRequest): Heard {
  if (typeof member(body, "message") !== "object") {
    throw new LlmError("malformed", "Expected Ollama to answer with a message, got a body without one");
  }
  return {
    model: textOf(body, "model"),
    text: textOf(member(body, "message"), "content") ?? "",
    toolCalls: toolCallsOf(body, callsBefore(request)),
    end: endOf(body),
    usage: usageOf(body),
  };
}

/**
 * Reads all pieces, handing the text on as it comes. That the last one is there is seen to by the SDK.
 *
 * @throws LlmError `malformed` when a piece is none.
 */
export async function fromChatStream(
  pieces: AsyncIterable<unknown>,
  request: LlmRequest,
  onText: (text: string) => void,
): Promise<Heard> {
  const toolCalls: HeardToolCall[] = [];
  let text = "";
  let last: unknown;
  for await (const piece of pieces) {
    const content = textOf(member(piece, "message"), "content") ?? "";
    text += content;
    if (content !== "") onText(content);
    toolCalls.push(...toolCallsOf(piece, callsBefore(request) + toolCalls.length));
    last = piece;
  }
  return { model: textOf(last, "model"), text, toolCalls, end: endOf(last), usage: usageOf(last) };
}

/** Calls are numbered within the conversation where the server gives them no ids. */
function toolCallsOf(body: unknown, before: number): HeardToolCall[] {
  return itemsOf(member(body, "message"), "tool_calls").map((call, i) => ({
    id: textOf(call, "id") || `call_${before + i + 1}`,
    name: textOf(member(call, "function"), "name") ?? "",
    arguments: JSON.stringify(member(member(call, "function"), "arguments") ?? {}),
  }));
}

function callsBefore({ messages }: LlmRequest): number {
  return messages.reduce((count, { toolCalls = [] }) => count + toolCalls.length, 0);
}

function endOf(body: unknown): Heard["end"] {
  const reason = textOf(body, "done_reason");
  if (reason === "length") return "length";
  if (reason === "stop" || (reason === undefined && member(body, "done") === true)) return "stop";
  return { unknown: reason ?? "no done_reason" };
}

function usageOf(body: unknown): LlmUsage | undefined {
  const inputTokens = countOf(body, "prompt_eval_count");
  const outputTokens = countOf(body, "eval_count");
  return inputTokens === undefined || outputTokens === undefined ? undefined : { inputTokens, outputTokens };
}
