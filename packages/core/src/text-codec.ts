/**
 * Events, messages and values as the store keeps them: JSON text in which long texts are references to payloads stored
 * once, and in which a payload codec has sealed what it must.
 *
 * Markers are objects with the member `$stet`: `ref` names a payload by digest, `list` the end of a list of messages
 * (`transcripts.ts`), `sealed` holds a sealed text, `plain` wraps an object of the user's that has such a member itself. Envelope members (`id`, `kind`, `name`, ...) stay plain.
 */
import { createHash } from "node:crypto";
import { HistoryCorruptError, toFailure } from "./errors.ts";
import type { HistoryEvent } from "./events.ts";
import { asRecorded, type PromptRecording } from "./llm/prompt-recording.ts";
import type { WorkItem } from "./messages.ts";
import type { Payload } from "./payload.ts";
import type { PayloadCodec } from "./ports.ts";
import type { StoredPayload } from "./storage.ts";
import { longText } from "./to-payload.ts";
import type { StoredList, Transcripts } from "./transcripts.ts";

/** Gathers the payloads that texts refer to, each once. */
export class PayloadSink {
  readonly #transcripts: Transcripts | undefined;
  #payloads: Map<string, StoredPayload> | undefined;
  #lists: StoredList[] | undefined;

  /** @param transcripts - The lists of messages that the instance has in the store already. */
  constructor(transcripts?: Transcripts) {
    this.#transcripts = transcripts;
  }

  put(digest: string, bodyOf: () => string): void {
    this.#payloads ??= new Map();
    if (!this.#payloads.has(digest)) this.#payloads.set(digest, { digest, body: bodyOf() });
  }

  /** The list that these messages go on from, in the store or in this sink. */
  listBefore(messages: readonly Payload[]): StoredList | undefined {
    return this.#transcripts?.longestPrefix(messages, this.#lists ?? []);
  }

  putList(list: StoredList): void {
    (this.#lists ??= []).unshift(list);
  }

  /** What was gathered is in the store now. */
  stored(): void {
    if (this.#lists !== undefined) this.#transcripts?.keep(this.#lists);
  }

  get payloads(): readonly StoredPayload[] {
    return this.#payloads === undefined ? none : [...this.#payloads.values()];
  }
}

const none: readonly StoredPayload[] = [];

/** Fetches payloads by digest. */
export type PayloadSource = (digests: readonly string[]) => Promise<readonly StoredPayload[]>;

const marker = "$stet";

/** A conversation of more messages than this is taken for one that grows, and stored as a list. */
const longConversation = 4;

/** More records than this are hardly short together. */
const fewRecords = 4;

/** Members that route and correlate. They carry no user data and are never sealed or put aside. */
const envelope: ReadonlySet<string> = new Set([
  "id",
  "at",
  "kind",
  "source",
  "execution",
  "schemaVersion",
  "name",
  "version",
  "parent",
  "labels",
  "forkedFrom",
  "instanceId",
  "rootId",
  "eventId",
  "orchestration",
  "requestedAt",
  "options",
  "fireAt",
  "timeoutAt",
  "attempts",
  "operation",
  "promptHash",
  "refines",
  "label",
  "model",
  "usage",
  "wasted",
  "costUsd",
  "finishReason",
  "cached",
  "changeId",
  "active",
  "key",
  "parentClosePolicy",
  "stream",
]);

type Json = { [key: string]: unknown };

/** Writes and reads stored texts. */
export class TextCodec {
  readonly #codec: PayloadCodec | undefined;
  readonly #recordPrompts: PromptRecording;

  constructor(codec?: PayloadCodec, recordPrompts: PromptRecording = "full") {
    this.#codec = codec;
    this.#recordPrompts = recordPrompts;
  }

  /** An event, message or work item as text. Long texts go to `sink`; without one they stay. */
  encode(record: object, scopeId: string, sink?: PayloadSink): string {
    if (this.#recordPrompts === "full") return this.#encode(record, scopeId, sink);
    // Payloads stay when their row goes: a model call that waits has its prompt in its row, and nowhere else.
    if (isModelWork(record)) return this.#encode(record, scopeId, undefined);
    return this.#encode(asRecorded(record, this.#recordPrompts), scopeId, sink);
  }

  /** Several as one text, a JSON array. Few short ones, which is what most turns have, are written at once. */
  encodeAll(records: readonly object[], scopeId: string, sink?: PayloadSink): string {
    if (records.length <= fewRecords && this.#codec === undefined && this.#recordPrompts === "full") {
      const text = JSON.stringify(records);
      if (text.length <= longText && !text.includes(marker)) return text;
    }
    return `[${records.map((record) => this.encode(record, scopeId, sink)).join(",")}]`;
  }

  #encode(record: object, scopeId: string, sink: PayloadSink | undefined): string {
    if (this.#codec === undefined) {
      const text = JSON.stringify(record);
      if ((sink === undefined || text.length <= longText) && !text.includes(marker)) return text;
    }
    const stored: Json = {};
    for (const [key, value] of Object.entries(record)) {
      stored[key] = envelope.has(key) ? storedValue(value, undefined) : this.#store(key, value, scopeId, sink);
    }
    return JSON.stringify(stored);
  }

  /** The name under which a text is found again, in whatever scope. Under a codec it does not reveal the text. */
  digest(text: string): string {
    return this.#codec === undefined ? sha256(text) : this.#codec.digest(text, { scopeId: "" });
  }

  /** A bare value as text, for columns that hold one. */
  encodeValue(value: Payload, scopeId: string, sink?: PayloadSink): string {
    return this.encode({ value }, scopeId, sink);
  }

  /** The events of stored chunks, at once where they need no payloads. @throws HistoryCorruptError when they cannot be read. */
  decodeHistory(
    chunks: readonly string[],
    scopeId: string,
    source: PayloadSource,
    what: string,
  ): HistoryEvent[] | Promise<HistoryEvent[]> {
    const events = chunks.flatMap((chunk) => this.#parse(chunk, what) as HistoryEvent[]);
    if (!chunks.some((chunk) => chunk.includes(marker))) return events;
    return this.#revive([events], scopeId, source, what).then(([revived]) => revived as HistoryEvent[]);
  }

  /** Records that `encode` wrote. @throws HistoryCorruptError when they cannot be read. */
  async decode<Record>(
    texts: readonly string[],
    scopeId: string,
    source: PayloadSource,
    what: string,
  ): Promise<Record[]> {
    const plain = this.decodePlain<Record>(texts, what);
    if (plain !== undefined) return plain;
    const records = texts.map((text) => this.#parse(text, what));
    return (await this.#revive(records, scopeId, source, what)) as Record[];
  }

  /** The same at once, where nothing is sealed or kept elsewhere: most texts, so that most need no promise. */
  decodePlain<Record>(texts: readonly string[], what: string): Record[] | undefined {
    for (const text of texts) if (text.includes(marker)) return undefined;
    return texts.map((text) => this.#parse(text, what) as Record);
  }

  /** A value that `encodeValue` wrote. */
  async decodeValue(text: string, scopeId: string, source: PayloadSource, what: string): Promise<Payload> {
    const [record] = await this.decode<{ value: Payload }>([text], scopeId, source, what);
    return (record as { value: Payload }).value;
  }

  #store(key: string, value: unknown, scopeId: string, sink: PayloadSink | undefined): unknown {
    const codec = this.#codec;
    const put = sink === undefined ? undefined : (text: string) => this.#put(text, scopeId, sink);
    const stored = key === "request" ? storedRequest(value as Json, put, sink) : storedValue(value, put);
    return codec === undefined ? stored : { [marker]: "sealed", text: codec.seal(JSON.stringify(stored), { scopeId }) };
  }

  /** Puts a text aside and answers its digest. */
  #put(text: string, scopeId: string, sink: PayloadSink): string {
    const codec = this.#codec;
    const digest = codec === undefined ? sha256(text) : codec.digest(text, { scopeId });
    sink.put(digest, () => (codec === undefined ? text : codec.seal(text, { scopeId })));
    return digest;
  }

  #parse(text: string, what: string): unknown {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new HistoryCorruptError(`Expected ${what} to be JSON, got ${JSON.stringify(text.slice(0, 60))}`, { cause });
    }
  }

  async #revive(records: readonly unknown[], scopeId: string, source: PayloadSource, what: string): Promise<unknown[]> {
    const opened = records.map((record) => this.#open(record, scopeId, what));
    const bodies: Bodies = { what, values: new Map(), lists: new Map() };
    // Payloads of lists name others: mostly lists of the same history, so that two rounds are the rule.
    for (let wanted = mentionsOf(opened); ; wanted = mentionsOf([...bodies.values.values()].filter(isList))) {
      const missing = wanted.filter((digest) => !bodies.values.has(digest));
      if (missing.length === 0) return opened.map((record) => resolved(record, bodies));
      for (const { digest, body } of await source(missing)) {
        const text = this.#codec === undefined ? body : this.#unseal(body, scopeId, what);
        bodies.values.set(digest, this.#parse(text, what));
      }
      const lost = missing.find((digest) => !bodies.values.has(digest));
      if (lost !== undefined) throw new HistoryCorruptError(`Expected ${what} to find payload ${lost}, got none`);
    }
  }

  /** The record with its sealed members opened, one level deep: sealing is never nested. */
  #open(record: unknown, scopeId: string, what: string): unknown {
    if (Array.isArray(record)) return record.map((item) => this.#open(item, scopeId, what));
    return Object.fromEntries(
      Object.entries(record as Json).map(([key, value]) => {
        if (!isMarker(value) || value[marker] !== "sealed") return [key, value];
        return [key, this.#parse(this.#unseal(value["text"] as string, scopeId, what), what)];
      }),
    );
  }

  #unseal(text: string, scopeId: string, what: string): string {
    if (this.#codec === undefined) {
      throw new HistoryCorruptError(
        `Expected ${what} to be plain, got a sealed payload: give runtimes and clients the codec that sealed it`,
      );
    }
    try {
      return this.#codec.open(text, { scopeId });
    } catch (cause) {
      const { message } = toFailure(cause);
      throw new HistoryCorruptError(`Expected codec ${this.#codec.name} to open ${what}, got an error: ${message}`, {
        cause,
      });
    }
  }
}

function isModelWork(record: Partial<WorkItem>): boolean {
  return record.request?.kind === "LlmRequested";
}

/** Puts a text aside and answers its digest. */
type Put = (text: string) => string;

/** The request of a model call, or the event of a work item, which may be one and then has it inside. */
function storedRequest(request: Json, put: Put | undefined, sink: PayloadSink | undefined): unknown {
  if (typeof request["kind"] === "string") {
    return mapMembers(request, (member, key) =>
      key === "request" ? storedRequest(member as Json, put, sink) : storedValue(member, put),
    );
  }
  const { messages, ...rest } = request as { readonly messages: readonly Payload[] };
  const others = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, storedForm(key, value, put)]));
  return { messages: storedMessages(messages, put, sink), ...others };
}

/** Tools and schemas are the same from call to call, and longer than most messages. */
function storedForm(member: string, value: unknown, put: Put | undefined): unknown {
  if (put === undefined || (member !== "tools" && member !== "format")) return storedValue(value, put);
  const text = JSON.stringify(value);
  return text.length > longText && text.isWellFormed()
    ? { [marker]: "ref", digest: put(text) }
    : storedValue(value, put);
}

function storedMessages(messages: readonly Payload[], put: Put | undefined, sink: PayloadSink | undefined): unknown {
  if (put === undefined || sink === undefined || messages.length <= longConversation) {
    return messages.map((message) => storedValue(message, put));
  }
  const before = sink.listBefore(messages);
  const added = messages.slice(before?.messages.length ?? 0).map((message) => storedValue(message, put));
  if (before !== undefined && added.length === 0) return { [marker]: "list", digest: before.digest };
  const list: List = { ...(before !== undefined && { after: before.digest }), added };
  const digest = put(JSON.stringify({ [listMember]: list }));
  sink.putList({ messages, digest });
  return { [marker]: "list", digest };
}

function storedValue(value: unknown, put: Put | undefined): unknown {
  if (typeof value === "string") {
    return put !== undefined && value.length > longText && value.isWellFormed()
      ? { [marker]: "ref", digest: put(JSON.stringify(value)) }
      : value;
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => storedValue(item, put));
  const stored = mapMembers(value as Json, (member) => storedValue(member, put));
  return Object.hasOwn(stored, marker) ? { [marker]: "plain", value: stored } : stored;
}

/** The only member of a payload that is a list. */
const listMember = "$stet list";

interface List {
  readonly after?: string;
  readonly added: readonly unknown[];
}

function isList(body: unknown): body is { readonly [listMember]: List } {
  return typeof body === "object" && body !== null && Object.hasOwn(body, listMember);
}

/** Payloads as they were read, and the lists that have been put together from them. */
interface Bodies {
  readonly what: string;
  readonly values: Map<string, unknown>;
  readonly lists: Map<string, readonly unknown[]>;
}

/** The digests that records and lists name. */
function mentionsOf(records: readonly unknown[]): string[] {
  const digests = new Set<string>();
  const collect = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    if (!isMarker(value)) for (const member of Object.values(value)) collect(member);
    else if (value[marker] === "plain") for (const member of Object.values(value["value"] as Json)) collect(member);
    else digests.add(value["digest"] as string);
  };
  for (const record of records) {
    if (isList(record) && record[listMember].after !== undefined) digests.add(record[listMember].after);
    collect(record);
  }
  return [...digests];
}

function resolved(value: unknown, bodies: Bodies): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => resolved(item, bodies));
  if (!isMarker(value)) return mapMembers(value as Json, (member) => resolved(member, bodies));
  switch (value[marker]) {
    case "ref":
      return structuredClone(bodies.values.get(value["digest"] as string)); // two references must not share one object
    case "list":
      return listOf(value["digest"] as string, bodies);
    case "plain":
      return mapMembers(value["value"] as Json, (member) => resolved(member, bodies));
    default:
      throw new HistoryCorruptError(
        `Expected ${bodies.what} to hold a known marker, got ${JSON.stringify(value).slice(0, 60)}`,
      );
  }
}

/** The messages up to the list with this digest. Lists with the same beginning share its messages. */
function listOf(digest: string, bodies: Bodies): readonly unknown[] {
  const { what, values, lists } = bodies;
  const later: { readonly digest: string; readonly added: readonly unknown[] }[] = [];
  let at: string | undefined = digest;
  while (at !== undefined && !lists.has(at)) {
    const body = values.get(at);
    if (!isList(body)) throw new HistoryCorruptError(`Expected ${what} to find a list in payload ${at}, got none`);
    later.push({ digest: at, added: body[listMember].added });
    at = body[listMember].after;
  }
  let messages = at === undefined ? [] : (lists.get(at) ?? []);
  for (const list of later.reverse()) {
    messages = [...messages, ...list.added.map((message) => resolved(message, bodies))];
    lists.set(list.digest, messages);
  }
  return messages;
}

function isMarker(value: unknown): value is Json {
  return typeof value === "object" && value !== null && Object.hasOwn(value, marker);
}

function mapMembers(object: Json, map: (member: unknown, key: string) => unknown): Json {
  const mapped: Json = {};
  for (const key of Object.keys(object)) {
    const member = map(object[key], key);
    if (key === "__proto__")
      Object.defineProperty(mapped, key, { value: member, enumerable: true, configurable: true, writable: true });
    else mapped[key] = member;
  }
  return mapped;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}
