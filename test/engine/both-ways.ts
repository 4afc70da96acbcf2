/**
 * One scenario, run in every way in which the engine can come to the same place: as one live execution from cache, with
 * the history replayed before every turn, and with all messages in one turn. What is recorded must not depend on it.
 */
import assert from "node:assert/strict";
import type { AnyOrchestration, HistoryEvent } from "@stet/core";
import { given, type GivenOptions, replayHistory, type TestMessage, type TurnReport } from "@stet/testing";

export interface ScenarioOptions extends GivenOptions {
  /** What happened before the first turn. */
  readonly history?: readonly HistoryEvent[];
  /** Leaves out the run in one turn: what the code does depends on the time between the messages. */
  readonly timeMatters?: boolean;
}

/** Runs the turns in all ways, holds them against each other, and answers the last report of the live run. */
export async function bothWays(
  orchestration: AnyOrchestration,
  turns: readonly (readonly TestMessage[])[],
  { history = [], timeMatters = false, ...options }: ScenarioOptions = {},
): Promise<TurnReport> {
  let live: TurnReport | undefined;
  let replayed: TurnReport | undefined;
  for (const messages of turns) {
    live = await (live ?? given(orchestration, history, options)).when(...messages);
    replayed = await (replayed?.replayed() ?? given(orchestration, history, options)).when(...messages);
    assert.deepEqual(shown(replayed), shown(live));
  }
  assert.ok(live);
  if (live.status === "blocked") return live;
  const { ok, failure } = await replayHistory(orchestration, live.history, options);
  assert.ok(ok, failure?.message);
  if (!timeMatters) {
    const inOneTurn = await given(orchestration, history, options).when(...turns.flat());
    assert.deepEqual(inOneTurn.history.map(withoutTime), live.history.map(withoutTime));
  }
  return live;
}

/** The kinds of events, in order. */
export function kinds(events: readonly HistoryEvent[]): string[] {
  return events.map(({ kind }) => kind);
}

/** What the orchestration answered. Fails when it did not complete. */
export function outputOf(report: TurnReport): unknown {
  assert.equal(
    report.closing?.kind,
    "OrchestrationCompleted",
    report.failure?.message ?? JSON.stringify(report.closing),
  );
  return report.closing.output;
}

function shown({ events, history, status, failure, effects, next, logs, execution }: TurnReport) {
  return {
    events,
    history,
    status,
    failure: failure?.message,
    effects,
    next,
    logs,
    customStatus: execution.status,
    state: [...execution.state],
    pending: Array.from(execution.pending, ([id]) => id),
    unreceived: execution.unreceived(),
    cancelRequested: execution.cancelRequested,
  };
}

function withoutTime(event: HistoryEvent): unknown {
  const times = new Set(["at", "fireAt", "timeoutAt"]);
  return Object.fromEntries(Object.entries(event).filter(([key]) => !times.has(key)));
}
