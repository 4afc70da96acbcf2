/** What the tests of the OpenAI provider share: a wire that records, and answers. */
import assert from "node:assert/strict";
import type { LlmProvider, Payload } from "@stet/core";
import { openai, type OpenAiOptions } from "@stet/openai";

/** A request as it left the provider. */
export interface Sent {
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  readonly body: unknown;
}

/** A provider whose requests are recorded and answered by `answer`. */
export function wired(
  answer: () => Response | Promise<Response>,
  options: Partial<OpenAiOptions> = {},
): { llm: LlmProvider; sent: Sent[] } {
  const sent: Sent[] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    const { url, method, headers } = request;
    sent.push({ url, method, headers, body: await request.json() });
    return answer();
  };
  return {
    llm: openai({ model: "gpt-4o", apiKey: "test-key-123456", baseURL: "https://api.test/v1", fetch, ...options }),
    sent,
  };
}

/** The body of the first request that was sent. */
export function firstBody(sent: readonly Sent[]): unknown {
  return sent[0] === undefined ? assert.fail("Expected a request, got none") : sent[0].body;
}

/** A whole answer, with what differs from the plainest one. */
export function completion(
  message: Payload,
  choice: { [name: string]: Payload } = {},
  rest: { [name: string]: Payload } = {},
): Response {
  return Response.json({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "gpt-4o-2024-08-06",
    choices: [{ index: 0, message, logprobs: null, finish_reason: "stop", ...choice }],
    usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 },
    ...rest,
  });
}

/** The plainest answer. */
export function saying(text: string): Response {
  return completion({ role: "assistant", content: text, refusal: null });
}

/** A piece of a streamed answer. */
export function piece(delta: Payload, finishReason: string | null = null): Payload {
  return {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "gpt-4o-2024-08-06",
    choices: [{ index: 0, delta, finish_reason: finishReason }],
  };
}

/** Server-sent events, as one text. */
export function events(...pieces: readonly Payload[]): string {
  return pieces.map((data) => `data: ${JSON.stringify(data)}\n\n`).join("");
}

/** A whole stream. */
export function streaming(...pieces: readonly Payload[]): Response {
  return new Response(`${events(...pieces)}data: [DONE]\n\n`, { headers: { "content-type": "text/event-stream" } });
}
