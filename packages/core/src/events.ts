/**
 * History: what has happened to one execution of an instance, as an ordered list of immutable facts.
 *
 * Invariants
 *   H1  Ids are dense from 1 within an execution; event 1 is `OrchestrationStarted`.
 *   H2  A completion names the event that asked for it in `source`, and each request is answered at most once.
 *   H3  A request event follows the delivery that made the code ask for it; both are committed together.
 *   H4  A closing event is the last one. Nothing follows it.
 *   H5  Optional means absent. `undefined` is never stored, `null` is a value.
 *
 * Every kind plays one of three roles, and replay is the loop over them (`execution.ts`):
 *   a *delivery* comes to the code from outside; a *request* is made by the code; a *closing* ends the execution.
 */
import type { Budget, RecordedBudget } from "./budget.ts";
import type { Failure } from "./errors.ts";
import type { LlmAnswer, LlmFinishReason, LlmRequest, LlmUsage } from "./llm/conversation.ts";
import type { UsageRow, WastedUsage } from "./llm/usage.ts";
import type { Payload } from "./payload.ts";

/** Version of the event vocabulary, written on the first event of an execution. */
export const historySchemaVersion: number = 1;

/** What every event carries: its position in the execution and the turn's clock in epoch milliseconds. */
export interface Recorded {
  readonly id: number;
  readonly at: number;
}

/** The address of the request that a sub-orchestration answers to. */
export interface ParentLink {
  readonly instanceId: string;
  readonly execution: number;
  readonly eventId: number;
}

/** What an execution hands to the next one when it continues as new. */
export interface Carried {
  readonly events?: readonly { readonly name: string; readonly data?: Payload }[];
  /** In the order of the keys. */
  readonly state?: readonly { readonly key: string; readonly value: Payload }[];
  readonly status?: Payload;
}

/** Whose history a fork began with, and up to where. */
export interface ForkOrigin {
  readonly instanceId: string;
  readonly execution: number;
  /**
   * The delivery that the fork's own code was the first to see. The events before are replayed as the origin: ids and
   * chance come out as they did there.
   */
  readonly atEvent: number;
  /** Events whose input or result was exchanged. */
  readonly replaced?: readonly number[];
  /** The fork's own sub-orchestrations in the place of those that ran for the origin, by the event that asked. */
  readonly children?: { readonly [eventId: number]: string };
  /** Set when the origin is a fork too. */
  readonly forkedFrom?: ForkOrigin;
}

/** Routing and limits of one activity call, as recorded. Absent fields mean the activity's own definition decides. */
export interface RecordedActivityOptions {
  readonly tag?: string;
  readonly session?: string;
  readonly effect?: Effect;
  readonly retry?: RecordedRetryPolicy;
  readonly timeoutMs?: number;
  readonly totalTimeoutMs?: number;
  readonly heartbeatTimeoutMs?: number;
}

/** A retry policy with every duration in milliseconds. */
export interface RecordedRetryPolicy {
  readonly maxAttempts: number;
  readonly initialIntervalMs: number;
  readonly backoff: number;
  readonly maxIntervalMs: number;
  readonly jitter: number;
  readonly nonRetryableCodes?: readonly string[];
}

/**
 * What running an activity twice would mean. `irreversible` work is never started again once it may have started: it
 * fails with `OutcomeUnknownError` instead.
 */
export type Effect = "pure" | "idempotent" | "compensable" | "irreversible";

/** Whether a sub-orchestration is cancelled when its parent ends, or goes on alone. */
export type ParentClosePolicy = "cancel" | "abandon";

/** One fact of a history. */
export type HistoryEvent = Recorded & EventBody;

/** An event before it has a place in history. */
export type EventBody = DeliveryBody | RequestBody | ClosingBody;

/** Comes to the code from outside: the start, an answer, a message. */
export type DeliveryBody =
  | OrchestrationStarted
  | ActivityCompleted
  | ActivityFailed
  | TimerFired
  | EventReceived
  | SubOrchestrationCompleted
  | SubOrchestrationFailed
  | LlmCompleted
  | LlmFailed
  | CancelRequested;

/** Made by the code, in this order, each time it is replayed. */
export type RequestBody =
  | ActivityScheduled
  | ActivityCancelled
  | TimerCreated
  | TimerCancelled
  | EventAwaited
  | EventWaitCancelled
  | SubOrchestrationScheduled
  | SubOrchestrationCancelled
  | OrchestrationDispatched
  | EventSent
  | LlmRequested
  | LlmAnswerRefused
  | LlmAnswerTrimmed
  | LlmCancelled
  | StatusSet
  | StateSet
  | StateDeleted
  | OutputEmitted
  | ChangeMarked;

/** Ends the execution. */
export type ClosingBody =
  OrchestrationCompleted | OrchestrationFailed | OrchestrationCancelled | OrchestrationTerminated | ContinuedAsNew;

// The life of an execution

/** An execution begins: its code, its input, and what the execution before handed to it. */
export interface OrchestrationStarted {
  readonly kind: "OrchestrationStarted";
  readonly schemaVersion: number;
  readonly name: string;
  readonly version: string;
  readonly input?: Payload;
  readonly parent?: ParentLink;
  readonly labels?: Labels;
  readonly carried?: Carried;
  readonly forkedFrom?: ForkOrigin;
  /** What the executions before this one have used of models. */
  readonly usage?: readonly UsageRow[];
  /** Absent when its model calls draw on no budget. */
  readonly budget?: RecordedBudget;
}

/** Somebody asked the instance to stop. All that is pending rejects with `CancelledError`. */
export interface CancelRequested {
  readonly kind: "CancelRequested";
  readonly reason: string;
}

/** The code returned. Absent `output` means it returned nothing. */
export interface OrchestrationCompleted {
  readonly kind: "OrchestrationCompleted";
  readonly output?: Payload;
}

/** The code threw. */
export interface OrchestrationFailed {
  readonly kind: "OrchestrationFailed";
  readonly error: Failure;
}

/** The code ended with the `CancelledError` of a cancellation that was asked for. */
export interface OrchestrationCancelled {
  readonly kind: "OrchestrationCancelled";
  readonly reason: string;
}

/** The instance was stopped without running its code. */
export interface OrchestrationTerminated {
  readonly kind: "OrchestrationTerminated";
  readonly reason: string;
}

/** The code asked for a next execution with a fresh history. */
export interface ContinuedAsNew {
  readonly kind: "ContinuedAsNew";
  readonly input?: Payload;
  readonly version?: string;
}

// Activities

/** The code asked for an activity. Absent `input` means `undefined`. */
export interface ActivityScheduled {
  readonly kind: "ActivityScheduled";
  readonly name: string;
  readonly input?: Payload;
  readonly options?: RecordedActivityOptions;
}

/** An activity answered. */
export interface ActivityCompleted {
  readonly kind: "ActivityCompleted";
  readonly source: number;
  readonly result?: Payload;
  /** How often it was started. Absent means once. */
  readonly attempts?: number;
}

/** An activity failed for good: `error` is what its last attempt threw. */
export interface ActivityFailed {
  readonly kind: "ActivityFailed";
  readonly source: number;
  readonly error: Failure;
  /** How often it was started. Absent means once. */
  readonly attempts?: number;
}

/** The code gave an activity up. */
export interface ActivityCancelled {
  readonly kind: "ActivityCancelled";
  readonly source: number;
  readonly reason: string;
}

// Timers

/** The code asked to be woken at `fireAt`, in epoch milliseconds. */
export interface TimerCreated {
  readonly kind: "TimerCreated";
  readonly fireAt: number;
}

/** The time has come. */
export interface TimerFired {
  readonly kind: "TimerFired";
  readonly source: number;
}

/** The code gave a timer up. */
export interface TimerCancelled {
  readonly kind: "TimerCancelled";
  readonly source: number;
  readonly reason: string;
}

// External events

/** The code asked for the next external event of a name. */
export interface EventAwaited {
  readonly kind: "EventAwaited";
  readonly name: string;
  readonly details?: Payload;
  /** When the wait gives up, if it does. The timer that does it is an event of its own. */
  readonly timeoutAt?: number;
}

/** An external event reached the instance. It answers the oldest wait for its name, or is kept for the next one. */
export interface EventReceived {
  readonly kind: "EventReceived";
  readonly name: string;
  readonly data?: Payload;
}

/** The code gave a wait up. */
export interface EventWaitCancelled {
  readonly kind: "EventWaitCancelled";
  readonly source: number;
  readonly reason: string;
}

/** The code sent an external event to another instance. */
export interface EventSent {
  readonly kind: "EventSent";
  readonly instanceId: string;
  readonly name: string;
  readonly data?: Payload;
}

// Other orchestrations

/** The code started another orchestration and asked for its output. */
export interface SubOrchestrationScheduled {
  readonly kind: "SubOrchestrationScheduled";
  readonly name: string;
  readonly version?: string;
  readonly instanceId: string;
  readonly input?: Payload;
  readonly labels?: Labels;
  readonly budget?: Budget;
  /** Absent means `"cancel"`. */
  readonly parentClosePolicy?: ParentClosePolicy;
}

/** A sub-orchestration ended well. */
export interface SubOrchestrationCompleted {
  readonly kind: "SubOrchestrationCompleted";
  readonly source: number;
  readonly result?: Payload;
}

/** A sub-orchestration failed, was cancelled or terminated, or could not be started. */
export interface SubOrchestrationFailed {
  readonly kind: "SubOrchestrationFailed";
  readonly source: number;
  readonly error: Failure;
}

/** The code gave a sub-orchestration up. */
export interface SubOrchestrationCancelled {
  readonly kind: "SubOrchestrationCancelled";
  readonly source: number;
  readonly reason: string;
}

/** The code started another orchestration that lives on its own. */
export interface OrchestrationDispatched {
  readonly kind: "OrchestrationDispatched";
  readonly name: string;
  readonly version?: string;
  readonly instanceId: string;
  readonly input?: Payload;
  readonly labels?: Labels;
  readonly budget?: Budget;
}

// Model calls

/** For whom the answer to a model call is kept: this execution, the instance, or everybody for a time. */
export type RecordedCacheScope = "execution" | "instance" | { readonly scope: "global"; readonly ttlMs: number };

/** Options of a model call as history keeps them. */
export interface RecordedLlmOptions {
  readonly timeoutMs?: number;
  /** Its rank among calls that wait. Absent means 0. */
  readonly priority?: number;
  /** Absent: the answer is neither looked up nor kept. */
  readonly cache?: RecordedCacheScope;
  /** What the model says goes to the output stream while it speaks: without a channel, or to one with a name. */
  readonly stream?: true | string;
}

/** The code asked a model. */
export interface LlmRequested {
  readonly kind: "LlmRequested";
  readonly operation: string;
  /** SHA-256 of the canonical request: a replay that would ask something else shows as prompt drift. */
  readonly promptHash: string;
  readonly request: LlmRequest;
  readonly options?: RecordedLlmOptions;
  readonly label?: string;
  /** The earlier request whose answer this one refuses and asks again. */
  readonly refines?: number;
}

/** A model answered. */
export interface LlmCompleted {
  readonly kind: "LlmCompleted";
  readonly source: number;
  readonly result: LlmAnswer;
  readonly model: string;
  readonly usage: LlmUsage;
  readonly costUsd?: number;
  readonly finishReason: LlmFinishReason;
  /** The answer was there already: `model` gave it to another call, and this one used nothing. */
  readonly cached?: boolean;
  /** How often it was sent. Absent means once. */
  readonly attempts?: number;
  /** By attempts before the one that was answered. It is not part of `usage`. */
  readonly wasted?: readonly WastedUsage[];
}

/** A model call failed for good. */
export interface LlmFailed {
  readonly kind: "LlmFailed";
  readonly source: number;
  readonly error: Failure;
  /** How often it was sent. Absent means once. */
  readonly attempts?: number;
  readonly wasted?: readonly WastedUsage[];
}

/**
 * The last answer that a question may have was refused: the operation rejects with `LlmOutputError`. Answers refused
 * before that are named by `refines` of the question that asked again; those cut to fit by `LlmAnswerTrimmed`; all others
 * were accepted.
 */
export interface LlmAnswerRefused {
  readonly kind: "LlmAnswerRefused";
  readonly source: number;
  readonly problem: string;
}

/** The last answer that a question may have was longer than asked for, and was cut: the code got `text`. */
export interface LlmAnswerTrimmed {
  readonly kind: "LlmAnswerTrimmed";
  readonly source: number;
  readonly text: string;
}

/** The code gave a model call up. */
export interface LlmCancelled {
  readonly kind: "LlmCancelled";
  readonly source: number;
  readonly reason: string;
}

// Side state

/** The code said how it stands. */
export interface StatusSet {
  readonly kind: "StatusSet";
  /** `null` clears the status. */
  readonly value: Payload;
}

/** The code set a key of its state. */
export interface StateSet {
  readonly kind: "StateSet";
  readonly key: string;
  readonly value: Payload;
}

/** The code removed a key of its state. */
export interface StateDeleted {
  readonly kind: "StateDeleted";
  readonly key: string;
}

/** The code appended to the output stream. */
export interface OutputEmitted {
  readonly kind: "OutputEmitted";
  readonly data: Payload;
}

/** The code passed a change for the first time: `active` says which side it took. */
export interface ChangeMarked {
  readonly kind: "ChangeMarked";
  readonly changeId: string;
  readonly active: boolean;
}

/** Short names and values that callers attach to an instance and search by. */
export type Labels = { readonly [key: string]: string };

const deliveryKinds: ReadonlySet<string> = new Set<DeliveryBody["kind"]>([
  "OrchestrationStarted",
  "ActivityCompleted",
  "ActivityFailed",
  "TimerFired",
  "EventReceived",
  "SubOrchestrationCompleted",
  "SubOrchestrationFailed",
  "LlmCompleted",
  "LlmFailed",
  "CancelRequested",
]);

const closingKinds: ReadonlySet<string> = new Set<ClosingBody["kind"]>([
  "OrchestrationCompleted",
  "OrchestrationFailed",
  "OrchestrationCancelled",
  "OrchestrationTerminated",
  "ContinuedAsNew",
]);

/** Whether the event comes to the code from outside. */
export function isDelivery(event: HistoryEvent): event is Recorded & DeliveryBody {
  return deliveryKinds.has(event.kind);
}

/** Whether the event ends its execution. */
export function isClosing(event: HistoryEvent): event is Recorded & ClosingBody {
  return closingKinds.has(event.kind);
}
