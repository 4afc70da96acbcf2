/**
 * Model calls for all providers: finds the provider of a request, makes one call, and says whether and when a failed one
 * is tried again. Providers only translate.
 */
import { ConfigurationError, LlmError, type Failure } from "../errors.ts";
import type { LlmCompleted, LlmRequested, RecordedRetryPolicy } from "../events.ts";
import type { Job } from "../job.ts";
import type { Clock } from "../ports.ts";
import type { LlmProvider } from "./provider.ts";

/** Providers by the names that orchestrations use. The first is the default. */
export type LlmTable = { readonly [model: string]: LlmProvider };

/** One attempt is cut off after this long unless the call says otherwise. */
const defaultTimeoutMs = 10 * 60_000;

/** Model calls fail in passing more often than not, so they are tried again unless it cannot help. */
export const llmRetryPolicy: RecordedRetryPolicy = {
  maxAttempts: 4,
  initialIntervalMs: 500,
  backoff: 2,
  maxIntervalMs: 30_000,
  jitter: 0.2,
};

/** The time the provider asked for, if it named one. */
export function askedDelayMs(failure: Failure): number | undefined {
  const asked = (failure.details as { retryAfterMs?: unknown } | undefined)?.retryAfterMs;
  return typeof asked === "number" ? asked : undefined;
}

/** See the head of the file. */
export class LlmDispatcher {
  readonly #table: LlmTable;
  readonly #clock: Clock;

  constructor(llm: LlmProvider | LlmTable, clock: Clock) {
    this.#table = isProvider(llm) ? { [llm.model]: llm } : llm;
    this.#clock = clock;
    if (Object.keys(this.#table).length === 0) {
      throw new ConfigurationError("Expected llm to name at least one provider, got an empty table");
    }
  }

  /** One call. @throws LlmError */
  async call(job: Job): Promise<Omit<LlmCompleted, "attempts">> {
    const { request, operation, label, options } = job.item.request as LlmRequested;
    const provider = this.#provider(request.model);
    const timeoutMs = options?.timeoutMs ?? defaultTimeoutMs;
    const { model: _name, ...asked } = request;
    const answer = provider.complete(asked, {
      signal: job.signal,
      idempotencyKey: job.key,
      operation,
      ...(label !== undefined && { label }),
    });
    const { answer: result, model, usage, finishReason } = await this.#within(timeoutMs, answer, job, operation);
    return { kind: "LlmCompleted", source: job.item.eventId, result, model, usage, finishReason };
  }

  #provider(model: string | undefined): LlmProvider {
    const provider = model === undefined ? Object.values(this.#table)[0] : this.#table[model];
    if (provider !== undefined) return provider;
    throw new LlmError(
      "not_found",
      `Expected the model to be one of ${Object.keys(this.#table).join(", ")}, got ${model}`,
    );
  }

  #within<Value>(timeoutMs: number, answer: Promise<Value>, job: Job, operation: string): Promise<Value> {
    return new Promise((resolve, reject) => {
      const stop = this.#clock.setTimer(this.#clock.now() + timeoutMs, () => {
        const error = new LlmError(
          "timeout",
          `Expected the model to answer ctx.${operation} of instance ${job.item.instanceId} within ${timeoutMs} ms, got nothing`,
        );
        reject(error);
        job.abort(error);
      });
      void answer.then(resolve, reject).finally(stop);
    });
  }
}

function isProvider(llm: LlmProvider | LlmTable): llm is LlmProvider {
  return typeof (llm as LlmProvider).complete === "function";
}
