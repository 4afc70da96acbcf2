/**
 * The cached path held against what was recorded: one live execution, never interrupted, is given the deliveries of a
 * history again, and must bring forth the same events, to the last member. A history that was made by many workers, in
 * pieces, from replays, must be the one that a single worker makes in one go.
 */
import { type AnyOrchestration, type HistoryEvent, isDelivery } from "@stet/core";
import {
  advance,
  Course,
  defaultPayloadLimit,
  Execution,
  type ExecutionHeader,
  enterGuarded,
  installDeterminismGuard,
  TurnFeed,
} from "@stet/core/internal";
import { hop } from "./unsteady-storage.ts";

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/**
 * Lives a history again. Answers the events of the second life, those of the next execution's start included.
 *
 * @param nextVersion - The version that the next execution was pinned to, where there is one.
 */
export async function relive(
  orchestration: AnyOrchestration,
  header: ExecutionHeader,
  history: readonly HistoryEvent[],
  nextVersion: string,
): Promise<HistoryEvent[]> {
  const execution = new Execution(orchestration, header, {
    logger: silent,
    payloadLimit: defaultPayloadLimit,
    maxRequestsPerDelivery: Infinity,
    enter: enterGuarded,
  });
  const events: HistoryEvent[] = [];
  const restore = installDeterminismGuard();
  try {
    for (const [i, event] of history.entries()) {
      const ends = event.kind === "OrchestrationTerminated";
      if (!isDelivery(event) && !ends) continue;
      const { at } = history[i + 1] ?? event; // code may run long after its start was recorded
      const terms = { at: ends ? event.at : at, totalTimeoutMs: () => undefined, nextVersion: () => nextVersion };
      if (!ends) execution.lastEventId = events.push(event);
      const incoming = ends ? [{ message: { kind: event.kind, reason: event.reason }, key: 0 }] : [];
      const feed = new TurnFeed(execution, terms, incoming, ends ? undefined : event);
      const course = new Course(execution, feed);
      await advance([course], hop);
      if (course.failure !== undefined) throw course.failure;
      events.push(...feed.events, ...(feed.nextStart === undefined ? [] : [feed.nextStart]));
    }
  } finally {
    restore();
  }
  return JSON.parse(JSON.stringify(events)) as HistoryEvent[];
}
