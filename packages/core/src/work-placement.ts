/**
 * Where the work of a turn runs: here at once and without a row, or wherever a row takes it.
 */
import { type BookingMeans, bookingOf } from "./budget-changes.ts";
import type { ActivityScheduled, LlmRequested } from "./events.ts";
import type { WorkItem } from "./messages.ts";
import type { Owned } from "./owned-executions.ts";
import type { Booking } from "./storage-budgets.ts";
import type { OutgoingWork } from "./storage-work.ts";
import type { PayloadSink } from "./text-codec.ts";
import type { TurnEffects } from "./turn.ts";
import type { WorkDispatcher } from "./work-dispatcher.ts";

/** What a turn asks to be done. */
export interface PlacedWork {
  /** To be started here when the turn is committed. */
  readonly starts: readonly WorkItem[];
  readonly rows: readonly OutgoingWork[];
  /** Model calls that draw on budgets: those with a row have it in their booking. */
  readonly bookings: readonly Booking[];
}

/** The placement of a turn that asks for nothing. */
export const noWork: PlacedWork = { starts: [], rows: [], bookings: [] };

/** What {@link placeWork} looks at. */
interface Requests {
  readonly owned: Owned;
  readonly effects: TurnEffects;
  /** Requests without an answer that nobody runs and no row waits for. */
  readonly lost: readonly number[];
  readonly sink: PayloadSink;
  readonly at: number;
}

/**
 * New requests run here where they can; those whose earlier run was lost get a row that counts it. What a fork shares with
 * its origin nobody has started for the fork before it has a row.
 */
export function placeWork(
  { owned, effects, lost, sink, at }: Requests,
  dispatcher: WorkDispatcher,
  means: BookingMeans,
): PlacedWork {
  if (effects.work.size === 0 && lost.length === 0) return noWork;
  let starts: WorkItem[] = [];
  const rows: OutgoingWork[] = [];
  const bookings: Booking[] = [];
  const { pending, started } = owned.execution;
  const budget = started?.budget;
  const book = (item: WorkItem, row?: OutgoingWork): void => {
    if (budget !== undefined && item.request.kind === "LlmRequested")
      bookings.push(bookingOf(item, budget, row, means));
    else if (row !== undefined) rows.push(row);
  };
  for (const [eventId, request] of effects.work) {
    const item = itemOf(owned, eventId, request, at);
    if (dispatcher.holdsItself(request)) {
      owned.held.set(eventId, item);
      if (starts.length === 0)
        starts = [item]; // a list that grows is made for more than most turns have
      else starts.push(item);
      book(item);
    } else book(item, dispatcher.outgoing(item, 0, sink));
  }
  const shared = started?.forkedFrom?.atEvent ?? 0;
  for (const eventId of lost) {
    const body = pending.get(eventId)?.body;
    if (body?.kind === "ActivityScheduled" || body?.kind === "LlmRequested") {
      const item = itemOf(owned, eventId, body, at);
      book(item, dispatcher.outgoing(item, eventId < shared ? 0 : 1, sink));
    }
  }
  return { starts, rows, bookings };
}

function itemOf(
  { execution, instanceId, rootId }: Owned,
  eventId: number,
  request: ActivityScheduled | LlmRequested,
  at: number,
): WorkItem {
  const { name, version } = execution;
  return {
    instanceId,
    execution: execution.execution,
    eventId,
    rootId,
    orchestration: { name, version },
    request,
    requestedAt: at,
  };
}
