/** From what the SDK throws to the errors of the seam. */
import { APIConnectionError, APIConnectionTimeoutError, APIError } from "@anthropic-ai/sdk";
import type { LlmError, LlmErrorKind } from "@stet/core";
import { errorAnswer, noAnswer, type Redact, textOf } from "@stet/core/provider-kit";

/** Any error of a call, without secrets. */
export function toLlmError(thrown: unknown, redact: Redact): LlmError {
  if (!(thrown instanceof APIError) || thrown instanceof APIConnectionError) {
    return noAnswer("Anthropic", thrown, redact, thrown instanceof APIConnectionTimeoutError);
  }
  const status: number | undefined = thrown.status;
  const code = thrown.errorCode ?? thrown.type ?? undefined;
  const message = typeof thrown.apiMessage === "string" ? thrown.apiMessage : thrown.message.replace(/^\d{3} /, "");
  const requestId = thrown.requestID ?? undefined;
  const kind = unpaid.test(code ?? "") ? "quota_exceeded" : status === undefined ? kinds.get(thrown.type) : undefined;
  return errorAnswer("Anthropic", { status, code, message, requestId, headers: thrown.headers, kind }, redact);
}

/** The error that a body holds though its status is 200, if it does. */
export function errorInside(body: unknown, redact: Redact): LlmError | undefined {
  if (typeof body !== "object" || body === null || textOf(body, "type") !== "error") return undefined;
  return toLlmError(new APIError(undefined, body, undefined, undefined), redact);
}

const unpaid = /billing|spend_limit/;

/** An error that is sent as a piece of a stream has no status. */
const kinds: ReadonlyMap<string | null, LlmErrorKind> = new Map([
  ["invalid_request_error", "bad_request"],
  ["request_too_large", "bad_request"],
  ["authentication_error", "auth"],
  ["permission_error", "auth"],
  ["not_found_error", "not_found"],
  ["rate_limit_error", "rate_limited"],
  ["timeout_error", "timeout"],
]);
