/**
 * The seam to language models. A provider translates one request into one call of its vendor and the answer back. It
 * does not retry, cache, count or limit: the dispatcher does that once for all providers.
 */
import type { LlmAnswer, LlmFinishReason, LlmRequest, LlmUsage } from "./conversation.ts";

/** A completed call. */
export interface LlmResponse {
  readonly answer: LlmAnswer;
  /** The model that answered, as the vendor names it. */
  readonly model: string;
  readonly usage: LlmUsage;
  readonly finishReason: LlmFinishReason;
}

/** What goes with a call and is not part of the question. */
export interface LlmCallOptions {
  /** Aborted when nobody wants the answer any more. */
  readonly signal: AbortSignal;
  /** The operation that asks: `"generate"`, `"ifTrue"`, `"classify"`, ... For logs and tests; it never reaches the vendor. */
  readonly operation: string;
  /** What the caller calls this call, when it was given a name. */
  readonly label?: string;
  /** The same for every attempt of the same call. */
  readonly idempotencyKey: string;
  /** Given when the caller wants the text while it is written. */
  readonly onDelta?: (text: string) => void;
}

/** What goes with texts of which vectors are wanted. */
export interface LlmEmbedOptions extends LlmCallOptions {
  /** The vendor's name of the model. @default the provider's own for vectors */
  readonly model?: string;
}

/** What a provider can do by itself. */
export interface LlmCapabilities {
  readonly structuredOutput: boolean;
  readonly tools: boolean;
  readonly streaming: boolean;
}

/** A language model behind one vendor's interface. */
export interface LlmProvider {
  /** The vendor, e.g. `"openai"`. */
  readonly name: string;
  /** The model asked when the request names none. */
  readonly model: string;
  readonly capabilities: LlmCapabilities;
  /**
   * One call, one answer.
   *
   * @throws LlmError whose `kind` says why, and with `retryAfterMs` when the vendor named a time.
   */
  complete(request: LlmRequest, options: LlmCallOptions): Promise<LlmResponse>;
  /** One vector for each text. */
  embed?(
    texts: readonly string[],
    options: LlmEmbedOptions,
  ): Promise<{ vectors: number[][]; model: string; usage: LlmUsage }>;
}
