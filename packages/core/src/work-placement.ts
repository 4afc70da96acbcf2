/**
 * Where the work of a turn runs: here at once and without a row, or wherever a row takes it.
 */
import type { ActivityScheduled, LlmRequested } from "./events.ts";
import type { WorkItem } from "./messages.ts";
import type { Owned } from "./owned-executions.ts";
import type { OutgoingWork } from "./storage.ts";
import type { PayloadSink } from "./text-codec.ts";
import type { TurnEffects } from "./turn.ts";
import type { WorkDispatcher } from "./work-dispatcher.ts";

/** What a turn asks to be done. */
export interface PlacedWork {
  /** To be started here when the turn is committed. */
  readonly starts: readonly WorkItem[];
  readonly rows: readonly OutgoingWork[];
}

/** The placement of a turn that asks for nothing. */
export const noWork: PlacedWork = { starts: [], rows: [] };

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
export function placeWork({ owned, effects, lost, sink, at }: Requests, dispatcher: WorkDispatcher): PlacedWork {
  const starts: WorkItem[] = [];
  const rows: OutgoingWork[] = [];
  for (const [eventId, request] of effects.work) {
    const item = itemOf(owned, eventId, request, at);
    if (dispatcher.holdsItself(request)) {
      owned.held.add(eventId);
      starts.push(item);
    } else rows.push(dispatcher.outgoing(item, 0, sink));
  }
  const { pending, started } = owned.execution;
  const shared = started?.forkedFrom?.atEvent ?? 0;
  for (const eventId of lost) {
    const body = pending.get(eventId)?.body;
    if (body?.kind === "ActivityScheduled" || body?.kind === "LlmRequested") {
      rows.push(dispatcher.outgoing(itemOf(owned, eventId, body, at), eventId < shared ? 0 : 1, sink));
    }
  }
  return { starts, rows };
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
