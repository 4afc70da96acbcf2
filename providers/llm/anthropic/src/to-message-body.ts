/** From a request in nobody's dialect to the body of `POST /v1/messages`. */
import type {
  MessageCreateParamsNonStreaming,
  MessageParam,
  Tool,
  ToolChoice,
} from "@anthropic-ai/sdk/resources/messages/messages";
import { LlmError, type LlmMessage, type LlmRequest, type LlmTool, type Payload } from "@stet/core";
import { intoEnvelope, needsEnvelope, wireName, withFormatInWords } from "@stet/core/provider-kit";
import { nativeFormat } from "./native-format.ts";
import { marked } from "./prompt-cache.ts";

/** The body, without what streaming adds to it, and whether the answer will come in an envelope. */
export function toMessageBody(
  asked: LlmRequest,
  model: string,
  defaultMaxTokens: number,
  promptCache: "5m" | "1h" | "off",
): { readonly body: MessageCreateParamsNonStreaming; readonly enveloped: boolean } {
  const { format, enveloped } = formatOf(asked);
  const request = format === undefined ? withFormatInWords(asked) : asked;
  const { messages, tools = [], toolChoice, maxTokens = defaultMaxTokens, vendor } = request;
  const system = messages.filter(({ role }) => role === "system").map(({ content }) => content);
  const body: MessageCreateParamsNonStreaming = {
    ...vendor,
    model,
    max_tokens: maxTokens,
    ...(system.length > 0 && { system: system.map((text) => ({ type: "text", text })) }),
    messages: toMessages(messages),
    ...(tools.length > 0 && { tools: tools.map(toTool) }),
    ...(tools.length > 0 && toolChoice !== undefined && { tool_choice: toToolChoice(toolChoice) }),
    ...(format !== undefined && { output_config: { format: { type: "json_schema", schema: format } } }),
  };
  return { body: promptCache === "off" ? body : marked(body, promptCache), enveloped };
}

function formatOf({ format }: LlmRequest): { format: { [key: string]: unknown } | undefined; enveloped: boolean } {
  if (format === undefined) return { format: undefined, enveloped: false };
  const enveloped = needsEnvelope(format.schema);
  const native = nativeFormat(enveloped ? intoEnvelope(format.schema) : format.schema);
  return { format: native, enveloped: enveloped && native !== undefined };
}

/** The results of tools are what the user says, all of one turn together. An empty turn of the model cannot be sent. */
function toMessages(messages: readonly LlmMessage[]): MessageParam[] {
  const turns: MessageParam[] = [];
  for (const { role, content, toolCalls = [], toolCallId } of messages) {
    if (role === "user") turns.push({ role, content });
    if (role === "assistant") {
      const said = content === "" ? [] : [{ type: "text" as const, text: content }];
      const called = toolCalls.map(({ id, name, arguments: args }) => ({
        type: "tool_use" as const,
        id,
        name: wireName(name),
        input: isObject(args) ? args : {},
      }));
      if (said.length + called.length > 0) turns.push({ role, content: [...said, ...called] });
    }
    if (role === "tool") {
      if (toolCallId === undefined) {
        throw new LlmError(
          "bad_request",
          "Expected a tool message to name the call it answers in toolCallId, got none",
        );
      }
      const result = { type: "tool_result" as const, tool_use_id: toolCallId, content };
      const last = turns.at(-1);
      if (last?.role === "user" && typeof last.content !== "string") last.content.push(result);
      else turns.push({ role: "user", content: [result] });
    }
  }
  return turns;
}

function toTool({ name, description, parameters }: LlmTool): Tool {
  const { $schema: _dialect, ...schema } = parameters;
  return {
    name: wireName(name),
    ...(description !== undefined && { description }),
    input_schema: { ...schema, type: "object" },
  };
}

function toToolChoice(choice: NonNullable<LlmRequest["toolChoice"]>): ToolChoice {
  if (typeof choice !== "string") return { type: "tool", name: wireName(choice.name) };
  return { type: choice === "required" ? "any" : choice };
}

function isObject(value: Payload): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
