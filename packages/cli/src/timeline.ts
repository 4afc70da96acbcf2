/**
 * A history as people tell it: each thing that was asked for, once, with how it came out. What belongs together, such as a
 * wait and the timer that ends it, is one entry.
 */
import type { Failure, ForkOrigin, HistoryEvent, LlmUsage, Payload } from "@stet/core";

/** How something that was asked for came out. */
export type Outcome = "open" | "done" | "failed" | "cancelled" | "timed out" | "refused";

/** One thing that happened, or that was asked for and came out so. */
export interface TimelineEntry {
  /** The event that began it. */
  readonly eventId: number;
  readonly at: number;
  /** `activity`, `model`, `timer`, `event`, `sub-orchestration`, or what else happened, in a few words. */
  readonly kind: string;
  readonly name?: string;
  /** Absent for what is over as soon as it has happened. */
  readonly outcome?: Outcome;
  readonly tookMs?: number;
  readonly attempts?: number;
  /** What was given: an input, details, a value. */
  readonly given?: Payload;
  /** What came back. */
  readonly result?: Payload;
  readonly error?: Failure;
  readonly reason?: string;
  /** When it is due, of a timer and of a wait with a timeout. */
  readonly dueAt?: number;
  /** The sub-orchestration, whom an event was sent to, whose history a fork began with. */
  readonly instanceId?: string;
  readonly model?: string;
  readonly label?: string;
  readonly usage?: LlmUsage;
  readonly costUsd?: number;
  /** The answer was there already and cost nothing. */
  readonly cached?: boolean;
}

/** The entries of one execution, in the order in which they began. */
export function timelineOf(events: readonly HistoryEvent[]): TimelineEntry[] {
  const timeline = new Timeline();
  for (const event of events) timeline.tell(event);
  return timeline.entries;
}

type Draft = { -readonly [Member in keyof TimelineEntry]: TimelineEntry[Member] };

/** A timeline up to some event. */
class Timeline {
  readonly entries: Draft[] = [];
  readonly #byEvent = new Map<number, Draft>();
  /** Events that came before anybody waited for them. */
  readonly #early: { readonly name: string; readonly data?: Payload }[] = [];
  #forkedFrom: ForkOrigin | undefined;

  tell(event: HistoryEvent): void {
    switch (event.kind) {
      case "OrchestrationStarted":
        this.#forkedFrom = event.forkedFrom;
        this.#early.push(...(event.carried?.events ?? []));
        this.#put(event, {
          kind: event.forkedFrom === undefined ? "started" : "started as a fork of",
          name: event.forkedFrom?.instanceId,
          given: event.input,
        });
        return;
      case "ActivityScheduled":
        this.#put(event, { kind: "activity", name: event.name, outcome: "open", given: event.input });
        return;
      case "LlmRequested":
        if (event.refines !== undefined) this.#amend(event.refines, { outcome: "refused" });
        this.#put(event, {
          kind: "model",
          name: event.operation,
          outcome: "open",
          label: event.label,
          model: event.request.model,
          given: event.request.messages.at(-1)?.content,
        });
        return;
      case "TimerCreated":
        this.#putTimer(event, event.fireAt);
        return;
      case "EventAwaited":
        this.#putWait(event, event);
        return;
      case "SubOrchestrationScheduled": {
        const instanceId = this.#forkedFrom?.children?.[event.id] ?? event.instanceId;
        const { name, input } = event;
        this.#put(event, { kind: "sub-orchestration", name, outcome: "open", given: input, instanceId });
        return;
      }
      case "OrchestrationDispatched":
        this.#put(event, { kind: "dispatched", name: event.name, given: event.input, instanceId: event.instanceId });
        return;
      case "EventSent":
        this.#put(event, { kind: "sent event", name: event.name, given: event.data, instanceId: event.instanceId });
        return;
      case "EventReceived":
        this.#receive(event, event.name, event.data);
        return;
      case "ActivityCompleted":
        this.#close(event.source, event.at, { outcome: "done", result: event.result, attempts: event.attempts });
        return;
      case "SubOrchestrationCompleted":
        this.#close(event.source, event.at, { outcome: "done", result: event.result });
        return;
      case "LlmCompleted": {
        const { result, model, usage, costUsd, cached, attempts } = event;
        const answer = result.toolCalls?.length ? result.toolCalls.map(({ name }) => `calls ${name}`) : result.text;
        const said = typeof answer === "string" ? answer : answer.join(", ");
        this.#close(event.source, event.at, { outcome: "done", result: said, model, usage, costUsd, cached, attempts });
        return;
      }
      case "ActivityFailed":
      case "LlmFailed":
        this.#close(event.source, event.at, { outcome: "failed", error: event.error, attempts: event.attempts });
        return;
      case "SubOrchestrationFailed":
        this.#close(event.source, event.at, { outcome: "failed", error: event.error });
        return;
      case "TimerFired":
        this.#fire(event.source, event.at);
        return;
      case "ActivityCancelled":
      case "TimerCancelled":
      case "EventWaitCancelled":
      case "SubOrchestrationCancelled":
      case "LlmCancelled":
        this.#close(event.source, event.at, { outcome: "cancelled", reason: event.reason });
        return;
      case "LlmAnswerRefused":
        this.#amend(event.source, { outcome: "refused", reason: event.problem });
        return;
      case "LlmAnswerTrimmed":
        this.#amend(event.source, { result: event.text });
        return;
      case "StatusSet":
        this.#put(event, { kind: "status", given: event.value });
        return;
      case "StateSet":
        this.#put(event, { kind: "state", name: event.key, given: event.value });
        return;
      case "StateDeleted":
        this.#put(event, { kind: "state deleted", name: event.key });
        return;
      case "OutputEmitted":
        this.#put(event, { kind: "output", given: event.data });
        return;
      case "ChangeMarked":
        this.#put(event, { kind: event.active ? "with change" : "without change", name: event.changeId });
        return;
      case "CancelRequested":
        this.#put(event, { kind: "cancellation asked for", reason: event.reason });
        return;
      case "OrchestrationCompleted":
        this.#put(event, { kind: "completed", given: event.output });
        return;
      case "OrchestrationFailed":
        this.#put(event, { kind: "failed", error: event.error });
        return;
      case "OrchestrationCancelled":
        this.#put(event, { kind: "cancelled", reason: event.reason });
        return;
      case "OrchestrationTerminated":
        this.#put(event, { kind: "terminated", reason: event.reason });
        return;
      case "ContinuedAsNew":
        this.#put(event, { kind: "continued as new", given: event.input });
        return;
    }
  }

  #put({ id, at }: HistoryEvent, entry: Loose<Omit<Draft, "eventId" | "at">>): Draft {
    const draft = present({ eventId: id, at, ...entry });
    this.entries.push(draft);
    this.#byEvent.set(id, draft);
    return draft;
  }

  /** The timer of a wait with a timeout is the event after it, and is told with it. */
  #putTimer(event: HistoryEvent, dueAt: number): void {
    const before = this.#byEvent.get(event.id - 1);
    if (before?.kind === "event" && before.dueAt === dueAt) this.#byEvent.set(event.id, before);
    else this.#put(event, { kind: "timer", outcome: "open", dueAt });
  }

  #putWait(event: HistoryEvent, wait: { name: string; details?: Payload; timeoutAt?: number }): void {
    const { name, details, timeoutAt } = wait;
    const draft = this.#put(event, { kind: "event", name, outcome: "open", given: details, dueAt: timeoutAt });
    const early = this.#early.findIndex((kept) => kept.name === name);
    if (early < 0) return;
    const [taken] = this.#early.splice(early, 1);
    Object.assign(draft, present({ outcome: "done" as const, tookMs: 0, result: taken?.data }));
  }

  #receive(event: HistoryEvent, name: string, data: Payload | undefined): void {
    const wait = this.entries.find(
      (entry) => entry.kind === "event" && entry.name === name && entry.outcome === "open",
    );
    if (wait !== undefined) return this.#close(wait.eventId, event.at, { outcome: "done", result: data });
    this.#early.push(present({ name, data }));
    this.#put(event, { kind: "event, before anybody waited", name, result: data });
  }

  /** A timer, or the timeout of a wait. */
  #fire(source: number, at: number): void {
    this.#close(source, at, { outcome: this.#byEvent.get(source)?.kind === "event" ? "timed out" : "done" });
  }

  /** The first that closes an entry stands: a wait that timed out is also cancelled, its timer too. */
  #close(source: number, at: number, how: Loose<Partial<Draft>>): void {
    const draft = this.#byEvent.get(source);
    if (draft?.outcome === "open") Object.assign(draft, present({ ...how, tookMs: at - draft.at }));
  }

  #amend(source: number, how: Partial<Draft>): void {
    Object.assign(this.#byEvent.get(source) ?? {}, how);
  }
}

/** As histories have it: what is not there is absent. */
type Loose<Shape> = { [Member in keyof Shape]: Shape[Member] | undefined };

function present<Shape extends object>(loose: Loose<Shape>): Shape {
  return Object.fromEntries(Object.entries(loose).filter(([, value]) => value !== undefined)) as Shape;
}
