/**
 * A turn: messages become events and are delivered, what the code asks for becomes events with their effects on the world
 * outside. Nothing is done here; the shell commits the events and the effects together.
 */
import { beginningBudget } from "./budget.ts";
import type { Feed } from "./course.ts";
import { type BudgetExceededError, type Failure, fromFailure } from "./errors.ts";
import {
  type ClosingBody,
  type DeliveryBody,
  type EventAwaited,
  type EventBody,
  type HistoryEvent,
  historySchemaVersion,
  type LlmRequested,
  type ActivityScheduled,
  type OrchestrationDispatched,
  type OrchestrationFailed,
  type OrchestrationStarted,
  type OrchestrationTerminated,
  type ParentLink,
  type Recorded,
  type RequestBody,
  type StateDeleted,
  type StateSet,
  type SubOrchestrationScheduled,
} from "./events.ts";
import type { Execution } from "./execution.ts";
import { childIdOf } from "./fork-origin.ts";
import type { AnswerBody, AnswerMessage, Message, StartMessage } from "./messages.ts";
import { answers, type Operation } from "./operation.ts";
import type { Payload } from "./payload.ts";
import { SmallMap } from "./small-map.ts";

/** A message in the order in which it is to be delivered. */
export type Incoming = InboxMessage | FoundAnswer;

interface InboxMessage {
  readonly message: Message;
  readonly key: number | string;
}

/** An answer to this very execution that was found in this worker. */
interface FoundAnswer {
  readonly message: AnswerBody;
  readonly key?: undefined;
}

/** What follows from the events of a turn for the world outside. Most turns have little of it. */
export class TurnEffects {
  /** Activities and model calls to be executed, by event id. */
  readonly work: SmallMap<number, ActivityScheduled | LlmRequested> = new SmallMap();
  /** What is delivered when, by the event that asked for it. */
  readonly timers: SmallMap<number, { readonly fireAt: number; readonly answer: AnswerMessage }> = new SmallMap();
  readonly waits: SmallMap<number, EventAwaited> = new SmallMap();
  /** Requests of earlier turns that need no timer, work row or wait any more. */
  readonly settled: number[] = [];
  /** Work of earlier turns whose answer nobody wants any more. */
  readonly cancelledWork: number[] = [];
  readonly messages: { readonly instanceId: string; readonly message: Message }[] = [];
  readonly starts: {
    readonly eventId: number;
    readonly request: SubOrchestrationScheduled | OrchestrationDispatched;
  }[] = [];
  /** The last change of each key. */
  readonly state: SmallMap<string, StateSet | StateDeleted> = new SmallMap();
  readonly outputs: Payload[] = [];
  statusChanged = false;
}

/** What the turns of a batch have in common. */
export interface TurnTerms {
  /** Their clock. */
  readonly at: number;
  /** Longest time from the request to its answer, where one is set. */
  readonly totalTimeoutMs: (request: ActivityScheduled) => number | undefined;
  /** The version that the execution after this one is pinned to. */
  readonly nextVersion: (execution: Execution, asked: string | undefined) => string;
}

/** Feeds messages to an execution and gathers what comes of it. */
export class TurnFeed implements Feed {
  readonly incoming: readonly Incoming[];
  readonly firstEventId: number;
  readonly events: HistoryEvent[] = [];
  /** Keys of the messages taken from the inbox. */
  readonly consumed: (number | string)[] = [];
  readonly effects: TurnEffects = new TurnEffects();
  closing: ClosingBody | undefined;
  /** The start of the next execution, when this one continued as new. */
  nextStart: (Recorded & OrchestrationStarted) | undefined;

  readonly #terms: TurnTerms;
  #unrun: (Recorded & DeliveryBody) | undefined;
  #cursor = 0;

  /** @param unrun - The recorded delivery that the code has not seen yet. */
  constructor(execution: Execution, terms: TurnTerms, incoming: readonly Incoming[], unrun?: Recorded & DeliveryBody) {
    this.firstEventId = execution.lastEventId + 1;
    this.#terms = terms;
    this.incoming = incoming;
    this.#unrun = unrun;
  }

  next(execution: Execution): (Recorded & DeliveryBody) | undefined {
    if (this.#unrun !== undefined) {
      const unrun = this.#unrun;
      this.#unrun = undefined;
      return unrun;
    }
    while (this.closing === undefined && this.#cursor < this.incoming.length) {
      const one = this.incoming[this.#cursor++] as Incoming;
      const body = one.key === undefined ? this.#admitLocal(execution, one.message) : this.#admit(execution, one);
      if (body !== undefined) return this.#append(execution, body);
    }
    return undefined;
  }

  bind(execution: Execution, body: RequestBody, operation: Operation): number {
    const { id } = this.#append(execution, body);
    const { effects } = this;
    switch (body.kind) {
      case "ActivityScheduled":
        effects.work.set(id, body);
        this.#limit(execution, id, body);
        break;
      case "LlmRequested":
        effects.work.set(id, body);
        break;
      case "TimerCreated": {
        const answer: AnswerMessage = { kind: "TimerFired", source: id, execution: execution.execution };
        effects.timers.set(id, { fireAt: body.fireAt, answer });
        break;
      }
      case "EventAwaited":
        if (!operation.settled) effects.waits.set(id, body);
        break;
      case "SubOrchestrationScheduled":
      case "OrchestrationDispatched":
        effects.starts.push({ eventId: id, request: body });
        break;
      case "EventSent": {
        const { instanceId, name, data } = body;
        const message: Message = { kind: "EventReceived", name, ...(data !== undefined && { data }) };
        effects.messages.push({ instanceId, message });
        break;
      }
      case "ActivityCancelled":
      case "LlmCancelled":
        if (effects.work.delete(body.source)) {
          effects.timers.delete(body.source);
          break;
        }
        effects.settled.push(body.source);
        effects.cancelledWork.push(body.source);
        break;
      case "TimerCancelled":
        if (!effects.timers.delete(body.source)) effects.settled.push(body.source);
        break;
      case "EventWaitCancelled":
        if (!effects.waits.delete(body.source)) effects.settled.push(body.source);
        break;
      case "SubOrchestrationCancelled":
        this.#cancelChild(execution, body.source, operation.target?.body, body.reason);
        break;
      case "StatusSet":
        effects.statusChanged = true;
        break;
      case "StateSet":
      case "StateDeleted":
        effects.state.set(body.key, body);
        break;
      case "OutputEmitted":
        effects.outputs.push(body.data);
        break;
      case "ChangeMarked":
      case "LlmAnswerRefused":
      case "LlmAnswerTrimmed":
        break;
    }
    return id;
  }

  close(execution: Execution, body: ClosingBody): void {
    this.#append(execution, body);
    this.closing = body;
    if (body.kind === "ContinuedAsNew") this.nextStart = this.#nextStart(execution, body);
    else this.#tellParent(execution, body);
  }

  /** Ends the execution without its code: what it waits for is dropped, its children are told. */
  endWithoutCode(execution: Execution, body: OrchestrationTerminated | OrchestrationFailed): void {
    const reason = body.kind === "OrchestrationTerminated" ? body.reason : "the orchestration ended";
    for (const [eventId, { body: request }] of execution.pending) {
      if (request.kind === "SubOrchestrationScheduled") this.#cancelChild(execution, eventId, request, reason);
      else if (request.kind === "ActivityScheduled" || request.kind === "LlmRequested") {
        this.effects.cancelledWork.push(eventId);
      }
    }
    this.close(execution, body);
  }

  /** Answers of this worker that the turn was given, taken or not: what must not be lost with it. */
  untaken(): FoundAnswer[] {
    return this.incoming.filter((one): one is FoundAnswer => one.key === undefined);
  }

  /** Whether messages of the inbox are left for whatever comes after this execution. */
  get leftMessages(): boolean {
    return this.incoming.some(({ key }, i) => i >= this.#cursor && key !== undefined);
  }

  /** Called after the last delivery: waits that were satisfied need no row. */
  finish(execution: Execution): void {
    for (const eventId of execution.takeSatisfied()) {
      if (!this.effects.waits.delete(eventId)) this.effects.settled.push(eventId);
    }
  }

  /** An answer that was found in this worker, unless nobody waits for it any more. */
  #admitLocal(execution: Execution, answer: AnswerBody): DeliveryBody | undefined {
    const operation = execution.pending.get(answer.source);
    if (operation === undefined || !answers(answer.kind, operation.body.kind)) return undefined;
    if (this.#isLimited(operation.body)) this.effects.settled.push(answer.source);
    return answer;
  }

  /** The event that a message becomes, unless it is a duplicate or meant for an execution that has ended. */
  #admit(execution: Execution, { key, message }: InboxMessage): DeliveryBody | undefined {
    this.consumed.push(key);
    switch (message.kind) {
      case "OrchestrationTerminated":
        this.endWithoutCode(execution, message);
        return undefined;
      case "Start":
        return execution.lastEventId === 0 ? startOf(execution, message) : undefined;
      case "EventReceived":
        return message;
      case "CancelRequested":
        return execution.cancelRequested ? undefined : message;
      default: {
        const { execution: number, ...body } = message;
        const operation = number === execution.execution ? execution.pending.get(body.source) : undefined;
        if (operation === undefined || !answers(body.kind, operation.body.kind)) return undefined;
        if (body.kind === "LlmFailed" && isPassingRefusal(body.error)) throw fromFailure(body.error);
        if (body.kind !== "TimerFired") this.effects.settled.push(body.source); // a timer's row was its message
        this.effects.cancelledWork.push(body.source); // answered from elsewhere, so no longer wanted here
        return body;
      }
    }
  }

  #isLimited(request: RequestBody): boolean {
    return request.kind === "ActivityScheduled" && this.#terms.totalTimeoutMs(request) !== undefined;
  }

  /** A timer that fails the activity when nothing else has answered it. */
  #limit({ execution, instanceId }: Execution, id: number, request: ActivityScheduled): void {
    const totalMs = this.#terms.totalTimeoutMs(request);
    if (totalMs === undefined) return;
    const answer = overdue({ instanceId, execution, eventId: id }, request, totalMs);
    this.effects.timers.set(id, { fireAt: this.#terms.at + totalMs, answer });
  }

  #append<Body extends EventBody>(execution: Execution, body: Body): Recorded & Body {
    const event = { id: ++execution.lastEventId, at: this.#terms.at, ...body };
    this.events.push(event as HistoryEvent);
    return event;
  }

  #cancelChild({ started }: Execution, eventId: number, child: RequestBody | undefined, reason: string): void {
    if (child?.kind !== "SubOrchestrationScheduled" || child.parentClosePolicy === "abandon") return;
    const instanceId = childIdOf(started?.forkedFrom, eventId, child.instanceId);
    this.effects.messages.push({ instanceId, message: { kind: "CancelRequested", reason } });
  }

  #tellParent(execution: Execution, body: Exclude<ClosingBody, { kind: "ContinuedAsNew" }>): void {
    const parent = execution.started?.parent;
    if (parent === undefined) return;
    const address = { execution: parent.execution, source: parent.eventId };
    const message: AnswerMessage =
      body.kind === "OrchestrationCompleted"
        ? { kind: "SubOrchestrationCompleted", ...address, ...(body.output !== undefined && { result: body.output }) }
        : { kind: "SubOrchestrationFailed", ...address, error: failureOf(execution, body) };
    this.effects.messages.push({ instanceId: parent.instanceId, message });
  }

  #nextStart(
    execution: Execution,
    { input, version }: { input?: Payload; version?: string },
  ): NonNullable<TurnFeed["nextStart"]> {
    const { name, started, status, state } = execution;
    const events = execution.unreceived();
    const carried = {
      ...(events.length > 0 && { events }),
      ...(state.size > 0 && { state: Array.from(state, ([key, value]) => ({ key, value })) }),
      ...(status !== undefined && { status }),
    };
    return {
      id: 1,
      at: this.#terms.at,
      kind: "OrchestrationStarted",
      schemaVersion: historySchemaVersion,
      name,
      version: this.#terms.nextVersion(execution, version),
      ...(input !== undefined && { input }),
      ...(started?.parent !== undefined && { parent: started.parent }),
      ...(started?.labels !== undefined && { labels: started.labels }),
      ...(Object.keys(carried).length > 0 && { carried }),
      ...(execution.past.usage.rows.length > 0 && { usage: execution.past.usage.rows }),
      ...(started?.budget !== undefined && { budget: started.budget }),
    };
  }
}

/** What fails an activity that was not answered in its total time. */
export function overdue(
  { instanceId, execution, eventId: source }: ParentLink,
  { name, options }: ActivityScheduled,
  totalMs: number,
): AnswerMessage {
  const message = `Expected activity ${name} of instance ${instanceId} (event ${source}) to be answered within ${totalMs} ms, got no answer`;
  const error: Failure =
    options?.effect === "irreversible"
      ? {
          name: "OutcomeUnknownError",
          message: `${message}; it may have happened`,
          code: "outcome_unknown",
          retryable: false,
        }
      : { name: "TimeoutError", message, code: "timeout", retryable: true };
  return { kind: "ActivityFailed", source, error, execution };
}

function startOf(
  { name, version, definition }: Execution,
  { input, parent, labels, carried, usage, budget: given }: StartMessage,
): OrchestrationStarted {
  const budget = beginningBudget(definition.options.budget, given);
  return {
    kind: "OrchestrationStarted",
    schemaVersion: historySchemaVersion,
    name,
    version,
    ...(input !== undefined && { input }),
    ...(parent !== undefined && { parent }),
    ...(labels !== undefined && { labels }),
    ...(carried !== undefined && { carried }),
    ...(usage !== undefined && { usage }),
    ...(budget !== undefined && { budget }),
  };
}

function failureOf(
  { name, instanceId }: Execution,
  body: Exclude<ClosingBody, { kind: "ContinuedAsNew" | "OrchestrationCompleted" }>,
): Failure {
  switch (body.kind) {
    case "OrchestrationFailed":
      return body.error;
    case "OrchestrationCancelled":
      return { name: "CancelledError", message: body.reason, code: "cancelled", retryable: false };
    case "OrchestrationTerminated":
      return {
        name: "OrchestrationError",
        message: `Orchestration ${name} (instance ${instanceId}) was terminated: ${body.reason}`,
        code: "orchestration_terminated",
        retryable: false,
      };
  }
}

/** Whether a call found no room in a budget and may find some later: then the instance waits, and its code is not told. */
function isPassingRefusal({ code, retryable }: Failure): boolean {
  return retryable && code === ("budget_exceeded" satisfies BudgetExceededError["code"]);
}
