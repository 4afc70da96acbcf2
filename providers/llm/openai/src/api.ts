/** The ways to ask OpenAI, by name. */
import { ConfigurationError } from "@stet/core";
import { chatCompletions } from "./chat-completions.ts";
import type { Dialect } from "./dialect.ts";
import { responses } from "./responses.ts";

/** A way to ask OpenAI: chat completions or responses. */
export type OpenAiApi = "chat" | "responses";

/** @throws ConfigurationError when there is no such way to ask. */
export function dialectOf(api: OpenAiApi, option: string): Dialect {
  if (api === "chat") return chatCompletions;
  if (api === "responses") return responses;
  throw new ConfigurationError(`Expected the ${option} to be "chat" or "responses", got ${JSON.stringify(api)}`);
}
