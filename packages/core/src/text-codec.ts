/**
 * Events, messages and values as the store keeps them: JSON text in which long texts are references to payloads stored
 * once, and in which a payload codec has sealed what it must.
 *
 * Markers are objects with the member `$stet`: `ref` names a payload by digest, `sealed` holds a sealed text, `plain`
 * wraps an object of the user's that has such a member itself. Envelope members (`id`, `kind`, `name`, ...) stay plain.
 */
import { createHash } from "node:crypto";
import { HistoryCorruptError, toFailure } from "./errors.ts";
import type { HistoryEvent } from "./events.ts";
import type { Payload } from "./payload.ts";
import type { PayloadCodec } from "./ports.ts";
import type { StoredPayload } from "./storage.ts";
import { longText } from "./to-payload.ts";

/** Gathers the payloads that texts refer to, each once. */
export class PayloadSink {
  #payloads: Map<string, StoredPayload> | undefined;

  put(digest: string, bodyOf: () => string): void {
    this.#payloads ??= new Map();
    if (!this.#payloads.has(digest)) this.#payloads.set(digest, { digest, body: bodyOf() });
  }

  get payloads(): readonly StoredPayload[] {
    return this.#payloads === undefined ? none : [...this.#payloads.values()];
  }
}

const none: readonly StoredPayload[] = [];

/** Fetches payloads by digest. */
export type PayloadSource = (digests: readonly string[]) => Promise<readonly StoredPayload[]>;

const marker = "$stet";

/** Messages of a conversation are repeated by every later call, so even short ones pay for a reference. */
const longMessage = 120;

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
  "costUsd",
  "finishReason",
  "cached",
  "changeId",
  "active",
  "key",
  "parentClosePolicy",
]);

type Json = { [key: string]: unknown };

/** Writes and reads stored texts. */
export class TextCodec {
  readonly #codec: PayloadCodec | undefined;

  constructor(codec?: PayloadCodec) {
    this.#codec = codec;
  }

  /** An event, message or work item as text. Long texts go to `sink`; without one they stay. */
  encode(record: object, scopeId: string, sink?: PayloadSink): string {
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

  /** A bare value as text, for columns that hold one. */
  encodeValue(value: Payload, scopeId: string, sink?: PayloadSink): string {
    return this.encode({ value }, scopeId, sink);
  }

  /** The events of stored chunks. @throws HistoryCorruptError when they cannot be read. */
  async decodeHistory(
    chunks: readonly string[],
    scopeId: string,
    source: PayloadSource,
    what: string,
  ): Promise<HistoryEvent[]> {
    const events = chunks.flatMap((chunk) => this.#parse(chunk, what) as HistoryEvent[]);
    if (!chunks.some((chunk) => chunk.includes(marker))) return events;
    return (await this.#revive([events], scopeId, source, what))[0] as HistoryEvent[];
  }

  /** Records that `encode` wrote. @throws HistoryCorruptError when they cannot be read. */
  async decode<Record>(
    texts: readonly string[],
    scopeId: string,
    source: PayloadSource,
    what: string,
  ): Promise<Record[]> {
    const records = texts.map((text) => this.#parse(text, what));
    if (!texts.some((text) => text.includes(marker))) return records as Record[];
    return (await this.#revive(records, scopeId, source, what)) as Record[];
  }

  /** A value that `encodeValue` wrote. */
  async decodeValue(text: string, scopeId: string, source: PayloadSource, what: string): Promise<Payload> {
    const [record] = await this.decode<{ value: Payload }>([text], scopeId, source, what);
    return (record as { value: Payload }).value;
  }

  #store(key: string, value: unknown, scopeId: string, sink: PayloadSink | undefined): unknown {
    const codec = this.#codec;
    const put = sink === undefined ? undefined : (text: string) => this.#put(text, scopeId, sink);
    const stored = key === "request" ? storedRequest(value as Json, put) : storedValue(value, put);
    return codec === undefined ? stored : { [marker]: "sealed", text: codec.seal(JSON.stringify(stored), { scopeId }) };
  }

  #put(text: string, scopeId: string, sink: PayloadSink): unknown {
    const codec = this.#codec;
    const digest = codec === undefined ? sha256(text) : codec.digest(text, { scopeId });
    sink.put(digest, () => (codec === undefined ? text : codec.seal(text, { scopeId })));
    return { [marker]: "ref", digest };
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
    const digests = new Set<string>();
    for (const record of opened) collectDigests(record, digests);
    const bodies = new Map<string, unknown>();
    for (const { digest, body } of digests.size === 0 ? [] : await source([...digests])) {
      const text = this.#codec === undefined ? body : this.#unseal(body, scopeId, what);
      bodies.set(digest, this.#parse(text, what));
    }
    return opened.map((record) => resolved(record, bodies, what));
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

type Put = (text: string) => unknown;

/** The request of a model call, or the event of a work item, which may be one and then has it inside. */
function storedRequest(request: Json, put: Put | undefined): unknown {
  if (typeof request["kind"] === "string") {
    return mapMembers(request, (member, key) =>
      key === "request" ? storedRequest(member as Json, put) : storedValue(member, put),
    );
  }
  const { messages, ...rest } = request;
  const stored = (message: unknown) => {
    const text = JSON.stringify(message);
    return put !== undefined && text.length > longMessage && text.isWellFormed()
      ? put(text)
      : storedValue(message, put);
  };
  const others = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, storedValue(value, put)]));
  return { messages: (messages as unknown[]).map(stored), ...others };
}

function storedValue(value: unknown, put: Put | undefined): unknown {
  if (typeof value === "string") {
    return put !== undefined && value.length > longText && value.isWellFormed() ? put(JSON.stringify(value)) : value;
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => storedValue(item, put));
  const stored = mapMembers(value as Json, (member) => storedValue(member, put));
  return Object.hasOwn(stored, marker) ? { [marker]: "plain", value: stored } : stored;
}

function collectDigests(value: unknown, digests: Set<string>): void {
  if (typeof value !== "object" || value === null) return;
  if (isMarker(value) && value[marker] === "ref") digests.add(value["digest"] as string);
  else for (const member of Object.values(value)) collectDigests(member, digests);
}

function resolved(value: unknown, bodies: ReadonlyMap<string, unknown>, what: string): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => resolved(item, bodies, what));
  if (!isMarker(value)) return mapMembers(value as Json, (member) => resolved(member, bodies, what));
  switch (value[marker]) {
    case "ref": {
      const digest = value["digest"] as string;
      if (!bodies.has(digest)) throw new HistoryCorruptError(`Expected ${what} to find payload ${digest}, got none`);
      return structuredClone(bodies.get(digest)); // two references must not share one object
    }
    case "plain":
      return mapMembers(value["value"] as Json, (member) => resolved(member, bodies, what));
    default:
      throw new HistoryCorruptError(
        `Expected ${what} to hold a known marker, got ${JSON.stringify(value).slice(0, 60)}`,
      );
  }
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
