/** From a request in nobody's dialect to the body of `POST /chat/completions`. */
import { LlmError, type JsonSchema, type LlmMessage, type LlmRequest, type LlmTool } from "@stet/core";
import type {
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionFunctionTool,
  ChatCompletionMessageParam,
  ChatCompletionToolChoiceOption,
} from "openai/resources/chat/completions";
import type { ResponseFormatJSONSchema } from "openai/resources/shared";
import { intoEnvelope, needsEnvelope } from "./envelope.ts";
import { fitsStrictMode } from "./strict-schema.ts";
import { wireName } from "./wire-name.ts";

/** The body, without what streaming adds to it. */
export function toChatCompletion(request: LlmRequest, model: string): ChatCompletionCreateParamsNonStreaming {
  const { messages, format, tools = [], toolChoice, temperature, maxTokens } = request;
  return {
    model,
    messages: messages.map(toMessage),
    ...(format !== undefined && { response_format: toResponseFormat(format) }),
    ...(tools.length > 0 && { tools: tools.map(toTool) }),
    ...(tools.length > 0 && toolChoice !== undefined && { tool_choice: toToolChoice(toolChoice) }),
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined &&
      (countsReasoning(model) ? { max_completion_tokens: maxTokens } : { max_tokens: maxTokens })),
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
      if (toolCallId === undefined) {
        throw new LlmError(
          "bad_request",
          "Expected a tool message to name the call it answers in toolCallId, got none",
        );
      }
      return { role, content, tool_call_id: toolCallId };
  }
}

function toResponseFormat({ name, schema }: NonNullable<LlmRequest["format"]>): ResponseFormatJSONSchema {
  const document = withoutDialect(schema);
  const accepted = needsEnvelope(document) ? intoEnvelope(document) : document;
  return {
    type: "json_schema",
    json_schema: { name: wireName(name), schema: accepted, strict: fitsStrictMode(accepted) },
  };
}

function toTool({ name, description, parameters }: LlmTool): ChatCompletionFunctionTool {
  const document = withoutDialect(parameters);
  return {
    type: "function",
    function: {
      name: wireName(name),
      ...(description !== undefined && { description }),
      parameters: document,
      strict: fitsStrictMode(document),
    },
  };
}

function toToolChoice(choice: NonNullable<LlmRequest["toolChoice"]>): ChatCompletionToolChoiceOption {
  return typeof choice === "string" ? choice : { type: "function", function: { name: wireName(choice.name) } };
}

function withoutDialect({ $schema: _dialect, ...schema }: JsonSchema): JsonSchema {
  return schema;
}
