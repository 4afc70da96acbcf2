/** How OpenAI is asked and how it answers, in both of its ways: written from its documents, not from our provider. */
import type { Payload } from "@stet/core";
import type { LlmDialect, LlmSuiteServer, Said } from "@stet/testing";
import { openai } from "@stet/openai";
import { z } from "zod";

const weather = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
const counts = { type: "object", additionalProperties: { type: "integer" } };
const enveloped = (schema: Payload): Payload => ({
  type: "object",
  properties: { answer: schema },
  required: ["answer"],
  additionalProperties: false,
});
const weatherFunction = { name: "weather", parameters: weather, strict: true };
const nowFunction = { name: "now", parameters: { type: "object", properties: {} }, strict: false };

/** What a server that keeps to `schema` says when it means `value`. */
export function keepingTo(schema: unknown, value: Payload): string {
  const fits = (candidate: Payload): boolean =>
    z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]).safeParse(candidate).success;
  const inEnvelope = { answer: value };
  return JSON.stringify(
    fits(inEnvelope) && typeof schema === "object" && hasOnly(schema, "answer") ? inEnvelope : value,
  );
}

function hasOnly(schema: object | null, name: string): boolean {
  const properties = (schema as { properties?: object } | null)?.properties ?? {};
  return Object.keys(properties).join() === name;
}

const open =
  (api: "chat" | "responses", path = "/v1") =>
  ({ origin, apiKey, headers, timeoutMs }: LlmSuiteServer) =>
    openai({ model: "gpt-5", api, baseURL: origin + path, apiKey, headers, timeout: timeoutMs });

const error = (status: number, message: string): Payload => ({
  error: { message, type: status < 500 ? "invalid_request_error" : "server_error", param: null, code: null },
});
const data = (event: Payload): string => `data: ${JSON.stringify(event)}\n\n`;
const embeddings = (vectors: readonly (readonly number[])[], inputTokens: number): Payload => ({
  object: "list",
  // The order of the list is not the order of the texts.
  data: vectors.map((embedding, index) => ({ object: "embedding", index, embedding })).toReversed(),
  model: "text-embedding-3-small",
  usage: { prompt_tokens: inputTokens, total_tokens: inputTokens },
});

const chatUsage = ({ usage = { inputTokens: 9, outputTokens: 3 } }: Said): Payload =>
  usage && {
    prompt_tokens: usage.inputTokens,
    completion_tokens: usage.outputTokens,
    total_tokens: usage.inputTokens + usage.outputTokens,
    ...(usage.cachedTokens !== undefined && { prompt_tokens_details: { cached_tokens: usage.cachedTokens } }),
    ...(usage.reasoningTokens !== undefined && {
      completion_tokens_details: { reasoning_tokens: usage.reasoningTokens },
    }),
  };
const chatCalls = ({ toolCalls = [] }: Said) =>
  toolCalls.map(({ id, name, arguments: args }) => ({ id, type: "function", function: { name, arguments: args } }));
const chatReason = ({ end = "stop", toolCalls = [] }: Said): string =>
  end === "refused" ? "stop" : end === "stop" && toolCalls.length > 0 ? "tool_calls" : end;
const chatBody = (rest: { [name: string]: Payload }): Payload => ({
  model: "gpt-5",
  messages: [{ role: "user", content: "Weather?" }],
  ...rest,
});

/** `POST /chat/completions`. */
export const chatDialect: LlmDialect = {
  open: open("chat"),
  authorization: (apiKey) => ["authorization", `Bearer ${apiKey}`],
  idempotencyHeader: "idempotency-key",
  golden: goldens("/v1/chat/completions", {
    plain: { model: "gpt-5", messages: [{ role: "user", content: "Hi" }] },
    settings: {
      model: "another-model",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Why?" },
      ],
      temperature: 0.2,
      max_tokens: 50,
    },
    conversation: {
      model: "gpt-5",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "system", content: "Be kind." },
        { role: "user", content: "Weather in Bern and Basel?" },
        {
          role: "assistant",
          content: "Let me look.",
          tool_calls: [
            { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Bern","days":1}' } },
            { id: "call_2", type: "function", function: { name: "weather", arguments: '{"city":"Basel","days":1}' } },
          ],
        },
        { role: "tool", content: "rain", tool_call_id: "call_1" },
        { role: "tool", content: "sun", tool_call_id: "call_2" },
        { role: "assistant", content: "Rain in Bern, sun in Basel." },
        { role: "user", content: "And tomorrow?" },
      ],
      tools: [
        { type: "function", function: { ...weatherFunction, description: "Looks at the sky." } },
        { type: "function", function: nowFunction },
      ],
    },
    mustCall: chatBody({ tools: [{ type: "function", function: weatherFunction }], tool_choice: "required" }),
    mustCallOne: chatBody({
      tools: [
        { type: "function", function: weatherFunction },
        { type: "function", function: nowFunction },
      ],
      tool_choice: { type: "function", function: { name: "weather" } },
    }),
    mustNotCall: chatBody({ tools: [{ type: "function", function: weatherFunction }], tool_choice: "none" }),
    structured: {
      model: "gpt-5",
      messages: [{ role: "user", content: "Where to?" }],
      response_format: { type: "json_schema", json_schema: { name: "trip", schema: weather, strict: true } },
    },
    structuredList: {
      model: "gpt-5",
      messages: [{ role: "user", content: "Where to?" }],
      response_format: {
        type: "json_schema",
        json_schema: { name: "trips", schema: enveloped({ type: "array", items: weather }), strict: true },
      },
    },
    structuredOpen: {
      model: "gpt-5",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Count the words." },
      ],
      response_format: { type: "json_schema", json_schema: { name: "counts", schema: counts, strict: false } },
    },
    streamed: {
      model: "gpt-5",
      messages: [{ role: "user", content: "Hi" }],
      stream: true,
      stream_options: { include_usage: true },
    },
  }),
  offeredTools: (body) =>
    (body as unknown as { tools: { function: { name: string } }[] }).tools.map((tool) => tool.function.name),
  structured: (body, value) =>
    keepingTo(
      (body as { response_format?: { json_schema: { schema: unknown } } }).response_format?.json_schema.schema,
      value,
    ),
  whole: (said) => ({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: said.model ?? "gpt-5-2025-08-07",
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content: said.text === undefined ? null : said.text.join(""),
          refusal: said.refusal ?? null,
          ...(said.toolCalls && { tool_calls: chatCalls(said) }),
        },
        logprobs: null,
        finish_reason: chatReason(said),
      },
    ],
    usage: chatUsage(said),
  }),
  streamed: (said) => {
    const chunk = (rest: { [name: string]: Payload }): string =>
      data({
        id: "chatcmpl-1",
        object: "chat.completion.chunk",
        created: 1,
        model: said.model ?? "gpt-5-2025-08-07",
        ...rest,
      });
    const piece = (delta: Payload, finish_reason: Payload = null): string =>
      chunk({ choices: [{ index: 0, delta, finish_reason }] });
    return [
      piece({ role: "assistant", content: "" }),
      ...(said.text ?? []).map((content) => piece({ content })),
      ...(said.refusal === undefined ? [] : [piece({ refusal: said.refusal })]),
      ...chatCalls(said).flatMap(({ function: { name, arguments: args }, ...call }, index) => [
        piece({ tool_calls: [{ index, ...call, function: { name, arguments: "" } }] }),
        ...halves(args).map((half) => piece({ tool_calls: [{ index, function: { arguments: half } }] })),
      ]),
      piece({}, chatReason(said)),
      ...(said.usage === null ? [] : [chunk({ choices: [], usage: chatUsage(said) })]),
      "data: [DONE]\n\n",
    ];
  },
  error,
  streamedError: (message) => data({ error: { message, type: "server_error", param: null, code: null } }),
  vectors: embeddings,
};

const responseBody = (rest: { [name: string]: Payload }): Payload => ({
  model: "gpt-5",
  input: [{ role: "user", content: "Weather?" }],
  store: false,
  ...rest,
});
const format = (name: string, schema: Payload, strict: boolean): Payload => ({
  format: { type: "json_schema", name, schema, strict },
});
const weatherTool = { type: "function", ...weatherFunction };
const nowTool = { type: "function", ...nowFunction };

function responseOf(said: Said): { [name: string]: Payload } {
  const { text, toolCalls = [], end = "stop", refusal, usage = { inputTokens: 9, outputTokens: 3 } } = said;
  const content = [
    ...(text === undefined ? [] : [{ type: "output_text", text: text.join(""), annotations: [], logprobs: [] }]),
    ...(refusal === undefined ? [] : [{ type: "refusal", refusal }]),
  ];
  const reasons: { [end: string]: string } = { length: "max_output_tokens", content_filter: "content_filter" };
  const incomplete = reasons[end];
  return {
    id: "resp_1",
    object: "response",
    created_at: 1,
    status: incomplete === undefined ? "completed" : "incomplete",
    error: null,
    incomplete_details: incomplete === undefined ? null : { reason: incomplete },
    model: said.model ?? "gpt-5-2025-08-07",
    output: [
      { type: "reasoning", id: "rs_1", summary: [] },
      ...(content.length === 0
        ? []
        : [{ type: "message", id: "msg_1", status: "completed", role: "assistant", content }]),
      ...toolCalls.map(({ id, name, arguments: args }, i) => ({
        type: "function_call",
        id: `fc_${i}`,
        call_id: id,
        name,
        arguments: args,
        status: "completed",
      })),
    ],
    usage: usage && {
      input_tokens: usage.inputTokens,
      output_tokens: usage.outputTokens,
      total_tokens: usage.inputTokens + usage.outputTokens,
      ...(usage.cachedTokens !== undefined && { input_tokens_details: { cached_tokens: usage.cachedTokens } }),
      ...(usage.reasoningTokens !== undefined && {
        output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
      }),
    },
  };
}

const event = (type: string, rest: { [name: string]: Payload }): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: 1, ...rest })}\n\n`;

/** `POST /responses`. */
export const responsesDialect: LlmDialect = {
  ...chatDialect,
  open: open("responses"),
  golden: goldens("/v1/responses", {
    plain: { model: "gpt-5", input: [{ role: "user", content: "Hi" }], store: false },
    settings: {
      model: "another-model",
      input: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Why?" },
      ],
      store: false,
      temperature: 0.2,
      max_output_tokens: 50,
    },
    conversation: {
      model: "gpt-5",
      input: [
        { role: "system", content: "Be brief." },
        { role: "system", content: "Be kind." },
        { role: "user", content: "Weather in Bern and Basel?" },
        { role: "assistant", content: "Let me look." },
        { type: "function_call", call_id: "call_1", name: "weather", arguments: '{"city":"Bern","days":1}' },
        { type: "function_call", call_id: "call_2", name: "weather", arguments: '{"city":"Basel","days":1}' },
        { type: "function_call_output", call_id: "call_1", output: "rain" },
        { type: "function_call_output", call_id: "call_2", output: "sun" },
        { role: "assistant", content: "Rain in Bern, sun in Basel." },
        { role: "user", content: "And tomorrow?" },
      ],
      store: false,
      tools: [{ ...weatherTool, description: "Looks at the sky." }, nowTool],
    },
    mustCall: responseBody({ tools: [weatherTool], tool_choice: "required" }),
    mustCallOne: responseBody({
      tools: [weatherTool, nowTool],
      tool_choice: { type: "function", name: "weather" },
    }),
    mustNotCall: responseBody({ tools: [weatherTool], tool_choice: "none" }),
    structured: {
      model: "gpt-5",
      input: [{ role: "user", content: "Where to?" }],
      store: false,
      text: format("trip", weather, true),
    },
    structuredList: {
      model: "gpt-5",
      input: [{ role: "user", content: "Where to?" }],
      store: false,
      text: format("trips", enveloped({ type: "array", items: weather }), true),
    },
    structuredOpen: {
      model: "gpt-5",
      input: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Count the words." },
      ],
      store: false,
      text: format("counts", counts, false),
    },
    streamed: { model: "gpt-5", input: [{ role: "user", content: "Hi" }], store: false, stream: true },
  }),
  offeredTools: (body) => (body as unknown as { tools: { name: string }[] }).tools.map(({ name }) => name),
  structured: (body, value) =>
    keepingTo((body as { text?: { format: { schema: unknown } } }).text?.format.schema, value),
  whole: responseOf,
  streamed: (said) => {
    const response = responseOf(said);
    const { text = [], toolCalls = [], refusal } = said;
    const last = response["status"] === "completed" ? "response.completed" : "response.incomplete";
    return [
      event("response.created", { response: { ...response, status: "in_progress", output: [], usage: null } }),
      event("response.output_item.added", { output_index: 1, item: { type: "message", id: "msg_1", content: [] } }),
      ...text.map((delta) => event("response.output_text.delta", { item_id: "msg_1", content_index: 0, delta })),
      ...(refusal === undefined ? [] : [event("response.refusal.delta", { item_id: "msg_1", delta: refusal })]),
      ...toolCalls.flatMap(({ arguments: args }, i) => [
        ...halves(args).map((delta) => event("response.function_call_arguments.delta", { item_id: `fc_${i}`, delta })),
        event("response.function_call_arguments.done", { item_id: `fc_${i}`, arguments: args }),
      ]),
      event(last, { response }),
    ];
  },
  streamedError: (message) => event("error", { code: "server_error", message, param: null }),
  unsayable: ["usageFirst"],
};

function goldens<Name extends string>(path: string, bodies: { readonly [name in Name]: Payload }) {
  const entries = Object.entries<Payload>(bodies).map(([name, body]) => [name, { path, body }] as const);
  return Object.fromEntries(entries) as { [name in Name]: { path: string; body: Payload } };
}

/** A text in two pieces, as long as there are two. */
export function halves(text: string): readonly string[] {
  const middle = Math.floor(text.length / 2);
  return [text.slice(0, middle), text.slice(middle)];
}
