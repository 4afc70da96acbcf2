/**
 * What a model may be asked in how much time, as people say it, and as windows for the store to count.
 */
import { ConfigurationError } from "../errors.ts";
import { assertOptions, type NamesOf, shown } from "../options.ts";
import type { CapacityWindow } from "../storage.ts";

/**
 * Limits of one model. Those by time hold for all workers of a store together, `concurrency` for this one. No window of
 * that length sees more, wherever it begins; calls that cannot start wait durably and hold no worker.
 */
export interface ModelLimits {
  /** Most calls at once in this runtime. @default the runtime's `concurrency.models` */
  readonly concurrency?: number;
  readonly requestsPerSecond?: number;
  readonly requestsPerMinute?: number;
  /**
   * Input and output together. A call starts while the tokens of the last minute are not used up; what it is expected to use
   * counts from its start, what it has used from its end.
   */
  readonly tokensPerMinute?: number;
}

const names: NamesOf<ModelLimits> = {
  concurrency: true,
  requestsPerSecond: true,
  requestsPerMinute: true,
  tokensPerMinute: true,
};

/** A call reaches the model a little after its capacity was taken, so a window is taken for so much longer. */
const leewayMs = 100;

const secondMs = 1_000 + leewayMs;
const minuteMs = 60_000 + leewayMs;

/** @throws ConfigurationError naming the first limit that is unknown or wrong. */
export function assertLimits(limits: unknown, model: string): asserts limits is ModelLimits {
  assertOptions(limits, names, `modelLimits of ${model}`);
  for (const [name, limit] of Object.entries(limits as ModelLimits)) {
    if (limit === undefined || (Number.isInteger(limit) && limit >= 1)) continue;
    throw new ConfigurationError(
      `Expected ${name} in modelLimits of ${model} to be a whole number from 1, got ${shown(limit)}`,
    );
  }
}

/** The limits by time. */
export function windowsOf({ requestsPerSecond, requestsPerMinute, tokensPerMinute }: ModelLimits): CapacityWindow[] {
  const aMinute = {
    ...(requestsPerMinute !== undefined && { requests: requestsPerMinute }),
    ...(tokensPerMinute !== undefined && { tokens: tokensPerMinute }),
  };
  return [
    ...(requestsPerSecond === undefined ? [] : [{ ms: secondMs, requests: requestsPerSecond }]),
    ...(Object.keys(aMinute).length === 0 ? [] : [{ ms: minuteMs, ...aMinute }]),
  ];
}
