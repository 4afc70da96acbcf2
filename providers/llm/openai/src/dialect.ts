/** OpenAI answers in two ways, chat completions and responses. What a provider must know about one of them. */
import type { LlmRequest } from "@stet/core";
import type { Heard } from "@stet/core/provider-kit";
import type { OpenAI } from "openai";

/** One way to ask and to be answered. */
export interface Dialect {
  readonly ask: (
    client: OpenAI,
    request: LlmRequest,
    model: AskedModel,
    settings: CallSettings,
  ) => PromiseLike<unknown>;
  readonly askStreaming: (
    client: OpenAI,
    request: LlmRequest,
    model: AskedModel,
    settings: CallSettings,
  ) => PromiseLike<AsyncIterable<unknown>>;
  readonly hear: (body: unknown) => Heard;
  /** @throws LlmError `connection` when the stream ends before the answer does */
  readonly hearStream: (pieces: AsyncIterable<unknown>, onText: (text: string) => void) => Promise<Heard>;
}

/** The model of a request. */
export interface AskedModel {
  /** As requests name it: on Azure, the deployment. */
  readonly name: string;
  /** What it is: a few members of a request depend on that. */
  readonly kind: string;
}

/** What goes with one request. */
export interface CallSettings {
  readonly signal: AbortSignal;
  readonly headers: Record<string, string>;
}
