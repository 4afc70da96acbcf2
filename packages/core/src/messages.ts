/**
 * What is addressed to an instance but not yet part of its history, and what is asked of the world outside.
 *
 * A message is an event that has not happened yet: the turn that takes it from the inbox gives it an id and a time and
 * makes it history. The start is the one exception, because the version is chosen by the worker that runs the first turn.
 */
import type { RecordedBudget } from "./budget.ts";
import type {
  ActivityScheduled,
  CancelRequested,
  Carried,
  DeliveryBody,
  EventReceived,
  Labels,
  LlmRequested,
  OrchestrationTerminated,
  ParentLink,
} from "./events.ts";
import type { UsageRow } from "./llm/usage.ts";
import type { Payload } from "./payload.ts";

/** Asks for a new instance. */
export interface StartMessage {
  readonly kind: "Start";
  readonly name: string;
  /** Absent means the newest version that the worker of the first turn has registered. */
  readonly version?: string;
  readonly input?: Payload;
  readonly parent?: ParentLink;
  readonly labels?: Labels;
  /** What an instance that is run again keeps. */
  readonly carried?: Carried;
  /** What it has used of models so far. */
  readonly usage?: readonly UsageRow[];
  readonly budget?: RecordedBudget;
}

/** An answer to a request of one particular execution; a later execution drops it. */
export type AnswerBody = Extract<DeliveryBody, { readonly source: number }>;

/** See {@link AnswerBody}. */
export type AnswerMessage = AnswerBody & { readonly execution: number };

/** Anything an inbox can hold. */
export type Message = StartMessage | AnswerMessage | EventReceived | CancelRequested | OrchestrationTerminated;

/** One activity or model call to be executed, with all that the executing worker needs to know. */
export interface WorkItem {
  readonly instanceId: string;
  readonly execution: number;
  readonly eventId: number;
  /** The top of the instance's tree, under which its payloads are stored. */
  readonly rootId: string;
  readonly orchestration: { readonly name: string; readonly version: string };
  readonly request: ActivityScheduled | LlmRequested;
  /** When the request was recorded: total timeouts count from here. */
  readonly requestedAt: number;
}

/** A call of priority 1 counts as asked so much earlier: it overtakes what is younger than that, and nothing starves. */
const ageMs = 30_000;

/** The place of a model call among those that wait: lower ones go first. Activities go in the order of their requests. */
export function rankOf({ request, requestedAt }: WorkItem): number {
  return request.kind === "LlmRequested" ? requestedAt - (request.options?.priority ?? 0) * ageMs : 0;
}

/** Stable across retries, crashes and workers: hand it to whatever the activity calls. */
export function idempotencyKeyOf(item: Pick<WorkItem, "instanceId" | "execution" | "eventId">): string {
  return `${item.instanceId}/${item.execution}/${item.eventId}`;
}
