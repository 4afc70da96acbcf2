/**
 * Anthropic's Messages API. One call of the seam is one request: the SDK's retries are off, because the dispatcher
 * retries, durably and once for all providers.
 */
import { Anthropic } from "@anthropic-ai/sdk";
import {
  ConfigurationError,
  type Duration,
  type LlmCallOptions,
  type LlmCapabilities,
  type LlmProvider,
  type LlmRequest,
  type LlmResponse,
} from "@stet/core";
import {
  callVendor,
  durationMs,
  type Heard,
  outOfEnvelope,
  type Redact,
  redactor,
  serverAddress,
  toResponse,
  type Vendor,
} from "@stet/core/provider-kit";
import { fromMessage } from "./from-message.ts";
import { fromMessageStream } from "./from-message-stream.ts";
import { toMessageBody } from "./to-message-body.ts";
import { errorInside, toLlmError } from "./to-llm-error.ts";

/** Which model, where, and as whom. */
export interface AnthropicOptions {
  /** The model asked when a request names none, e.g. `"claude-sonnet-5"`. */
  readonly model: string;
  /**
   * Upper bound on the tokens of an answer, thinking included, when a request names none. The API insists on one.
   *
   * @default 16384
   */
  readonly maxTokens?: number;
  /**
   * How long Anthropic remembers long prefixes, so that they cost a tenth when they come again; to be remembered costs a
   * quarter more (`"5m"`) or twice as much (`"1h"`). Marked are system prompts with tools, and conversations that the model
   * has taken part in; short ones are not worth it.
   *
   * @default "5m"
   */
  readonly promptCache?: "5m" | "1h" | "off";
  /** @default the environment's `ANTHROPIC_API_KEY`; a server of your own may need none */
  readonly apiKey?: string;
  /** A gateway that speaks Anthropic's protocol. @default the environment's `ANTHROPIC_BASE_URL`, otherwise Anthropic */
  readonly baseURL?: string;
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
 * A provider that asks Claude.
 *
 * Structured output is native where Anthropic takes the schema (objects closed, no recursion; limits on numbers, lengths
 * and lists travel as descriptions), and asked for in words where it does not. All system messages become the system
 * prompt. `temperature` is not sent: current models refuse it.
 *
 * @example
 * ```ts
 * const runtime = await Runtime.start({ storage, llm: anthropic({ model: "claude-sonnet-5" }), orchestrations });
 * ```
 * @throws ConfigurationError when no key is given or found, or an option is wrong.
 */
export function anthropic(options: AnthropicOptions): LlmProvider {
  return new AnthropicProvider(options);
}

class AnthropicProvider implements LlmProvider {
  readonly name = "anthropic";
  readonly model: string;
  readonly capabilities: LlmCapabilities = { structuredOutput: true, tools: true, streaming: true };
  readonly #client: Anthropic;
  readonly #vendor: Vendor;
  readonly #redact: Redact;
  readonly #maxTokens: number;
  readonly #promptCache: "5m" | "1h" | "off";

  constructor(options: AnthropicOptions) {
    const { model, maxTokens = 16_384, promptCache = "5m", headers = {}, fetch, timeout = "10m" } = options;
    if (typeof model !== "string" || model === "") {
      throw new ConfigurationError(`Expected the model of anthropic() to be a name, got ${JSON.stringify(model)}`);
    }
    if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) {
      throw new ConfigurationError(`Expected maxTokens of anthropic() to be a whole number from 1, got ${maxTokens}`);
    }
    if (!["5m", "1h", "off"].includes(promptCache)) {
      const got = JSON.stringify(promptCache);
      throw new ConfigurationError(`Expected promptCache of anthropic() to be "5m", "1h" or "off", got ${got}`);
    }
    const baseURL = serverAddress(
      options.baseURL ?? (process.env["ANTHROPIC_BASE_URL"]?.trim() || anthropicServer),
      "baseURL of anthropic()",
    );
    const apiKey = keyOf(options, baseURL);
    const timeoutMs = durationMs(timeout, "timeout of anthropic()");
    const redact = redactor([apiKey, ...Object.values(headers), ...customHeaders()]);
    this.model = model;
    this.#maxTokens = maxTokens;
    this.#promptCache = promptCache;
    this.#redact = redact;
    this.#vendor = { name: "Anthropic", timeoutMs, toLlmError: (thrown) => toLlmError(thrown, redact) };
    this.#client = new Anthropic({
      apiKey,
      baseURL,
      maxRetries: 0,
      timeout: timeoutMs,
      logLevel: "off",
      openTelemetry: false,
      defaultHeaders: headers,
      ...(fetch !== undefined && { fetch }),
    });
  }

  async complete(request: LlmRequest, { signal, onDelta }: LlmCallOptions): Promise<LlmResponse> {
    const model = request.model ?? this.model;
    const { body, enveloped } = toMessageBody(request, model, this.#maxTokens, this.#promptCache);
    const understood = (heard: Heard): LlmResponse =>
      toResponse(enveloped ? { ...heard, text: outOfEnvelope(heard.text) } : heard, request, model);
    return callVendor(this.#vendor, signal, async (call) => {
      const settings = { signal: call.signal };
      if (onDelta === undefined) {
        const message: unknown = await call.answer(this.#client.messages.create(body, settings));
        const error = errorInside(message, this.#redact);
        if (error !== undefined) throw error;
        return understood(fromMessage(message));
      }
      const stream = await call.answer(this.#client.messages.create({ ...body, stream: true }, settings));
      const heard = await fromMessageStream(call.pieces(stream), enveloped ? () => undefined : onDelta);
      const response = understood(heard);
      if (enveloped && response.answer.text !== "") onDelta(response.answer.text);
      return response;
    });
  }
}

const anthropicServer = "https://api.anthropic.com";

/** The values of the headers that the SDK takes from the environment by itself. */
function customHeaders(): string[] {
  const lines = (process.env["ANTHROPIC_CUSTOM_HEADERS"] ?? "").split("\n");
  return lines.map((line) => line.slice(line.indexOf(":") + 1).trim());
}

/** The SDK insists on a key; servers that need none ignore this one. */
const noKey = "no-key";

function keyOf({ apiKey }: AnthropicOptions, baseURL: string): string {
  const key = apiKey ?? process.env["ANTHROPIC_API_KEY"]?.trim() ?? "";
  if (key !== "") return key;
  if (/(^|\.)anthropic\.com$/.test(new URL(baseURL).hostname)) {
    throw new ConfigurationError(
      "Expected anthropic() to be given an apiKey, or ANTHROPIC_API_KEY to be set, got neither",
    );
  }
  return noKey;
}
