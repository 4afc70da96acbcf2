/**
 * From what the SDK throws to the errors of the seam. The SDK's error is not kept as the cause: it carries the body and
 * the address of the request, and causes are stored.
 */
import { LlmError, type LlmErrorKind } from "@stet/core";
import { APIConnectionError, APIConnectionTimeoutError, APIError } from "openai";
import { countOf, member, textOf } from "./json-reading.ts";
import { retryAfterMs } from "./retry-after.ts";
import type { Redact } from "./secrets.ts";

/** Any error of a call, without secrets. */
export function toLlmError(thrown: unknown, redact: Redact): LlmError {
  if (thrown instanceof LlmError) return thrown;
  if (thrown instanceof SyntaxError) {
    return new LlmError("malformed", redact(`Expected OpenAI to answer with JSON, got ${shortened(thrown.message)}`));
  }
  if (thrown instanceof APIError && !(thrown instanceof APIConnectionError)) return toServerError(thrown, redact);
  const timedOut = thrown instanceof APIConnectionTimeoutError || isTimeoutCode(innermost(thrown));
  return new LlmError(
    timedOut ? "timeout" : "connection",
    redact(`Expected an answer from OpenAI, got no whole one: ${shortened(describe(innermost(thrown)))}`),
  );
}

/** The error that a body holds though its status is 200, if it does. */
export function errorInside(body: unknown, redact: Redact): LlmError | undefined {
  const error = member(body, "error");
  if (typeof error !== "object" || error === null) return undefined;
  return toServerError(new APIError(undefined, error, undefined, undefined), redact);
}

/** The kind of an error answer, by status, and by code where the status says too little. */
function kindOf(status: number | undefined, code: string | undefined): LlmErrorKind {
  if (code === "insufficient_quota" || code === "billing_hard_limit_reached") return "quota_exceeded";
  if (code === "content_filter" || code === "content_policy_violation") return "content_filter";
  switch (status) {
    case undefined:
      return kindInsideStream(code);
    case 401:
    case 403:
      return "auth";
    case 402:
      return "quota_exceeded";
    case 404:
      return "not_found";
    case 408:
      return "timeout";
    case 429:
      return "rate_limited";
    case 409:
    case 425:
      return "unavailable";
    default:
      return status >= 400 && status < 500 ? "bad_request" : "unavailable";
  }
}

/** An error that is sent as a piece of a stream has no status. */
function kindInsideStream(code: string | undefined): LlmErrorKind {
  if (code === "rate_limit_exceeded") return "rate_limited";
  return code === "invalid_request_error" || code === "context_length_exceeded" ? "bad_request" : "unavailable";
}

function toServerError(error: APIError, redact: Redact): LlmError {
  const status = error.status ?? statusInside(error.error);
  const code = textOf(error, "code") ?? textOf(error, "type");
  const wait = retryAfterMs(error.headers, Date.now());
  const requestId = error.requestID ?? undefined;
  const facts = [code, requestId === undefined ? undefined : `request ${requestId}`].filter(Boolean).join(", ");
  const said = textOf(error.error, "message") ?? error.message.replace(/^\d{3} /, "");
  const what = status === undefined ? "an error" : String(status);
  return new LlmError(
    kindOf(status, code),
    redact(`Expected an answer from OpenAI, got ${what}${facts === "" ? "" : ` (${facts})`}: ${shortened(said)}`),
    { ...(status !== undefined && { status }), ...(wait !== undefined && { retryAfterMs: wait }) },
  );
}

/** Gateways put the status into the body when the headers are already gone. */
function statusInside(body: unknown): number | undefined {
  const code = countOf(body, "code");
  return code !== undefined && code >= 400 && code < 600 ? code : undefined;
}

/** `fetch failed` says nothing; what caused it does. */
function innermost(thrown: unknown): unknown {
  let error = thrown;
  for (let depth = 0; depth < 5; depth++) {
    const cause = member(error, "cause");
    if (cause === undefined || cause === null) break;
    error = cause;
  }
  return error;
}

function isTimeoutCode(error: unknown): boolean {
  const code = textOf(error, "code") ?? "";
  return code === "ETIMEDOUT" || /^UND_ERR_(HEADERS|BODY|CONNECT)_TIMEOUT$/.test(code);
}

function describe(error: unknown): string {
  const message = textOf(error, "message") ?? String(error);
  const code = textOf(error, "code");
  return code === undefined || message.includes(code) ? message : `${message} (${code})`;
}

function shortened(text: string): string {
  return text.length <= 500 ? text : `${text.slice(0, 497)}...`;
}
