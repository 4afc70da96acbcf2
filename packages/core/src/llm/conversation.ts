/**
 * Words of a conversation with a model, in nobody's dialect: what history records and what providers translate.
 */
import type { Payload } from "../payload.ts";

/** A JSON Schema document. */
export type JsonSchema = { readonly [key: string]: Payload };

/** One turn of a conversation. */
export type LlmMessage = {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string;
  /** Set on assistant messages that call tools. */
  readonly toolCalls?: readonly LlmToolCall[];
  /** Set on tool messages: the call they answer. */
  readonly toolCallId?: string;
};

/** What a model says in a conversation. */
export type AssistantMessage = {
  readonly role: "assistant";
  readonly content: string;
  readonly toolCalls?: readonly LlmToolCall[];
};

/** A tool the model wants called. `arguments` is what the model wrote, parsed. */
export type LlmToolCall = {
  readonly id: string;
  readonly name: string;
  readonly arguments: Payload;
};

/** A tool the model may call. */
export type LlmTool = {
  readonly name: string;
  readonly description?: string;
  readonly parameters: JsonSchema;
};

/** What is asked of a model, in nobody's dialect. Recorded in history as it stands. */
export type LlmRequest = {
  readonly messages: readonly LlmMessage[];
  /** Texts of which vectors are wanted. Then there are no messages. */
  readonly texts?: readonly string[];
  /** A name from the runtime's model table, `"provider/model"`, or a vendor's. Absent means the default model. */
  readonly model?: string;
  /** Ask for JSON that satisfies `schema`. Providers without structured output put it into the prompt. */
  readonly format?: { readonly name: string; readonly schema: JsonSchema };
  readonly tools?: readonly LlmTool[];
  readonly toolChoice?: "auto" | "none" | "required" | { readonly name: string };
  readonly temperature?: number;
  /** Upper bound on the tokens of the answer. */
  readonly maxTokens?: number;
  /** What else the vendor understands, as it spells it. Providers send it as it stands; it overrides nothing above. */
  readonly vendor?: { readonly [parameter: string]: Payload };
};

/** What the model said. */
export type LlmAnswer = {
  readonly text: string;
  readonly toolCalls?: readonly LlmToolCall[];
  /** One for each text that was given: 32-bit floats, little-endian, in base64. */
  readonly vectors?: readonly string[];
};

/** Tokens of one call. `cachedTokens` are part of `inputTokens`, `reasoningTokens` of `outputTokens`. */
export type LlmUsage = {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedTokens?: number;
  readonly reasoningTokens?: number;
  /** Set when the provider reported nothing and the numbers are guesses from text length. */
  readonly estimated?: boolean;
};

/** Why the model stopped. Anything but these is a failed call. */
export type LlmFinishReason = "stop" | "length" | "tool_calls";
