/**
 * One recorded result, exchanged: what was asked stays, and so does who answered and when.
 */
import { ConfigurationError } from "./errors.ts";
import type { HistoryEvent, LlmCompleted, LlmFailed, LlmRequested, Recorded } from "./events.ts";
import { writtenAnswer } from "./llm/written-answer.ts";
import type { Payload } from "./payload.ts";
import { toPayload } from "./to-payload.ts";

/** Another result for something that was answered. A failure may be exchanged for a result. */
export interface ReplacedResult {
  /** The event that recorded the answer: of an activity, a sub-orchestration or a model, or an external event. */
  readonly eventId: number;
  /**
   * What the code is to get instead: the result of the activity or sub-orchestration, the data of the event, or what the
   * operation that asked the model answers (`false` for `ifTrue`, a category for `classify`, an object that satisfies the
   * schema for `generateStructured`, a text for `generate`).
   */
  readonly result: unknown;
}

/** The events with the result in its place. @throws ConfigurationError when there is no such result to exchange. */
export function exchanged(
  events: readonly HistoryEvent[],
  { eventId, result }: ReplacedResult,
  payloadLimit: number,
): readonly HistoryEvent[] {
  const event = events[eventId - 1];
  if (event === undefined) {
    throw new ConfigurationError(
      `Expected eventId of replaceResult to be an event of the fork, from 1 to ${events.length}, got ${String(eventId)}`,
    );
  }
  const payload = toPayload(result, "replaced result of event", String(eventId), payloadLimit);
  return events.with(eventId - 1, answeredWith(event, payload, events));
}

function answeredWith(event: HistoryEvent, result: Payload | undefined, events: readonly HistoryEvent[]): HistoryEvent {
  const { id, at } = event;
  const given = result !== undefined && { result };
  switch (event.kind) {
    case "ActivityCompleted":
    case "ActivityFailed": {
      const { source, attempts } = event;
      return { id, at, kind: "ActivityCompleted", source, ...given, ...(attempts !== undefined && { attempts }) };
    }
    case "SubOrchestrationCompleted":
    case "SubOrchestrationFailed":
      return { id, at, kind: "SubOrchestrationCompleted", source: event.source, ...given };
    case "EventReceived":
      return { id, at, kind: event.kind, name: event.name, ...(result !== undefined && { data: result }) };
    case "LlmCompleted":
    case "LlmFailed":
      return saidInstead(event, result, events[event.source - 1] as LlmRequested);
    default:
      throw new ConfigurationError(
        `Expected event ${id} to be the result of an activity, a sub-orchestration or a model, or an external event, to be exchanged, got ${event.kind}`,
      );
  }
}

/** The same call with another answer. What it cost stands. */
function saidInstead(
  event: Recorded & (LlmCompleted | LlmFailed),
  result: Payload | undefined,
  request: LlmRequested,
): HistoryEvent {
  const written = writtenAnswer(request, result);
  if ("problem" in written) {
    throw new ConfigurationError(
      `Expected the replaced result of event ${event.id} to be what ctx.${request.operation} answers, got another: ${written.problem}`,
    );
  }
  const { value } = written;
  const finishReason = value.toolCalls === undefined ? "stop" : "tool_calls";
  if (event.kind === "LlmCompleted") return { ...event, result: value, finishReason };
  const { id, at, source, attempts, wasted } = event;
  return {
    id,
    at,
    kind: "LlmCompleted",
    source,
    result: value,
    model: request.request.model ?? "",
    usage: { inputTokens: 0, outputTokens: 0 },
    finishReason,
    ...(attempts !== undefined && { attempts }),
    ...(wasted !== undefined && { wasted }),
  };
}
