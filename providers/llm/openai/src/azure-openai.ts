/** OpenAI's models on Azure: deployments at an endpoint of one's own. */
import { ConfigurationError, type Duration, LlmError, type LlmProvider } from "@stet/core";
import { durationMs, redactor, serverAddress } from "@stet/core/provider-kit";
import { AzureOpenAI } from "openai";
import { dialectOf, type OpenAiApi } from "./api.ts";
import { clientOptions, providerOf } from "./provider.ts";

/** Which deployment, where, and as whom. */
export interface AzureOpenAiOptions {
  /** The deployment asked when a request names none. */
  readonly deployment: string;
  /**
   * What it is a deployment of, e.g. `"gpt-5"`: how tokens are limited and what they cost depends on it.
   *
   * @default the name of the deployment
   */
  readonly model?: string;
  /** The deployment that makes vectors. @default "text-embedding-3-small" */
  readonly embeddingDeployment?: string;
  /** E.g. `"https://my-resource.openai.azure.com"`. @default the environment's `AZURE_OPENAI_ENDPOINT` */
  readonly endpoint?: string;
  /** E.g. `"2024-10-21"`. @default the environment's `OPENAI_API_VERSION` */
  readonly apiVersion?: string;
  /** @default the environment's `AZURE_OPENAI_API_KEY`, unless there is a `tokenProvider` */
  readonly apiKey?: string;
  /** Instead of a key: gives a Microsoft Entra token, and is asked for one before each call. */
  readonly tokenProvider?: () => Promise<string>;
  /** How to ask: by `"chat"` completions or by `"responses"`. @default "chat" */
  readonly api?: OpenAiApi;
  /** Sent with every request. Their values are kept out of error messages. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Does the requests: for proxies and tests. @default the global one */
  readonly fetch?: typeof globalThis.fetch;
  /** Longest wait for an answer, or for its next piece when it is streamed. @default "10m" */
  readonly timeout?: Duration;
}

/**
 * A provider that asks OpenAI's models on Azure. It differs from `openai()` in where and as whom it asks, and in nothing
 * else; a request that names a model names a deployment.
 *
 * @example
 * ```ts
 * const llm = azureOpenai({
 *   endpoint: "https://my-resource.openai.azure.com",
 *   deployment: "support",
 *   model: "gpt-5",
 *   apiVersion: "2024-10-21",
 *   apiKey: process.env["AZURE_OPENAI_API_KEY"] ?? "",
 * });
 * ```
 * @throws ConfigurationError when an option is missing or wrong.
 */
export function azureOpenai(options: AzureOpenAiOptions): LlmProvider {
  const { headers = {}, timeout = "10m", api = "chat" } = options;
  const deployment = named("deployment", options.deployment);
  const model = named("model", options.model ?? deployment);
  const endpoint = named("endpoint", options.endpoint ?? process.env["AZURE_OPENAI_ENDPOINT"]?.trim());
  const apiVersion = named("apiVersion", options.apiVersion ?? process.env["OPENAI_API_VERSION"]?.trim());
  const timeoutMs = durationMs(timeout, "timeout of azureOpenai()");
  const access = accessOf(options);
  const client = new AzureOpenAI({
    ...clientOptions(options, timeoutMs),
    // Said, so that the SDK does not look for them in the environment.
    baseURL: null,
    apiKey: "",
    ...access.credentials,
    endpoint: serverAddress(endpoint, "endpoint of azureOpenai()"),
    apiVersion,
  });
  return providerOf({
    name: "azure",
    vendor: "Azure OpenAI",
    model,
    wireModel: deployment,
    embeddingModel: named("embeddingDeployment", options.embeddingDeployment ?? "text-embedding-3-small"),
    client,
    dialect: dialectOf(api, "api of azureOpenai()"),
    structuredOutput: true,
    timeoutMs,
    redact: (text) => redactor([...access.secrets(), ...Object.values(headers)])(text),
  });
}

interface Access {
  readonly credentials: { readonly apiKey: string } | { readonly azureADTokenProvider: () => Promise<string> };
  /** What must not be seen: tokens change, so it is asked for each time. */
  readonly secrets: () => readonly string[];
}

function accessOf({ apiKey, tokenProvider }: AzureOpenAiOptions): Access {
  if (tokenProvider === undefined) {
    const key = named("apiKey", apiKey ?? process.env["AZURE_OPENAI_API_KEY"]?.trim(), "or a tokenProvider");
    return { credentials: { apiKey: key }, secrets: () => [key] };
  }
  if (apiKey !== undefined) {
    throw new ConfigurationError("Expected azureOpenai() to be given an apiKey or a tokenProvider, got both");
  }
  let token = "";
  const azureADTokenProvider = async (): Promise<string> => {
    const given: unknown = await tokenProvider().catch((error: unknown) => {
      throw noToken(error instanceof Error ? error.message : String(error));
    });
    if (typeof given !== "string" || given === "") throw noToken(given === "" ? "an empty text" : typeof given);
    token = given;
    return token;
  };
  return { credentials: { azureADTokenProvider }, secrets: () => [token] };
}

function noToken(got: string): LlmError {
  return new LlmError("unavailable", `Expected the tokenProvider of azureOpenai() to give a token, got ${got}`);
}

function named(option: string, given: string | undefined, or = ""): string {
  if (typeof given === "string" && given !== "") return given;
  const expected = [`Expected azureOpenai() to be given ${option}`, or].filter(Boolean).join(" ");
  throw new ConfigurationError(`${expected}, got ${given === undefined ? "nothing" : JSON.stringify(given)}`);
}
