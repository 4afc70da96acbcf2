/**
 * Tests of orchestration code without a store, a clock or a runtime: given a history, when messages arrive, then these
 * events follow. It drives the same engine that the runtime drives.
 *
 * @example
 * ```ts
 * const turn = await given(greet).when(start("Ada"));
 * assert.deepEqual(turn.events.map(({ kind }) => kind), ["OrchestrationStarted", "ActivityScheduled"]);
 * const next = await turn.when(answer.activityCompleted(2, "Hello, Ada"));
 * assert.equal(next.status, "completed");
 * ```
 */
import {
  type AnyOrchestration,
  type ClosingBody,
  type DeliveryBody,
  type HistoryEvent,
  isClosing,
  type Logger,
  type LogFields,
  type Message,
  type OrchestrationStarted,
  type Recorded,
  type StetError,
} from "@stet/core";
import {
  advance,
  Course,
  defaultPayloadLimit,
  Execution,
  type ExecutionHeader,
  enterGuarded,
  installDeterminismGuard,
  type PromptDrift,
  replay,
  TurnEffects,
  TurnFeed,
  type TurnTerms,
  unrunOf,
} from "@stet/core/internal";
import type { TestMessage } from "./messages.ts";

/** Where the code stands after a turn. */
export interface TurnReport {
  /** The events of this turn. */
  readonly events: readonly HistoryEvent[];
  /** All events of the execution. */
  readonly history: readonly HistoryEvent[];
  readonly status: "waiting" | "completed" | "failed" | "cancelled" | "terminated" | "continuedAsNew" | "blocked";
  /** The last event, when the execution has ended. */
  readonly closing?: ClosingBody;
  /** Why it is blocked. */
  readonly failure?: StetError;
  /** What the world outside is asked to do. */
  readonly effects: ReportedEffects;
  /** The first event of the next execution, after continue-as-new. */
  readonly next?: Recorded & OrchestrationStarted;
  readonly promptDrift: readonly PromptDrift[];
  /** What the code logged in this turn: nothing of what was replayed. */
  readonly logs: readonly { readonly level: keyof Logger; readonly message: string; readonly fields?: LogFields }[];
  /** The live execution, for what no report shows. */
  readonly execution: Execution;
  /** The next turn of the same live execution, from cache. */
  when(...messages: readonly TestMessage[]): Promise<TurnReport>;
  /** The same from a fresh replay of the history so far. */
  replayed(): Given;
}

/** {@link TurnEffects} with ordinary maps. */
export type ReportedEffects = {
  readonly [Name in keyof TurnEffects]: TurnEffects[Name] extends Iterable<[infer Key, infer Value]>
    ? ReadonlyMap<Key, Value>
    : TurnEffects[Name];
};

/** A history to go on from. */
export interface Given {
  when(...messages: readonly TestMessage[]): Promise<TurnReport>;
}

/** Options of {@link given}. */
export interface GivenOptions extends Partial<ExecutionHeader> {
  /** The turn's clock; each turn adds a second. @default 1_000_000 */
  readonly at?: number;
  readonly promptDrift?: "report" | "error";
  readonly maxRequestsPerDelivery?: number;
  readonly payloadLimit?: number;
}

const hop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Code and what has happened to it so far. Without events it has not started. */
export function given(
  orchestration: AnyOrchestration,
  history: readonly HistoryEvent[] = [],
  options: GivenOptions = {},
): Given {
  return { when: (...messages) => firstTurn(orchestration, history, options, messages) };
}

async function firstTurn(
  orchestration: AnyOrchestration,
  history: readonly HistoryEvent[],
  options: GivenOptions,
  messages: readonly TestMessage[],
): Promise<TurnReport> {
  const { instanceId = "instance", execution: number = 1, rootId = instanceId } = options;
  const logs: TurnReport["logs"][number][] = [];
  const execution = new Execution(
    orchestration,
    { instanceId, rootId, execution: number },
    {
      logger: collectingLogger(logs),
      payloadLimit: options.payloadLimit ?? defaultPayloadLimit,
      maxRequestsPerDelivery: options.maxRequestsPerDelivery ?? 100_000,
      enter: enterGuarded,
      traceRequests: true,
    },
  );
  const state: Under = { execution, options, logs, orchestration, drift: [] };
  const unrun = unrunOf(history);
  const seen = unrun === undefined ? history : history.slice(0, -1);
  if (seen.length > 0) {
    const restore = installDeterminismGuard();
    const strictPrompts = options.promptDrift === "error";
    const [outcome] = await replay([{ execution, events: seen, strictPrompts }], hop).finally(restore);
    state.drift = outcome?.drift ?? [];
    if (outcome?.failure !== undefined) return blocked(state, history, outcome.failure);
  }
  if (unrun !== undefined) execution.lastEventId = unrun.id;
  return turn(state, history, messages, unrun);
}

interface Under {
  readonly execution: Execution;
  readonly orchestration: AnyOrchestration;
  readonly options: GivenOptions;
  readonly logs: TurnReport["logs"][number][];
  drift: readonly PromptDrift[];
}

async function turn(
  state: Under,
  history: readonly HistoryEvent[],
  messages: readonly TestMessage[],
  unrun?: Recorded & DeliveryBody,
): Promise<TurnReport> {
  const { execution, options, orchestration } = state;
  const last = history.at(-1);
  if (last !== undefined && isClosing(last) && messages.length > 0) {
    throw new Error(`Expected the execution to be running, got one that ended with event ${last.id}, ${last.kind}`);
  }
  const at = Math.max(options.at ?? 1_000_000, (last?.at ?? 0) + 1_000);
  const terms: TurnTerms = {
    at,
    totalTimeoutMs: ({ options: recorded }) => recorded?.totalTimeoutMs,
    nextVersion: (_execution, asked) => asked ?? orchestration.version,
  };
  const incoming = messages.map((message) => ({ message: addressed(message, execution), key: 0 }));
  const feed = new TurnFeed(execution, terms, incoming, unrun);
  const course = new Course(execution, feed);
  const restore = installDeterminismGuard();
  await advance([course], hop).finally(restore);
  if (course.failure !== undefined) return blocked(state, history, course.failure);
  feed.finish(execution);
  const recorded = JSON.parse(JSON.stringify(feed.events)) as HistoryEvent[];
  return report(state, [...history, ...recorded], recorded, feed);
}

function report(
  state: Under,
  history: readonly HistoryEvent[],
  events: readonly HistoryEvent[],
  feed: TurnFeed,
): TurnReport {
  const { closing, effects, nextStart } = feed;
  return {
    ...common(state, history),
    events,
    effects: reported(effects),
    status: statusOf(closing),
    logs: [...state.logs],
    ...(closing !== undefined && { closing }),
    ...(nextStart !== undefined && { next: nextStart }),
  };
}

function blocked(state: Under, history: readonly HistoryEvent[], failure: StetError): TurnReport {
  return {
    ...common(state, history),
    events: [],
    effects: reported(new TurnEffects()),
    status: "blocked",
    failure,
    logs: [...state.logs],
  };
}

function common(state: Under, history: readonly HistoryEvent[]) {
  const { execution, orchestration, options, drift } = state;
  return {
    history,
    execution,
    promptDrift: drift,
    when: (...messages: readonly TestMessage[]) => {
      state.logs.length = 0;
      return turn(state, history, messages);
    },
    replayed: () => given(orchestration, history, options),
  };
}

function addressed(message: TestMessage, execution: Execution): Message {
  if (message.kind === "Start") return { ...message, name: execution.name };
  if ("source" in message) return { execution: execution.execution, ...message };
  return message;
}

function reported({ work, timers, waits, state, ...others }: TurnEffects): ReportedEffects {
  return { ...others, work: new Map(work), timers: new Map(timers), waits: new Map(waits), state: new Map(state) };
}

function statusOf(closing: ClosingBody | undefined): TurnReport["status"] {
  switch (closing?.kind) {
    case undefined:
      return "waiting";
    case "OrchestrationCompleted":
      return "completed";
    case "OrchestrationFailed":
      return "failed";
    case "OrchestrationCancelled":
      return "cancelled";
    case "OrchestrationTerminated":
      return "terminated";
    case "ContinuedAsNew":
      return "continuedAsNew";
  }
}

function collectingLogger(logs: TurnReport["logs"][number][]): Logger {
  const at = (level: keyof Logger) => (message: string, fields?: LogFields) => {
    logs.push({ level, message, ...(fields !== undefined && { fields }) });
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
