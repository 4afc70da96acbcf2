/**
 * Which prefixes of a request Anthropic is asked to remember. A mark costs when the prefix is new and pays when it comes
 * again, so only what is likely to come again is marked: what stands before the conversation, and a conversation that
 * goes on. Below about a thousand tokens Anthropic remembers nothing.
 */
import type {
  CacheControlEphemeral,
  MessageCreateParamsNonStreaming,
} from "@anthropic-ai/sdk/resources/messages/messages";

/** Characters below which a prefix is not marked: about a thousand tokens. */
const shortest = 4096;

/** The body with marks where a prefix is worth remembering. */
export function marked(body: MessageCreateParamsNonStreaming, ttl: "5m" | "1h"): MessageCreateParamsNonStreaming {
  const mark: CacheControlEphemeral = { type: "ephemeral", ttl };
  const { system, tools } = body;
  const instructions = lengthOf(tools) + lengthOf(system);
  const goesOn = body.messages.some(({ role }) => role === "assistant");
  return {
    ...body,
    ...(instructions >= shortest &&
      (Array.isArray(system) ? { system: lastMarked(system, mark) } : tools && { tools: lastMarked(tools, mark) })),
    // At the top level it marks the last block of the conversation.
    ...(goesOn && instructions + lengthOf(body.messages) >= shortest && { cache_control: mark }),
  };
}

function lastMarked<Block extends object>(blocks: readonly Block[], cache_control: CacheControlEphemeral): Block[] {
  return blocks.map((block, i) => (i === blocks.length - 1 ? { ...block, cache_control } : block));
}

function lengthOf(part: unknown): number {
  return part === undefined ? 0 : JSON.stringify(part).length;
}
