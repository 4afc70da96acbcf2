/** Anthropic keeps the promises that all providers make. Its dialect is written from its documents, not from our provider. */
import { anthropic } from "@stet/anthropic";
import type { Payload } from "@stet/core";
import { type LlmDialect, type Said, testLlmProvider } from "@stet/testing";
import { halves, keepingTo } from "./openai-dialects.ts";

const weather = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
const weatherTool = { name: "weather", input_schema: weather };
const nowTool = { name: "now", input_schema: { type: "object", properties: {} } };
const question = (content: string, rest: { [name: string]: Payload } = {}) => ({
  path: "/v1/messages",
  body: { model: "claude-sonnet-5", max_tokens: 16384, messages: [{ role: "user", content }], ...rest },
});

const event = (type: string, rest: { [name: string]: Payload } = {}): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...rest })}\n\n`;

const reasons = { stop: "end_turn", length: "max_tokens", refused: "refusal", content_filter: "refusal" } as const;

function stopOf({ end = "stop", toolCalls = [], refusal }: Said): { stop_reason: string; stop_details: Payload } {
  return {
    stop_reason: end === "stop" && toolCalls.length > 0 ? "tool_use" : reasons[end],
    stop_details: refusal === undefined ? null : { type: "refusal", category: null, explanation: refusal },
  };
}

function usageOf({ usage = { inputTokens: 9, outputTokens: 3 } }: Said): { [name: string]: Payload } {
  if (usage === null) return {};
  const { inputTokens, outputTokens, cachedTokens = 0, reasoningTokens } = usage;
  const written = Math.min(5, inputTokens - cachedTokens);
  return {
    input_tokens: inputTokens - cachedTokens - written,
    cache_creation_input_tokens: written,
    cache_read_input_tokens: usage.cachedTokens ?? null,
    output_tokens: outputTokens,
    output_tokens_details: reasoningTokens === undefined ? null : { thinking_tokens: reasoningTokens },
  };
}

function headOf(said: Said): { [name: string]: Payload } {
  return { id: "msg_1", type: "message", role: "assistant", model: said.model ?? "claude-sonnet-5-20260801" };
}

const dialect: LlmDialect = {
  open: ({ origin, apiKey, headers, timeoutMs }) =>
    anthropic({ model: "claude-sonnet-5", baseURL: origin, apiKey, headers, timeout: timeoutMs }),
  authorization: (apiKey) => ["authorization", `Bearer ${apiKey}`],
  golden: {
    plain: question("Hi"),
    settings: {
      path: "/v1/messages",
      body: {
        model: "another-model",
        max_tokens: 50,
        system: [{ type: "text", text: "Be brief." }],
        messages: [{ role: "user", content: "Why?" }],
      },
    },
    conversation: {
      path: "/v1/messages",
      body: {
        model: "claude-sonnet-5",
        max_tokens: 16384,
        system: [
          { type: "text", text: "Be brief." },
          { type: "text", text: "Be kind." },
        ],
        messages: [
          { role: "user", content: "Weather in Bern and Basel?" },
          {
            role: "assistant",
            content: [
              { type: "text", text: "Let me look." },
              { type: "tool_use", id: "call_1", name: "weather", input: { city: "Bern", days: 1 } },
              { type: "tool_use", id: "call_2", name: "weather", input: { city: "Basel", days: 1 } },
            ],
          },
          {
            role: "user",
            content: [
              { type: "tool_result", tool_use_id: "call_1", content: "rain" },
              { type: "tool_result", tool_use_id: "call_2", content: "sun" },
            ],
          },
          { role: "assistant", content: [{ type: "text", text: "Rain in Bern, sun in Basel." }] },
          { role: "user", content: "And tomorrow?" },
        ],
        tools: [{ ...weatherTool, description: "Looks at the sky." }, nowTool],
      },
    },
    mustCall: question("Weather?", { tools: [weatherTool], tool_choice: { type: "any" } }),
    mustCallOne: question("Weather?", {
      tools: [weatherTool, nowTool],
      tool_choice: { type: "tool", name: "weather" },
    }),
    mustNotCall: question("Weather?", { tools: [weatherTool], tool_choice: { type: "none" } }),
    structured: question("Where to?", { output_config: { format: { type: "json_schema", schema: weather } } }),
    structuredList: question("Where to?", {
      output_config: {
        format: {
          type: "json_schema",
          schema: {
            type: "object",
            properties: { answer: { type: "array", items: weather } },
            required: ["answer"],
            additionalProperties: false,
          },
        },
      },
    }),
    structuredOpen: question("Count the words.", {
      system: [
        { type: "text", text: "Be brief." },
        {
          type: "text",
          text: 'Answer with one JSON value that satisfies this JSON Schema, and with nothing else: no explanation, no code fence.\n{"type":"object","additionalProperties":{"type":"integer"}}',
        },
      ],
    }),
    streamed: question("Hi", { stream: true }),
  },
  offeredTools: (body) => (body as unknown as { tools: { name: string }[] }).tools.map(({ name }) => name),
  structured: (body, value) => {
    const { output_config } = body as { output_config?: { format: { schema: object } } };
    return output_config === undefined ? JSON.stringify(value) : keepingTo(output_config.format.schema, value);
  },
  whole: (said) => ({
    ...headOf(said),
    content: [
      { type: "thinking", thinking: "Hm.", signature: "c2ln" },
      ...(said.text ?? []).map((text) => ({ type: "text", text, citations: null })),
      ...(said.toolCalls ?? []).map(({ id, name, arguments: args }) => ({
        type: "tool_use",
        id,
        name,
        input: JSON.parse(args) as Payload,
      })),
    ],
    ...stopOf(said),
    stop_sequence: null,
    usage: usageOf(said),
  }),
  streamed: (said) => {
    const { output_tokens: _output, ...inputUsage } = usageOf(said);
    const { stop_reason, stop_details } = stopOf(said);
    const started = Object.keys(inputUsage).length === 0 ? {} : { ...inputUsage, output_tokens: 1 };
    const blocks = [
      {
        start: { type: "thinking", thinking: "", signature: "" },
        deltas: [
          { type: "thinking_delta", thinking: "Hm." },
          { type: "signature_delta", signature: "c2ln" },
        ],
      },
      ...(said.text === undefined
        ? []
        : [{ start: { type: "text", text: "" }, deltas: said.text.map((text) => ({ type: "text_delta", text })) }]),
      ...(said.toolCalls ?? []).map(({ id, name, arguments: args }) => ({
        start: { type: "tool_use", id, name, input: {} },
        deltas: (args === "{}" ? [""] : halves(args)).map((partial_json) => ({
          type: "input_json_delta",
          partial_json,
        })),
      })),
    ];
    return [
      event("message_start", {
        message: { ...headOf(said), content: [], stop_reason: null, stop_sequence: null, usage: started },
      }),
      event("ping"),
      ...blocks.flatMap(({ start, deltas }, index) => [
        event("content_block_start", { index, content_block: start }),
        ...deltas.map((delta) => event("content_block_delta", { index, delta })),
        event("content_block_stop", { index }),
      ]),
      event("message_delta", { delta: { stop_reason, stop_details, stop_sequence: null }, usage: usageOf(said) }),
      event("message_stop"),
    ];
  },
  error: (status, message) => ({
    type: "error",
    error: { type: status === 529 ? "overloaded_error" : "api_error", message },
    request_id: "req_1",
  }),
  streamedError: (message) => event("error", { error: { type: "overloaded_error", message } }),
  // A filter's verdict is a refusal here; its arguments are parsed before they are sent, unless they are streamed.
  unsayable: ["content_filter", "brokenArguments"],
};

testLlmProvider("anthropic", dialect);
