/** `POST /chat/completions`: what OpenAI and most others speak. */
import type { Dialect } from "./dialect.ts";
import { fromChatCompletion } from "./from-chat-completion.ts";
import { fromChatStream } from "./from-chat-stream.ts";
import { toChatCompletion } from "./to-chat-completion.ts";

export const chatCompletions: Dialect = {
  ask: (client, request, model, settings) => client.chat.completions.create(toChatCompletion(request, model), settings),
  askStreaming: (client, request, model, settings) => {
    const body = {
      ...toChatCompletion(request, model),
      stream: true as const,
      stream_options: { include_usage: true },
    };
    return client.chat.completions.create(body, settings);
  },
  hear: fromChatCompletion,
  hearStream: fromChatStream,
};
