/**
 * The error family, and failures: errors as data.
 *
 * An error is thrown; a failure is stored. `toFailure` turns anything thrown into data without losing its code, cause
 * or retryability, and `fromFailure` builds the error again on the other side of a history, a process or a database.
 * Errors are recognised by brand and `code`, never by `instanceof`: two copies of this package may meet.
 *
 * Messages say what was expected, what was found and where: *Expected X to be Y, got Z*.
 */
import type { LlmUsage } from "./llm/conversation.ts";
import type { Payload } from "./payload.ts";

/** Every code this library gives to an error of its own. Errors thrown by user code keep theirs. */
export type StetErrorCode =
  | "configuration_invalid"
  | "payload_invalid"
  | "payload_too_large"
  | "input_invalid"
  | "activity_failed"
  | "sub_orchestration_failed"
  | "orchestration_failed"
  | "orchestration_cancelled"
  | "orchestration_terminated"
  | "timeout"
  | "cancelled"
  | "outcome_unknown"
  | "non_retryable"
  | "determinism_violated"
  | "nondeterminism"
  | "instance_not_found"
  | "instance_exists"
  | "instance_ended"
  | "instance_running"
  | "history_corrupt"
  | "storage_failed"
  | "llm_failed"
  | "llm_output_invalid"
  | "budget_exceeded"
  | "runtime_stopped";

/** An error as it is stored: plain data. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly code: string;
  readonly retryable: boolean;
  readonly details?: Payload;
  readonly cause?: Failure;
}

/** What every error of the family can be given besides its message. */
export interface StetErrorOptions {
  readonly cause?: unknown;
  readonly details?: Payload;
}

const brand = Symbol.for("stet.error");

/** The head of the family. Catch it by {@link isStetError}. */
export class StetError extends Error {
  override name = "StetError";
  readonly code: string;
  /** Whether trying the same again may help. */
  readonly retryable: boolean;
  /** Data that belongs to the error and survives storage. */
  declare readonly details?: Payload;

  constructor(code: string, message: string, retryable = false, options: StetErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = retryable;
    if (options.details !== undefined) this.details = options.details;
    Object.defineProperty(this, brand, { value: true });
  }
}

/**
 * Whether something thrown belongs to the family, and to `code` when one is given.
 *
 * @example
 * ```ts
 * try { await ctx.waitForEvent("approval", { timeout: "3d" }); }
 * catch (error) { if (!isStetError(error, "timeout")) throw error; }
 * ```
 */
export function isStetError(error: unknown, code?: StetErrorCode): error is StetError {
  return (
    typeof error === "object" &&
    error !== null &&
    (error as { [brand]?: true })[brand] === true &&
    (code === undefined || (error as StetError).code === code)
  );
}

/** A definition or an option is wrong. Thrown where it is given. */
export class ConfigurationError extends StetError {
  override name = "ConfigurationError";
  constructor(message: string, options?: StetErrorOptions) {
    super("configuration_invalid", message, false, options);
  }
}

/** A value cannot be carried by JSON. The message names the path of the offending member. */
export class PayloadError extends StetError {
  override name = "PayloadError";
  constructor(message: string, options?: StetErrorOptions) {
    super("payload_invalid", message, false, options);
  }
}

/** A payload is larger than the limit. */
export class PayloadTooLargeError extends StetError {
  override name = "PayloadTooLargeError";
  constructor(message: string, options?: StetErrorOptions) {
    super("payload_too_large", message, false, options);
  }
}

/** An input or an event does not satisfy its schema. `details` lists the issues with their paths. */
export class InputError extends StetError {
  override name = "InputError";
  constructor(message: string, options?: StetErrorOptions) {
    super("input_invalid", message, false, options);
  }
}

/** An awaited activity failed for good. `cause` is what the activity threw. */
export class ActivityError extends StetError {
  override name = "ActivityError";
  constructor(message: string, options?: StetErrorOptions) {
    super("activity_failed", message, false, options);
  }
}

/** An awaited sub-orchestration failed, was cancelled, or could not be started. `cause` says which. */
export class SubOrchestrationError extends StetError {
  override name = "SubOrchestrationError";
  constructor(message: string, options?: StetErrorOptions) {
    super("sub_orchestration_failed", message, false, options);
  }
}

/** The instance whose result was asked for failed (`cause`), was cancelled or was terminated: see `code`. */
export class OrchestrationError extends StetError {
  override name = "OrchestrationError";
  constructor(
    code: "orchestration_failed" | "orchestration_cancelled" | "orchestration_terminated",
    message: string,
    options?: StetErrorOptions,
  ) {
    super(code, message, false, options);
  }
}

/** Something took longer than it was given. */
export class TimeoutError extends StetError {
  override name = "TimeoutError";
  constructor(message: string, options?: StetErrorOptions) {
    super("timeout", message, true, options);
  }
}

/** A durable promise, an activity or an instance was cancelled. */
export class CancelledError extends StetError {
  override name = "CancelledError";
  constructor(message: string, options?: StetErrorOptions) {
    super("cancelled", message, false, options);
  }
}

/** An irreversible activity may or may not have happened: its worker died or it ran out of time. Ask the other side. */
export class OutcomeUnknownError extends StetError {
  override name = "OutcomeUnknownError";
  constructor(message: string, options?: StetErrorOptions) {
    super("outcome_unknown", message, false, options);
  }
}

/** Throw it in an activity to stop retrying at once. */
export class NonRetryableError extends StetError {
  override name = "NonRetryableError";
  constructor(message: string, options?: StetErrorOptions) {
    super("non_retryable", message, false, options);
  }
}

/** Orchestration code did what cannot be replayed. The message names the durable replacement. */
export class DeterminismError extends StetError {
  override name = "DeterminismError";
  constructor(message: string, options?: StetErrorOptions) {
    super("determinism_violated", message, false, options);
  }
}

/** The code no longer matches the history. The instance is blocked, never destroyed. */
export class NondeterminismError extends StetError {
  override name = "NondeterminismError";
  constructor(message: string, options?: StetErrorOptions) {
    super("nondeterminism", message, false, options);
  }
}

/** Stored history cannot be read. The instance is blocked, others go on. */
export class HistoryCorruptError extends StetError {
  override name = "HistoryCorruptError";
  constructor(message: string, options?: StetErrorOptions) {
    super("history_corrupt", message, false, options);
  }
}

/** An instance is not what the call needs: unknown, already there, already ended, still running. See `code`. */
export class InstanceError extends StetError {
  override name = "InstanceError";
  constructor(
    code: "instance_not_found" | "instance_exists" | "instance_ended" | "instance_running",
    message: string,
    options?: StetErrorOptions,
  ) {
    super(code, message, false, options);
  }
}

/** The store could not do what was asked. `retryable` tells trouble that passes from trouble that stays. */
export class StorageError extends StetError {
  override name = "StorageError";
  constructor(message: string, retryable: boolean, options?: StetErrorOptions) {
    super("storage_failed", message, retryable, options);
  }
}

/** Why a model call failed. */
export type LlmErrorKind =
  | "auth"
  | "bad_request"
  | "not_found"
  | "rate_limited"
  | "quota_exceeded"
  | "unavailable"
  | "timeout"
  | "connection"
  | "malformed"
  | "refused"
  | "truncated"
  | "content_filter"
  | "cancelled";

/** What a provider knows about a failed call. */
export interface LlmErrorOptions extends StetErrorOptions {
  /** HTTP status, when there was one. */
  readonly status?: number;
  /** How long the provider asked to wait. */
  readonly retryAfterMs?: number;
  /** What the call has used in vain, where the provider was told. */
  readonly usage?: LlmUsage;
}

const passingKinds: ReadonlySet<LlmErrorKind> = new Set([
  "rate_limited",
  "unavailable",
  "timeout",
  "connection",
  "malformed",
]);

/** A model call failed. Providers throw it; whether it is tried again follows from `kind`. */
export class LlmError extends StetError {
  override name = "LlmError";
  readonly kind: LlmErrorKind;
  declare readonly status?: number;
  declare readonly retryAfterMs?: number;
  declare readonly usage?: LlmUsage;

  constructor(kind: LlmErrorKind, message: string, options: LlmErrorOptions = {}) {
    const { status, retryAfterMs, usage } = options;
    const facts = {
      kind,
      ...(status !== undefined && { status }),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      ...(usage !== undefined && { usage }),
    };
    super("llm_failed", message, passingKinds.has(kind), { ...options, details: options.details ?? facts });
    this.kind = kind;
    if (status !== undefined) this.status = status;
    if (retryAfterMs !== undefined) this.retryAfterMs = retryAfterMs;
    if (usage !== undefined) this.usage = usage;
  }
}

/** The model answered, again and again, what does not parse or validate. `lastAnswer` is the last thing it said. */
export class LlmOutputError extends StetError {
  override name = "LlmOutputError";
  readonly lastAnswer: string;

  constructor(message: string, lastAnswer: string, options?: StetErrorOptions) {
    super("llm_output_invalid", message, false, { ...options, details: { lastAnswer } });
    this.lastAnswer = lastAnswer;
  }
}

/** Why a call did not fit into a budget. */
export type BudgetShortage = {
  /** The instance whose budget it is: that of the call, or one above it. */
  readonly instanceId: string;
  /** `usd` in US dollars, `timeMs` in milliseconds. */
  readonly member: "tokens" | "usd" | "calls" | "timeMs";
  readonly limit: number;
  readonly spent: number;
  /** For calls whose answers are not recorded yet. */
  readonly reserved: number;
  /** What this call would have reserved; of time nothing. */
  readonly wanted: number;
};

/**
 * A model call was not made, because it did not fit into a budget. Where the code lets it end the orchestration, the
 * instance is suspended instead, until `client.topUp()`. `shortage` is absent when the budget limits money and the model
 * has no price. Code never gets one that is `retryable`: only what others had reserved was in its way, so the instance waits
 * until they have used less, or all of it.
 */
export class BudgetExceededError extends StetError {
  override name = "BudgetExceededError";
  declare readonly shortage?: BudgetShortage;

  constructor(message: string, shortage?: BudgetShortage, options?: StetErrorOptions) {
    super("budget_exceeded", message, false, { ...options, ...(shortage !== undefined && { details: shortage }) });
    if (shortage !== undefined) this.shortage = shortage;
  }
}

/** Causes deeper than this are cut: enough to see why, too little to fill a history. */
const deepestCause = 5;

/** More errors than this in one `AggregateError` are cut, for the same reason. */
const mostGathered = 20;

/** Anything thrown, as data. Codes, causes and retryability of any error survive; the stack does not. */
export function toFailure(thrown: unknown, depth = 0): Failure {
  try {
    return typeof thrown === "object" && thrown !== null ? failureOf(thrown, depth) : unspecific(String(thrown));
  } catch {
    return unspecific("an object that cannot be read"); // a proxy, a getter that throws
  }
}

function unspecific(message: string): Failure {
  return { name: "Error", message, code: "error", retryable: true };
}

function failureOf(thrown: object, depth: number): Failure {
  const error = thrown as Partial<StetError>;
  const cause = depth < deepestCause && error.cause !== undefined ? toFailure(error.cause, depth + 1) : undefined;
  const details = error.details === undefined ? gathered(thrown, depth) : carried(error.details);
  return {
    name: typeof error.name === "string" && error.name !== "" ? error.name : "Error",
    message: typeof error.message === "string" ? error.message : "an object without a message",
    code: typeof error.code === "string" && error.code !== "" ? error.code : "error",
    retryable: typeof error.retryable === "boolean" ? error.retryable : true,
    ...(details !== undefined && { details }),
    ...(cause !== undefined && { cause }),
  };
}

/** The errors that an `AggregateError` stands for, so that `Promise.any` loses none of its reasons. */
function gathered(thrown: object, depth: number): Payload | undefined {
  const { name, errors } = thrown as Partial<AggregateError>;
  if (depth >= deepestCause || name !== "AggregateError" || !Array.isArray(errors)) return undefined;
  return carried({ errors: errors.slice(0, mostGathered).map((error) => toFailure(error, depth + 1)) });
}

/** Details of foreign errors may be anything; only what JSON carries whole is kept. */
function carried(details: unknown): Payload | undefined {
  try {
    return JSON.parse(JSON.stringify(details)) as Payload;
  } catch {
    return undefined; // cyclic or exotic details of somebody else's error are not worth failing for
  }
}

/** Anything thrown, as an error of the family. */
export function asStetError(thrown: unknown): StetError {
  return isStetError(thrown) ? thrown : fromFailure(toFailure(thrown));
}

/** The error that a failure was, of the same class where it is one of the family. */
export function fromFailure(failure: Failure): StetError {
  const { message, code, details } = failure;
  const options: StetErrorOptions = {
    ...(details !== undefined && { details }),
    ...(failure.cause !== undefined && { cause: fromFailure(failure.cause) }),
  };
  const error = rebuild(failure, options) ?? new StetError(code, message, failure.retryable, options);
  error.name = failure.name;
  // Somebody else's error may have a code of ours and judge otherwise.
  if (error.retryable !== failure.retryable) Object.assign(error, { retryable: failure.retryable });
  return error;
}

function rebuild({ message, code, retryable, details }: Failure, options: StetErrorOptions): StetError | undefined {
  switch (code as StetErrorCode) {
    case "configuration_invalid":
      return new ConfigurationError(message, options);
    case "payload_invalid":
      return new PayloadError(message, options);
    case "payload_too_large":
      return new PayloadTooLargeError(message, options);
    case "input_invalid":
      return new InputError(message, options);
    case "activity_failed":
      return new ActivityError(message, options);
    case "sub_orchestration_failed":
      return new SubOrchestrationError(message, options);
    case "orchestration_failed":
    case "orchestration_cancelled":
    case "orchestration_terminated":
      return new OrchestrationError(code as "orchestration_failed", message, options);
    case "timeout":
      return new TimeoutError(message, options);
    case "cancelled":
      return new CancelledError(message, options);
    case "outcome_unknown":
      return new OutcomeUnknownError(message, options);
    case "non_retryable":
      return new NonRetryableError(message, options);
    case "determinism_violated":
      return new DeterminismError(message, options);
    case "nondeterminism":
      return new NondeterminismError(message, options);
    case "history_corrupt":
      return new HistoryCorruptError(message, options);
    case "instance_not_found":
    case "instance_exists":
    case "instance_ended":
    case "instance_running":
      return new InstanceError(code as "instance_exists", message, options);
    case "storage_failed":
      return new StorageError(message, retryable, options);
    case "llm_failed":
      return new LlmError((details as { kind?: LlmErrorKind } | undefined)?.kind ?? "unavailable", message, {
        ...options,
        ...(details as LlmErrorOptions | undefined),
      });
    case "llm_output_invalid":
      return new LlmOutputError(message, (details as { lastAnswer?: string } | undefined)?.lastAnswer ?? "", options);
    case "budget_exceeded":
      return new BudgetExceededError(message, details as BudgetShortage | undefined, options);
    default:
      return undefined;
  }
}
