/** A recorded request, written as the call that makes it. */
import type { Payload, Recorded, RequestBody } from "@stet/core";

/** A call in source. */
export interface WrittenCall {
  readonly text: string;
  /** Whether it answers a promise. */
  readonly isAwaited: boolean;
  /** Data of one instance that stands in it. */
  readonly hasData: boolean;
}

/**
 * The call, if it can be written from what is recorded.
 *
 * @param ctx - What the context is called there.
 * @param input - What to write for an input, where the code of today computes the same.
 */
export function writtenCall(recorded: Recorded & RequestBody, ctx: string, input?: string): WrittenCall | undefined {
  const call = (method: string, given: readonly (string | undefined)[], isAwaited: boolean, hasData = false) => ({
    text: `${ctx}.${method}(${withoutTail(given).join(", ")})`,
    isAwaited,
    hasData,
  });
  const asInput = (value: Payload | undefined) => input ?? written(value);
  const isData = (value: Payload | undefined) => input === undefined && value !== undefined;
  switch (recorded.kind) {
    case "ActivityScheduled":
      return call("activity", [quoted(recorded.name), asInput(recorded.input)], true, isData(recorded.input));
    case "SubOrchestrationScheduled":
      return call("subOrchestration", [quoted(recorded.name), asInput(recorded.input)], true, isData(recorded.input));
    case "TimerCreated":
      return call("timer", [String(Math.max(0, recorded.fireAt - recorded.at))], true);
    case "EventAwaited": {
      const timeoutMs = recorded.timeoutAt === undefined ? undefined : recorded.timeoutAt - recorded.at;
      const options = timeoutMs === undefined ? undefined : `{ timeout: ${Math.max(0, timeoutMs)} }`;
      return call("waitForEvent", [quoted(recorded.name), options], true);
    }
    case "EventSent": {
      const { instanceId, name, data } = recorded;
      return call("sendEvent", [quoted(instanceId), quoted(name), written(data)], false, true);
    }
    case "StatusSet":
      return call("setStatus", [written(recorded.value)], false, true);
    case "OutputEmitted":
      return call("emit", [written(recorded.data)], false, true);
    case "StateSet":
      return call("state.set", [quoted(recorded.key), written(recorded.value)], false, true);
    case "StateDeleted":
      return call("state.delete", [quoted(recorded.key)], false);
    case "ChangeMarked":
      return call("patched", [quoted(recorded.changeId)], false);
    default:
      return undefined; // what models are asked, ids that the code chose, and cancellations are not to be guessed
  }
}

/** What a change is named after. */
export function subjectOf(body: RequestBody): string {
  const { name, operation, key } = body as {
    readonly name?: string;
    readonly operation?: string;
    readonly key?: string;
  };
  const kind = body.kind.replace(/(Scheduled|Created|Awaited|Requested|Set|Deleted|Emitted|Sent|Dispatched)$/, "");
  const word = name ?? operation ?? key ?? kind;
  return word
    .replaceAll(/([a-z])([A-Z])/g, "$1-$2")
    .replaceAll(/[^A-Za-z0-9]+/g, "-")
    .toLowerCase()
    .slice(0, 40);
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

/** A payload as a literal. */
export function written(value: Payload | undefined): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}

function withoutTail(given: readonly (string | undefined)[]): string[] {
  const last = given.findLastIndex((each) => each !== undefined);
  return given.slice(0, last + 1).map((each) => each ?? "undefined");
}
