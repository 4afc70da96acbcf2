/**
 * What an execution waits for, read from its history: requests that nothing has answered or taken back.
 */
import type { ForkOrigin, HistoryEvent } from "./events.ts";
import { childIdOf } from "./fork-origin.ts";
import type { WaitingFor } from "./instance-handle.ts";
import { modelsOf } from "./llm/model-lines.ts";
import type { ModelRecord, WaitingCall } from "./storage-admin.ts";

/** Open requests in the order in which they were made. */
export function waitingForOf(events: readonly HistoryEvent[]): WaitingFor[] {
  const open = new Map<number, WaitingFor>();
  const waits = new Map<string, number[]>();
  const buffered = new Map<string, number>();
  let fork: ForkOrigin | undefined;
  for (const event of events) {
    const { id: eventId, at: since } = event;
    switch (event.kind) {
      case "OrchestrationStarted":
        fork = event.forkedFrom;
        for (const { name } of event.carried?.events ?? []) buffered.set(name, (buffered.get(name) ?? 0) + 1);
        break;
      case "ActivityScheduled":
        open.set(eventId, { kind: "activity", name: event.name, eventId, since });
        break;
      case "TimerCreated":
        open.set(eventId, { kind: "timer", eventId, since, fireAt: event.fireAt });
        break;
      case "SubOrchestrationScheduled": {
        const instanceId = childIdOf(fork, eventId, event.instanceId);
        open.set(eventId, { kind: "subOrchestration", name: event.name, instanceId, eventId, since });
        break;
      }
      case "LlmRequested":
        open.set(eventId, { kind: "model", operation: event.operation, eventId, since });
        break;
      case "EventAwaited": {
        const { name, details, timeoutAt } = event;
        const kept = buffered.get(name) ?? 0;
        if (kept > 0) buffered.set(name, kept - 1);
        else {
          open.set(eventId, {
            kind: "event",
            name,
            eventId,
            since,
            ...(details !== undefined && { details }),
            ...(timeoutAt !== undefined && { timeoutAt }),
          });
          waits.set(name, [...(waits.get(name) ?? []), eventId]);
        }
        break;
      }
      case "EventReceived": {
        const waiting = (waits.get(event.name) ?? []).find((id) => open.has(id));
        if (waiting === undefined) buffered.set(event.name, (buffered.get(event.name) ?? 0) + 1);
        else open.delete(waiting);
        break;
      }
      default:
        if ("source" in event) open.delete(event.source);
    }
  }
  return [...open.values()];
}

/** The same with what model calls wait for that nobody makes at the moment. */
export function withWaitingCalls(
  waiting: readonly WaitingFor[],
  { calls, models }: { readonly calls: readonly WaitingCall[]; readonly models: readonly ModelRecord[] },
  now: number,
): WaitingFor[] {
  const opensAt = new Map(models.map((model) => [model.model, model.opensAt]));
  return waiting.map((wait) => {
    const call = wait.kind === "model" ? calls.find(({ eventId }) => eventId === wait.eventId) : undefined;
    if (wait.kind !== "model" || call === undefined) return wait;
    const capacityAt = Math.min(...modelsOf(call.line).map((model) => opensAt.get(model) ?? now));
    return {
      ...wait,
      ...(call.visibleAt !== undefined && call.visibleAt > now && { retryAt: call.visibleAt }),
      ...(capacityAt > now && { capacityAt }),
    };
  });
}
