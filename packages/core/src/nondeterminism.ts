/**
 * Comparing what the code asks for with what history says it asked for.
 *
 * Must match: kind and name always, the input of activities and sub-orchestrations, the address and data of what is
 * sent, the value of state, the request that is cancelled or whose answer is refused. Does not matter, because the recorded fact stands: how long a
 * timer runs, the options of a call, the version and labels of a child, the text of a status or an output, and the
 * prompt of a model call (reported as drift).
 */
import type { EventBody, RequestBody } from "./events.ts";
import { samePayload } from "./payload.ts";

/** In which member two requests differ, if they do. */
export function differenceOf(recorded: EventBody, requested: RequestBody): string | undefined {
  switch (requested.kind) {
    case "ActivityScheduled":
      if (recorded.kind !== requested.kind) return "kind";
      if (recorded.name !== requested.name) return "name";
      return samePayload(recorded.input, requested.input) ? undefined : "input";
    case "SubOrchestrationScheduled":
    case "OrchestrationDispatched":
      if (recorded.kind !== requested.kind) return "kind";
      if (recorded.name !== requested.name) return "name";
      if (recorded.instanceId !== requested.instanceId) return "instanceId";
      return samePayload(recorded.input, requested.input) ? undefined : "input";
    case "EventAwaited":
      if (recorded.kind !== requested.kind) return "kind";
      return recorded.name === requested.name ? undefined : "name";
    case "EventSent":
      if (recorded.kind !== requested.kind) return "kind";
      if (recorded.instanceId !== requested.instanceId) return "instanceId";
      if (recorded.name !== requested.name) return "name";
      return samePayload(recorded.data, requested.data) ? undefined : "data";
    case "LlmRequested":
      if (recorded.kind !== requested.kind) return "kind";
      return recorded.operation === requested.operation ? undefined : "operation";
    case "StateSet":
      if (recorded.kind !== requested.kind) return "kind";
      if (recorded.key !== requested.key) return "key";
      return samePayload(recorded.value, requested.value) ? undefined : "value";
    case "StateDeleted":
      if (recorded.kind !== requested.kind) return "kind";
      return recorded.key === requested.key ? undefined : "key";
    case "ChangeMarked":
      if (recorded.kind !== requested.kind) return "kind";
      return recorded.changeId === requested.changeId ? undefined : "changeId";
    case "ActivityCancelled":
    case "TimerCancelled":
    case "EventWaitCancelled":
    case "SubOrchestrationCancelled":
    case "LlmCancelled":
    case "LlmAnswerRefused":
    case "LlmAnswerTrimmed":
      if (recorded.kind !== requested.kind) return "kind";
      return recorded.source === requested.source ? undefined : "source";
    case "TimerCreated":
    case "StatusSet":
    case "OutputEmitted":
      return recorded.kind === requested.kind ? undefined : "kind";
  }
}

/** An event in a few words, for people. */
export function describe(body: EventBody): string {
  const facts: { [key: string]: unknown } = { ...body };
  const shown = [
    "name",
    "operation",
    "key",
    "changeId",
    "instanceId",
    "source",
    "input",
    "data",
    "value",
    "output",
    "error",
    "reason",
  ]
    .filter((member) => facts[member] !== undefined)
    .map((member) => `${member} ${excerpt(facts[member])}`);
  return shown.length === 0 ? body.kind : `${body.kind}(${shown.join(", ")})`;
}

function excerpt(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
