/**
 * Messages as a turn takes them: read, and in the order in which they came to be.
 */
import type { Message } from "./messages.ts";
import type { Patience } from "./patience.ts";
import type { ClaimedTurn, StorageProvider, StoredMessage } from "./storage.ts";
import type { TextCodec } from "./text-codec.ts";
import type { Incoming } from "./turn.ts";

/** The messages of a claim. @throws HistoryCorruptError when one cannot be read. */
export async function readInbox(
  { messages: inbox, instanceId, rootId }: ClaimedTurn,
  { storage, codec, patience }: { storage: StorageProvider; codec: TextCodec; patience: Patience },
): Promise<Incoming[]> {
  const stored = inOrder(inbox);
  const source = async (digests: readonly string[]) =>
    (await patience.read("read payloads", () => storage.readPayloads(rootId, digests))) ?? [];
  const texts = stored.map(({ body }) => body);
  const messages = await codec.decode<Message>(texts, instanceId, source, `a message to instance ${instanceId}`);
  return messages.map((message, i) => ({ message, key: (stored[i] as StoredMessage).key }));
}

/** Messages as they were sent, and each timer before the first message that was sent after it was due. */
function inOrder(messages: readonly StoredMessage[]): readonly StoredMessage[] {
  const timers = messages.filter(({ timer }) => timer).sort((a, b) => a.at - b.at);
  if (timers.length === 0) return messages;
  const ordered: StoredMessage[] = [];
  for (const message of messages) {
    if (message.timer) continue;
    while (timers[0] !== undefined && timers[0].at <= message.at) ordered.push(timers.shift() as StoredMessage);
    ordered.push(message);
  }
  return [...ordered, ...timers];
}
