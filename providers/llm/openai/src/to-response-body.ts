/** From a request in nobody's dialect to the body of `POST /responses`. */
import { LlmError, type LlmMessage, type LlmRequest } from "@stet/core";
import { wireName } from "@stet/core/provider-kit";
import type { ResponseCreateParamsNonStreaming, ResponseInputItem } from "openai/resources/responses/responses";
import type { AskedModel } from "./dialect.ts";
import { toFormat, toFunction } from "./to-schemas.ts";

/** The body, without what streaming adds to it. */
export function toResponseBody(request: LlmRequest, model: AskedModel): ResponseCreateParamsNonStreaming {
  const { messages, format, tools = [], toolChoice, temperature, maxTokens, vendor } = request;
  return {
    ...vendor,
    model: model.name,
    input: messages.flatMap(toItems),
    store: false,
    ...(format !== undefined && { text: { format: { type: "json_schema" as const, ...toFormat(format) } } }),
    ...(tools.length > 0 && { tools: tools.map((tool) => ({ type: "function" as const, ...toFunction(tool) })) }),
    ...(tools.length > 0 &&
      toolChoice !== undefined && {
        tool_choice:
          typeof toolChoice === "string" ? toolChoice : { type: "function", name: wireName(toolChoice.name) },
      }),
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { max_output_tokens: maxTokens }),
  };
}

function toItems({ role, content, toolCalls = [], toolCallId }: LlmMessage): ResponseInputItem[] {
  switch (role) {
    case "system":
    case "user":
      return [{ role, content }];
    case "assistant":
      return [
        ...(content === "" && toolCalls.length > 0 ? [] : [{ role, content }]),
        ...toolCalls.map(({ id, name, arguments: args }) => ({
          type: "function_call" as const,
          call_id: id,
          name: wireName(name),
          arguments: JSON.stringify(args),
        })),
      ];
    case "tool":
      return [{ type: "function_call_output", call_id: answeredCall(toolCallId), output: content }];
  }
}

/** @throws LlmError `bad_request` when a tool message names no call. */
export function answeredCall(toolCallId: string | undefined): string {
  if (toolCallId !== undefined) return toolCallId;
  throw new LlmError("bad_request", "Expected a tool message to name the call it answers in toolCallId, got none");
}
