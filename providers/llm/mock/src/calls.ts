/** What a mock has been asked, and what came of it. */
import type { LlmMessage, LlmRequest, LlmResponse } from "@stet/core";

/** One attempt of a call, as the mock saw it. */
export interface MockCall {
  /** 1 for the first call of this mock. */
  readonly order: number;
  readonly operation: string;
  readonly label?: string;
  readonly request: LlmRequest;
  /** The words of the user and the tools: what matchers look at. For vectors, the texts. */
  readonly prompt: string;
  /** The words of the system, empty when there are none. */
  readonly system: string;
  /** Equal for the attempts of one call. */
  readonly idempotencyKey: string;
  /** Whether the caller wanted the text while it was written. */
  readonly streamed: boolean;
  /** The rule that answered, such as `when(/refund/)`. Absent when there was none. */
  readonly rule?: string;
  readonly outcome: MockOutcome;
}

/** How far a call has come. */
export type MockOutcome =
  | { readonly kind: "pending" }
  | { readonly kind: "answered"; readonly response: LlmResponse }
  | { readonly kind: "embedded"; readonly vectors: readonly (readonly number[])[] }
  | { readonly kind: "failed"; readonly error: unknown };

/**
 * The words of the user and the tools, one message a line. The system's words are left out, because operations say
 * there what they always say, and the model's own, because a script should not match its earlier answers.
 */
export function promptOf(messages: readonly LlmMessage[]): string {
  return textOf(messages, (role) => role === "user" || role === "tool");
}

/** The words of the system. */
export function systemOf(messages: readonly LlmMessage[]): string {
  return textOf(messages, (role) => role === "system");
}

function textOf(messages: readonly LlmMessage[], wanted: (role: LlmMessage["role"]) => boolean): string {
  return messages
    .filter(({ role }) => wanted(role))
    .map(({ content }) => content)
    .join("\n");
}
