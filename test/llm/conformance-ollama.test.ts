/** Ollama keeps the promises that all providers make. Its dialect is written from its documents, not from our provider. */
import type { Payload } from "@stet/core";
import { ollama } from "@stet/ollama";
import { type LlmDialect, type Said, testLlmProvider } from "@stet/testing";

const weather = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
const weatherTool = { type: "function", function: { name: "weather", parameters: weather } };
const nowTool = { type: "function", function: { name: "now", parameters: { type: "object", properties: {} } } };
const question = (messages: readonly Payload[], rest: { [name: string]: Payload } = {}) => ({
  path: "/api/chat",
  body: { model: "llama3.2", messages, stream: false, ...rest },
});
const hi = { role: "user", content: "Hi" };
const whereTo = { role: "user", content: "Where to?" };
const ask = { role: "user", content: "Weather?" };

const line = (said: Said, message: { [name: string]: Payload }, rest: { [name: string]: Payload }): string =>
  `${JSON.stringify(piece(said, message, rest))}\n`;
const piece = (said: Said, message: { [name: string]: Payload }, rest: { [name: string]: Payload }): Payload => ({
  model: said.model ?? "llama3.2",
  created_at: "2026-08-04T19:22:45.499127Z",
  message: { role: "assistant", content: "", ...message },
  ...rest,
});
const calls = ({ toolCalls = [] }: Said): { [name: string]: Payload } =>
  toolCalls.length === 0
    ? {}
    : {
        tool_calls: toolCalls.map(({ name, arguments: args }, index) => ({
          function: { index, name, arguments: JSON.parse(args) as Payload },
        })),
      };
const ending = ({ end = "stop", usage = { inputTokens: 9, outputTokens: 3 } }: Said): { [name: string]: Payload } => ({
  done: true,
  done_reason: end,
  total_duration: 4883583458,
  ...(usage !== null && { prompt_eval_count: usage.inputTokens, eval_count: usage.outputTokens }),
});

const dialect: LlmDialect = {
  open: ({ origin, apiKey, headers, timeoutMs }) =>
    ollama({ model: "llama3.2", baseURL: origin, apiKey, headers, timeout: timeoutMs }),
  authorization: (apiKey) => ["authorization", `Bearer ${apiKey}`],
  golden: {
    plain: question([hi]),
    settings: {
      path: "/api/chat",
      body: {
        model: "another-model",
        messages: [
          { role: "system", content: "Be brief." },
          { role: "user", content: "Why?" },
        ],
        stream: false,
        options: { temperature: 0.2, num_predict: 50 },
      },
    },
    conversation: question(
      [
        { role: "system", content: "Be brief." },
        { role: "system", content: "Be kind." },
        { role: "user", content: "Weather in Bern and Basel?" },
        {
          role: "assistant",
          content: "Let me look.",
          tool_calls: [
            { function: { name: "weather", arguments: { city: "Bern", days: 1 } } },
            { function: { name: "weather", arguments: { city: "Basel", days: 1 } } },
          ],
        },
        { role: "tool", content: "rain", tool_name: "weather" },
        { role: "tool", content: "sun", tool_name: "weather" },
        { role: "assistant", content: "Rain in Bern, sun in Basel." },
        { role: "user", content: "And tomorrow?" },
      ],
      {
        tools: [{ type: "function", function: { ...weatherTool.function, description: "Looks at the sky." } }, nowTool],
      },
    ),
    mustCall: question([ask, { role: "system", content: "Answer by calling one of the tools." }], {
      tools: [weatherTool],
    }),
    mustCallOne: question([ask, { role: "system", content: "Answer by calling the tool weather." }], {
      tools: [weatherTool],
    }),
    mustNotCall: question([ask]),
    structured: question([whereTo], { format: weather }),
    structuredList: question([whereTo], { format: { type: "array", items: weather } }),
    structuredOpen: question(
      [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Count the words." },
      ],
      { format: { type: "object", additionalProperties: { type: "integer" } } },
    ),
    streamed: question([hi], { stream: true }),
  },
  offeredTools: (body) =>
    (body as unknown as { tools: { function: { name: string } }[] }).tools.map((tool) => tool.function.name),
  structured: (_body, value) => JSON.stringify(value),
  whole: (said) => piece(said, { content: (said.text ?? []).join(""), thinking: "Hm.", ...calls(said) }, ending(said)),
  streamed: (said) => [
    line(said, { thinking: "Hm." }, { done: false }),
    ...(said.text ?? []).map((content) => line(said, { content }, { done: false })),
    ...(said.toolCalls ?? []).map((call) => line(said, calls({ toolCalls: [call] }), { done: false })),
    line(said, {}, ending(said)),
  ],
  streamType: "application/x-ndjson",
  error: (_status, message) => ({ error: message }),
  streamedError: (message) => `${JSON.stringify({ error: message })}\n`,
  vectors: (vectors, inputTokens) => ({
    model: "nomic-embed-text",
    embeddings: vectors.map((vector) => [...vector]),
    total_duration: 14143917,
    prompt_eval_count: inputTokens,
  }),
  unsayable: [
    ...(["refused", "content_filter", "cachedTokens", "reasoningTokens"] as const),
    ...(["toolCallIds", "brokenArguments", "brokenArgumentsStreamed", "usageFirst"] as const),
  ],
};

testLlmProvider("ollama", dialect);
