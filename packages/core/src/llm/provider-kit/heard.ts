/** From what was heard, whole or put together from pieces, to an answer. What cannot be an answer is an `LlmError`. */
import { LlmError, type LlmErrorKind } from "../../errors.ts";
import type { Payload } from "../../payload.ts";
import type { LlmFinishReason, LlmRequest, LlmTool, LlmToolCall, LlmUsage } from "../conversation.ts";
import type { LlmResponse } from "../provider.ts";
import { estimatedUsage } from "./estimated-usage.ts";
import { realName } from "./wire-name.ts";

/** An answer as it was heard, before anything is made of it. */
export interface Heard {
  /** The model that answered, when it said so. */
  readonly model?: string | undefined;
  readonly text: string;
  readonly toolCalls: readonly HeardToolCall[];
  /** Why it ended: `"stop"` also when tools are called, and anything that is not listed for an end that is none. */
  readonly end: "stop" | "length" | "refused" | "content_filter" | { readonly unknown: string };
  /** The words of a refusal. */
  readonly refusal?: string | undefined;
  /** Absent when the vendor gave no count that can be believed. */
  readonly usage?: LlmUsage | undefined;
}

/** A tool call whose arguments are still text. */
export interface HeardToolCall {
  readonly id: string;
  /** As on the wire. */
  readonly name: string;
  readonly arguments: string;
}

/**
 * What the model answered to `request`. Tools get their own names back, usage is estimated when there is none, and of an
 * answer that was cut short only whole tool calls are kept.
 *
 * @throws LlmError `refused`, `content_filter`, or `malformed` when a tool call cannot be read or the answer ended for no
 * reason that ends answers.
 */
export function toResponse(heard: Heard, request: LlmRequest, askedModel: string): LlmResponse {
  const finishReason = toFinishReason(heard, askedModel);
  const toolCalls = toToolCalls(heard, request.tools ?? [], finishReason === "length");
  const written = heard.text + heard.toolCalls.map((call) => call.name + call.arguments).join("");
  return {
    answer: { text: heard.text, ...(toolCalls.length > 0 && { toolCalls }) },
    model: heard.model ?? askedModel,
    usage: heard.usage ?? estimatedUsage(request, written),
    finishReason,
  };
}

/** What was heard has been paid for all the same. */
function noUse(kind: LlmErrorKind, message: string, { usage }: Heard): LlmError {
  return new LlmError(kind, message, { ...(usage !== undefined && { usage }) });
}

/** Whether tools are called is told by the calls: servers disagree on the reason they give then. */
function toFinishReason(heard: Heard, askedModel: string): LlmFinishReason {
  const { end, toolCalls, refusal = "" } = heard;
  switch (end) {
    case "refused":
      throw noUse("refused", `Expected ${askedModel} to answer, got a refusal: ${shortened(refusal)}`, heard);
    case "content_filter":
      throw noUse("content_filter", `Expected ${askedModel} to answer, got stopped by the content filter`, heard);
    case "length":
      return "length";
    case "stop":
      return toolCalls.length > 0 ? "tool_calls" : "stop";
    default:
      throw noUse(
        "malformed",
        `Expected ${askedModel} to end with stop, length or tool_calls, got ${end.unknown}`,
        heard,
      );
  }
}

function toToolCalls(heard: Heard, tools: readonly LlmTool[], cutShort: boolean): LlmToolCall[] {
  return heard.toolCalls.flatMap((call) => {
    const args = parsedArguments(call.arguments);
    if (call.id !== "" && call.name !== "" && args !== undefined) {
      return [{ id: call.id, name: realName(call.name, tools), arguments: args }];
    }
    if (cutShort) return [];
    throw noUse(
      "malformed",
      `Expected a tool call to have an id, a name and JSON arguments, got ${shortened(JSON.stringify(call))}`,
      heard,
    );
  });
}

/** No arguments at all are how some models write `{}`. */
function parsedArguments(text: string): Payload | undefined {
  if (text.trim() === "") return {};
  try {
    const parsed: Payload = JSON.parse(text);
    return parsed;
  } catch {
    return undefined; // the caller knows whether broken arguments are to be expected
  }
}

function shortened(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 197)}...`;
}
