/**
 * Answers kept for whoever asks the same again. A question is the same when the provider, the model and the whole request
 * are; whose answers it may be given is said by the scope of the call.
 *
 * Invariants
 *   C1  Of the calls in this process that ask the same at the same time, one reaches the model. The others wait for it: its
 *       answer is theirs, and so is its failure, unless it failed because nobody wanted its own answer any more. Then the
 *       next of them asks.
 *   C2  An answer is kept before it is given to anybody: whoever asks after that finds it, a successor of this worker too.
 *   C3  An answer that cannot be read is asked for again and replaced. Trouble with the store is waited out.
 */
import type { LlmCompleted, RecordedCacheScope } from "../events.ts";
import { Gatherer } from "../gatherer.ts";
import type { Job } from "../job.ts";
import type { Patience } from "../patience.ts";
import { canonicalJson, type Payload } from "../payload.ts";
import type { Clock, Logger } from "../ports.ts";
import type { AnswerKey, SavedAnswer, StorageProvider } from "../storage.ts";
import type { TextCodec } from "../text-codec.ts";
import type { LlmUsage } from "./conversation.ts";

/** What the cache is given. */
export interface AnswerCacheEnvironment {
  readonly storage: StorageProvider;
  readonly codec: TextCodec;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly patience: Patience;
}

/** An answer as history records it, but for which request it answers. */
export type Answered = Omit<LlmCompleted, "kind" | "source" | "attempts">;

type Kept = Pick<LlmCompleted, "result" | "model" | "finishReason">;

const nothing: LlmUsage = { inputTokens: 0, outputTokens: 0 };

/** See the head of the file. */
export class AnswerCache {
  readonly #environment: AnswerCacheEnvironment;
  /** What is being looked up or asked, by key. It comes to `undefined` when whoever asks is not wanted any more. */
  readonly #underway = new Map<string, Promise<Answered | undefined>>();
  readonly #reading: Gatherer<AnswerKey, string | undefined>;
  readonly #saving: Gatherer<SavedAnswer, undefined>;

  constructor(environment: AnswerCacheEnvironment) {
    this.#environment = environment;
    const { storage, clock, patience } = environment;
    this.#reading = new Gatherer(async (keys) => {
      const read = () => storage.readAnswers(keys, clock.now());
      return (await patience.until("read kept answers", read)) ?? [];
    });
    this.#saving = new Gatherer(async (answers) => {
      await patience.until("keep answers", () => storage.saveAnswers(answers, clock.now()));
      return answers.map(() => undefined);
    });
  }

  /** The answer to a question: one that was given before, or else what `ask` comes to. */
  async answer(
    job: Job,
    scope: RecordedCacheScope,
    question: Payload,
    ask: () => Promise<Answered>,
  ): Promise<Answered> {
    const key = this.#keyOf(job, scope, question);
    const name = nameOf(key);
    for (let other = this.#underway.get(name); other !== undefined; other = this.#underway.get(name)) {
      const answered = await whileWanted(other, job.signal);
      if (answered !== undefined) return asHit(answered);
    }
    const ttlMs = typeof scope === "object" ? scope.ttlMs : undefined;
    const answering = whileWanted(this.#findOrAsk(key, ttlMs, ask), job.signal).finally(() =>
      this.#underway.delete(name),
    );
    const shared = answering.catch((error: unknown) => {
      if (job.signal.aborted) return undefined;
      throw error;
    });
    shared.catch(() => undefined); // mostly nobody waits for it
    this.#underway.set(name, shared);
    return answering;
  }

  /** The answer that was given before, or that somebody is asking for here: nobody asks for this one. */
  async kept(job: Job, scope: RecordedCacheScope, question: Payload): Promise<Answered | undefined> {
    const key = this.#keyOf(job, scope, question);
    const underway = this.#underway.get(nameOf(key))?.catch(() => undefined);
    const found = underway ?? this.#find(key);
    const answered = await whileWanted<Kept | undefined>(found, job.signal);
    return answered && asHit(answered);
  }

  async #findOrAsk(key: AnswerKey, ttlMs: number | undefined, ask: () => Promise<Answered>): Promise<Answered> {
    const kept = await this.#find(key);
    if (kept !== undefined) return asHit(kept);
    const answered = await ask();
    if (answered.finishReason === "length") return answered; // no answer to anybody
    const { result, model, finishReason } = answered;
    const body = this.#environment.codec.encode({ result, model, finishReason } satisfies Kept, key.digest);
    const expiry = ttlMs !== undefined && { expiresAt: this.#environment.clock.now() + ttlMs };
    await this.#saving.ask({ ...key, body, ...expiry });
    return answered;
  }

  async #find(key: AnswerKey): Promise<Kept | undefined> {
    const { codec, logger } = this.#environment;
    const body = await this.#reading.ask(key);
    if (body === undefined) return undefined;
    try {
      const [kept] = await codec.decode<Kept>([body], key.digest, async () => [], "a kept answer");
      return kept;
    } catch (error) {
      logger.warn("A kept answer cannot be read; the model is asked again", { error: String(error) });
      return undefined;
    }
  }

  #keyOf({ instance, item }: Job, scope: RecordedCacheScope, question: Payload): AnswerKey {
    const digest = this.#environment.codec.digest(canonicalJson(question));
    if (typeof scope === "object") return { digest };
    return scope === "instance" ? { digest, instance } : { digest, instance, execution: item.execution };
  }
}

/** What calls that ask the same at the same time find each other by. */
function nameOf({ instance, execution, digest }: AnswerKey): string {
  return JSON.stringify([instance, execution, digest]);
}

function asHit({ result, model, finishReason }: Kept): Answered {
  return { result, model, usage: nothing, finishReason, cached: true };
}

/** What `work` comes to, unless the signal is aborted first: then it rejects with the reason. */
function whileWanted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
