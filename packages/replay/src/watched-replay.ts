/**
 * Replays histories side by side as the engine does, and notes what a worker has no use for: what the code asked for
 * last, what it threw, what it asks models today, and, from a given event on, the lines of source where it asked.
 */
import type {
  AnyOrchestration,
  DurablePromise,
  HistoryEvent,
  LlmRequested,
  Logger,
  Recorded,
  RequestBody,
  StetError,
} from "@stet/core";
import {
  advance,
  Course,
  enterGuarded,
  Execution,
  type ExecutionEnvironment,
  foreknowledgeOf,
  HistoryFeed,
  type Operation,
  type Question,
  unrunOf,
} from "@stet/core/internal";
import type { RecordedHistory } from "./recorded-histories.ts";

/** A history and the code that it is held against. */
export interface WatchedJob {
  readonly history: RecordedHistory;
  readonly events: readonly HistoryEvent[];
  readonly orchestration: AnyOrchestration;
  readonly payloadLimit: number;
  /** The delivery from which on lines of source are noted, which is slow. Absent: none are. */
  readonly tracedFrom?: number;
  /** Requests that are not made, as if the code did not have them. They answer nothing. */
  readonly without?: { readonly from: number; readonly count: number };
}

/** A request, and the stack frame that made it. */
export interface Asked {
  readonly body: RequestBody;
  readonly site?: string;
  /** Which request of the code it is, from 1. */
  readonly number: number;
}

/** A model call that today's code asks otherwise. */
export interface DriftedCall {
  readonly recorded: Recorded & LlmRequested;
  readonly today: LlmRequested;
  readonly site?: string;
}

/** How a replay went. */
export interface Watched {
  readonly failure?: StetError;
  readonly drift: readonly DriftedCall[];
  /** The request that did not fit, or the last one that did. */
  readonly last?: Asked;
  /** What the orchestration threw. */
  readonly thrown?: unknown;
  /** The last event that fits. */
  readonly lastEventId: number;
}

/** See the head of the file. */
export async function watchedReplay(jobs: readonly WatchedJob[]): Promise<Watched[]> {
  const runs = jobs.map(runOf);
  await advance(
    runs.map(({ course }) => course),
    () => new Promise((resolve) => setImmediate(resolve)),
  );
  return runs.map(({ course, feed, thrown }) => {
    const { execution } = course;
    const failure = course.failure ?? feed.finish(execution);
    return {
      drift: feed.drifted,
      lastEventId: execution.lastEventId,
      ...(failure !== undefined && { failure }),
      ...(feed.last !== undefined && { last: feed.last }),
      ...(thrown.length > 0 && { thrown: thrown[0] }),
    };
  });
}

interface Run {
  readonly course: Course;
  readonly feed: WatchedFeed;
  readonly thrown: unknown[];
}

function runOf({ history, events, orchestration, payloadLimit, tracedFrom = Infinity, without }: WatchedJob): Run {
  const thrown: unknown[] = [];
  const environment: ExecutionEnvironment = {
    logger: silent,
    payloadLimit,
    maxRequestsPerDelivery,
    enter: (entered, run) => enterGuarded(entered, () => noting(run, thrown)),
    get traceRequests() {
      return execution.lastEventId >= tracedFrom;
    },
  };
  const execution: Execution =
    without === undefined
      ? new Execution(orchestration, history, environment)
      : new CurtailedExecution(orchestration, history, environment, without);
  execution.foreknowledge = foreknowledgeOf(events);
  const feed = new WatchedFeed(unrunOf(events) === undefined ? events : events.slice(0, -1));
  return { course: new Course(execution, feed), feed, thrown };
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** As in a worker: more than this between two waits is a loop. */
const maxRequestsPerDelivery = 100_000;

async function noting(run: () => unknown, thrown: unknown[]): Promise<unknown> {
  try {
    return await run();
  } catch (error) {
    thrown.push(error);
    throw error;
  }
}

/** Leaves requests of the code out. */
class CurtailedExecution extends Execution {
  readonly #without: NonNullable<WatchedJob["without"]>;
  #made = 0;

  constructor(
    orchestration: AnyOrchestration,
    header: RecordedHistory,
    environment: ExecutionEnvironment,
    without: NonNullable<WatchedJob["without"]>,
  ) {
    super(orchestration, header, environment);
    this.#without = without;
  }

  override ask<Value>(question: Question<Value>): DurablePromise<Value> {
    if (!this.#isNextLeftOut()) return super.ask(question);
    return Object.assign(Promise.resolve(undefined as Value), { cancel: () => undefined });
  }

  override note(body: Parameters<Execution["note"]>[0]): void {
    if (!this.#isNextLeftOut()) super.note(body);
  }

  override takeEvent(name: string): ReturnType<Execution["takeEvent"]> {
    const taken = super.takeEvent(name);
    if (taken !== undefined) this.#made++;
    return taken;
  }

  #isNextLeftOut(): boolean {
    const { from, count } = this.#without;
    const number = ++this.#made;
    return number >= from && number < from + count;
  }
}

class WatchedFeed extends HistoryFeed {
  readonly drifted: DriftedCall[] = [];
  readonly #recorded: readonly HistoryEvent[];
  #made = 0;
  last: Asked | undefined;

  constructor(events: readonly HistoryEvent[]) {
    super(events);
    this.#recorded = events;
  }

  override bind(execution: Execution, body: RequestBody, operation: Operation): number {
    const { site } = operation;
    if (operation.target === undefined) this.#made++; // cancellations are counted by nobody
    this.last = { body, number: this.#made, ...(site !== undefined && { site }) };
    const known = this.drift.length;
    const id = super.bind(execution, body, operation);
    if (this.drift.length > known) {
      const recorded = this.#recorded[id - 1] as Recorded & LlmRequested;
      this.drifted.push({ recorded, today: body as LlmRequested, ...(site !== undefined && { site }) });
    }
    return id;
  }
}
