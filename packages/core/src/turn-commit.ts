/**
 * From what a turn brought about to what the store is asked to change: the same facts as text, in one commit.
 */
import type { Failure } from "./errors.ts";
import type { ClosingBody } from "./events.ts";
import type { Execution } from "./execution.ts";
import type { LazyMap } from "./lazy-map.ts";
import type { Message, StartMessage } from "./messages.ts";
import type { InstanceKey, OutgoingMessage, OutgoingStart, OutgoingWork, TurnCommit } from "./storage.ts";
import type { PayloadSink, TextCodec } from "./text-codec.ts";
import type { TurnFeed } from "./turn.ts";

/** Where the instance stood before the turn. */
export interface Position {
  readonly key: InstanceKey;
  readonly execution: number;
  readonly lastEventId: number;
}

/** What the dispatcher has decided about the turn. */
export interface CommitDecisions {
  readonly at: number;
  readonly codec: TextCodec;
  /** Payloads that the texts of the turn refer to. */
  readonly sink: PayloadSink;
  readonly work: readonly OutgoingWork[];
  readonly unsettled: boolean;
  readonly keep: boolean;
}

const nothing: readonly never[] = [];

/** The commit of a turn. */
export function commitOf(
  position: Position,
  execution: Execution,
  feed: TurnFeed,
  decisions: CommitDecisions,
): TurnCommit {
  const { at, codec, sink, work, unsettled, keep } = decisions;
  const { effects, closing, nextStart } = feed;
  const { rootId, instanceId } = execution;
  const text = (to: string, message: Message) => codec.encode(message, to);
  const value = (payload: Parameters<TextCodec["encodeValue"]>[0]) => codec.encodeValue(payload, rootId, sink);
  const ended = closing === undefined ? undefined : endingOf(closing, codec, rootId, sink);
  const version = nextStart?.event.version ?? (position.lastEventId === 0 ? execution.version : undefined);

  const history = feed.texts.length === 0 ? [] : [chunk(position.execution, feed.firstEventId, feed.texts)];
  if (nextStart !== undefined) history.push(chunk(position.execution + 1, 1, [nextStart.text]));

  return {
    key: position.key,
    execution: position.execution,
    expectedEventId: position.lastEventId,
    history,
    consumed: feed.consumed,
    timers:
      ended !== undefined || nextStart !== undefined
        ? nothing
        : mapped(effects.timers, (eventId, { fireAt, answer }) => ({
            eventId,
            fireAt,
            body: text(instanceId, answer),
          })),
    settled: effects.settled,
    work,
    messages: effects.messages.map(({ instanceId: to, message }): OutgoingMessage => ({
      instanceId: to,
      body: text(to, message),
      at,
    })),
    starts: effects.starts.map(({ eventId, request }): OutgoingStart => {
      const parent = { instanceId, execution: execution.execution, eventId };
      return startOf(request, at, text, request.kind === "SubOrchestrationScheduled" ? parent : undefined);
    }),
    state: mapped(effects.state, (key, change) =>
      change.kind === "StateDeleted" ? { key } : { key, value: value(change.value) },
    ),
    outputs: effects.outputs.map((data) => ({ body: value(data), at })),
    waits: mapped(effects.waits, (eventId, { name, details, timeoutAt }) => ({
      eventId,
      name,
      since: at,
      ...(details !== undefined && { details: value(details) }),
      ...(timeoutAt !== undefined && { timeoutAt }),
    })),
    ...(version !== undefined && { version }),
    ...(effects.statusChanged && { customStatus: value(execution.status ?? null) }),
    ...(ended !== undefined && { ended }),
    payloads: sink.payloads,
    unsettled,
    keep,
    at,
  };
}

/** A commit that changes nothing but what blocks the instance. `error` is the failure as the codec wrote it. */
export function blockOf(position: Position, error: string, buildId: string, at: number): TurnCommit {
  return {
    key: position.key,
    execution: position.execution,
    expectedEventId: position.lastEventId,
    history: nothing,
    consumed: nothing,
    timers: nothing,
    settled: nothing,
    work: nothing,
    messages: nothing,
    starts: nothing,
    state: nothing,
    outputs: nothing,
    waits: nothing,
    payloads: nothing,
    blocked: { error, buildId },
    unsettled: true,
    keep: false,
    at,
  };
}

function chunk(execution: number, firstEventId: number, texts: readonly string[]) {
  return { execution, firstEventId, lastEventId: firstEventId + texts.length - 1, body: `[${texts.join(",")}]` };
}

function mapped<Key, Value, Result>(
  map: LazyMap<Key, Value>,
  make: (key: Key, value: Value) => Result,
): readonly Result[] {
  return map.size === 0 ? nothing : Array.from(map, ([key, value]) => make(key, value));
}

/** The start of an instance that code asked for. */
export function startOf(
  request: TurnFeed["effects"]["starts"][number]["request"],
  at: number,
  text: (to: string, message: Message) => string,
  parent: StartMessage["parent"],
): OutgoingStart {
  const { name, version, instanceId, input, labels } = request;
  const start: StartMessage = {
    kind: "Start",
    name,
    ...(version !== undefined && { version }),
    ...(input !== undefined && { input }),
    ...(parent !== undefined && { parent }),
    ...(labels !== undefined && { labels }),
  };
  const error: Failure = {
    name: "InstanceError",
    message: `Expected instance ${instanceId} not to exist, got one that was started before`,
    code: "instance_exists",
    retryable: false,
  };
  return {
    instanceId,
    name,
    ...(version !== undefined && { version }),
    ...(labels !== undefined && { labels }),
    body: text(instanceId, start),
    at,
    ...(parent !== undefined && {
      parentId: parent.instanceId,
      ifExists: {
        instanceId: parent.instanceId,
        body: text(parent.instanceId, {
          kind: "SubOrchestrationFailed",
          source: parent.eventId,
          execution: parent.execution,
          error,
        }),
        at,
      },
    }),
  };
}

function endingOf(closing: ClosingBody, codec: TextCodec, rootId: string, sink: PayloadSink): TurnCommit["ended"] {
  switch (closing.kind) {
    case "ContinuedAsNew":
      return undefined;
    case "OrchestrationCompleted": {
      const { output } = closing;
      return { status: "completed", ...(output !== undefined && { output: codec.encodeValue(output, rootId, sink) }) };
    }
    case "OrchestrationFailed":
      return { status: "failed", error: codec.encode({ error: closing.error }, rootId, sink) };
    case "OrchestrationCancelled":
      return { status: "cancelled", error: codec.encode({ reason: closing.reason }, rootId, sink) };
    case "OrchestrationTerminated":
      return { status: "terminated", error: codec.encode({ reason: closing.reason }, rootId, sink) };
  }
}
