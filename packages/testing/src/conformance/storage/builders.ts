/**
 * What the engine would hand to a store, made small: every builder fills in an ordinary case and takes what the test is
 * about. Bodies are any text, because a provider never looks into them.
 */
import type {
  CallClaim,
  ClaimedTurn,
  HistoryChunk,
  InstanceQuery,
  OpenWait,
  OutgoingMessage,
  OutgoingStart,
  OutgoingTimer,
  OutgoingWork,
  TurnClaim,
  TurnCommit,
  WorkClaim,
  WorkCompletion,
  WorkerKey,
  WorkerRegistration,
  WorkKey,
} from "@stet/core";

/** The time at which every test begins, in epoch milliseconds. */
export const START = 1_800_000_000_000;
export const SECOND = 1_000;
export const MINUTE: number = 60 * SECOND;
export const HOUR: number = 60 * MINUTE;

/** The orchestration, activity and model that tests use where any would do. */
const ORCHESTRATION = "order";
const VERSION = "1";
export const ACTIVITY = "charge";
export const MODEL = "large";

/** The build that claims unless a test says otherwise. */
const BUILD = "build-1";

export function registration(name: string, changes: Partial<WorkerRegistration> = {}): WorkerRegistration {
  return {
    name,
    host: "host-1",
    pid: 4711,
    capabilities: { orchestrations: [ORCHESTRATION], activities: [ACTIVITY], models: true, tags: [] },
    now: START,
    ...changes,
  };
}

export function turnClaim(worker: WorkerKey, changes: Partial<TurnClaim> = {}): TurnClaim {
  return {
    worker,
    now: START,
    max: 100,
    orchestrations: [ORCHESTRATION, `${ORCHESTRATION}@${VERSION}`],
    buildId: BUILD,
    ...changes,
  };
}

export function workClaim(worker: WorkerKey, changes: Partial<WorkClaim> = {}): WorkClaim {
  return {
    worker,
    now: START,
    max: 100,
    activities: [ACTIVITY],
    models: true,
    tags: [],
    sessionIdleMs: 5 * MINUTE,
    ...changes,
  };
}

export function callClaim(worker: WorkerKey, changes: Partial<CallClaim> = {}): CallClaim {
  return { worker, now: START, max: 100, model: MODEL, lines: [MODEL], windows: [], ...changes };
}

export function start(instanceId: string, changes: Partial<OutgoingStart> = {}): OutgoingStart {
  return { instanceId, name: ORCHESTRATION, body: `start of ${instanceId}`, at: START, ...changes };
}

export function message(instanceId: string, body: string, changes: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return { instanceId, body, at: START, ...changes };
}

/** `count` events that follow the event `after`, as one chunk. */
export function chunk(execution: number, after: number, count = 1): HistoryChunk {
  const ids = Array.from({ length: count }, (_, index) => after + index + 1);
  const body = JSON.stringify(ids.map((id) => ({ id, execution })));
  return { execution, firstEventId: after + 1, lastEventId: after + count, body };
}

export function timer(eventId: number, fireAt: number, body = `timer ${eventId}`): OutgoingTimer {
  return { eventId, fireAt, body };
}

export function wait(eventId: number, name: string, changes: Partial<OpenWait> = {}): OpenWait {
  return { eventId, name, since: START, ...changes };
}

/** An item for the instance of a turn, requested by `eventId` of the execution that the turn belongs to. */
export function work(
  turn: Pick<ClaimedTurn, "instanceId" | "execution">,
  eventId: number,
  changes: Partial<OutgoingWork> = {},
): OutgoingWork {
  return {
    instanceId: turn.instanceId,
    execution: turn.execution,
    eventId,
    kind: "activity",
    name: ACTIVITY,
    body: `work ${eventId}`,
    attempts: 0,
    ...changes,
  };
}

/** A model call for the instance of a turn. */
export function call(
  turn: Parameters<typeof work>[0],
  eventId: number,
  changes: Partial<OutgoingWork> = {},
): OutgoingWork {
  return work(turn, eventId, { kind: "model", name: MODEL, body: `call ${eventId}`, ...changes });
}

export function completion(key: WorkKey, instanceId: string, body = "completed"): WorkCompletion {
  return { key, message: message(instanceId, body) };
}

/** A commit of one more event that takes every message of the turn, pins an open version and gives the instance back. */
export function commitOf(turn: ClaimedTurn, changes: Partial<TurnCommit> = {}): TurnCommit {
  return {
    key: turn.key,
    execution: turn.execution,
    expectedEventId: turn.lastEventId,
    history: [chunk(turn.execution, turn.lastEventId)],
    consumed: turn.messages.map(({ key }) => key),
    payloads: [],
    timers: [],
    settled: [],
    work: [],
    messages: [],
    starts: [],
    state: [],
    outputs: [],
    waits: [],
    ...(turn.version === undefined && { version: VERSION }),
    unsettled: false,
    keep: false,
    at: START,
    ...changes,
  };
}

/** The histories of a turn that ends the execution and begins the next. */
export function continuedAsNew(turn: Pick<ClaimedTurn, "execution" | "lastEventId">): HistoryChunk[] {
  return [chunk(turn.execution, turn.lastEventId), chunk(turn.execution + 1, 0)];
}

/** Changes of a commit that could not run the turn. */
export function blockedBy(buildId: string, error = "the code does not match the history"): Partial<TurnCommit> {
  return { history: [], consumed: [], blocked: { error, buildId } };
}

/** Changes of a commit that writes one row of everything: work for `other`, a message to it, and a child. */
export function everything(turn: ClaimedTurn, other: string, child: string): Partial<TurnCommit> {
  return {
    payloads: [{ digest: "digest-1", body: "a large text" }],
    timers: [timer(3, START + HOUR)],
    work: [work(turn, 4)],
    messages: [message(other, "hello")],
    starts: [start(child, { parentId: turn.instanceId })],
    state: [{ key: "colour", value: "red" }],
    outputs: [{ body: "first output", at: START }],
    waits: [wait(5, "approval")],
    customStatus: "half way",
    at: START + MINUTE,
  };
}

export function instanceQuery(changes: Partial<InstanceQuery> = {}): InstanceQuery {
  return { limit: 100, ...changes };
}

/** A text that no driver can bind: writing it fails in the middle of whatever it is part of. */
export function unwritable(): string {
  const refuse = (): never => {
    throw new TypeError("this value cannot be written");
  };
  return { toString: refuse, toJSON: refuse } as unknown as string;
}
