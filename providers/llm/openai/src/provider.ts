/**
 * The provider behind `openai()` and `azureOpenai()`. One call of the seam is one request: the SDK's retries are off,
 * because the dispatcher retries, durably and once for all providers.
 */
import type {
  LlmCallOptions,
  LlmCapabilities,
  LlmEmbedOptions,
  LlmProvider,
  LlmRequest,
  LlmResponse,
} from "@stet/core";
import {
  callVendor,
  type Embedded,
  headerText,
  type Heard,
  needsEnvelope,
  outOfEnvelope,
  type Redact,
  toResponse,
  type Vendor,
  withFormatInWords,
} from "@stet/core/provider-kit";
import type { ClientOptions, OpenAI } from "openai";
import type { CallSettings, Dialect } from "./dialect.ts";
import { fromEmbeddings } from "./from-embeddings.ts";
import { errorInside, toLlmError } from "./to-llm-error.ts";

/** What both factories let be chosen about requests. */
interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly fetch?: typeof globalThis.fetch;
}

/** How a client of the SDK is set up, whoever it asks. */
export function clientOptions(
  { headers = {}, fetch }: RequestOptions,
  timeoutMs: number,
): Omit<ClientOptions, "provider"> {
  return {
    adminAPIKey: null,
    maxRetries: 0,
    timeout: timeoutMs,
    logLevel: "off",
    defaultHeaders: headers,
    ...(fetch !== undefined && { fetch }),
  };
}

/** What the two factories decide. */
export interface ProviderSetup {
  readonly name: string;
  /** As errors name it. */
  readonly vendor: string;
  readonly model: string;
  /** The name that requests carry for `model`. */
  readonly wireModel: string;
  readonly embeddingModel: string;
  readonly client: OpenAI;
  readonly dialect: Dialect;
  readonly structuredOutput: boolean;
  readonly timeoutMs: number;
  readonly redact: Redact;
}

export function providerOf(setup: ProviderSetup): LlmProvider {
  return new OpenAiProvider(setup);
}

class OpenAiProvider implements LlmProvider {
  readonly name: string;
  readonly model: string;
  readonly capabilities: LlmCapabilities;
  readonly #setup: ProviderSetup;
  readonly #vendor: Vendor;

  constructor(setup: ProviderSetup) {
    const { name, vendor, model, structuredOutput, timeoutMs, redact } = setup;
    this.name = name;
    this.model = model;
    this.capabilities = { structuredOutput, tools: true, streaming: true };
    this.#setup = setup;
    this.#vendor = { name: vendor, timeoutMs, toLlmError: (thrown) => toLlmError(vendor, thrown, redact) };
  }

  async complete(asked: LlmRequest, options: LlmCallOptions): Promise<LlmResponse> {
    const { client, dialect, model: kind, wireModel, structuredOutput } = this.#setup;
    const name = asked.model ?? wireModel;
    const model = { name, kind: asked.model ?? kind };
    const request = structuredOutput ? asked : withFormatInWords(asked);
    const enveloped = request.format !== undefined && needsEnvelope(request.format.schema);
    const understood = (heard: Heard): LlmResponse =>
      toResponse(enveloped ? { ...heard, text: outOfEnvelope(heard.text) } : heard, asked, name);
    const { onDelta } = options;
    return callVendor(this.#vendor, options.signal, async (call) => {
      const settings = settingsOf(call.signal, options);
      if (onDelta === undefined) {
        return understood(dialect.hear(this.#whole(await call.answer(dialect.ask(client, request, model, settings)))));
      }
      const stream = this.#whole(await call.answer(dialect.askStreaming(client, request, model, settings)));
      const heard = await dialect.hearStream(
        this.#checked(call.pieces(stream)),
        enveloped ? () => undefined : onDelta, // an envelope is nothing to look at
      );
      const response = understood(heard);
      if (enveloped && response.answer.text !== "") onDelta(response.answer.text);
      return response;
    });
  }

  async embed(texts: readonly string[], options: LlmEmbedOptions): Promise<Embedded> {
    const { client, embeddingModel } = this.#setup;
    const model = options.model ?? embeddingModel;
    if (texts.length === 0) return { vectors: [], model, usage: { inputTokens: 0, outputTokens: 0 } };
    return callVendor(this.#vendor, options.signal, async (call) => {
      const body = { model, input: [...texts], encoding_format: "float" as const };
      const answer = await call.answer(client.embeddings.create(body, settingsOf(call.signal, options)));
      return fromEmbeddings(this.#whole(answer), texts, model);
    });
  }

  /** @throws LlmError when the body holds an error though its status is 200. */
  #whole<T>(body: T): T {
    const error = errorInside(this.#setup.vendor, body, this.#setup.redact);
    if (error !== undefined) throw error;
    return body;
  }

  async *#checked(pieces: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    for await (const piece of pieces) yield this.#whole(piece);
  }
}

function settingsOf(signal: AbortSignal, { idempotencyKey }: LlmCallOptions): CallSettings {
  return { signal, headers: { "idempotency-key": headerText(idempotencyKey) } };
}
