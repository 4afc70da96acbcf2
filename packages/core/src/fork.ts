/**
 * Forks: a new instance that begins with the history of another.
 *
 * The prefix of a history that ends with a delivery becomes the history of the new instance, and the code sees that
 * delivery for the first time when the fork is run. So nothing that the origin asked for from there on is in the fork,
 * and what it asks for instead is its own. All of it is one tree, put into the store in one transaction.
 *
 * Invariants
 *   F1  A prefix ends with a delivery. What the code asked for before it is whole, what it asked for after it is gone.
 *   F2  What was outstanding at the fork is asked for anew, by the fork, for the first time: work, timers, children. Work
 *       gets its rows in the fork's first turn, from what the code asked: a history need not hold all of a prompt.
 *   F3  Nothing of the origin is changed or told: the fork has no parent, and its children are its own.
 *   F4  A budget of its own is as the origin began with, and nothing of it is spent.
 */
import { limitedMembers } from "./budget.ts";
import { limitsOf } from "./budget-changes.ts";
import { assertInstanceId } from "./definitions.ts";
import { ConfigurationError } from "./errors.ts";
import {
  type ActivityScheduled,
  type ForkOrigin,
  type HistoryEvent,
  isDelivery,
  type OrchestrationStarted,
  type Recorded,
  type SubOrchestrationScheduled,
} from "./events.ts";
import { childIdOf } from "./fork-origin.ts";
import { exchanged, type ReplacedResult } from "./exchanged-result.ts";
import type { AnswerMessage, Message } from "./messages.ts";
import { assertOptions, type NamesOf, shown } from "./options.ts";
import type { Payload } from "./payload.ts";
import type { StoredInstance, StoredTree } from "./storage-admin.ts";
import { PayloadSink, type TextCodec } from "./text-codec.ts";
import { toPayload } from "./to-payload.ts";
import { Transcripts } from "./transcripts.ts";
import { overdue } from "./turn.ts";
import { startOf } from "./turn-commit.ts";
import { waitingForOf } from "./waiting-for.ts";

/** Where a fork begins, and what is otherwise in it. */
export interface ForkOptions {
  /**
   * The last event that the fork shares with its origin: one that came from outside, such as an answer, an event or the
   * start. Code sees it for the first time in the fork; what it asked for then in the origin is not in the fork.
   */
  readonly atEvent: number;
  /** The id of the fork. */
  readonly newInstanceId: string;
  /** Which execution of the origin. @default the current one */
  readonly execution?: number;
  /** Another input. What the code asked for before `atEvent` must not depend on it. */
  readonly input?: unknown;
  /** One recorded result, exchanged. What the code asked for before `atEvent` must not depend on it. */
  readonly replaceResult?: ReplacedResult;
}

const forkOptions: NamesOf<ForkOptions> = {
  atEvent: true,
  newInstanceId: true,
  execution: true,
  input: true,
  replaceResult: true,
};

/** @throws ConfigurationError naming the option that is unknown or wrong. What depends on the history comes later. */
export function assertForkOptions(options: ForkOptions): void {
  assertOptions(options, forkOptions, "client.fork");
  const { atEvent, execution = 1, newInstanceId, replaceResult } = options;
  for (const [name, number] of Object.entries({ atEvent, execution })) {
    if (Number.isInteger(number) && number >= 1) continue;
    throw new ConfigurationError(`Expected ${name} of client.fork to be a whole number from 1, got ${shown(number)}`);
  }
  assertInstanceId(newInstanceId);
  if (replaceResult !== undefined) {
    assertOptions(replaceResult, { eventId: true, result: true }, "replaceResult of client.fork");
    if (!("result" in replaceResult)) {
      throw new ConfigurationError("Expected replaceResult of client.fork to have a result, got none");
    }
  }
}

/** The history that a fork is made from. */
export interface ForkSource {
  readonly instanceId: string;
  readonly execution: number;
  readonly events: readonly HistoryEvent[];
}

/** What a fork is made with. */
export interface ForkMeans {
  readonly codec: TextCodec;
  readonly payloadLimit: number;
  readonly now: number;
}

/** The fork with its children, ready for the store. @throws ConfigurationError when it cannot begin there. */
export function forkedTree(source: ForkSource, options: ForkOptions, means: ForkMeans): StoredTree {
  const { newInstanceId: instanceId } = options;
  const { execution } = source;
  const prefix = prefixOf(source, options.atEvent);
  const open = openRequests(prefix);
  const children: { [eventId: number]: string } = {};
  for (const { id, kind } of open) {
    if (kind === "SubOrchestrationScheduled") children[id] = `${instanceId}:${execution}:event-${id}`;
  }
  const events = exchangedIn(prefix, options, means.payloadLimit);
  const started = startOfFork(source, events[0] as Started, options, children);
  const sink = new PayloadSink(new Transcripts());
  const draft: Draft = { instanceId, execution, started, sink, ...means };
  const fork = instanceOf(draft, [started, ...events.slice(1)], open);
  const own = open.flatMap((event) => (event.kind === "SubOrchestrationScheduled" ? [childOf(draft, event)] : []));
  return { instances: [fork, ...own], payloads: sink.payloads };
}

type Started = Recorded & OrchestrationStarted;

/** A fork in the making. */
interface Draft extends ForkMeans {
  readonly instanceId: string;
  readonly execution: number;
  readonly started: Started;
  readonly sink: PayloadSink;
}

/** The history up to a delivery (F1). */
function prefixOf({ instanceId, execution, events }: ForkSource, atEvent: number): readonly HistoryEvent[] {
  if (events.length === 0) {
    throw new ConfigurationError(
      `Expected execution ${execution} of instance ${instanceId} to have a history to fork, got none: it has not begun, or it was pruned`,
    );
  }
  const event = events[atEvent - 1];
  if (event !== undefined && isDelivery(event)) return events.slice(0, atEvent);
  const deliveries = events.filter(isDelivery);
  const nearest = [deliveries.findLast(({ id }) => id < atEvent), deliveries.find(({ id }) => id > atEvent)];
  const named = nearest.flatMap((each) => (each === undefined ? [] : [`event ${each.id} (${each.kind})`]));
  const found = event === undefined ? `event ${atEvent} of ${events.length}` : `event ${atEvent} (${event.kind})`;
  throw new ConfigurationError(
    `Expected atEvent of client.fork to be an event that came to instance ${instanceId} (execution ${execution}) from outside, got ${found}: its own code takes over where it is told something. Nearest: ${named.join(" and ")}`,
  );
}

/** Requests that nothing in the prefix answered or took back. */
function openRequests(prefix: readonly HistoryEvent[]): HistoryEvent[] {
  return waitingForOf(prefix).map(({ eventId }) => prefix[eventId - 1] as HistoryEvent);
}

/** The prefix with what the caller wants otherwise. */
function exchangedIn(
  prefix: readonly HistoryEvent[],
  { input, replaceResult, newInstanceId }: ForkOptions,
  payloadLimit: number,
): readonly HistoryEvent[] {
  const [started, ...rest] = prefix as [Started, ...HistoryEvent[]];
  const payload = toPayload(input, "input of fork", newInstanceId, payloadLimit);
  const events = [payload === undefined ? started : { ...started, input: payload }, ...rest];
  return replaceResult === undefined ? events : exchanged(events, replaceResult, payloadLimit);
}

/** The start as the fork has it: without the parent, who waits for the origin (F3). */
function startOfFork(
  { instanceId, execution }: ForkSource,
  { parent: _, forkedFrom: earlier, ...started }: Started,
  { atEvent, input, replaceResult }: ForkOptions,
  children: NonNullable<ForkOrigin["children"]>,
): Started {
  const replaced = [
    ...(input === undefined ? [] : [1]),
    ...(replaceResult === undefined ? [] : [replaceResult.eventId]),
  ];
  const forkedFrom: ForkOrigin = {
    instanceId,
    execution,
    atEvent,
    ...(replaced.length > 0 && { replaced }),
    ...(Object.keys(children).length > 0 && { children }),
    ...(earlier !== undefined && { forkedFrom: earlier }),
  };
  return { ...started, forkedFrom };
}

function instanceOf(draft: Draft, events: readonly HistoryEvent[], open: readonly HistoryEvent[]): StoredInstance {
  const { instanceId, execution, started, codec, sink, now } = draft;
  const { name, version, labels = {}, carried, budget } = started;
  const value = (payload: Payload) => codec.encodeValue(payload, instanceId, sink);
  const state = new Map(carried?.state?.map(({ key, value: first }) => [key, first]));
  const outputs: StoredInstance["outputs"][number][] = [];
  let status = carried?.status;
  for (const event of events) {
    if (event.kind === "StateSet") state.set(event.key, event.value);
    else if (event.kind === "StateDeleted") state.delete(event.key);
    else if (event.kind === "StatusSet") status = event.value;
    else if (event.kind === "OutputEmitted") outputs.push({ at: event.at, body: value(event.data) });
  }
  const body = `[${events.map((event) => codec.encode(event, instanceId, sink)).join(",")}]`;
  return {
    instanceId,
    name,
    version,
    status: "running",
    labels,
    createdAt: now,
    updatedAt: now,
    ...(status !== undefined && status !== null && { customStatus: value(status) }),
    execution,
    executions: [
      {
        execution,
        startedAt: now,
        updatedAt: now,
        history: [{ firstEventId: 1, lastEventId: events.length, body }],
      },
    ],
    messages: [],
    messageKeys: [],
    timers: open.flatMap((event) => timersOf(draft, event)),
    work: [],
    waits: open.flatMap((event) => waitsOf(event, value)),
    state: Array.from(state, ([key, payload]) => ({ key, value: value(payload) })),
    outputs,
    ...(budget?.limits !== undefined && {
      budget: { limits: limitsOf(budget.limits), spent: { tokens: 0, nanoUsd: 0, calls: 0 }, openedAt: now },
    }),
  };
}

/** A timer keeps its time. The limit of an activity that is asked for anew begins anew. */
function timersOf({ instanceId, execution, codec, now }: Draft, event: HistoryEvent): StoredInstance["timers"] {
  const timer = (fireAt: number, answer: AnswerMessage) => [
    { eventId: event.id, fireAt, body: codec.encode(answer, instanceId) },
  ];
  if (event.kind === "TimerCreated") {
    return timer(event.fireAt, { kind: "TimerFired", source: event.id, execution });
  }
  const limitMs = event.kind === "ActivityScheduled" ? event.options?.totalTimeoutMs : undefined;
  if (limitMs === undefined) return [];
  return timer(
    now + limitMs,
    overdue({ instanceId, execution, eventId: event.id }, event as ActivityScheduled, limitMs),
  );
}

function waitsOf(event: HistoryEvent, value: (payload: Payload) => string): StoredInstance["waits"] {
  if (event.kind !== "EventAwaited") return [];
  const { id: eventId, at: since, name, details, timeoutAt } = event;
  return [
    {
      eventId,
      name,
      since,
      ...(details !== undefined && { details: value(details) }),
      ...(timeoutAt !== undefined && { timeoutAt }),
    },
  ];
}

/** A child of the fork in the place of one that runs for the origin: from its beginning, under another id (F2, F3). */
function childOf(
  { instanceId: parentId, execution, started, codec, now }: Draft,
  request: Recorded & SubOrchestrationScheduled,
): StoredInstance {
  const eventId = request.id;
  const own = { ...request, instanceId: childIdOf(started.forkedFrom, eventId, request.instanceId) };
  const text = (to: string, message: Message) => codec.encode(message, to);
  const {
    instanceId,
    name,
    version,
    labels = {},
    body,
  } = startOf(own, now, text, { instanceId: parentId, execution, eventId }, limitedMembers(started.budget ?? {}));
  return {
    instanceId,
    parentId,
    name,
    ...(version !== undefined && { version }),
    status: "pending",
    labels,
    createdAt: now,
    updatedAt: now,
    execution: 1,
    executions: [],
    messages: [{ body, at: now }],
    messageKeys: [],
    timers: [],
    work: [],
    waits: [],
    state: [],
    outputs: [],
  };
}
