/**
 * Messages as tests write them: what the world outside says to an orchestration.
 */
import { type AnswerBody, type LlmCompleted, type Message, type Payload, toFailure } from "@stet/core";

/** A message; answers need no execution number. */
export type TestMessage = Exclude<Message, AnswerBody> | (AnswerBody & { readonly execution?: number });

/** The message that starts the orchestration under test. */
export function start(input?: Payload, more: Partial<Extract<Message, { kind: "Start" }>> = {}): TestMessage {
  return { kind: "Start", name: "", ...(input !== undefined && { input }), ...more };
}

/** An external event. */
export function event(name: string, data?: Payload): TestMessage {
  return { kind: "EventReceived", name, ...(data !== undefined && { data }) };
}

/** Somebody cancels the instance. */
export function cancel(reason = "no longer needed"): TestMessage {
  return { kind: "CancelRequested", reason };
}

/** Somebody terminates the instance. */
export function terminate(reason = "out of hand"): TestMessage {
  return { kind: "OrchestrationTerminated", reason };
}

type Source = number;
type Thrown = Error | string | { readonly message: string };

/** Answers to requests, by the id of the event that asked. Failures are given as what was thrown. */
export const answer: {
  readonly activityCompleted: (source: Source, result?: Payload) => TestMessage;
  readonly activityFailed: (source: Source, thrown: Thrown, attempts?: number) => TestMessage;
  readonly timerFired: (source: Source) => TestMessage;
  readonly childCompleted: (source: Source, result?: Payload) => TestMessage;
  readonly childFailed: (source: Source, thrown: Thrown) => TestMessage;
  readonly said: (source: Source, text: string, more?: Partial<LlmCompleted>) => TestMessage;
  readonly modelFailed: (source: Source, thrown: Thrown) => TestMessage;
} = {
  activityCompleted: (source, result) => ({
    kind: "ActivityCompleted",
    source,
    ...(result !== undefined && { result }),
  }),
  activityFailed: (source, thrown, attempts) => ({
    kind: "ActivityFailed",
    source,
    error: toFailure(thrown),
    ...(attempts !== undefined && { attempts }),
  }),
  timerFired: (source) => ({ kind: "TimerFired", source }),
  childCompleted: (source, result) => ({
    kind: "SubOrchestrationCompleted",
    source,
    ...(result !== undefined && { result }),
  }),
  childFailed: (source, thrown) => ({ kind: "SubOrchestrationFailed", source, error: toFailure(thrown) }),
  said: (source, text, more) => ({
    kind: "LlmCompleted",
    source,
    result: { text },
    model: "test",
    usage: { inputTokens: 1, outputTokens: 1 },
    finishReason: "stop",
    ...more,
  }),
  modelFailed: (source, thrown) => ({ kind: "LlmFailed", source, error: toFailure(thrown) }),
};
