/**
 * The orchestration context: turns calls into requests and recorded answers into values. It keeps no state of its own;
 * all it knows comes from the recorder it is bound to.
 */
import type {
  ActivityCallOptions,
  AnyActivity,
  AnyOrchestration,
  ContinueAsNewOptions,
  OrchestrationContext,
  OrchestrationState,
  StartOptions,
  SubOrchestrationOptions,
  WaitOptions,
} from "./context.ts";
import { assertInstanceId, assertName, assertShort, assertVersion, recordedOptions } from "./definitions.ts";
import { randomOf, uuidOf } from "./deterministic-values.ts";
import { assertBudget } from "./budget.ts";
import { durationMs, type Duration } from "./duration.ts";
import { ConfigurationError, TimeoutError } from "./errors.ts";
import type { DurablePromise, Winner } from "./durable-promise.ts";
import type { EventAwaited, EventReceived, Labels, SubOrchestrationScheduled } from "./events.ts";
import { LlmCalls } from "./llm/llm-calls.ts";
import { summaryOf, type UsageSummary } from "./llm/usage.ts";
import { copyOfJson, type Payload } from "./payload.ts";
import type { Logger } from "./ports.ts";
import type { Answer, Recorder } from "./recorder.ts";
import { assertValid, type Schema } from "./schema.ts";
import { toPayload } from "./to-payload.ts";

/** The context of one execution. */
export function orchestrationContext(recorder: Recorder): OrchestrationContext {
  return new RecordedContext(recorder);
}

class RecordedContext extends LlmCalls implements OrchestrationContext {
  readonly #recorder: Recorder;
  #state: OrchestrationState | undefined;
  #log: Logger | undefined;

  constructor(recorder: Recorder) {
    super(recorder);
    this.#recorder = recorder;
  }

  get instanceId(): string {
    return this.#recorder.identity;
  }
  get execution(): number {
    return this.#recorder.execution;
  }
  get name(): string {
    return this.#recorder.name;
  }
  get version(): string {
    return this.#recorder.version;
  }
  get isReplaying(): boolean {
    return this.#recorder.isReplaying;
  }

  activity<Output>(
    callee: AnyActivity | string,
    input?: unknown,
    options?: ActivityCallOptions,
  ): DurablePromise<Output> {
    const name = nameOf(callee, "activity");
    const payload = this.#payload(input, "input of activity", name);
    const routing = {
      ...(typeof callee !== "string" && callee.recorded),
      ...(options !== undefined && recordedOptions(options, `activity ${name}`)),
    };
    return this.#recorder.ask<Output>({
      body: {
        kind: "ActivityScheduled",
        name,
        ...(payload !== undefined && { input: payload }),
        ...(hasMembers(routing) && { options: routing }),
      },
    });
  }

  timer(duration: Duration): DurablePromise<void> {
    const fireAt = this.#recorder.now + durationMs(duration, "the duration of a timer");
    return this.#recorder.ask<void>({ body: { kind: "TimerCreated", fireAt }, read: () => undefined });
  }

  waitForEvent<Data>(name: string, options: WaitOptions<Data> = {}): DurablePromise<Data> {
    assertName(name, "event");
    const { timeout, schema } = options;
    const details = this.#payload(options.details, "details of the wait for", name);
    const timeoutAt =
      timeout === undefined
        ? undefined
        : this.#recorder.now + durationMs(timeout, `the timeout of the wait for ${name}`);
    const body: EventAwaited = {
      kind: "EventAwaited",
      name,
      ...(details !== undefined && { details }),
      ...(timeoutAt !== undefined && { timeoutAt }),
    };
    const read = (event: Answer) => received((event as EventReceived).data, schema, name);
    const wait = this.#recorder.ask<Data>({ body, read });
    return timeoutAt === undefined ? wait : this.#limited(wait, timeoutAt, name);
  }

  tryReceive<Data>(name: string): { readonly data: Data } | undefined {
    assertName(name, "event");
    return this.#recorder.takeEvent(name) as { readonly data: Data } | undefined;
  }

  subOrchestration<Output>(
    callee: AnyOrchestration | string,
    input?: unknown,
    options: SubOrchestrationOptions = {},
  ): DurablePromise<Output> {
    const { parentClosePolicy } = options;
    const body: SubOrchestrationScheduled = {
      kind: "SubOrchestrationScheduled",
      ...this.#child(callee, input, options),
      ...(parentClosePolicy === "abandon" && { parentClosePolicy }),
    };
    return this.#recorder.ask<Output>({ body });
  }

  startOrchestration(callee: AnyOrchestration | string, input?: unknown, options: StartOptions = {}): string {
    const child = this.#child(callee, input, options);
    this.#recorder.note({ kind: "OrchestrationDispatched", ...child });
    return child.instanceId;
  }

  sendEvent(instanceId: string, name: string, data?: unknown): void {
    assertInstanceId(instanceId);
    assertName(name, "event");
    const payload = this.#payload(data, "data of event", name);
    this.#recorder.note({ kind: "EventSent", instanceId, name, ...(payload !== undefined && { data: payload }) });
  }

  continueAsNew(input?: unknown, options: ContinueAsNewOptions = {}): Promise<never> {
    const { version } = options;
    if (version !== undefined) assertVersion(version, `orchestration ${this.name}`);
    const payload = this.#payload(input, "input of orchestration", this.name);
    return this.#recorder.continueAsNew({
      ...(payload !== undefined && { input: payload }),
      ...(version !== undefined && { version }),
    });
  }

  race<Promises extends { readonly [name: string]: DurablePromise<unknown> }>(
    promises: Promises,
  ): Promise<Winner<Promises>> {
    const entrants = Object.entries(promises);
    if (entrants.length === 0)
      throw new ConfigurationError("Expected ctx.race to be given at least one promise, got none");
    for (const [name, promise] of entrants) assertCancellable(promise, name);
    const outcome = new Promise<Winner<Promises>>((resolve, reject) => {
      const end = (winner: DurablePromise<unknown>, settle: () => void) => {
        settle();
        for (const [, promise] of entrants) if (promise !== winner) promise.cancel("lost a race");
      };
      for (const [name, promise] of entrants) {
        promise.then(
          (value) => end(promise, () => resolve({ winner: name, value } as Winner<Promises>)),
          (error: unknown) => end(promise, () => reject(error as Error)),
        );
      }
    });
    outcome.catch(() => undefined);
    return outcome;
  }

  now(): number {
    return this.#recorder.now;
  }

  uuid(): string {
    return uuidOf(this.#recorder);
  }

  random(): number {
    return randomOf(this.#recorder);
  }

  usage(): UsageSummary {
    return summaryOf(this.#recorder.past.toldUsage.rows);
  }

  setStatus(status: unknown): void {
    const value = this.#payload(status, "status of instance", this.instanceId) ?? null;
    this.#recorder.note({ kind: "StatusSet", value });
  }

  get state(): OrchestrationState {
    this.#state ??= recordedState(this.#recorder);
    return this.#state;
  }

  emit(data: unknown): void {
    const payload = this.#payload(data, "output of instance", this.instanceId) ?? null;
    this.#recorder.note({ kind: "OutputEmitted", data: payload });
  }

  patched(changeId: string): boolean {
    assertShort(changeId, "change id");
    const mark = this.#recorder.changeMark(changeId);
    if (mark !== undefined) return mark;
    this.#recorder.note({ kind: "ChangeMarked", changeId, active: true });
    return true;
  }

  get log(): Logger {
    this.#log ??= silentWhileReplaying(this.#recorder);
    return this.#log;
  }

  #payload(value: unknown, what: string, name: string): Payload | undefined {
    return toPayload(value, what, name, this.#recorder.payloadLimit);
  }

  #child(callee: AnyOrchestration | string, input: unknown, options: StartOptions) {
    const name = nameOf(callee, "orchestration");
    const { version, labels, budget } = options;
    if (version !== undefined) assertVersion(version, `orchestration ${name}`);
    if (options.instanceId !== undefined) assertInstanceId(options.instanceId);
    if (labels !== undefined) assertLabels(labels);
    if (budget !== undefined) assertBudget(budget, `the budget of orchestration ${name}`);
    if (typeof callee !== "string" && callee.options.input !== undefined) {
      assertValid(callee.options.input, input, `the input of orchestration ${name}`);
    }
    const payload = this.#payload(input, "input of orchestration", name);
    return {
      name,
      instanceId: options.instanceId ?? `${this.instanceId}:${this.execution}:${this.#recorder.nextChild()}`,
      ...(version !== undefined && { version }),
      ...(payload !== undefined && { input: payload }),
      ...(labels !== undefined && { labels: { ...labels } }),
      ...(budget !== undefined && { budget: { ...budget } }),
    };
  }

  /** A wait with a timer beside it: whichever comes first ends the other. */
  #limited<Data>(wait: DurablePromise<Data>, timeoutAt: number, name: string): DurablePromise<Data> {
    const timer = this.#recorder.ask<void>({
      body: { kind: "TimerCreated", fireAt: timeoutAt },
      read: () => undefined,
    });
    const seconds = (timeoutAt - this.#recorder.now) / 1000;
    const outcome = this.race({ wait, timer }).then((first) => {
      if (first.winner === "wait") return first.value as Data;
      throw new TimeoutError(`Expected event ${name} of instance ${this.instanceId} within ${seconds} s, got none`);
    });
    outcome.catch(() => undefined);
    return Object.assign(outcome, { cancel: (reason?: string) => wait.cancel(reason) });
  }
}

/** @throws ConfigurationError unless labels are short names with short texts. */
export function assertLabels(labels: unknown): asserts labels is Labels {
  if (typeof labels !== "object" || labels === null || Array.isArray(labels)) {
    throw new ConfigurationError(`Expected labels to be an object of strings, got ${JSON.stringify(labels)}`);
  }
  for (const [key, value] of Object.entries(labels)) {
    assertShort(key, "label name");
    if (typeof value !== "string" || value.length > 200) {
      throw new ConfigurationError(
        `Expected label ${key} to be a string of at most 200 characters, got ${JSON.stringify(value)}`,
      );
    }
  }
}

function assertCancellable(promise: unknown, name: string): void {
  if (typeof (promise as DurablePromise<unknown> | undefined)?.cancel !== "function") {
    throw new ConfigurationError(
      `Expected ${name} in ctx.race to be a durable promise, got one that cannot be cancelled: give ctx.race what ctx returned, or use Promise.race`,
    );
  }
}

function nameOf(callee: { readonly name: string } | string, what: string): string {
  if (typeof callee !== "string") return callee.name;
  assertName(callee, what);
  return callee;
}

function received<Data>(data: Payload | undefined, schema: Schema<Data> | undefined, name: string): Data {
  return schema === undefined ? (data as Data) : assertValid(schema, data, `the data of event ${name}`);
}

function recordedState(recorder: Recorder): OrchestrationState {
  return {
    get: <Value extends Payload>(key: string) => {
      const value = recorder.state.get(key);
      return copyOfJson(value) as Value | undefined;
    },
    set: (key, value) => {
      assertShort(key, "state key");
      const payload = toPayload(value, "state", key, recorder.payloadLimit);
      if (payload === undefined) recorder.note({ kind: "StateDeleted", key });
      else recorder.note({ kind: "StateSet", key, value: payload });
    },
    delete: (key) => {
      assertShort(key, "state key");
      recorder.note({ kind: "StateDeleted", key });
    },
    keys: () => [...recorder.state.keys()],
  };
}

function silentWhileReplaying(recorder: Recorder): Logger {
  const { instanceId, execution, name: orchestration } = recorder;
  const at = (level: keyof Logger): Logger["info"] => {
    return (message, fields) => {
      if (!recorder.isReplaying) recorder.logger[level](message, { instanceId, execution, orchestration, ...fields });
    };
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function hasMembers(object: object): boolean {
  for (const _ in object) return true;
  return false;
}
