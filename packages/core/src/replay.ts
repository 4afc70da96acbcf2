/**
 * Replay: a recorded history is fed to the code, and the code is held to it, in all directions. The code may not ask for
 * something else, for more, or for less than was recorded, and may not end earlier, later or otherwise.
 */
import { HistoryCorruptError, NondeterminismError, type StetError } from "./errors.ts";
import {
  type ClosingBody,
  type DeliveryBody,
  type HistoryEvent,
  isClosing,
  isDelivery,
  type LlmRequested,
  type Recorded,
  type RequestBody,
} from "./events.ts";
import { advance, Course, type Feed } from "./course.ts";
import type { Execution, Foreknowledge } from "./execution.ts";
import { describe, differenceOf } from "./nondeterminism.ts";
import type { Operation } from "./operation.ts";
import { type Payload, samePayload } from "./payload.ts";

/** What a replay noticed that is no error. */
export interface PromptDrift {
  readonly eventId: number;
  readonly operation: string;
  readonly label?: string;
  readonly recordedHash: string;
  readonly hash: string;
}

/** Delivers a recorded history and holds the code to it. */
export class HistoryFeed implements Feed {
  readonly drift: PromptDrift[] = [];
  readonly #events: readonly HistoryEvent[];
  readonly #strictPrompts: boolean;
  #cursor = 0;

  constructor(events: readonly HistoryEvent[], strictPrompts = false) {
    this.#events = events;
    this.#strictPrompts = strictPrompts;
  }

  next(execution: Execution): (Recorded & DeliveryBody) | undefined {
    const event = this.#events[this.#cursor];
    if (event === undefined) return undefined;
    if (event.kind === "OrchestrationTerminated") {
      this.#cursor++;
      return undefined;
    }
    if (!isDelivery(event)) throw this.#missing(execution, event);
    if (event.id !== this.#cursor + 1) {
      throw new HistoryCorruptError(
        `Expected event ${this.#cursor + 1} of instance ${execution.instanceId}, got event ${event.id}`,
      );
    }
    if (event.kind === "OrchestrationStarted" && this.#cursor > 0) {
      throw new HistoryCorruptError(
        `Expected one OrchestrationStarted in the history of instance ${execution.instanceId}, got another at event ${event.id}`,
      );
    }
    this.#cursor++;
    execution.isReplaying = true;
    execution.lastEventId = event.id;
    return event;
  }

  bind(execution: Execution, body: RequestBody, operation: Operation): number {
    const event = this.#events[this.#cursor];
    if (event === undefined || isDelivery(event) || isClosing(event)) {
      const found = event === undefined ? "the end of history" : describe(event);
      throw mismatch(
        execution,
        this.#cursor + 1,
        found,
        describe(body),
        operation.site,
        "the code asks for more than was recorded",
      );
    }
    const difference = differenceOf(event, body);
    if (difference !== undefined) {
      throw mismatch(execution, event.id, describe(event), describe(body), operation.site, `${difference} differs`);
    }
    if (body.kind === "LlmRequested") this.#comparePrompt(execution, event as Recorded & LlmRequested, body, operation);
    this.#cursor++;
    execution.lastEventId = event.id;
    return event.id;
  }

  close(execution: Execution, body: ClosingBody): void {
    const event = this.#events[this.#cursor];
    if (event === undefined || !isClosing(event)) {
      const found = event === undefined ? "an execution that goes on" : describe(event);
      throw mismatch(
        execution,
        this.#cursor + 1,
        found,
        describe(body),
        undefined,
        "the code ends earlier than was recorded",
      );
    }
    if (event.kind !== body.kind || !samePayload(outcomeOf(event), outcomeOf(body))) {
      throw mismatch(execution, event.id, describe(event), describe(body), undefined, "the code ends otherwise");
    }
    this.#cursor++;
    execution.lastEventId = event.id;
  }

  /** Called when nothing is left to deliver: the recorded end must have been reached. */
  finish(execution: Execution): StetError | undefined {
    const event = this.#events[this.#cursor];
    execution.isReplaying = false;
    return event === undefined ? undefined : this.#missing(execution, event);
  }

  #missing(execution: Execution, event: HistoryEvent): StetError {
    return mismatch(execution, event.id, describe(event), "nothing", undefined, "the code no longer asks for it");
  }

  #comparePrompt(
    execution: Execution,
    recorded: Recorded & LlmRequested,
    body: LlmRequested,
    { site }: Operation,
  ): void {
    if (recorded.promptHash === body.promptHash) return;
    if (this.#strictPrompts) {
      throw mismatch(
        execution,
        recorded.id,
        `prompt ${recorded.promptHash}`,
        `prompt ${body.promptHash}`,
        site,
        "prompt differs",
      );
    }
    this.drift.push({
      eventId: recorded.id,
      operation: body.operation,
      ...(body.label !== undefined && { label: body.label }),
      recordedHash: recorded.promptHash,
      hash: body.promptHash,
    });
  }
}

/** What the code may know before it is replayed: which choices history shows it to have made. */
export function foreknowledgeOf(events: readonly HistoryEvent[]): Foreknowledge {
  const changes = new Set<string>();
  const refined = new Set<number>();
  for (const event of events) {
    if (event.kind === "ChangeMarked") changes.add(event.changeId);
    else if (event.kind === "LlmRequested" && event.refines !== undefined) refined.add(event.refines);
  }
  return { changes, refined };
}

/** An execution to be brought to where its history ends. */
export interface ReplayJob {
  readonly execution: Execution;
  readonly events: readonly HistoryEvent[];
  readonly strictPrompts?: boolean;
}

/** How a replay went. Without a failure the execution stands where its history ends. */
export interface ReplayOutcome {
  readonly failure?: StetError;
  readonly drift: readonly PromptDrift[];
}

/** Replays many executions side by side. */
export async function replay(jobs: readonly ReplayJob[], hop: () => Promise<void>): Promise<ReplayOutcome[]> {
  const courses = jobs.map(({ execution, events, strictPrompts }) => {
    execution.foreknowledge = foreknowledgeOf(events);
    return new Course(execution, new HistoryFeed(events, strictPrompts));
  });
  await advance(courses, hop);
  return courses.map(({ execution, feed, failure }) => {
    const { drift } = feed as HistoryFeed;
    const found = failure ?? (feed as HistoryFeed).finish(execution);
    execution.forget();
    return found === undefined ? { drift } : { drift, failure: found };
  });
}

function mismatch(
  execution: Execution,
  eventId: number,
  found: string,
  asked: string,
  site: string | undefined,
  why: string,
): StetError {
  return new NondeterminismError(
    `Expected orchestration ${execution.name} version ${execution.version} (instance ${execution.instanceId}, execution ${execution.execution}) to replay event ${eventId}, ${found}; got ${asked}${site === undefined ? "" : ` ${site}`}: ${why}. Guard the change with ctx.patched, register it as a new version, or bring the old code back`,
    { details: { eventId, expected: found, actual: asked, ...(site !== undefined && { site }) } },
  );
}

/** The payload that two ends must share to be the same end. */
function outcomeOf(body: ClosingBody): Payload | undefined {
  switch (body.kind) {
    case "OrchestrationCompleted":
      return body.output;
    case "OrchestrationFailed":
      return { code: body.error.code, message: body.error.message };
    case "ContinuedAsNew":
      return body.input;
    case "OrchestrationCancelled":
    case "OrchestrationTerminated":
      return body.reason;
  }
}
