/** From what the server said, whole or in pieces, to an answer. What cannot be an answer is an `LlmError`. */
import {
  LlmError,
  type LlmFinishReason,
  type LlmRequest,
  type LlmResponse,
  type LlmTool,
  type LlmToolCall,
  type Payload,
} from "@stet/core";
import { needsEnvelope, outOfEnvelope } from "./envelope.ts";
import { itemsOf, member, textOf } from "./json-reading.ts";
import { estimatedUsage, reportedUsage } from "./usage.ts";
import { realName } from "./wire-name.ts";

/** A completion as it was heard, before anything is made of it. */
export interface Heard {
  readonly model: string | undefined;
  readonly text: string;
  readonly refusal: string;
  readonly toolCalls: readonly HeardToolCall[];
  readonly finishReason: string | undefined;
  /** As the server wrote it. */
  readonly usage: unknown;
}

/** A tool call whose arguments are still text. */
export interface HeardToolCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

/** @throws LlmError `malformed` when the body is no chat completion. */
export function fromChatCompletion(body: unknown): Heard {
  const choice = itemsOf(body, "choices")[0];
  const message = member(choice, "message");
  if (typeof message !== "object" || message === null) {
    throw new LlmError("malformed", `Expected OpenAI to answer with a chat completion, got ${described(body)}`);
  }
  return {
    model: textOf(body, "model"),
    text: textOf(message, "content") ?? "",
    refusal: textOf(message, "refusal") ?? "",
    toolCalls: itemsOf(message, "tool_calls").map((call) => ({
      id: textOf(call, "id") ?? "",
      name: textOf(member(call, "function"), "name") ?? "",
      arguments: textOf(member(call, "function"), "arguments") ?? "",
    })),
    finishReason: textOf(choice, "finish_reason"),
    usage: member(body, "usage"),
  };
}

/**
 * What the model answered to `request`.
 *
 * @throws LlmError `refused`, `content_filter`, or `malformed` when a tool call cannot be read or the reason why the model
 * stopped is none of those that end an answer.
 */
export function toResponse(heard: Heard, request: LlmRequest, askedModel: string): LlmResponse {
  if (heard.refusal !== "") {
    throw new LlmError("refused", `Expected ${askedModel} to answer, got a refusal: ${shortened(heard.refusal)}`);
  }
  if (heard.finishReason === "content_filter") {
    throw new LlmError("content_filter", `Expected ${askedModel} to answer, got stopped by the content filter`);
  }
  const finishReason = toFinishReason(heard, askedModel);
  const toolCalls = toToolCalls(heard.toolCalls, request.tools ?? [], finishReason === "length");
  const written = heard.text + heard.toolCalls.map((call) => call.name + call.arguments).join("");
  return {
    answer: { text: textFor(request, heard.text), ...(toolCalls.length > 0 && { toolCalls }) },
    model: heard.model ?? askedModel,
    usage: reportedUsage(heard.usage) ?? estimatedUsage(request, written),
    finishReason,
  };
}

/** Whether the text is written in an envelope, so that it must not be shown piece by piece. */
export function isEnveloped(request: LlmRequest): boolean {
  return request.format !== undefined && needsEnvelope(request.format.schema);
}

function textFor(request: LlmRequest, text: string): string {
  return isEnveloped(request) ? outOfEnvelope(text) : text;
}

/** A tool that was asked for by name is called with the reason `stop`: only the calls tell. */
function toFinishReason({ finishReason, toolCalls }: Heard, askedModel: string): LlmFinishReason {
  switch (finishReason) {
    case "length":
      return "length";
    case "stop":
    case "tool_calls":
    case "function_call":
      return toolCalls.length > 0 ? "tool_calls" : "stop";
    default:
      throw new LlmError(
        "malformed",
        `Expected ${askedModel} to end with stop, length or tool_calls, got ${finishReason ?? "no finish_reason"}`,
      );
  }
}

/** Of an answer that was cut short, the calls that are whole. */
function toToolCalls(heard: readonly HeardToolCall[], tools: readonly LlmTool[], cutShort: boolean): LlmToolCall[] {
  return heard.flatMap((call) => {
    const args = parsedArguments(call.arguments);
    if (call.id !== "" && call.name !== "" && args !== undefined) {
      return [{ id: call.id, name: realName(call.name, tools), arguments: args }];
    }
    if (cutShort) return [];
    throw new LlmError(
      "malformed",
      `Expected a tool call to have an id, a name and JSON arguments, got ${shortened(JSON.stringify(call))}`,
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

/** Its shape only: what a broken server says may hold anything. */
function described(body: unknown): string {
  if (body === undefined || body === null) return "nothing";
  return typeof body === "object" ? "an object without choices" : `a ${typeof body}`;
}

function shortened(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 197)}...`;
}
