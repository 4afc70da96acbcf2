/**
 * OpenAI, and the many servers that speak its chat completions. One call of the seam is one request: the SDK's retries are
 * off, because the dispatcher retries, durably and once for all providers.
 */
import {
  ConfigurationError,
  type Duration,
  type LlmCallOptions,
  type LlmCapabilities,
  type LlmProvider,
  type LlmRequest,
  type LlmResponse,
  type LlmUsage,
} from "@stet/core";
import { durationMs } from "@stet/core/internal";
import { OpenAI } from "openai";
import { fromChatCompletion, isEnveloped, toResponse } from "./from-chat-completion.ts";
import { fromChatStream } from "./from-chat-stream.ts";
import { fromEmbeddings } from "./from-embeddings.ts";
import { timeLimit, type TimeLimit } from "./time-limit.ts";
import { redactor, type Redact } from "./secrets.ts";
import { toChatCompletion } from "./to-chat-completion.ts";
import { errorInside, toLlmError } from "./to-llm-error.ts";

/** Which model, where, and as whom. */
export interface OpenAiOptions {
  /** The model asked when a request names none, e.g. `"gpt-5"`. */
  readonly model: string;
  /** The model that makes vectors. @default "text-embedding-3-small" */
  readonly embeddingModel?: string;
  /** @default the environment's `OPENAI_API_KEY`; a server of your own may need none */
  readonly apiKey?: string;
  /** Any server that speaks OpenAI's protocol, e.g. `"http://localhost:11434/v1"`. @default the environment's `OPENAI_BASE_URL`, otherwise OpenAI */
  readonly baseURL?: string;
  /** @default the environment's `OPENAI_ORG_ID` */
  readonly organization?: string;
  /** Sent with every request. Their values are kept out of error messages. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Does the requests: for proxies and tests. @default the global one */
  readonly fetch?: typeof globalThis.fetch;
  /**
   * Longest wait for an answer, or for its next piece when it is streamed. Node's own `fetch` gives up on a silence of five
   * minutes; to wait longer for an answer that is not streamed, give another `fetch`.
   *
   * @default "10m"
   */
  readonly timeout?: Duration;
}

/**
 * A provider that asks OpenAI or a server that speaks like it.
 *
 * Structured output is native: the schema travels with the request, in strict mode where OpenAI accepts it (every object
 * closed, every property required). `maxTokens` is sent as `max_completion_tokens` to gpt-5 and later and to the
 * o-series, otherwise as `max_tokens`.
 *
 * @example
 * ```ts
 * const runtime = await Runtime.start({ storage, llm: openai({ model: "gpt-5" }), orchestrations });
 * const local = openai({ model: "llama3.2", baseURL: "http://localhost:11434/v1" });
 * ```
 * @throws ConfigurationError when no key is given or found, or an option is wrong.
 */
export function openai(options: OpenAiOptions): LlmProvider {
  return new OpenAiProvider(options);
}

class OpenAiProvider implements LlmProvider {
  readonly name = "openai";
  readonly model: string;
  readonly capabilities: LlmCapabilities = { structuredOutput: true, tools: true, streaming: true };
  readonly #client: OpenAI;
  readonly #embeddingModel: string;
  readonly #timeoutMs: number;
  readonly #redact: Redact;

  constructor(options: OpenAiOptions) {
    const {
      model,
      embeddingModel = "text-embedding-3-small",
      organization,
      headers = {},
      fetch,
      timeout = "10m",
    } = options;
    if (typeof model !== "string" || model === "") {
      throw new ConfigurationError(`Expected the model of openai() to be a name, got ${JSON.stringify(model)}`);
    }
    const baseURL = serverOf(options);
    const apiKey = keyOf(options, baseURL);
    this.model = model;
    this.#embeddingModel = embeddingModel;
    this.#timeoutMs = durationMs(timeout, "timeout of openai()");
    this.#redact = redactor([apiKey, ...Object.values(headers)]);
    this.#client = new OpenAI({
      apiKey,
      adminAPIKey: null,
      baseURL,
      maxRetries: 0,
      timeout: this.#timeoutMs,
      logLevel: "off",
      defaultHeaders: headers,
      ...(organization !== undefined && { organization }),
      ...(fetch !== undefined && { fetch }),
    });
  }

  async complete(request: LlmRequest, options: LlmCallOptions): Promise<LlmResponse> {
    const model = request.model ?? this.model;
    const body = toChatCompletion(request, model);
    const { onDelta } = options;
    return this.#call(options, async (limit, settings) => {
      if (onDelta === undefined) {
        const completion: unknown = await this.#heard(limit, this.#client.chat.completions.create(body, settings));
        return toResponse(fromChatCompletion(completion), request, model);
      }
      const streaming = { ...body, stream: true as const, stream_options: { include_usage: true } };
      const stream = await this.#heard(limit, this.#client.chat.completions.create(streaming, settings));
      const whole = isEnveloped(request);
      const heard = await fromChatStream(this.#pieces(limit, stream), whole ? () => undefined : onDelta);
      const response = toResponse(heard, request, model);
      if (whole && response.answer.text !== "") onDelta(response.answer.text);
      return response;
    });
  }

  async embed(
    texts: readonly string[],
    options: LlmCallOptions,
  ): Promise<{ vectors: number[][]; model: string; usage: LlmUsage }> {
    const model = this.#embeddingModel;
    if (texts.length === 0) return { vectors: [], model, usage: { inputTokens: 0, outputTokens: 0 } };
    return this.#call(options, async (limit, settings) => {
      const body = { model, input: [...texts], encoding_format: "float" as const };
      return fromEmbeddings(await this.#heard(limit, this.#client.embeddings.create(body, settings)), texts, model);
    });
  }

  async #call<T>(
    options: LlmCallOptions,
    ask: (limit: TimeLimit, settings: { signal: AbortSignal; headers: Record<string, string> }) => Promise<T>,
  ): Promise<T> {
    const limit = timeLimit(options.signal, this.#timeoutMs);
    try {
      const headers = { "idempotency-key": headerText(options.idempotencyKey) };
      return await ask(limit, { signal: limit.signal, headers });
    } finally {
      limit.end();
    }
  }

  async #heard<T>(limit: TimeLimit, answer: PromiseLike<T>): Promise<T> {
    const heard = await Promise.resolve(answer).catch((error: unknown) => {
      throw limit.verdict() ?? toLlmError(error, this.#redact);
    });
    const error = errorInside(heard, this.#redact);
    if (error !== undefined) throw error;
    return heard;
  }

  /** Errors of reading become ours here; errors of whoever consumes the pieces pass by. An aborted stream just ends. */
  async *#pieces(limit: TimeLimit, stream: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    try {
      for await (const chunk of stream) {
        limit.renew();
        yield chunk;
      }
    } catch (error) {
      throw limit.verdict() ?? toLlmError(error, this.#redact);
    }
    const verdict = limit.verdict();
    if (verdict !== undefined) throw verdict;
  }
}

const openAiServer = "https://api.openai.com/v1";

function serverOf({ baseURL }: OpenAiOptions): string {
  const given = baseURL ?? (process.env["OPENAI_BASE_URL"]?.trim() || openAiServer);
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new ConfigurationError(
      "Expected the baseURL of openai() to be an http(s) address without a user name and password, got another text",
    );
  }
  return given.replace(/\/+$/, "");
}

/** The SDK insists on a key; servers that need none ignore this one. */
const noKey = "no-key";

function keyOf({ apiKey }: OpenAiOptions, baseURL: string): string {
  const key = apiKey ?? process.env["OPENAI_API_KEY"]?.trim() ?? "";
  if (key !== "") return key;
  if (/(^|\.)openai\.com$/.test(new URL(baseURL).hostname)) {
    throw new ConfigurationError("Expected openai() to be given an apiKey, or OPENAI_API_KEY to be set, got neither");
  }
  return noKey;
}

/** Headers carry printable ASCII only, and instance ids may be anything. */
function headerText(text: string): string {
  return /^[\x21-\x7e]+$/.test(text) ? text : encodeURIComponent(text);
}
