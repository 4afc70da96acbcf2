/**
 * From what went wrong with a vendor to the errors of the seam. An SDK's error is not kept as the cause: it carries the
 * body and the address of the request, and causes are stored.
 */
import { LlmError, type LlmErrorKind } from "../../errors.ts";
import type { LlmUsage } from "../conversation.ts";
import { member, textOf } from "./json-reading.ts";
import { retryAfterMs } from "./retry-after.ts";
import type { Redact } from "./secrets.ts";

/** An error answer, as far as its vendor's dialect matters. */
export interface ErrorAnswer {
  /** Absent for an error in the middle of a stream. */
  readonly status?: number | undefined;
  /** The vendor's word for it, e.g. `"rate_limit_exceeded"`. */
  readonly code?: string | undefined;
  readonly message: string;
  readonly requestId?: string | undefined;
  readonly headers?: Pick<Headers, "get"> | undefined;
  /** Where the code says more than the status. @default `kindOfStatus(status)`, without a status `"unavailable"` */
  readonly kind?: LlmErrorKind | undefined;
}

/** What the status of an error answer means for whoever thinks about asking again. */
export function kindOfStatus(status: number): LlmErrorKind {
  switch (status) {
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

/** The vendor answered, and the answer is an error. */
export function errorAnswer(vendor: string, answer: ErrorAnswer, redact: Redact): LlmError {
  const { status, code, message, requestId, headers } = answer;
  const wait = retryAfterMs(headers, Date.now());
  const facts = [code, requestId === undefined ? undefined : `request ${requestId}`].filter(Boolean).join(", ");
  const what = status === undefined ? "an error" : String(status);
  return new LlmError(
    answer.kind ?? (status === undefined ? "unavailable" : kindOfStatus(status)),
    redact(
      `Expected an answer from ${vendor}, got ${what}${facts === "" ? "" : ` (${facts})`}: ${shortened(redact(message))}`,
    ),
    { ...(status !== undefined && { status }), ...(wait !== undefined && { retryAfterMs: wait }) },
  );
}

/** There was no whole answer: a lost connection, an impatient `fetch`, a body that is no JSON. */
export function noAnswer(vendor: string, thrown: unknown, redact: Redact, timedOut = false): LlmError {
  const reason = innermost(thrown);
  if (reason instanceof LlmError) return reason; // thrown by a `fetch` or a source of keys of ours
  if (reason instanceof SyntaxError) {
    // Its message quotes a piece of the body, which may be a piece of a secret.
    return new LlmError("malformed", `Expected ${vendor} to answer with JSON, got a text that is none`);
  }
  return new LlmError(
    timedOut || isTimeoutCode(textOf(reason, "code")) ? "timeout" : "connection",
    `Expected an answer from ${vendor}, got no whole one: ${shortened(redact(describe(reason)))}`,
  );
}

/** The error of a call that had used something when it broke off. What is no `LlmError` stays as it is. */
export function withUsage(thrown: unknown, usage: LlmUsage | undefined): unknown {
  if (!(thrown instanceof LlmError) || usage === undefined) return thrown;
  const { kind, message, status, retryAfterMs, cause } = thrown;
  return new LlmError(kind, message, {
    usage,
    ...(cause !== undefined && { cause }),
    ...(status !== undefined && { status }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

/** `fetch failed` says nothing; what caused it does. */
function innermost(thrown: unknown): unknown {
  let error = thrown;
  for (let depth = 0; depth < 5 && !(error instanceof LlmError); depth++) {
    const cause = member(error, "cause");
    if (cause === undefined || cause === null) break;
    error = cause;
  }
  return error;
}

function isTimeoutCode(code = ""): boolean {
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
