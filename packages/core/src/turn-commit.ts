/**
 * From what a turn brought about to what the store is asked to change: the same facts as text, in one commit.
 */
import { budgetChangesOf } from "./budget-changes.ts";
import { type BudgetMember, limitedMembers } from "./budget.ts";
import type { Failure } from "./errors.ts";
import type { ClosingBody } from "./events.ts";
import type { Execution } from "./execution.ts";
import type { Message, StartMessage } from "./messages.ts";
import type { Payload } from "./payload.ts";
import type {
  HistoryChunk,
  InstanceKey,
  OpenWait,
  OutgoingMessage,
  OutgoingStart,
  OutgoingTimer,
  StateChange,
  TurnCommit,
} from "./storage.ts";
import type { Booking } from "./storage-budgets.ts";
import type { OutgoingWork } from "./storage-work.ts";
import type { PayloadSink, TextCodec } from "./text-codec.ts";
import type { TurnEffects, TurnFeed } from "./turn.ts";

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
  readonly bookings?: readonly Booking[];
  readonly unsettled: boolean;
  readonly keep: boolean;
}

const nothing: readonly never[] = [];

/** The commit of a turn. Most turns have little beside their events, and what they do not have costs nothing here. */
export function commitOf(
  position: Position,
  execution: Execution,
  feed: TurnFeed,
  decisions: CommitDecisions,
): TurnCommit {
  const { at, sink, work, bookings = nothing, unsettled, keep } = decisions;
  const { effects, closing, nextStart } = feed;
  const ended = closing === undefined ? undefined : endingOf(closing, execution, decisions);
  const budget = budgetChangesOf(execution, feed, bookings);
  const version = nextStart?.version ?? (position.lastEventId === 0 ? execution.version : undefined);
  return {
    key: position.key,
    execution: position.execution,
    expectedEventId: position.lastEventId,
    history: historyOf(position, execution, feed, decisions),
    consumed: feed.consumed,
    timers: closing !== undefined || effects.timers.size === 0 ? nothing : timersOf(effects, execution, decisions),
    settled: effects.settled,
    work,
    messages: effects.messages.length === 0 ? nothing : messagesOf(effects, decisions),
    starts: effects.starts.length === 0 ? nothing : startsOf(effects, execution, decisions),
    state: effects.state.size === 0 ? nothing : stateOf(effects, execution, decisions),
    outputs: effects.outputs.length === 0 ? nothing : outputsOf(effects, execution, decisions),
    waits: effects.waits.size === 0 ? nothing : waitsOf(effects, execution, decisions),
    ...(version !== undefined && { version }),
    ...(effects.statusChanged && { customStatus: valueOf(execution.status ?? null, execution, decisions) }),
    ...(ended !== undefined && { ended }),
    ...(budget !== undefined && { budget }),
    payloads: sink.payloads,
    unsettled,
    keep,
    at,
  };
}

/** A commit that changes nothing but what keeps the instance from going on, whose error is as the codec wrote it. */
export function haltOf(
  position: Position,
  why: Pick<TurnCommit, "blocked"> | Pick<TurnCommit, "suspended">,
  at: number,
): TurnCommit {
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
    ...why,
    unsettled: true,
    keep: false,
    at,
  };
}

function historyOf(
  { execution: number }: Position,
  { rootId }: Execution,
  { events, firstEventId, nextStart }: TurnFeed,
  { codec, sink }: CommitDecisions,
): HistoryChunk[] {
  const history: HistoryChunk[] = [];
  if (events.length > 0) {
    const lastEventId = firstEventId + events.length - 1;
    const body = codec.encodeAll(events, rootId, sink);
    history.push({ execution: number, firstEventId, lastEventId, body });
  }
  if (nextStart !== undefined) {
    const body = codec.encodeAll([nextStart], rootId, sink);
    history.push({ execution: number + 1, firstEventId: 1, lastEventId: 1, body });
  }
  return history;
}

function timersOf({ timers }: TurnEffects, { instanceId }: Execution, { codec }: CommitDecisions): OutgoingTimer[] {
  return Array.from(timers, ([eventId, { fireAt, answer }]) => ({
    eventId,
    fireAt,
    body: codec.encode(answer, instanceId),
  }));
}

function messagesOf({ messages }: TurnEffects, { codec, at }: CommitDecisions): OutgoingMessage[] {
  return messages.map(({ instanceId, message }) => ({ instanceId, body: codec.encode(message, instanceId), at }));
}

function startsOf({ starts }: TurnEffects, execution: Execution, { codec, at }: CommitDecisions): OutgoingStart[] {
  const text = (to: string, message: Message) => codec.encode(message, to);
  return starts.map(({ eventId, request }) => {
    const parent = { instanceId: execution.instanceId, execution: execution.execution, eventId };
    if (request.kind === "OrchestrationDispatched") return startOf(request, at, text, undefined);
    return startOf(request, at, text, parent, limitedMembers(execution.started?.budget ?? {}));
  });
}

function stateOf({ state }: TurnEffects, execution: Execution, decisions: CommitDecisions): StateChange[] {
  return Array.from(state, ([key, change]) =>
    change.kind === "StateDeleted" ? { key } : { key, value: valueOf(change.value, execution, decisions) },
  );
}

function outputsOf({ outputs }: TurnEffects, execution: Execution, decisions: CommitDecisions): TurnCommit["outputs"] {
  return outputs.map((data) => ({ body: valueOf(data, execution, decisions), at: decisions.at }));
}

function waitsOf({ waits }: TurnEffects, execution: Execution, decisions: CommitDecisions): OpenWait[] {
  return Array.from(waits, ([eventId, { name, details, timeoutAt }]) => ({
    eventId,
    name,
    since: decisions.at,
    ...(details !== undefined && { details: valueOf(details, execution, decisions) }),
    ...(timeoutAt !== undefined && { timeoutAt }),
  }));
}

function valueOf(value: Payload, { rootId }: Execution, { codec, sink }: CommitDecisions): string {
  return codec.encodeValue(value, rootId, sink);
}

/** The start of an instance that code asked for. */
export function startOf(
  request: TurnFeed["effects"]["starts"][number]["request"],
  at: number,
  text: (to: string, message: Message) => string,
  parent: StartMessage["parent"],
  above: readonly BudgetMember[] = nothing,
): OutgoingStart {
  const { name, version, instanceId, input, labels, budget: limits } = request;
  const start: StartMessage = {
    kind: "Start",
    name,
    ...(version !== undefined && { version }),
    ...(input !== undefined && { input }),
    ...(parent !== undefined && { parent }),
    ...(labels !== undefined && { labels }),
    ...((limits !== undefined || above.length > 0) && {
      budget: { ...(limits !== undefined && { limits }), ...(above.length > 0 && { above }) },
    }),
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

function endingOf(closing: ClosingBody, { rootId }: Execution, { codec, sink }: CommitDecisions): TurnCommit["ended"] {
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
