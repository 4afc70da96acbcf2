/**
 * Operations: the requests that the code of an execution has made, with what the code holds of each. Which event answers
 * which request and which takes it back is said here, once.
 */
import type { DeliveryBody, RequestBody } from "./events.ts";
import type { Question } from "./recorder.ts";

/** A request the code has made. */
export class Operation {
  readonly body: RequestBody;
  /** The operation that this one cancels; its event id becomes `source` when it is bound. */
  readonly target: Operation | undefined;
  /** Id of the event it was bound to, 0 before. */
  eventId = 0;
  /** Whether nobody waits for an answer any more. */
  settled = true;
  promise: Promise<unknown> | undefined;
  resolve: ((value: unknown) => void) | undefined;
  reject: ((error: unknown) => void) | undefined;
  read: Question<unknown>["read"];
  /** Where it was made, when the environment traces. */
  site: string | undefined;

  constructor(body: RequestBody, target?: Operation) {
    this.body = body;
    this.target = target;
  }
}

/** Which cancellation takes back which request. */
export function cancellationOf(body: RequestBody, reason: string): RequestBody {
  switch (body.kind) {
    case "ActivityScheduled":
      return { kind: "ActivityCancelled", source: 0, reason };
    case "TimerCreated":
      return { kind: "TimerCancelled", source: 0, reason };
    case "EventAwaited":
      return { kind: "EventWaitCancelled", source: 0, reason };
    case "SubOrchestrationScheduled":
      return { kind: "SubOrchestrationCancelled", source: 0, reason };
    case "LlmRequested":
      return { kind: "LlmCancelled", source: 0, reason };
    default:
      throw new TypeError(`${body.kind} cannot be cancelled`);
  }
}

const answered: { readonly [Kind in DeliveryBody["kind"]]?: RequestBody["kind"] } = {
  ActivityCompleted: "ActivityScheduled",
  ActivityFailed: "ActivityScheduled",
  TimerFired: "TimerCreated",
  SubOrchestrationCompleted: "SubOrchestrationScheduled",
  SubOrchestrationFailed: "SubOrchestrationScheduled",
  LlmCompleted: "LlmRequested",
  LlmFailed: "LlmRequested",
};

/** Whether an answer of this kind belongs to a request of that kind. */
export function answers(answer: DeliveryBody["kind"], request: RequestBody["kind"]): boolean {
  return answered[answer] === request;
}

/** The line of user code that made the call: the first frame outside this package. */
export function callSite(): string | undefined {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 30;
  const { stack } = new Error();
  Error.stackTraceLimit = limit;
  return siteIn(stack);
}

/** The first frame of a stack that is outside this package. */
export function siteIn(stack: string | undefined): string | undefined {
  ownFolder ??= folderOf(framesOf(new Error().stack)[0] ?? "");
  const here = ownFolder;
  return framesOf(stack)
    .find((frame) => !frame.includes(here) && !/node:|<anonymous>\)/.test(frame))
    ?.trim();
}

/** The path that stack traces have of it, in a URL or as it stands: with source maps they have both. */
let ownFolder: string | undefined;

function framesOf(stack = ""): string[] {
  return stack.split("\n").filter((line) => /^\s+at /.test(line));
}

function folderOf(frame: string): string {
  return /\((?:file:\/\/)?(.*)[\\/][^\\/]*$/.exec(frame)?.[1] ?? "operation.ts";
}
