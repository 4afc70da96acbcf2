/**
 * The handle of an instance over a client's means: what users call on a started orchestration.
 */
import { durationMs, type Duration } from "./duration.ts";
import { assertName } from "./definitions.ts";
import {
  ConfigurationError,
  type Failure,
  fromFailure,
  InstanceError,
  isStetError,
  OrchestrationError,
  StetError,
  TimeoutError,
} from "./errors.ts";
import type { HistoryEvent } from "./events.ts";
import type { Gatherer } from "./gatherer.ts";
import type {
  InstanceHandle,
  InstanceState,
  InstanceStatusReport,
  OutputRow,
  RaiseEventOptions,
  StreamMark,
  StreamOptions,
  StreamPiece,
  WaitingFor,
} from "./instance-handle.ts";
import type { Change, InstanceChanges, InstanceWatcher } from "./instance-watcher.ts";
import type { Message } from "./messages.ts";
import { shown } from "./options.ts";
import type { Payload } from "./payload.ts";
import type { Clock } from "./ports.ts";
import type { InstanceRecord } from "./storage-admin.ts";
import type { OutgoingMessage, SendOutcome, StorageProvider } from "./storage.ts";
import type { TextCodec } from "./text-codec.ts";
import { toPayload } from "./to-payload.ts";
import { waitingForOf, withWaitingCalls } from "./waiting-for.ts";

/** What handles work with. */
export interface ClientMeans {
  readonly storage: StorageProvider;
  readonly codec: TextCodec;
  readonly clock: Clock;
  readonly watcher: InstanceWatcher;
  /** Where messages go, those of the same tick together. */
  readonly messages: Gatherer<OutgoingMessage, SendOutcome>;
  readonly payloadLimit: number;
}

/** What a row of an output stream holds. */
interface OutputBody {
  readonly value: Payload;
  readonly stream?: StreamMark;
}

/** Rows of an output stream read at once. */
const outputPage = 200;

/** See the head of the file. */
export class Handle<Output> implements InstanceHandle<Output> {
  readonly instanceId: string;
  readonly #means: ClientMeans;
  readonly #startedAt: number | undefined;

  /** @param startedAt - The moment of the watcher's `ends` before the start, where this handle comes from that. */
  constructor(instanceId: string, means: ClientMeans, startedAt?: number) {
    this.instanceId = instanceId;
    this.#means = means;
    this.#startedAt = startedAt;
  }

  async result(options: { readonly timeout?: Duration } = {}): Promise<Output> {
    const { clock } = this.#means;
    const limitMs = options.timeout === undefined ? undefined : durationMs(options.timeout, "the timeout of result()");
    const limitAt = limitMs === undefined ? undefined : clock.now() + limitMs;
    const { watcher } = this.#means;
    const changes = watcher.watch(this.instanceId, { onlyEnd: true });
    const look = this.#startedAt === undefined || watcher.ends.mayHaveEnded(this.instanceId, this.#startedAt);
    try {
      for (let next: Change = look ? "changed" : await changes.next(limitAt); ; next = await changes.next(limitAt)) {
        if (next === "closed") throw closed(this.instanceId);
        const told = this.#plainOutput(changes.completed);
        if (told !== undefined) return told.value as Output;
        const record = await this.#record();
        if (isOver(record)) return this.#outcome(record) as Output;
        if (next === "late") {
          throw new TimeoutError(
            `Expected instance ${this.instanceId} to end within ${limitMs} ms, got status ${record.status}; it goes on`,
          );
        }
      }
    } finally {
      changes.stop();
    }
  }

  async status(): Promise<InstanceStatusReport> {
    const record = await this.#record();
    const state = await stateOf(record, this.#means);
    if (isOver(record) || record.lastEventId === 0) return { ...state, waitingFor: [] };
    try {
      const waitingFor = waitingForOf(await this.history(record.execution));
      const asksModels = waitingFor.some(({ kind }) => kind === "model");
      return { ...state, waitingFor: asksModels ? await this.#withCalls(waitingFor) : waitingFor };
    } catch (error) {
      // What blocks it may be that very history; that it is blocked must still be seen.
      if (record.blocked === undefined || !isStetError(error, "history_corrupt")) throw error;
      return { ...state, waitingFor: [] };
    }
  }

  async #withCalls(waitingFor: readonly WaitingFor[]): Promise<WaitingFor[]> {
    const { storage, clock } = this.#means;
    const now = clock.now();
    return withWaitingCalls(waitingFor, await storage.admin.listWaitingCalls(this.instanceId, now), now);
  }

  async raiseEvent(name: string, data?: unknown, options: RaiseEventOptions = {}): Promise<void> {
    assertName(name, "event");
    const payload = toPayload(data, "data of event", name, this.#means.payloadLimit);
    const message: Message = { kind: "EventReceived", name, ...(payload !== undefined && { data: payload }) };
    const outcome = await this.#send(message, options.idempotencyKey);
    if (outcome === "ended") {
      throw new InstanceError(
        "instance_ended",
        `Expected instance ${this.instanceId} to be running to receive event ${name}, got one that has ended`,
      );
    }
  }

  async cancel(reason = "cancelled by a client"): Promise<void> {
    assertReason(reason, this.instanceId);
    await this.#send({ kind: "CancelRequested", reason });
  }

  async terminate(reason = "terminated by a client"): Promise<void> {
    assertReason(reason, this.instanceId);
    await this.#send({ kind: "OrchestrationTerminated", reason });
    await this.#means.storage.admin.unblock([this.instanceId]); // a blocked one must be claimed to be ended
  }

  async history(execution?: number): Promise<HistoryEvent[]> {
    const { storage, codec } = this.#means;
    const record = await this.#record();
    const number = execution ?? record.execution;
    const chunks = await storage.admin.readHistory(this.instanceId, number);
    const what = `the history of instance ${this.instanceId}, execution ${number}`;
    return codec.decodeHistory(chunks, record.rootId, (digests) => storage.readPayloads(record.rootId, digests), what);
  }

  async state(): Promise<{ readonly [key: string]: Payload }> {
    const { storage } = this.#means;
    const record = await this.#record();
    const rows = await storage.admin.readState(this.instanceId);
    const entries = rows.map(async ({ key, value }) => [key, await decoded(value, record, this.#means)] as const);
    return Object.fromEntries(await Promise.all(entries));
  }

  async *outputs(options: { readonly from?: number; readonly signal?: AbortSignal } = {}): AsyncGenerator<OutputRow> {
    const { storage } = this.#means;
    let { from = 0 } = options;
    const changes = this.#means.watcher.watch(this.instanceId, options);
    try {
      while (options.signal?.aborted !== true) {
        const record = await this.#record(); // before the rows: what was emitted before the end is then read
        const rows = await storage.admin.readOutputs(this.instanceId, from, outputPage);
        for (const { offset, at, body } of rows) {
          const { value, stream } = await decodedBody<OutputBody>(body, record, this.#means);
          yield { offset, at, data: value, ...(stream !== undefined && { stream }) };
          from = offset;
        }
        if (rows.length === 0 && (isOver(record) || (await changes.next()) === "closed")) return;
      }
    } finally {
      changes.stop();
    }
  }

  async *stream({ channel, ...options }: StreamOptions = {}): AsyncGenerator<StreamPiece> {
    const emptied = new Set<string>(); // a failed attempt and the one after it both say that nothing counts
    for await (const { offset, at, data, stream } of this.outputs(options)) {
      if (stream === undefined || (channel !== undefined && stream.channel !== channel)) continue;
      const call = `${stream.execution}/${stream.eventId}`;
      if (stream.kind !== "superseded") emptied.delete(call);
      else if (emptied.has(call)) continue;
      else emptied.add(call);
      yield { ...stream, offset, at, text: data as string };
    }
  }

  async *changes(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<InstanceState> {
    let last = "";
    const changes = this.#means.watcher.watch(this.instanceId, options);
    try {
      while (options.signal?.aborted !== true) {
        const record = await this.#record();
        const { status, execution, customStatus, blocked, version } = record;
        const standing = JSON.stringify([status, execution, customStatus, blocked, version]);
        if (standing !== last) yield await stateOf(record, this.#means);
        last = standing;
        if (isOver(record) || (await changes.next()) === "closed") return;
      }
    } finally {
      changes.stop();
    }
  }

  #record(): Promise<InstanceRecord> {
    return this.#means.watcher.read(this.instanceId).then((record) => {
      if (record === undefined) throw unknown(this.instanceId);
      return record;
    });
  }

  /** What the instance is told to have put out, unless more than the text is needed to read it. */
  #plainOutput(completed: InstanceChanges["completed"]): { readonly value?: Payload } | undefined {
    if (completed?.output === undefined) return completed && {};
    const what = `the output of instance ${this.instanceId}`;
    return this.#means.codec.decodePlain<{ readonly value: Payload }>([completed.output], what)?.[0];
  }

  #outcome(record: InstanceRecord): Payload | undefined | Promise<Payload> {
    const { output, status } = record;
    if (status !== "completed") return this.#failure(record);
    return output === undefined ? undefined : decoded(output, record, this.#means);
  }

  async #failure({ error, status, name, instanceId, rootId }: InstanceRecord): Promise<never> {
    const { storage, codec } = this.#means;
    const source = (digests: readonly string[]) => storage.readPayloads(rootId, digests);
    const [ending] = await codec.decode<Ending>([error ?? "{}"], rootId, source, `the end of instance ${instanceId}`);
    throw errorOf(status as "failed", `Orchestration ${name} (instance ${instanceId})`, ending ?? {});
  }

  async #send(message: Message, idempotencyKey?: string): Promise<SendOutcome> {
    const { messages, codec, clock } = this.#means;
    const { instanceId } = this;
    const body = codec.encode(message, instanceId);
    const key = idempotencyKey !== undefined && { idempotencyKey };
    const outcome = await messages.ask({ instanceId, body, at: clock.now(), ...key });
    if (outcome === "unknown") throw unknown(instanceId);
    return outcome;
  }
}

function assertReason(reason: unknown, instanceId: string): void {
  if (typeof reason === "string") return;
  throw new ConfigurationError(`Expected the reason to end instance ${instanceId} to be a text, got ${shown(reason)}`);
}

/** The public view of a row. */
export async function stateOf(record: InstanceRecord, means: ClientMeans): Promise<InstanceState> {
  const { storage, codec } = means;
  const { instanceId, rootId, name, status, blocked, customStatus, output, error } = record;
  const source = (digests: readonly string[]) => storage.readPayloads(rootId, digests);
  const [ending] =
    error === undefined ? [] : await codec.decode<Ending>([error], rootId, source, `the end of ${instanceId}`);
  const told = customStatus === undefined ? undefined : await decoded(customStatus, record, means);
  const shownError =
    blocked !== undefined
      ? await reasonOf(blocked, record, means)
      : ending === undefined
        ? undefined
        : errorOf(status as "failed", `Orchestration ${name} (instance ${instanceId})`, ending);
  return {
    instanceId,
    rootId,
    name,
    status: blocked !== undefined ? "blocked" : status,
    execution: record.execution,
    labels: record.labels,
    createdAt: record.createdAt,
    updatedAt: record.updatedAt,
    ...(record.parentId !== undefined && { parentId: record.parentId }),
    ...(record.version !== undefined && { version: record.version }),
    ...(told !== undefined && told !== null && { customStatus: told }),
    ...(output !== undefined && { output: await decoded(output, record, means) }),
    ...(shownError !== undefined && { error: shownError }),
  };
}

/** Whether the instance has ended. */
function isOver({ status }: Pick<InstanceRecord, "status">): boolean {
  return status !== "pending" && status !== "running";
}

/** @throws never; makes the error for an instance that is not there. */
export function unknown(instanceId: string): InstanceError {
  return new InstanceError(
    "instance_not_found",
    `Expected instance ${instanceId} to exist, got none: it was never started, or it was deleted`,
  );
}

function closed(instanceId: string): StetError {
  return new StetError(
    "runtime_stopped",
    `Expected the client to stay open while the result of instance ${instanceId} is awaited, got one that was closed; the instance goes on`,
  );
}

type Ending = { readonly error?: Failure; readonly reason?: string };

function errorOf(status: "failed" | "cancelled" | "terminated", who: string, { error, reason }: Ending): StetError {
  if (error === undefined) return new OrchestrationError(`orchestration_${status}`, `${who} was ${status}: ${reason}`);
  return new OrchestrationError(`orchestration_${status}`, `${who} failed: ${error.message}`, {
    cause: fromFailure(error),
  });
}

/** Why an instance is blocked. A worker with another key may have written it: then that is what there is to say. */
async function reasonOf(
  blocked: string,
  { rootId, instanceId }: InstanceRecord,
  { storage, codec }: ClientMeans,
): Promise<StetError> {
  const source = (digests: readonly string[]) => storage.readPayloads(rootId, digests);
  try {
    const what = `the reason why instance ${instanceId} is blocked`;
    const [failure] = await codec.decode<Failure>([blocked], rootId, source, what);
    return fromFailure(failure as Failure);
  } catch (error) {
    if (isStetError(error, "history_corrupt")) return error;
    throw error;
  }
}

/** A value as it was written, at once where it needs no payloads. */
function decoded(text: string, record: InstanceRecord, means: ClientMeans): Payload | Promise<Payload> {
  const body = decodedBody<{ value: Payload }>(text, record, means);
  return body instanceof Promise ? body.then(({ value }) => value) : body.value;
}

function decodedBody<Body>(
  text: string,
  { rootId, instanceId }: InstanceRecord,
  { storage, codec }: ClientMeans,
): Body | Promise<Body> {
  const what = `a value of instance ${instanceId}`;
  const plain = codec.decodePlain<Body>([text], what);
  if (plain !== undefined) return plain[0] as Body;
  const source = (digests: readonly string[]) => storage.readPayloads(rootId, digests);
  return codec.decode<Body>([text], rootId, source, what).then(([body]) => body as Body);
}
