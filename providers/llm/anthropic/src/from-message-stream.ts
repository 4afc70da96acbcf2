/** Putting a streamed message together. It is whole when it said why it ended; a stream that simply ends is none. */
import { LlmError } from "@stet/core";
import { countOf, type Heard, type HeardToolCall, member, textOf, withUsage } from "@stet/core/provider-kit";
import { refusalOf, reportedUsage, toEnd } from "./from-message.ts";

/**
 * Reads all events, handing the text on as it comes.
 *
 * @throws LlmError `connection` when the stream ends before the message does.
 */
export async function fromMessageStream(
  events: AsyncIterable<unknown>,
  onText: (text: string) => void,
): Promise<Heard> {
  const toolCalls = new Map<number, HeardToolCall>();
  let model: string | undefined;
  let stopReason: string | undefined;
  let refusal = "";
  let usage: object = {};
  let text = "";
  try {
    for await (const event of events) {
      const index = countOf(event, "index") ?? 0;
      const delta = member(event, "delta");
      switch (textOf(event, "type") ?? "") {
        case "message_start":
          model = textOf(member(event, "message"), "model");
          usage = withCounts(usage, member(member(event, "message"), "usage"));
          break;
        case "content_block_start": {
          const block = member(event, "content_block");
          if (textOf(block, "type") !== "tool_use") break;
          toolCalls.set(index, { id: textOf(block, "id") ?? "", name: textOf(block, "name") ?? "", arguments: "" });
          break;
        }
        case "content_block_delta": {
          const piece = textOf(delta, "text") ?? "";
          text += piece;
          if (piece !== "") onText(piece);
          const call = toolCalls.get(index);
          const input = textOf(delta, "partial_json") ?? "";
          if (call !== undefined) toolCalls.set(index, { ...call, arguments: call.arguments + input });
          break;
        }
        case "message_delta":
          stopReason = textOf(delta, "stop_reason") ?? stopReason;
          refusal = refusalOf(member(delta, "stop_details"));
          usage = withCounts(usage, member(event, "usage"));
          break;
        default: // pings, ends of blocks, and whatever comes to be
      }
    }
    if (stopReason === undefined) {
      throw new LlmError(
        "connection",
        `Expected the stream to end with a stop_reason, got cut after ${text.length} characters`,
      );
    }
  } catch (error) {
    throw withUsage(error, reportedUsage(usage));
  }
  return {
    model,
    text,
    toolCalls: [...toolCalls.values()],
    end: toEnd(stopReason),
    refusal,
    usage: reportedUsage(usage),
  };
}

/** Counts are cumulative, and the later ones leave out what has not changed. */
function withCounts(before: object, counts: unknown): object {
  const known = Object.entries(typeof counts === "object" && counts !== null ? counts : {});
  return { ...before, ...Object.fromEntries(known.filter(([, count]) => count !== null)) };
}
