/**
 * Retry policies: how often and how soon an activity is tried again. Retries happen in the worker against the durable
 * work item; they cost no turn and no history.
 */
import { durationMs, type Duration } from "./duration.ts";
import { ConfigurationError, type Failure } from "./errors.ts";
import type { RecordedRetryPolicy } from "./events.ts";
import { assertOptions, type NamesOf } from "./options.ts";

/** How an activity is retried. Without a policy it is not retried; with one, what it leaves out has these defaults. */
export interface RetryPolicy {
  /** Attempts in all, the first included. @default 3 */
  readonly maxAttempts?: number;
  /** Wait before the second attempt. @default "100ms" */
  readonly initialInterval?: Duration;
  /** Factor between one wait and the next. @default 2 */
  readonly backoff?: number;
  /** Longest wait. @default "30s" */
  readonly maxInterval?: Duration;
  /** Share of each wait that is left to chance, 0 to 1, so that failures do not come back in step. @default 0.2 */
  readonly jitter?: number;
  /** Codes of errors that trying again cannot help. */
  readonly nonRetryable?: readonly string[];
}

const defaults: RecordedRetryPolicy = {
  maxAttempts: 3,
  initialIntervalMs: 100,
  backoff: 2,
  maxIntervalMs: 30_000,
  jitter: 0.2,
};

const names: NamesOf<RetryPolicy> = {
  maxAttempts: true,
  initialInterval: true,
  backoff: true,
  maxInterval: true,
  jitter: true,
  nonRetryable: true,
};

/** The policy with every duration in milliseconds and every default in place. */
export function retryPolicy(policy: RetryPolicy = {}, what: string): RecordedRetryPolicy {
  assertOptions(policy, names, `retry of ${what}`);
  const { maxAttempts = defaults.maxAttempts, backoff = defaults.backoff, jitter = defaults.jitter } = policy;
  if (!(Number.isInteger(maxAttempts) && maxAttempts >= 1)) {
    throw new ConfigurationError(
      `Expected retry.maxAttempts of ${what} to be a whole number from 1, got ${maxAttempts}`,
    );
  }
  if (!(backoff >= 1))
    throw new ConfigurationError(`Expected retry.backoff of ${what} to be 1 or more, got ${backoff}`);
  if (!(jitter >= 0 && jitter <= 1)) {
    throw new ConfigurationError(`Expected retry.jitter of ${what} to be from 0 to 1, got ${jitter}`);
  }
  const interval = (value: Duration | undefined, name: string, fallback: number) =>
    value === undefined ? fallback : durationMs(value, `retry.${name} of ${what}`);
  return {
    maxAttempts,
    initialIntervalMs: interval(policy.initialInterval, "initialInterval", defaults.initialIntervalMs),
    backoff,
    maxIntervalMs: interval(policy.maxInterval, "maxInterval", defaults.maxIntervalMs),
    jitter,
    ...(policy.nonRetryable !== undefined && { nonRetryableCodes: [...policy.nonRetryable] }),
  };
}

/**
 * How long to wait after attempt number `attempt` failed.
 *
 * @param chance - A number from 0 to 1: which part of the jitter to take.
 */
export function retryDelayMs(policy: RecordedRetryPolicy, attempt: number, chance: number): number {
  const { initialIntervalMs, backoff, maxIntervalMs, jitter } = policy;
  const full = Math.min(maxIntervalMs, initialIntervalMs * backoff ** (attempt - 1));
  return Math.round(full * (1 - jitter * chance));
}

/** Whether a failure after `attempt` attempts is worth another one. */
export function mayRetry(policy: RecordedRetryPolicy, attempt: number, failure: Failure): boolean {
  return attempt < policy.maxAttempts && failure.retryable && !policy.nonRetryableCodes?.includes(failure.code);
}
