/** OpenAI, and the many servers that speak its language. */
import { ConfigurationError, type Duration, type LlmProvider } from "@stet/core";
import { durationMs, redactor, serverAddress } from "@stet/core/provider-kit";
import { OpenAI } from "openai";
import { dialectOf, type OpenAiApi } from "./api.ts";
import { clientOptions, providerOf } from "./provider.ts";

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
  /**
   * How to ask: by `"chat"` completions, which most servers speak, or by OpenAI's newer `"responses"`. Nothing is kept on
   * the server in either case.
   *
   * @default "chat"
   */
  readonly api?: OpenAiApi;
  /**
   * Whether the server takes a JSON schema for an answer. For one that does not, say `false`: the schema is put into words.
   *
   * @default true
   */
  readonly structuredOutput?: boolean;
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
  const { model, embeddingModel = "text-embedding-3-small", api = "chat", structuredOutput = true } = options;
  if (typeof model !== "string" || model === "") {
    throw new ConfigurationError(`Expected the model of openai() to be a name, got ${JSON.stringify(model)}`);
  }
  const baseURL = serverAddress(
    options.baseURL ?? (process.env["OPENAI_BASE_URL"]?.trim() || openAiServer),
    "baseURL of openai()",
  );
  const apiKey = keyOf(options, baseURL);
  const { organization, headers = {}, timeout = "10m" } = options;
  const timeoutMs = durationMs(timeout, "timeout of openai()");
  const client = new OpenAI({
    ...clientOptions(options, timeoutMs),
    apiKey,
    baseURL,
    ...(organization !== undefined && { organization }),
  });
  return providerOf({
    name: "openai",
    vendor: "OpenAI",
    model,
    wireModel: model,
    embeddingModel,
    client,
    dialect: dialectOf(api, "api of openai()"),
    structuredOutput,
    timeoutMs,
    redact: redactor([apiKey, ...Object.values(headers)]),
  });
}

const openAiServer = "https://api.openai.com/v1";

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
