/**
 * What a live execution offers to the context bound to it: asking the world for something, noting a fact, and reading
 * what has been recorded. Contexts know nothing else of the engine.
 */
import type { DurablePromise } from "./durable-promise.ts";
import type {
  ActivityCompleted,
  ContinuedAsNew,
  EventReceived,
  LlmCompleted,
  OrchestrationStarted,
  RequestBody,
  SubOrchestrationCompleted,
  TimerFired,
} from "./events.ts";
import type { Payload } from "./payload.ts";
import type { Logger } from "./ports.ts";
import type { Recollection } from "./recollection.ts";

/** A request that something outside will answer. */
export interface Question<Value> {
  readonly body: Extract<RequestBody, { kind: AskingKind }>;
  /** Turns the event that answers into what the code gets. May throw: then the promise rejects. */
  readonly read?: (answer: Answer) => Value;
}

/** Requests that are answered. */
export type AskingKind =
  "ActivityScheduled" | "TimerCreated" | "EventAwaited" | "SubOrchestrationScheduled" | "LlmRequested";

/** Events that answer well. */
export type Answer = ActivityCompleted | TimerFired | EventReceived | SubOrchestrationCompleted | LlmCompleted;

/** What became of a model's answer: it was taken, asked again, cut to fit, or was the last one refused. */
export type Verdict = "accepted" | "refined" | "givenUp" | { readonly trimmedTo: string };

/** See the head of the file. */
export interface Recorder {
  readonly instanceId: string;
  /** The id that the code sees. A fork replays what came before it under the id of its origin. */
  readonly identity: string;
  readonly execution: number;
  readonly name: string;
  readonly version: string;
  readonly isReplaying: boolean;
  /** Time of the event delivered last. */
  readonly now: number;
  readonly logger: Logger;
  /** Largest payload in bytes. */
  readonly payloadLimit: number;
  /** The start, once it is delivered. */
  readonly started: OrchestrationStarted | undefined;

  ask<Value>(question: Question<Value>): DurablePromise<Value>;
  note(body: Exclude<RequestBody, { kind: AskingKind }>): void;
  continueAsNew(body: Omit<ContinuedAsNew, "kind">): Promise<never>;

  /** Takes the oldest delivered event of this name that nobody has received: a wait that is satisfied at once. */
  takeEvent(name: string): { readonly data: Payload | undefined } | undefined;
  /** What history says of this change, if it says anything. */
  changeMark(changeId: string): boolean | undefined;
  /** How the code judged the recorded answer to this model call. `undefined` when not replaying. */
  verdictOn(eventId: number): Verdict | undefined;
  /** The value of the state, by key, in order. */
  readonly state: ReadonlyMap<string, Payload>;
  /** What came to the code before. */
  readonly past: Recollection;
  /** 64 bits that depend only on the identity, the execution, the event delivered last and how many were drawn since. */
  drawBits(): bigint;
  /** A number for the next child of this execution. */
  nextChild(): number;
}
