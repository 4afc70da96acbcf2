/**
 * Messages as a turn takes them: read, and in the order in which they came to be.
 */
import type { Message } from "./messages.ts";
import type { Patience } from "./patience.ts";
import { refusalsLast } from "./refusals.ts";
import type { ClaimedTurn, StorageProvider, StoredMessage } from "./storage.ts";
import type { TextCodec } from "./text-codec.ts";
import type { Incoming } from "./turn.ts";

/** The messages of a claim that a turn takes, at once where they need no payloads. @throws HistoryCorruptError when one cannot be read. */
export function readInbox(
  { messages: inbox, instanceId, rootId }: ClaimedTurn,
  { storage, codec, patience }: { storage: StorageProvider; codec: TextCodec; patience: Patience },
): readonly Incoming[] | Promise<readonly Incoming[]> {
  const stored = inOrder(inbox);
  const source = async (digests: readonly string[]) =>
    (await patience.read("read payloads", () => storage.readPayloads(rootId, digests))) ?? [];
  const texts = stored.map(({ body }) => body);
  const what = `a message to instance ${instanceId}`;
  const withKeys = (messages: readonly Message[]) =>
    refusalsLast(messages.map((message, i) => ({ message, key: (stored[i] as StoredMessage).key })));
  const plain = codec.decodePlain<Message>(texts, what);
  return plain === undefined ? codec.decode<Message>(texts, instanceId, source, what).then(withKeys) : withKeys(plain);
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
