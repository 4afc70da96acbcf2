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
import type { Verdict } from "./recorder.ts";

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
    const event = this.#here(execution);
    if ((event?.kind === "OrchestrationStarted") !== (this.#cursor === 0)) {
      throw new HistoryCorruptError(
        `Expected the history of instance ${execution.instanceId} to have OrchestrationStarted as its first event and nowhere else, got ${event?.kind ?? "nothing"} as event ${this.#cursor + 1}`,
      );
    }
    if (event === undefined) return undefined;
    if (event.kind === "OrchestrationTerminated") {
      this.#cursor++;
      return undefined;
    }
    if (!isDelivery(event)) throw this.#missing(execution, event);
    this.#cursor++;
    execution.isReplaying = true;
    execution.lastEventId = event.id;
    return event;
  }

  bind(execution: Execution, body: RequestBody, operation: Operation): number {
    const event = this.#here(execution);
    if (event === undefined || isDelivery(event) || isClosing(event)) {
      const found = event === undefined ? "the end of history" : describe(event);
      const endsEarly = execution.isDone && (event === undefined || !isClosing(event));
      const why = endsEarly ? "the code ends earlier than was recorded" : "the code asks for more than was recorded";
      throw mismatch(execution, this.#cursor + 1, found, describe(body), operation.site, why);
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
    const event = this.#here(execution);
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

  /** Called when nothing is left to deliver: what is recorded after an end is damage. */
  finish(execution: Execution): StetError | undefined {
    const event = this.#events[this.#cursor];
    execution.isReplaying = false;
    if (event === undefined) return undefined;
    const last = this.#events[this.#cursor - 1] as HistoryEvent;
    return new HistoryCorruptError(
      `Expected event ${last.id} (${last.kind}) of instance ${execution.instanceId} to be the last, got ${event.kind} after it`,
    );
  }

  /** The event at the cursor, in its place. */
  #here({ instanceId }: Execution): HistoryEvent | undefined {
    const event = this.#events[this.#cursor];
    if (event !== undefined && event.id !== this.#cursor + 1) {
      throw new HistoryCorruptError(
        `Expected event ${this.#cursor + 1} of instance ${instanceId}, got event ${event.id}`,
      );
    }
    return event;
  }

  #missing(execution: Execution, event: HistoryEvent): StetError {
    const why = isClosing(event)
      ? "the code goes on where the recorded execution ended"
      : "the code no longer asks for it";
    return mismatch(execution, event.id, describe(event), "nothing", undefined, why);
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
  const refused = new Map<number, Exclude<Verdict, "accepted">>();
  for (const event of events) {
    if (event.kind === "ChangeMarked") changes.add(event.changeId);
    else if (event.kind === "LlmAnswerRefused") refused.set(event.source, "givenUp");
    else if (event.kind === "LlmAnswerTrimmed") refused.set(event.source, { trimmedTo: event.text });
    else if (event.kind === "LlmRequested" && event.refines !== undefined) refused.set(event.refines, "refined");
  }
  const [, second] = events;
  const inputRefused = second?.kind === "OrchestrationFailed" && second.error.code === "input_invalid";
  return { changes, refused, inputRefused };
}

/** The delivery at the end of a history that its code has not seen: the start of an execution, or where a fork begins. */
export function unrunOf(events: readonly HistoryEvent[]): (Recorded & DeliveryBody) | undefined {
  const [started] = events;
  const last = events.at(-1);
  if (started?.kind !== "OrchestrationStarted" || last === undefined || !isDelivery(last)) return undefined;
  return last.id === (started.forkedFrom?.atEvent ?? 1) ? last : undefined;
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
    { details: { eventId, expected: found, actual: asked, why, ...(site !== undefined && { site }) } },
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
