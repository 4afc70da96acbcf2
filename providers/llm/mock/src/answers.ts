/**
 * What a script says. An answer is a value: text, JSON, an error, a function, or something more exact made by `says`,
 * `callTool`, `cutShort` or `after`. Values compose: `times(2, new LlmError("unavailable", "down"))` is two failures.
 */
import type { LlmFinishReason, LlmRequest, LlmUsage, Payload } from "@stet/core";
import type { MockCall } from "./calls.ts";

/**
 * One answer of a script.
 *
 * - A string is answered word for word, so anything malformed is just a string.
 * - Any other JSON value is answered as JSON text: `true` as `true`, `{ a: 1 }` as `{"a":1}`.
 * - An error is thrown.
 * - A function is asked at each call and returns one of these, or a promise of one.
 * - {@link says}, {@link callTool}, {@link cutShort} and {@link after} make the rest.
 */
export type MockAnswer = Payload | Error | ExactAnswer | MockAnswerFunction;

/** Makes an answer from the request. */
export type MockAnswerFunction = (request: LlmRequest, call: MockCall) => MockAnswer | Promise<MockAnswer>;

/** A tool call of a scripted answer. */
export interface MockToolCall {
  readonly name: string;
  readonly arguments?: Payload;
  /** @default `"call-<order of the model call>-<position>"` */
  readonly id?: string;
}

/** Everything that an answer can say besides its text. */
export interface AnswerDetails {
  readonly toolCalls?: readonly MockToolCall[];
  /** @default `"tool_calls"` when there are some, otherwise `"stop"` */
  readonly finishReason?: LlmFinishReason;
  /** @default a quarter of the characters, rounded up, of the request's messages and of the answer */
  readonly usage?: LlmUsage;
  /** The model that claims to have answered. @default the one that was asked */
  readonly model?: string;
  /** Thrown when the text has been streamed: a connection that breaks in the middle of an answer. */
  readonly thenFails?: Error;
}

/** An answer made by one of the functions of this file. */
export class ExactAnswer {
  readonly answer: MockAnswer;
  readonly details: AnswerDetails;
  readonly afterMs: number;

  constructor(answer: MockAnswer, details: AnswerDetails, afterMs = 0) {
    this.answer = answer;
    this.details = details;
    this.afterMs = afterMs;
  }
}

/**
 * An answer with details.
 *
 * @example
 * ```ts
 * mock().on("summarize", says("Short.", { usage: { inputTokens: 900, outputTokens: 3 } }));
 * mock().on("generate", says("Once upon a", { thenFails: new LlmError("connection", "reset") }), "Once upon a time.");
 * ```
 */
export function says(text: Payload, details: AnswerDetails = {}): ExactAnswer {
  return new ExactAnswer(text, details);
}

/**
 * The model wants a tool called. For several at once: `says("", { toolCalls: [...] })`.
 *
 * @example
 * ```ts
 * mock().on("chat", callTool("weather", { city: "Bern" }), "It rains in Bern.");
 * ```
 */
export function callTool(name: string, args: Payload = {}): ExactAnswer {
  return new ExactAnswer("", { toolCalls: [{ name, arguments: args }] });
}

/** Text that ends because the model ran out of tokens: its finish reason is `"length"`. */
export function cutShort(text: Payload): ExactAnswer {
  return new ExactAnswer(text, { finishReason: "length" });
}

/** An answer, or a failure, that takes its time. Adds to the latency of the mock. */
export function after(ms: number, answer: MockAnswer): ExactAnswer {
  return new ExactAnswer(answer, {}, ms);
}

/**
 * The same answer `count` times, to be spread.
 *
 * @example
 * ```ts
 * mock().on("generate", ...times(2, new LlmError("rate_limited", "slow down", { retryAfterMs: 1000 })), "done");
 * ```
 */
export function times(count: number, answer: MockAnswer): readonly MockAnswer[] {
  return Array.from({ length: count }, () => answer);
}
