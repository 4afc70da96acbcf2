/**
 * Results: what the history of an instance says was answered, and on which side of the kill.
 */
import type { HistoryEvent } from "@stet/core";
import type { TicketRecord } from "./records.ts";
import { keyOf, type Tally } from "./tally.ts";

/**
 * When a result was made. `again`: asked for before the kill, answered after it, by a second call or attempt. `whole`:
 * there was no kill.
 */
export type Phase = "before" | "after" | "again" | "whole";

/** A recorded result. */
export interface Result {
  readonly eventId: number;
  readonly what: string;
  readonly value: unknown;
  readonly phase: Phase;
}

/** The results of an instance in the order in which they were recorded. */
export function resultsOf({ instanceId, events }: TicketRecord, { kills, calls }: Tally): Result[] {
  const kill = kills.at(-1);
  const lastBefore = kill?.lastEventIds[instanceId] ?? 0;
  const byId = new Map(events.map((event) => [event.id, event]));
  const phaseOf = (event: HistoryEvent, request: HistoryEvent | undefined): Phase => {
    if (kill === undefined) return "whole";
    if (event.id <= lastBefore) return "before";
    const openAtKill = request !== undefined && request.id <= lastBefore;
    const attempts = event.kind === "ActivityCompleted" ? (event.attempts ?? 1) : 0;
    const asked = event.kind === "LlmCompleted" ? calls.get(keyOf(instanceId, event.source))?.asked.length : 0;
    return openAtKill && Math.max(attempts, asked ?? 0) > 1 ? "again" : "after";
  };
  return events.flatMap((event): Result[] => {
    const request = "source" in event ? byId.get(event.source) : undefined;
    const said = resultOf(event, request);
    return said === undefined ? [] : [{ eventId: event.id, ...said, phase: phaseOf(event, request) }];
  });
}

function resultOf(event: HistoryEvent, request: HistoryEvent | undefined) {
  switch (event.kind) {
    case "ActivityCompleted":
      return { what: nameOf(request), value: event.result };
    case "LlmCompleted":
      return { what: nameOf(request), value: event.result.text };
    case "ActivityFailed":
      if (event.error.code === "outcome_unknown") return { what: nameOf(request), value: "cut off, not made again" };
      return { what: nameOf(request), value: `failed: ${event.error.message}` };
    case "LlmFailed":
      return { what: nameOf(request), value: `failed: ${event.error.message}` };
    case "EventReceived":
      return { what: event.name, value: event.data };
    case "TimerFired":
      return { what: "timer", value: "fired" };
    default:
      return undefined;
  }
}

function nameOf(request: HistoryEvent | undefined): string {
  if (request?.kind === "LlmRequested") return request.label ?? request.operation;
  return request?.kind === "ActivityScheduled" ? request.name : "?";
}
