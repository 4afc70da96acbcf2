/** From a request in nobody's dialect to the body of `POST /api/chat`. */
import { LlmError, type LlmMessage, type LlmRequest, type LlmTool, type Payload } from "@stet/core";
import { wireName } from "@stet/core/provider-kit";
import type { ChatRequest, Message, Options, Tool } from "ollama";

/** The body, without what streaming adds to it. */
export function toChat(request: LlmRequest, model: string): ChatRequest {
  const { messages, format, temperature, maxTokens, vendor } = request;
  const { tools, instruction } = choose(request);
  const options: Partial<Options> = {
    ...(isObject(vendor?.["options"]) && vendor["options"]),
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { num_predict: maxTokens }),
  };
  return {
    ...vendor,
    model,
    messages: [...toMessages(messages), ...instruction],
    ...(format !== undefined && { format: format.schema }),
    ...(tools.length > 0 && { tools: tools.map(toTool) }),
    ...(Object.keys(options).length > 0 && { options }),
  };
}

/** Ollama knows no tool choice: what is not to be called is not offered, and what must be called is said. */
function choose({ tools = [], toolChoice }: LlmRequest): { tools: readonly LlmTool[]; instruction: Message[] } {
  const instructed = (content: string): Message[] => (tools.length > 0 ? [{ role: "system", content }] : []);
  if (toolChoice === undefined || toolChoice === "auto") return { tools, instruction: [] };
  if (toolChoice === "none") return { tools: [], instruction: [] };
  if (toolChoice === "required") return { tools, instruction: instructed("Answer by calling one of the tools.") };
  const named = tools.filter(({ name }) => name === toolChoice.name);
  return { tools: named, instruction: instructed(`Answer by calling the tool ${wireName(toolChoice.name)}.`) };
}

/** The result of a tool goes by the name of the tool, which the call that it answers tells. */
function toMessages(messages: readonly LlmMessage[]): Message[] {
  const names = new Map<string, string>();
  return messages.map(({ role, content, toolCalls = [], toolCallId }) => {
    for (const { id, name } of toolCalls) names.set(id, wireName(name));
    if (role === "tool") {
      if (toolCallId === undefined) {
        throw new LlmError(
          "bad_request",
          "Expected a tool message to name the call it answers in toolCallId, got none",
        );
      }
      const tool_name = names.get(toolCallId);
      return { role, content, ...(tool_name !== undefined && { tool_name }) };
    }
    const calls = toolCalls.map(({ name, arguments: args }) => ({
      function: { name: wireName(name), arguments: isObject(args) ? args : {} },
    }));
    return { role, content, ...(calls.length > 0 && { tool_calls: calls }) };
  });
}

function toTool({ name, description, parameters }: LlmTool): Tool {
  const { $schema: _dialect, ...schema } = parameters;
  return {
    type: "function",
    function: { name: wireName(name), ...(description !== undefined && { description }), parameters: schema },
  };
}

function isObject(value: Payload | undefined): value is { readonly [name: string]: Payload } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
