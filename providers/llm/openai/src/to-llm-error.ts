/** From what the SDK throws to the errors of the seam. */
import type { LlmError, LlmErrorKind } from "@stet/core";
import {
  countOf,
  errorAnswer,
  kindOfStatus,
  member,
  noAnswer,
  type Redact,
  textOf,
  withUsage,
} from "@stet/core/provider-kit";
import { APIConnectionError, APIConnectionTimeoutError, APIError } from "openai";
import { reportedUsage } from "./usage.ts";

/** Any error of a call, without secrets. */
export function toLlmError(vendor: string, thrown: unknown, redact: Redact): LlmError {
  if (!(thrown instanceof APIError) || thrown instanceof APIConnectionError) {
    return noAnswer(vendor, thrown, redact, thrown instanceof APIConnectionTimeoutError);
  }
  const status = thrown.status ?? statusInside(thrown.error);
  const code = textOf(thrown, "code") ?? textOf(thrown, "type");
  const message = textOf(thrown.error, "message") ?? thrown.message.replace(/^\d{3} /, "");
  const requestId = thrown.requestID ?? undefined;
  const kind = kindOf(status, code);
  return errorAnswer(vendor, { status, code, message, requestId, headers: thrown.headers, kind }, redact);
}

/** The error that a body or a piece of a stream holds though its status is 200, if it does. */
export function errorInside(vendor: string, body: unknown, redact: Redact): LlmError | undefined {
  const error =
    textOf(body, "type") === "error" ? body : (member(body, "error") ?? member(member(body, "response"), "error"));
  if (typeof error !== "object" || error === null) return undefined;
  const counted = member(body, "usage") ?? member(member(body, "response"), "usage");
  const answered = toLlmError(vendor, new APIError(undefined, error, undefined, undefined), redact);
  return withUsage(answered, reportedUsage(counted)) as LlmError;
}

/** The code counts where the status says too little; an error that is sent as a piece of a stream has no status. */
function kindOf(status: number | undefined, code: string | undefined): LlmErrorKind {
  if (unpaid.has(code)) return "quota_exceeded";
  if (filtered.has(code)) return "content_filter";
  if (status !== undefined) return kindOfStatus(status);
  if (code === "rate_limit_exceeded") return "rate_limited";
  return badRequests.has(code) ? "bad_request" : "unavailable";
}

const unpaid: ReadonlySet<string | undefined> = new Set(["insufficient_quota", "billing_hard_limit_reached"]);
const filtered: ReadonlySet<string | undefined> = new Set(["content_filter", "content_policy_violation", "bio_policy"]);
const badRequests: ReadonlySet<string | undefined> = new Set([
  "invalid_request_error",
  "context_length_exceeded",
  "invalid_prompt",
]);

/** Gateways put the status into the body when the headers are already gone. */
function statusInside(body: unknown): number | undefined {
  const code = countOf(body, "code");
  return code !== undefined && code >= 400 && code < 600 ? code : undefined;
}
