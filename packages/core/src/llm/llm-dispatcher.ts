/**
 * Model calls for all providers: makes one call to one model. Which one, when, and what becomes of a failed call is the
 * business of the lines. Providers only translate.
 */
import { isStetError, LlmError } from "../errors.ts";
import type { LlmCompleted, LlmRequested } from "../events.ts";
import type { Job } from "../job.ts";
import type { Payload } from "../payload.ts";
import type { Clock } from "../ports.ts";
import { AnswerCache, type AnswerCacheEnvironment, type Answered } from "./answer-cache.ts";
import { type AnswerStream, AnswerStreams, type AnswerStreamsEnvironment } from "./answer-streams.ts";
import type { LlmRequest, LlmUsage } from "./conversation.ts";
import type { ModelLines } from "./model-lines.ts";
import type { Route } from "./model-table.ts";
import { costOf, packagedPrices, type Prices } from "./prices.ts";
import type { LlmCallOptions, LlmResponse } from "./provider.ts";
import type { WastedUsage } from "./usage.ts";
import { packedVector } from "./vectors.ts";
import { withoutSecrets } from "./without-secrets.ts";

/** One attempt is cut off after this long unless the call says otherwise. */
const defaultTimeoutMs = 10 * 60_000;

/** What the dispatcher is given. */
export interface LlmEnvironment extends AnswerCacheEnvironment, AnswerStreamsEnvironment {
  readonly lines: ModelLines;
  /** Absent: the packaged ones, read with the first call. */
  readonly prices: Prices | undefined;
}

/** See the head of the file. */
export class LlmDispatcher {
  readonly lines: ModelLines;
  readonly #clock: Clock;
  readonly #answers: AnswerCache;
  readonly #streams: AnswerStreams;
  #prices: Promise<Prices> | undefined;
  #known: Prices | undefined;

  constructor(environment: LlmEnvironment) {
    const { lines, clock, prices } = environment;
    this.lines = lines;
    this.#clock = clock;
    this.#answers = new AnswerCache(environment);
    this.#streams = new AnswerStreams(environment);
    if (prices !== undefined) this.#prices = Promise.resolve(prices);
  }

  /** Reads what {@link LlmDispatcher.costOf} needs to know. */
  async knowPrices(): Promise<void> {
    this.#known ??= await (this.#prices ??= packagedPrices().catch(() => () => undefined));
  }

  /** What a call with this usage costs at most: at the dearest model of its chain, if all of them have a price. */
  costOf({ model: asked }: LlmRequest, usage: LlmUsage): number | undefined {
    const prices = this.#known;
    if (prices === undefined) return undefined;
    const at = this.#clock.now();
    const costs = this.#routesOf(asked).map(({ provider, model = provider.model }) =>
      costOf({ provider: provider.name, model, usage, at }, prices),
    );
    return costs.every((cost) => cost !== undefined) ? Math.max(0, ...costs) : undefined;
  }

  #routesOf(asked: string | undefined): readonly Route[] {
    try {
      return this.lines.chainOf(asked).map(({ route }) => route);
    } catch {
      return []; // there is no such model, which the call itself will say
    }
  }

  /** One call. @throws LlmError without anything that looks like a key */
  async call(job: Job): Promise<Omit<LlmCompleted, "attempts">> {
    const { options = {} } = job.item.request as LlmRequested;
    const stream = options.stream === undefined ? undefined : this.#streams.open(job, options.stream);
    try {
      const answered = await this.#answer(job, stream);
      await stream?.end(answered.result.text);
      return { kind: "LlmCompleted", source: job.item.eventId, ...answered };
    } catch (error) {
      await stream?.fail();
      throw withoutSecrets(error);
    }
  }

  /** The answer to a call whose model may not be asked now, if one is kept. */
  async kept(job: Job): Promise<Omit<LlmCompleted, "attempts"> | undefined> {
    const { request, options = {} } = job.item.request as LlmRequested;
    const gate = this.lines.nextFor(job, this.#clock.now());
    if (options.cache === undefined || gate === undefined) return undefined;
    const answered = await this.#answers.kept(job, options.cache, questionOf(request, gate.route));
    if (answered === undefined) return undefined;
    if (options.stream !== undefined) await this.#streams.open(job, options.stream).end(answered.result.text);
    return { kind: "LlmCompleted", source: job.item.eventId, ...answered };
  }

  #answer(job: Job, stream: AnswerStream | undefined): Promise<Answered> {
    const { request, operation, options = {} } = job.item.request as LlmRequested;
    const { timeoutMs = defaultTimeoutMs, cache } = options;
    const { route } = job.asking?.gate ?? this.lines.nextOf(request.model);
    const ask = () => this.#ask(job, route, stream);
    const answer = cache === undefined ? ask() : this.#answers.answer(job, cache, questionOf(request, route), ask);
    return this.#within(timeoutMs, answer, job, operation);
  }

  async #ask(job: Job, route: Route, stream: AnswerStream | undefined): Promise<Answered> {
    const { request, operation, label } = job.item.request as LlmRequested;
    const { answer, model, usage, finishReason } = await send(request, route, {
      signal: job.signal,
      idempotencyKey: job.key,
      operation,
      ...(label !== undefined && { label }),
      ...(stream !== undefined && { onDelta: (text: string) => stream.hear(text) }),
    }).catch((error: unknown) => this.#failed(error, job, route));
    return { result: answer, ...(await this.#priced(route, model, usage)), finishReason };
  }

  /** Remembers what the attempt has used in vain. */
  async #failed(error: unknown, job: Job, route: Route): Promise<never> {
    const { usage } = error as Partial<LlmError>;
    if (isStetError(error, "llm_failed") && usage !== undefined) {
      const { model = route.provider.model } = route;
      job.spent = { attempt: job.attempt, ...(await this.#priced(route, model, usage)) };
    }
    throw error;
  }

  async #priced({ provider }: Route, model: string, usage: LlmUsage): Promise<Omit<WastedUsage, "attempt">> {
    const prices = await (this.#prices ??= packagedPrices().catch(() => () => undefined));
    const costUsd = costOf({ provider: provider.name, model, usage, at: this.#clock.now() }, prices);
    return { model, usage, ...(costUsd !== undefined && { costUsd }) };
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

/** What makes two calls the same: who is asked, and all that is asked. */
function questionOf({ model: _asked, ...asked }: LlmRequest, { provider, model = provider.model }: Route): Payload {
  return { provider: provider.name, model, request: asked };
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
    const { model: asked, usage } = rest;
    throw new LlmError("malformed", `Expected ${asked} to give ${texts.length} vectors, got ${vectors.length}`, {
      usage,
    });
  }
  return { ...rest, answer: { text: "", vectors: vectors.map(packedVector) }, finishReason: "stop" };
}
