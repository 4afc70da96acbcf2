/** The questions whose translations are held letter by letter: every member of a request occurs in one of them. */
import type { JsonSchema, LlmRequest } from "@stet/core";

const weather: JsonSchema = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};

/** A question that has a golden. */
export type QuestionName =
  | "plain"
  | "settings"
  | "conversation"
  | "mustCall"
  | "mustCallOne"
  | "mustNotCall"
  | "structured"
  | "structuredList"
  | "structuredOpen"
  | "streamed";

/** The questions, by the names that goldens use. */
export const questions: { readonly [Name in QuestionName]: LlmRequest } = {
  plain: { messages: [{ role: "user", content: "Hi" }] },
  settings: {
    model: "another-model",
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Why?" },
    ],
    temperature: 0.2,
    maxTokens: 50,
  },
  conversation: {
    messages: [
      { role: "system", content: "Be brief." },
      { role: "system", content: "Be kind." },
      { role: "user", content: "Weather in Bern and Basel?" },
      {
        role: "assistant",
        content: "Let me look.",
        toolCalls: [
          { id: "call_1", name: "weather", arguments: { city: "Bern", days: 1 } },
          { id: "call_2", name: "weather", arguments: { city: "Basel", days: 1 } },
        ],
      },
      { role: "tool", content: "rain", toolCallId: "call_1" },
      { role: "tool", content: "sun", toolCallId: "call_2" },
      { role: "assistant", content: "Rain in Bern, sun in Basel." },
      { role: "user", content: "And tomorrow?" },
    ],
    tools: [
      { name: "weather", description: "Looks at the sky.", parameters: weather },
      { name: "now", parameters: { type: "object", properties: {} } },
    ],
  },
  mustCall: {
    messages: [{ role: "user", content: "Weather?" }],
    tools: [{ name: "weather", parameters: weather }],
    toolChoice: "required",
  },
  mustCallOne: {
    messages: [{ role: "user", content: "Weather?" }],
    tools: [
      { name: "weather", parameters: weather },
      { name: "now", parameters: { type: "object", properties: {} } },
    ],
    toolChoice: { name: "weather" },
  },
  mustNotCall: {
    messages: [{ role: "user", content: "Weather?" }],
    tools: [{ name: "weather", parameters: weather }],
    toolChoice: "none",
  },
  structured: {
    messages: [{ role: "user", content: "Where to?" }],
    format: { name: "trip", schema: weather },
  },
  structuredList: {
    messages: [{ role: "user", content: "Where to?" }],
    format: { name: "trips", schema: { type: "array", items: weather } },
  },
  structuredOpen: {
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Count the words." },
    ],
    format: { name: "counts", schema: { type: "object", additionalProperties: { type: "integer" } } },
  },
  streamed: { messages: [{ role: "user", content: "Hi" }] },
};
