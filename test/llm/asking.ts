/** Asking a provider, as the dispatcher would. */
import assert from "node:assert/strict";
import { isStetError, LlmError, type LlmCallOptions, type LlmProvider, type LlmRequest } from "@stet/core";

/** The text of a question, or all of it. */
export function ask(llm: LlmProvider, question: string | LlmRequest, options: Partial<LlmCallOptions> = {}) {
  const request = typeof question === "string" ? { messages: [user(question)] } : question;
  return llm.complete(request, callOptions(options));
}

export function callOptions(options: Partial<LlmCallOptions> = {}): LlmCallOptions {
  return { operation: "generate", signal: new AbortController().signal, idempotencyKey: "call-1", ...options };
}

export function user(content: string): LlmRequest["messages"][number] {
  return { role: "user", content };
}

/** The `LlmError` that `promise` fails with. */
export async function failure(promise: Promise<unknown>): Promise<LlmError> {
  const error: unknown = await promise.then(
    () => assert.fail("Expected the call to fail, got an answer"),
    (thrown: unknown) => thrown,
  );
  assert.ok(isStetError(error, "llm_failed"), `Expected an LlmError, got ${String(error)}`);
  assert.ok(error instanceof LlmError);
  return error;
}
