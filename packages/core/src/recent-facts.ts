/**
 * What came to the code lately, for those who tell a model about it. Bounded, because every live execution has one: the
 * last facts only, and of large payloads only their beginning.
 */
import type { DeliveryBody, RequestBody } from "./events.ts";
import type { Payload } from "./payload.ts";

/** Something that came to the code. */
export interface Fact {
  readonly kind: Exclude<DeliveryBody["kind"], "OrchestrationStarted">;
  /** The activity, orchestration, event or operation. Timers and cancellations have no name. */
  readonly name: string | undefined;
  /** The answer, the data, or the failure in words. */
  readonly value: Payload | undefined;
  /** The beginning of the value as JSON, in place of a large value. */
  readonly excerpt: string | undefined;
}

/** More facts than this are forgotten, oldest first. */
const mostFacts = 50;

/** A value of more characters than this is kept as an excerpt. */
const longestValue = 2_000;

/** See the head of the file. */
export class RecentFacts {
  #facts: Fact[] | undefined;
  #count = 0;

  /** @param request - What the event answers, if it answers something. */
  add(event: DeliveryBody, request: RequestBody | undefined): void {
    if (event.kind === "OrchestrationStarted") return;
    const name = nameOf(event, request);
    const value = valueOf(event);
    const fact: Fact =
      value === undefined || !isLong(value)
        ? { kind: event.kind, name, value, excerpt: undefined }
        : { kind: event.kind, name, value: undefined, excerpt: excerptOf(value) };
    (this.#facts ??= [])[this.#count++ % mostFacts] = fact;
  }

  /** How many there were in all. */
  get count(): number {
    return this.#count;
  }

  /** Oldest first. */
  list(): Fact[] {
    const facts = this.#facts ?? [];
    const oldest = this.#count % mostFacts;
    return this.#count <= mostFacts ? [...facts] : [...facts.slice(oldest), ...facts.slice(0, oldest)];
  }
}

/** The beginning of a value as JSON, or all of it when it is short. */
export function excerptOf(value: Payload): string {
  const text = JSON.stringify(value);
  // Through a buffer, so that the excerpt does not keep the whole text in memory, nor half a character.
  return text.length <= longestValue ? text : `${Buffer.from(text.slice(0, longestValue)).toString()}... (cut)`;
}

function nameOf(event: DeliveryBody, request: RequestBody | undefined): string | undefined {
  if (event.kind === "EventReceived") return event.name;
  switch (request?.kind) {
    case "ActivityScheduled":
    case "SubOrchestrationScheduled":
      return request.name;
    case "LlmRequested":
      return request.operation;
    default:
      return undefined;
  }
}

function valueOf(event: DeliveryBody): Payload | undefined {
  switch (event.kind) {
    case "ActivityCompleted":
    case "SubOrchestrationCompleted":
      return event.result;
    case "ActivityFailed":
    case "SubOrchestrationFailed":
    case "LlmFailed":
      return event.error.message;
    case "LlmCompleted":
      return event.result.toolCalls === undefined ? event.result.text : { calls: event.result.toolCalls };
    case "EventReceived":
      return event.data;
    case "CancelRequested":
      return event.reason;
    default:
      return undefined;
  }
}

function isLong(value: Payload): boolean {
  return roomAfter(value, longestValue) < 0;
}

/** What is left of `room` characters after the value. Looks no further than it must. */
function roomAfter(value: Payload, room: number): number {
  if (typeof value === "string") return room - value.length;
  if (typeof value !== "object" || value === null) return room - 4;
  let left = room;
  for (const member of Array.isArray(value) ? value : Object.values(value)) {
    if (left < 0) break;
    left = roomAfter(member as Payload, left - 4);
  }
  return left;
}
