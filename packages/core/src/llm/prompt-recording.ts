/**
 * How much of what models are asked is kept in history. A replay does not need it: it compares hashes, and asks again,
 * where it must, with what the code says. So what is kept is for people, and they may not be meant to see it.
 */
import { ConfigurationError, toFailure } from "../errors.ts";
import type { LlmRequested } from "../events.ts";
import { shown } from "../options.ts";
import { copyOfJson, type Payload, setMember } from "../payload.ts";
import type { LlmRequest } from "./conversation.ts";

/** All of it, only its hash, or each of its texts as a function returns it. */
export type PromptRecording = "full" | "hash" | ((text: string) => string);

/** The event as it is to be recorded. Other records are left alone. */
export function asRecorded(record: Partial<LlmRequested>, recording: PromptRecording): object {
  if (record.kind !== "LlmRequested" || recording === "full") return record;
  const event = record as LlmRequested;
  return { ...event, request: recording === "hash" ? withoutWords(event.request) : redacted(event, recording) };
}

function withoutWords({ messages: _words, texts, ...form }: LlmRequest): LlmRequest {
  return { messages: [], ...(texts !== undefined && { texts: [] }), ...form };
}

function redacted({ request, operation }: LlmRequested, redact: (text: string) => string): LlmRequest {
  const { messages, texts, ...form } = copyOfJson(request);
  const safe = (text: string): string => {
    const told: unknown = redacting(redact, text, operation);
    if (typeof told === "string") return told;
    throw new ConfigurationError(`Expected recordPrompts to answer with a text, got ${shown(told)}`);
  };
  return {
    messages: messages.map((message) => ({
      ...message,
      content: safe(message.content),
      ...(message.toolCalls !== undefined && {
        toolCalls: message.toolCalls.map((call) => ({ ...call, arguments: mapTexts(call.arguments, safe) })),
      }),
    })),
    ...(texts !== undefined && { texts: texts.map(safe) }),
    ...form,
  };
}

/** What the function threw may hold the text it was to hide, so only its name is told. */
function redacting(redact: (text: string) => string, text: string, operation: string): unknown {
  try {
    return redact(text);
  } catch (error) {
    throw new ConfigurationError(
      `Expected recordPrompts to answer for the texts of ctx.${operation}, got a ${toFailure(error).name}`,
    );
  }
}

function mapTexts(value: Payload, map: (text: string) => string): Payload {
  if (typeof value === "string") return map(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => mapTexts(item as Payload, map));
  const mapped: { [key: string]: Payload } = {};
  for (const [key, member] of Object.entries(value)) setMember(mapped, key, mapTexts(member as Payload, map));
  return mapped;
}
