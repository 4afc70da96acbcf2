/**
 * Ollama: models on a machine of one's own. The SDK can neither give up a plain call nor pass on the headers of an error,
 * and it prints what it cannot read; so the `fetch` that it is given watches the answers (`watched-fetch.ts`).
 */
import {
  ConfigurationError,
  type Duration,
  type LlmCallOptions,
  type LlmCapabilities,
  type LlmEmbedOptions,
  type LlmProvider,
  type LlmRequest,
  type LlmResponse,
} from "@stet/core";
import {
  callVendor,
  countOf,
  durationMs,
  type Embedded,
  itemsOf,
  noAnswer,
  type Redact,
  redactor,
  serverAddress,
  textOf,
  toEmbedded,
  toResponse,
  type Vendor,
} from "@stet/core/provider-kit";
import { Ollama } from "ollama";
import { fromChat, fromChatStream } from "./from-chat.ts";
import { toChat } from "./to-chat.ts";
import { errorInside, watchedFetch } from "./watched-fetch.ts";

/** Which model, and where. */
export interface OllamaOptions {
  /** The model asked when a request names none, e.g. `"llama3.2"`. */
  readonly model: string;
  /** The model that makes vectors. @default "nomic-embed-text" */
  readonly embeddingModel?: string;
  /** @default the environment's `OLLAMA_HOST`, otherwise `"http://127.0.0.1:11434"` */
  readonly baseURL?: string;
  /** For Ollama's own cloud and for gateways. @default the environment's `OLLAMA_API_KEY`; a server of your own needs none */
  readonly apiKey?: string;
  /** Sent with every request. Their values are kept out of error messages. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Does the requests: for proxies and tests. @default the global one */
  readonly fetch?: typeof globalThis.fetch;
  /**
   * Longest wait for an answer, or for its next piece when it is streamed; to load a model takes a part of it. Node's own
   * `fetch` gives up on a silence of five minutes; to wait longer for an answer that is not streamed, give another `fetch`.
   *
   * @default "10m"
   */
  readonly timeout?: Duration;
}

/**
 * A provider that asks Ollama.
 *
 * Structured output is native: the schema is the `format`. Ollama cannot be made to call a tool: `toolChoice` `"required"`
 * and a tool by name are asked for in words, the latter with no other tool on offer. Its tool calls carry no ids, so they
 * are numbered within the conversation. How long a model stays in memory is left to the server.
 *
 * @example
 * ```ts
 * const runtime = await Runtime.start({ storage, llm: ollama({ model: "llama3.2" }), orchestrations });
 * ```
 * @throws ConfigurationError when an option is wrong.
 */
export function ollama(options: OllamaOptions): LlmProvider {
  return new OllamaProvider(options);
}

class OllamaProvider implements LlmProvider {
  readonly name = "ollama";
  readonly model: string;
  readonly capabilities: LlmCapabilities = { structuredOutput: true, tools: true, streaming: true };
  readonly #baseURL: string;
  readonly #embeddingModel: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: typeof globalThis.fetch;
  readonly #redact: Redact;
  readonly #vendor: Vendor;

  constructor(options: OllamaOptions) {
    const { model, embeddingModel = "nomic-embed-text", headers = {}, timeout = "10m" } = options;
    if (typeof model !== "string" || model === "") {
      throw new ConfigurationError(`Expected the model of ollama() to be a name, got ${JSON.stringify(model)}`);
    }
    const apiKey = options.apiKey ?? process.env["OLLAMA_API_KEY"]?.trim() ?? "";
    const redact = redactor([apiKey, ...Object.values(headers)]);
    this.model = model;
    this.#baseURL = serverAddress(
      withProtocol(options.baseURL ?? (process.env["OLLAMA_HOST"]?.trim() || "127.0.0.1:11434")),
      "baseURL of ollama()",
    );
    this.#embeddingModel = embeddingModel;
    this.#headers = { ...(apiKey !== "" && { authorization: `Bearer ${apiKey}` }), ...headers };
    this.#fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.#redact = redact;
    this.#vendor = {
      name: "Ollama",
      timeoutMs: durationMs(timeout, "timeout of ollama()"),
      toLlmError: (thrown) => noAnswer("Ollama", thrown, redact),
    };
  }

  async complete(request: LlmRequest, { signal, onDelta }: LlmCallOptions): Promise<LlmResponse> {
    const model = request.model ?? this.model;
    const body = toChat(request, model);
    return callVendor(this.#vendor, signal, async (call) => {
      const client = this.#client(call.signal);
      if (onDelta === undefined) {
        const answer = this.#whole(await call.answer(client.chat({ ...body, stream: false })));
        return toResponse(fromChat(answer, request), request, model);
      }
      const stream = await call.answer(client.chat({ ...body, stream: true }));
      return toResponse(await fromChatStream(call.pieces(stream), request, onDelta), request, model);
    });
  }

  async embed(texts: readonly string[], options: LlmEmbedOptions): Promise<Embedded> {
    const { signal, model = this.#embeddingModel } = options;
    if (texts.length === 0) return { vectors: [], model, usage: { inputTokens: 0, outputTokens: 0 } };
    return callVendor(this.#vendor, signal, async (call) => {
      const body = this.#whole(await call.answer(this.#client(call.signal).embed({ model, input: [...texts] })));
      const inputTokens = countOf(body, "prompt_eval_count");
      return toEmbedded(texts, {
        vectors: itemsOf(body, "embeddings"),
        model: textOf(body, "model") ?? model,
        usage: inputTokens === undefined ? undefined : { inputTokens, outputTokens: 0 },
      });
    });
  }

  /** @throws LlmError when the body holds an error though its status is 200. */
  #whole(body: unknown): unknown {
    const error = errorInside(body, this.#redact);
    if (error !== undefined) throw error;
    return body;
  }

  /** A client is a few fields; one for each call brings the call's signal to where the SDK has no place for it. */
  #client(signal: AbortSignal): Ollama {
    return new Ollama({
      host: this.#baseURL,
      headers: this.#headers,
      fetch: watchedFetch(this.#fetch, signal, this.#redact),
    });
  }
}

/** `OLLAMA_HOST` is usually a host and a port. */
function withProtocol(host: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(host) ? host : `http://${host}`;
}
