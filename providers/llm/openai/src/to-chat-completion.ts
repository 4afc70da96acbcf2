/** From a request in nobody's dialect to the body of `POST /chat/completions`. */
import type { LlmMessage, LlmRequest } from "@stet/core";
import { wireName } from "@stet/core/provider-kit";
import type {
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionMessageParam,
  ChatCompletionToolChoiceOption,
} from "openai/resources/chat/completions";
import type { AskedModel } from "./dialect.ts";
import { answeredCall } from "./to-response-body.ts";
import { toFormat, toFunction } from "./to-schemas.ts";

/** The body, without what streaming adds to it. */
export function toChatCompletion(request: LlmRequest, model: AskedModel): ChatCompletionCreateParamsNonStreaming {
  const { messages, format, tools = [], toolChoice, temperature, maxTokens, vendor } = request;
  return {
    ...vendor,
    model: model.name,
    messages: messages.map(toMessage),
    ...(format !== undefined && {
      response_format: { type: "json_schema" as const, json_schema: toFormat(format) },
    }),
    ...(tools.length > 0 && {
      tools: tools.map((tool) => ({ type: "function" as const, function: toFunction(tool) })),
    }),
    ...(tools.length > 0 && toolChoice !== undefined && { tool_choice: toToolChoice(toolChoice) }),
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined &&
      (countsReasoning(model.kind) ? { max_completion_tokens: maxTokens } : { max_tokens: maxTokens })),
  };
}

/**
 * Models that think refuse `max_tokens`; many servers that are not OpenAI's know nothing else. So the newer name goes to
 * gpt-5 and later and to the o-series, also behind a prefix (`openai/o3`, `ft:gpt-5:...`), and the older to all others.
 */
function countsReasoning(model: string): boolean {
  return /(^|[/:])(o\d|gpt-([5-9]|\d\d))/.test(model);
}

function toMessage({ role, content, toolCalls = [], toolCallId }: LlmMessage): ChatCompletionMessageParam {
  switch (role) {
    case "system":
    case "user":
      return { role, content };
    case "assistant":
      if (toolCalls.length === 0) return { role, content };
      return {
        role,
        content: content === "" ? null : content,
        tool_calls: toolCalls.map(({ id, name, arguments: args }) => ({
          id,
          type: "function",
          function: { name: wireName(name), arguments: JSON.stringify(args) },
        })),
      };
    case "tool":
      return { role, content, tool_call_id: answeredCall(toolCallId) };
  }
}

function toToolChoice(choice: NonNullable<LlmRequest["toolChoice"]>): ChatCompletionToolChoiceOption {
  return typeof choice === "string" ? choice : { type: "function", function: { name: wireName(choice.name) } };
}
