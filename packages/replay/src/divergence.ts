/** Where a history and the code part, told so that people find the place. */
import {
  type HistoryEvent,
  isClosing,
  isDelivery,
  isStetError,
  type Recorded,
  type RequestBody,
  type StetError,
} from "@stet/core";
import { describe, differenceOf, siteIn } from "@stet/core/internal";
import type { SourcePosition } from "@stet/diagram";
import { placeOf } from "./source-place.ts";
import { type Watched, type WatchedJob, watchedReplay } from "./watched-replay.ts";

/** The first difference between a history and today's code. */
export interface Divergence {
  /** The event that does not fit, or the one that would have come next. */
  readonly eventId: number;
  /** What history has there. Absent when the code did what no replay can follow. */
  readonly expected?: string;
  /** What the code does instead. */
  readonly actual: string;
  readonly why: string;
  /** The call that differs, or the line that threw. Positions are those of the source where stacks are mapped to it. */
  readonly at?: SourcePosition;
  /** The last call that still fits, where the code makes none that differs. */
  readonly after?: SourcePosition;
  /** The error with which a worker would block the instance. */
  readonly message: string;
}

/** What was done to the code, as far as one history shows. */
export type Change =
  | { readonly change: "added"; readonly asked: RequestBody }
  | { readonly change: "removed"; readonly recorded: Recorded & RequestBody }
  | { readonly change: "replaced" | "input"; readonly recorded: Recorded & RequestBody; readonly asked: RequestBody }
  | { readonly change: "other" };

/** What the error of a mismatch tells. */
interface Mismatch {
  readonly eventId: number;
  readonly expected: string;
  readonly actual: string;
  readonly why: string;
  readonly site?: string;
}

/** The delivery after which the code makes the calls that are to be found. Absent when nothing differs. */
export function tracedFrom(
  events: readonly HistoryEvent[],
  { failure, drift, lastEventId }: Watched,
): number | undefined {
  if (failure === undefined && drift.length === 0) return undefined;
  const [first] = drift;
  const lastRequest = events
    .slice(0, lastEventId)
    .findLast((event) => !isDelivery(event) && !isClosing(event) && event.id <= (first?.recorded.id ?? Infinity));
  return events.findLast((event) => isDelivery(event) && event.id <= (lastRequest?.id ?? 1))?.id ?? 1;
}

/** What a failed replay says. */
export function divergenceOf(failure: StetError, watched: Watched): Divergence {
  const { message, stack } = failure;
  const after = placeOf(watched.last?.site);
  const last = after === undefined ? {} : { after };
  if (!isStetError(failure, "nondeterminism")) {
    const at = placeOf(siteIn(stack));
    const why = "the code does what no replay can follow";
    const eventId = watched.lastEventId + 1;
    return { eventId, actual: message, why, ...(at === undefined ? last : { at }), message };
  }
  const { eventId, expected, actual, why, site } = failure.details as unknown as Mismatch;
  const thrown = watched.thrown instanceof Error ? siteIn(watched.thrown.stack) : undefined;
  const at = placeOf(site ?? thrown);
  return { eventId, expected, actual, why, ...(at === undefined ? last : { at }), message };
}

/** Which change of the code would explain it. Whether a call was added is tried out: does the rest fit without it? */
export async function changeOf(job: WatchedJob, { failure, last }: Watched): Promise<Change> {
  if (!isStetError(failure, "nondeterminism")) return { change: "other" };
  const { eventId, actual } = failure.details as unknown as Mismatch;
  const recorded = requestAt(job.events[eventId - 1]);
  const asked = last !== undefined && actual === describe(last.body) ? last.body : undefined;
  if (last === undefined || asked === undefined)
    return recorded === undefined ? { change: "other" } : { change: "removed", recorded };
  if (recorded === undefined || (await fitsWithout(job, last.number, eventId))) return { change: "added", asked };
  if (differenceOf(recorded, asked) === "input") return { change: "input", recorded, asked };
  const comesLater = job.events.slice(eventId).some((event) => differenceOf(event, asked) === undefined);
  const isLimit = asked.kind === "TimerCreated" && recorded.kind === "EventAwaited"; // a timer of the wait itself
  return comesLater && !isLimit ? { change: "removed", recorded } : { change: "replaced", recorded, asked };
}

/** Most calls in a row that are taken for added. */
const mostAdded = 4;

async function fitsWithout(job: WatchedJob, from: number, eventId: number): Promise<boolean> {
  const counts = Array.from({ length: mostAdded }, (_, i) => i + 1);
  const tried = await watchedReplay(counts.map((count) => ({ ...job, without: { from, count } })));
  return tried.some(({ lastEventId }) => lastEventId >= eventId);
}

function requestAt(event: HistoryEvent | undefined): (Recorded & RequestBody) | undefined {
  return event === undefined || isDelivery(event) || isClosing(event) ? undefined : event;
}
