/**
 * Model calls for all providers: makes one call, and says whether and when a failed one
 * is tried again. Providers only translate.
 */
import { LlmError, type Failure } from "../errors.ts";
import type { LlmCompleted, LlmRequested, RecordedRetryPolicy } from "../events.ts";
import type { Job } from "../job.ts";
import type { Clock } from "../ports.ts";
import type { LlmRequest } from "./conversation.ts";
import { type LlmTable, ModelTable, type Route } from "./model-table.ts";
import { costOf, packagedPrices, type Prices } from "./prices.ts";
import type { LlmCallOptions, LlmProvider, LlmResponse } from "./provider.ts";
import { packedVector } from "./vectors.ts";
import { withoutSecrets } from "./without-secrets.ts";

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
  readonly #models: ModelTable;
  readonly #clock: Clock;
  #prices: Promise<Prices> | undefined;

  /** @param prices - Absent: the packaged ones, read with the first call. */
  constructor(llm: LlmProvider | LlmTable, clock: Clock, prices?: Prices) {
    this.#models = new ModelTable(llm);
    this.#clock = clock;
    if (prices !== undefined) this.#prices = Promise.resolve(prices);
  }

  /** One call. @throws LlmError without anything that looks like a key */
  async call(job: Job): Promise<Omit<LlmCompleted, "attempts">> {
    return this.#call(job).catch((error: unknown) => {
      throw withoutSecrets(error);
    });
  }

  async #call(job: Job): Promise<Omit<LlmCompleted, "attempts">> {
    const { request, operation, label, options } = job.item.request as LlmRequested;
    const route = this.#models.route(request.model);
    const timeoutMs = options?.timeoutMs ?? defaultTimeoutMs;
    this.#prices ??= packagedPrices().catch(() => () => undefined);
    const answer = send(request, route, {
      signal: job.signal,
      idempotencyKey: job.key,
      operation,
      ...(label !== undefined && { label }),
    });
    const { answer: result, model, usage, finishReason } = await this.#within(timeoutMs, answer, job, operation);
    const priced = { provider: route.provider.name, model, usage, at: this.#clock.now() };
    const costUsd = costOf(priced, await this.#prices);
    const cost = costUsd !== undefined && { costUsd };
    return { kind: "LlmCompleted", source: job.item.eventId, result, model, usage, ...cost, finishReason };
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

/** Asks the provider: for an answer, or for vectors. */
async function send(request: LlmRequest, { provider, model }: Route, options: LlmCallOptions): Promise<LlmResponse> {
  const named = model !== undefined && { model };
  const { model: _asked, texts, ...asked } = request;
  if (texts === undefined) return provider.complete({ ...asked, ...named }, options);
  if (provider.embed === undefined) {
    throw new LlmError("bad_request", `Expected ${provider.name} to make vectors, got a provider that cannot`);
  }
  const { vectors, ...rest } = await provider.embed(texts, { ...options, ...named });
  if (vectors.length !== texts.length) {
    throw new LlmError("malformed", `Expected ${rest.model} to give ${texts.length} vectors, got ${vectors.length}`);
  }
  return { ...rest, answer: { text: "", vectors: vectors.map(packedVector) }, finishReason: "stop" };
}
