/**
 * What authors hold: definitions, the context of an orchestration, the context of an activity, and the client. They
 * speak of each other, so they stand in one file; there is no behaviour in it.
 *
 * Everything on `OrchestrationContext` is replay-safe. What returns a {@link DurablePromise} is asked for at once, when
 * the method is called, and recorded; what returns a plain value is computed from recorded facts.
 */
import type { DiagramOptions } from "./appearance.ts";
import type { Budget } from "./budget.ts";
import type { Duration } from "./duration.ts";
import type { DurablePromise, Winner } from "./durable-promise.ts";
import type { Effect, Labels, ParentClosePolicy, RecordedActivityOptions } from "./events.ts";
import type { InstanceHandle, StartInstanceOptions } from "./instance-handle.ts";
import type { LlmOperations } from "./llm/operations.ts";
import type { UsageSummary } from "./llm/usage.ts";
import type { Payload } from "./payload.ts";
import type { Logger } from "./ports.ts";
import type { RetryPolicy } from "./retry.ts";
import type { Schema } from "./schema.ts";

// Definitions

/** How an activity runs, wherever it is called. A call may override all but `input` and `effect`. */
export interface ActivityOptions {
  /** How failures are retried. @default not at all: what may be repeated is for the author to say */
  readonly retry?: RetryPolicy;
  /** Longest time of one attempt. Its `ctx.signal` aborts and the attempt fails with `TimeoutError`. @default none */
  readonly timeout?: Duration;
  /** Longest time from the call to its answer, waits and retries included. @default none */
  readonly totalTimeout?: Duration;
  /** Longest silence between two `ctx.heartbeat()`; then the attempt fails with `TimeoutError`. @default none */
  readonly heartbeatTimeout?: Duration;
  /** Only workers that declare this tag run it. @default any worker */
  readonly tag?: string;
}

/** What is said about an activity where it is defined. */
export interface ActivityDefinitionOptions<Input> extends ActivityOptions {
  /** Checked before the function runs; an input that does not satisfy it fails the activity without a retry. */
  readonly input?: Schema<Input>;
  /** What running it twice would mean. @default "idempotent" */
  readonly effect?: Effect;
  /** What people call it: one line of at most 100 characters, shown in diagrams. @default its name */
  readonly title?: string;
  /** For people and for models that may choose it as a tool. */
  readonly description?: string;
  /** How it is drawn. @default by what it is */
  readonly diagram?: DiagramOptions;
}

/** A side-effecting function with a name. */
export interface Activity<Input = void, Output = unknown> {
  readonly kind: "activity";
  readonly name: string;
  readonly options: ActivityDefinitionOptions<Input>;
  /** The options that travel with each call, in milliseconds. */
  readonly recorded: RecordedActivityOptions;
  readonly run: (ctx: ActivityContext, input: Input) => Promise<Output> | Output;
}

/** What is said about an orchestration where it is defined. */
export interface OrchestrationOptions<Input> {
  /** Numbers with dots, compared number by number. @default "1" */
  readonly version?: string;
  /** Checked where an instance is started, before anything is stored, and again when its code first runs. */
  readonly input?: Schema<Input>;
  /** What people call it: one line of at most 100 characters, shown in diagrams. @default its name */
  readonly title?: string;
  /** For people. */
  readonly description?: string;
  /** How it is drawn. @default by what it is */
  readonly diagram?: DiagramOptions;
  /**
   * What each instance with all below it may use of models. The caller may set other limits, member by member.
   * @default no limit
   */
  readonly budget?: Budget;
}

/** A durable program with a name: a deterministic async function. */
export interface Orchestration<Input = void, Output = unknown> {
  readonly kind: "orchestration";
  readonly name: string;
  readonly version: string;
  readonly options: OrchestrationOptions<Input>;
  readonly run: (ctx: OrchestrationContext, input: Input) => Promise<Output> | Output;
}

/** Any activity, whatever its types. */
export interface AnyActivity extends Omit<Activity<unknown, unknown>, "run"> {
  readonly run: (ctx: ActivityContext, input: never) => unknown;
}

/** Any orchestration, whatever its types. */
export interface AnyOrchestration extends Omit<Orchestration<unknown, unknown>, "run"> {
  readonly run: (ctx: OrchestrationContext, input: never) => unknown;
}

/** Arguments of a call that names a definition: the input may be left out when its type allows `undefined`. */
export type CallArguments<Input, Options> = undefined extends Input
  ? [input?: Input, options?: Options]
  : [input: Input, options?: Options];

// What orchestrations hold

/** Options of one activity call. They override the definition's. */
export interface ActivityCallOptions extends ActivityOptions {
  /**
   * Calls with the same session run on the same worker while that lives, one after another in the order in which they
   * were made. One that waits for its next attempt holds up none.
   */
  readonly session?: string;
}

/** Options of a sub-orchestration. */
export interface SubOrchestrationOptions {
  /** @default the parent's id, execution and a number */
  readonly instanceId?: string;
  /** @default the newest version that the worker of its first turn has */
  readonly version?: string;
  readonly labels?: Labels;
  /** A further limit for it and all below it: what it uses counts for the budgets above as well. @default the definition's */
  readonly budget?: Budget;
  /** What happens to it when the parent ends first. @default "cancel" */
  readonly parentClosePolicy?: ParentClosePolicy;
}

/** Options of a detached start. */
export type StartOptions = Omit<SubOrchestrationOptions, "parentClosePolicy">;

/** Options of a wait for an external event. */
export interface WaitOptions<Data> {
  /** Give up after this long with `TimeoutError`. @default wait for ever */
  readonly timeout?: Duration;
  /** Shown to clients that list what is awaited and why. */
  readonly details?: unknown;
  /** Checked when the event is delivered; an event that does not satisfy it rejects the wait with `InputError`. */
  readonly schema?: Schema<Data>;
}

/** Options of continue-as-new. */
export interface ContinueAsNewOptions {
  /** @default the newest registered version */
  readonly version?: string;
}

/** State of the instance: kept across executions, readable from outside, gone when the instance is deleted. */
export interface OrchestrationState {
  get<Value extends Payload = Payload>(key: string): Value | undefined;
  set(key: string, value: unknown): void;
  delete(key: string): void;
  /** Keys in the order in which they were first set. */
  keys(): string[];
}

/** The world of an orchestration. */
export interface OrchestrationContext extends LlmOperations {
  readonly instanceId: string;
  readonly execution: number;
  readonly name: string;
  readonly version: string;
  /** True while recorded history is being replayed. Only for diagnostics: branching on it is nondeterminism. */
  readonly isReplaying: boolean;

  /**
   * Runs an activity. Rejects with `ActivityError` when it failed for good, and with `OutcomeUnknownError` when it is
   * irreversible and may have happened.
   */
  activity<Input, Output>(
    activity: Activity<Input, Output>,
    ...rest: CallArguments<NoInfer<Input>, ActivityCallOptions>
  ): DurablePromise<Output>;
  activity<Output = unknown>(name: string, input?: unknown, options?: ActivityCallOptions): DurablePromise<Output>;

  /** Resolves after a duration that outlives the process. */
  timer(duration: Duration): DurablePromise<void>;

  /** Resolves with the data of the next external event of this name; those that came before are kept in order. */
  waitForEvent<Data = unknown>(name: string, options?: WaitOptions<Data>): DurablePromise<Data>;

  /** The next external event of this name if one has already been delivered. Never waits. */
  tryReceive<Data = unknown>(name: string): { readonly data: Data } | undefined;

  /** Starts another orchestration and resolves with its output. Rejects with `SubOrchestrationError`. */
  subOrchestration<Input, Output>(
    orchestration: Orchestration<Input, Output>,
    ...rest: CallArguments<NoInfer<Input>, SubOrchestrationOptions>
  ): DurablePromise<Output>;
  subOrchestration<Output = unknown>(
    name: string,
    input?: unknown,
    options?: SubOrchestrationOptions,
  ): DurablePromise<Output>;

  /** Starts another orchestration that lives on its own, and answers its instance id. An existing id is left alone. */
  startOrchestration<Input, Output>(
    orchestration: Orchestration<Input, Output>,
    ...rest: CallArguments<NoInfer<Input>, StartOptions>
  ): string;
  startOrchestration(name: string, input?: unknown, options?: StartOptions): string;

  /** Sends an external event to another instance. Unknown and ended instances drop it. */
  sendEvent(instanceId: string, name: string, data?: unknown): void;

  /**
   * Ends this execution and begins the next one with a fresh history; state, status, labels and events not yet received
   * go with it. `return ctx.continueAsNew(input)`: the promise never settles.
   */
  continueAsNew(input?: unknown, options?: ContinueAsNewOptions): Promise<never>;

  /**
   * Waits for the first of the named promises to settle and cancels the others, durably. A rejection wins as well.
   *
   * @example
   * ```ts
   * const first = await ctx.race({ answer: ctx.waitForEvent("answer"), tooLate: ctx.timer("1h") });
   * if (first.winner === "answer") return first.value;
   * ```
   */
  race<Promises extends { readonly [name: string]: DurablePromise<unknown> }>(
    promises: Promises,
  ): Promise<Winner<Promises>>;

  /** The time of the event delivered last, in epoch milliseconds. */
  now(): number;
  /** A version 4 UUID that is the same on every replay. */
  uuid(): string;
  /** A number from 0 to 1 that is the same on every replay. */
  random(): number;

  /** What models have answered to this execution so far, in tokens and money. Replays count the same. */
  usage(): UsageSummary;

  /** What the instance tells about itself to those who ask for its status. `null` clears it. */
  setStatus(status: unknown): void;
  readonly state: OrchestrationState;
  /** Appends to the instance's output stream. */
  emit(data: unknown): void;

  /**
   * Whether this execution runs the code after a change. New executions do, and record it; histories that went past
   * this place before the change do not.
   *
   * @example
   * ```ts
   * if (ctx.patched("charge-by-v2")) await ctx.activity(chargeV2, order); else await ctx.activity(charge, order);
   * ```
   */
  patched(changeId: string): boolean;

  /** Logs that are silent while replaying. */
  readonly log: Logger;
}

// What activities and services hold

/** The world of one attempt of an activity. */
export interface ActivityContext {
  readonly name: string;
  readonly instanceId: string;
  readonly execution: number;
  readonly orchestration: { readonly name: string; readonly version: string };
  /** 1 for the first attempt; attempts of workers that died count. */
  readonly attempt: number;
  /** The same for every attempt of the same call: hand it to what you call. */
  readonly idempotencyKey: string;
  /** Aborts when the call is cancelled, timed out, or the worker has lost it. */
  readonly signal: AbortSignal;
  readonly tag: string | undefined;
  readonly session: string | undefined;
  /** What the attempt before this one said in its last heartbeat. */
  readonly lastHeartbeat: Payload | undefined;
  /** Says that it is alive, and how far it got. */
  heartbeat(details?: unknown): void;
  readonly client: OrchestrationClient;
  readonly log: Logger;
}

/** What services and activities do with orchestrations. */
export interface OrchestrationClient {
  /**
   * Starts an instance. It is stored when the promise resolves.
   *
   * @throws InputError when the input does not satisfy the definition's schema.
   * @throws PayloadError when the input is not JSON.
   * @throws InstanceError (`instance_exists`) unless `ifExists` is `"attach"`.
   */
  startOrchestration<Input, Output>(
    orchestration: Orchestration<Input, Output>,
    ...rest: CallArguments<NoInfer<Input>, StartInstanceOptions>
  ): Promise<InstanceHandle<Output>>;
  startOrchestration<Output = unknown>(
    name: string,
    input?: unknown,
    options?: StartInstanceOptions,
  ): Promise<InstanceHandle<Output>>;

  /** A handle of an instance that may or may not exist. */
  instance<Input, Output>(instanceId: string, orchestration: Orchestration<Input, Output>): InstanceHandle<Output>;
  instance<Output = unknown>(instanceId: string): InstanceHandle<Output>;
}
