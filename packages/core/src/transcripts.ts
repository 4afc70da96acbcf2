/**
 * Transcripts: how a conversation that grows from call to call is stored once.
 *
 * A list of messages is stored as a payload that names the list before it and holds only what came after. So the event
 * of call N holds one reference, and the store grows by what is new. Which lists a list may build on is remembered for
 * each owned instance, and only those that a commit has stored: a list that was never committed must not be named.
 */
import { type Payload, samePayload } from "./payload.ts";

/** A list as it was stored. */
export interface StoredList {
  readonly messages: readonly Payload[];
  readonly digest: string;
}

/** Conversations of one instance that may go on. More at a time are stored anew. */
const mostLists = 4;

/** The lists that an instance has in the store. */
export class Transcripts {
  #lists: readonly StoredList[] = [];

  /** The longest known list that the messages begin with, of these or of `others`. */
  longestPrefix(messages: readonly Payload[], others: readonly StoredList[]): StoredList | undefined {
    let longest: StoredList | undefined;
    for (const list of [...others, ...this.#lists]) {
      if (list.messages.length > (longest?.messages.length ?? 0) && beginsWith(messages, list.messages)) longest = list;
    }
    return longest;
  }

  /** These lists are in the store now. */
  keep(lists: readonly StoredList[]): void {
    if (lists.length > 0) this.#lists = [...lists, ...this.#lists].slice(0, mostLists);
  }
}

function beginsWith(messages: readonly Payload[], prefix: readonly Payload[]): boolean {
  return prefix.length <= messages.length && prefix.every((message, i) => samePayload(message, messages[i]));
}
