/**
 * A live execution: an orchestration function bound to its history.
 *
 * It owns the code that runs, the requests the code has made and the promises it holds. It owns no clock, no storage and
 * no randomness, and it does not know whether what is delivered to it comes from history or from an inbox: that is the
 * business of its feed (`turn.ts`).
 *
 * Invariants
 *   E1  Deliveries come one at a time. Between two of them the microtask queue is drained.
 *   E2  Code makes requests only while a delivery is open; a request made at any other time came from a callback of
 *       something that is not durable, and is a violation.
 *   E3  Requests are bound to events in the order in which they were made.
 *   E4  A promise settles at most once, by the event that answers it or by a cancellation that is itself a request.
 *   E5  What the code is given is its own: changing it changes no event and no message.
 */
import { createHash } from "node:crypto";
import type { AnyOrchestration } from "./context.ts";
import type { DurablePromise } from "./durable-promise.ts";
import {
  ActivityError,
  CancelledError,
  DeterminismError,
  fromFailure,
  HistoryCorruptError,
  InputError,
  isStetError,
  type StetError,
  SubOrchestrationError,
  toFailure,
} from "./errors.ts";
import {
  type ClosingBody,
  type ContinuedAsNew,
  type DeliveryBody,
  historySchemaVersion,
  type OrchestrationStarted,
  type Recorded,
  type RequestBody,
} from "./events.ts";
import { childIdOf, originAt } from "./fork-origin.ts";
import { answers, callSite, cancellationOf, Operation } from "./operation.ts";
import { orchestrationContext } from "./orchestration-context.ts";
import { copyOfJson, type Payload } from "./payload.ts";
import type { Logger } from "./ports.ts";
import { Recollection } from "./recollection.ts";
import type { Answer, AskingKind, Question, Recorder, Verdict } from "./recorder.ts";
import { check } from "./schema.ts";
import { SmallMap } from "./small-map.ts";
import { toPayload } from "./to-payload.ts";

/** What is fixed about an execution. */
export interface ExecutionHeader {
  readonly instanceId: string;
  readonly execution: number;
  readonly rootId: string;
}

/** What an execution is given by the shell. */
export interface ExecutionEnvironment {
  readonly logger: Logger;
  readonly payloadLimit: number;
  /** More requests than this after one delivery are taken for a runaway loop. */
  readonly maxRequestsPerDelivery: number;
  /** Runs the orchestration function where its calls can be told from everybody else's. */
  readonly enter: (execution: Execution, run: () => unknown) => unknown;
  /** Remember where each request was made. Costly: only for explaining a mismatch. */
  readonly traceRequests?: boolean;
}

/** What history says about choices of the code, gathered before it is replayed. */
export interface Foreknowledge {
  /** Changes that are marked somewhere. */
  readonly changes: ReadonlySet<string>;
  /** Answers of models that were not accepted, by the event that asked. */
  readonly refused: ReadonlyMap<number, Verdict>;
  /** Whether the schema of that time refused the input, so that the code never ran. */
  readonly inputRefused: boolean;
}

/** `queueMicrotask` would make an async resource for each; a settled promise does not. */
const microtask = Promise.resolve();

/** See the head of the file. */
export class Execution implements Recorder {
  readonly definition: AnyOrchestration;
  readonly instanceId: string;
  readonly execution: number;
  readonly rootId: string;
  readonly state: Map<string, Payload> = new Map();
  readonly past: Recollection = new Recollection();

  /** The start, once it is delivered: who the parent is, what was carried. */
  started: (Recorded & OrchestrationStarted) | undefined;
  status: Payload | undefined;
  lastEventId = 0;
  now = 0;
  isReplaying = false;
  cancelRequested = false;
  /** Set when the code did what cannot be replayed. Nothing of the turn may be kept. */
  violation: StetError | undefined;
  /** Requests bound to events and not answered, by event id. */
  readonly pending: SmallMap<number, Operation> = new SmallMap();
  foreknowledge: Foreknowledge | undefined;

  readonly #environment: ExecutionEnvironment;
  #requested: Operation[] = [];
  #open = false;
  #deliveredId = 0;
  #requestsSinceDelivery = 0;
  #drawn = 0;
  #children = 0;
  #satisfied: number[] = [];
  #outcome: ClosingBody | undefined;
  #next: ContinuedAsNew | undefined;
  #waiting: Map<string, Operation[]> | undefined;
  #buffered: Map<string, (Payload | undefined)[]> | undefined;
  #changes: Map<string, boolean> | undefined;

  constructor(definition: AnyOrchestration, header: ExecutionHeader, environment: ExecutionEnvironment) {
    this.definition = definition;
    this.instanceId = header.instanceId;
    this.execution = header.execution;
    this.rootId = header.rootId;
    this.#environment = environment;
  }

  get name(): string {
    return this.definition.name;
  }
  get version(): string {
    return this.definition.version;
  }
  get identity(): string {
    return originAt(this.#deliveredId, this.started?.forkedFrom) ?? this.instanceId;
  }
  get logger(): Logger {
    return this.#environment.logger;
  }
  get payloadLimit(): number {
    return this.#environment.payloadLimit;
  }

  // What the feed does with it

  /** Settles what the event answers. The code has run when the microtask queue is empty. */
  deliver(event: Recorded & DeliveryBody): void {
    this.now = event.at;
    this.#deliveredId = event.id;
    this.#drawn = 0;
    this.#requestsSinceDelivery = 0;
    this.#open = true;
    this.past.add(event, "source" in event ? this.pending.get(event.source)?.body : undefined);
    switch (event.kind) {
      case "OrchestrationStarted":
        return this.#begin(event);
      case "ActivityCompleted":
      case "TimerFired":
      case "SubOrchestrationCompleted":
      case "LlmCompleted":
        return this.#answer(this.#take(event.source, event), event);
      case "ActivityFailed":
      case "SubOrchestrationFailed":
      case "LlmFailed":
        return this.#refuse(this.#take(event.source, event), event);
      case "EventReceived":
        return this.#receive(event);
      case "CancelRequested":
        return this.#cancelAll(event.reason);
    }
  }

  /** The requests made since the last delivery, in order. Closes the delivery. */
  takeRequested(): Operation[] {
    const requested = this.#requested;
    this.#requested = [];
    return requested;
  }

  /** Ties a request to its event. */
  bind(operation: Operation, eventId: number): void {
    operation.eventId = eventId;
    if (!operation.settled) this.pending.set(eventId, operation);
  }

  /** Ends the time in which the code may make requests. */
  shut(): void {
    this.#open = false;
  }

  /** Whether the code has returned, thrown, or asked to continue as new. */
  get isDone(): boolean {
    return this.#outcome !== undefined || this.#next !== undefined;
  }

  /** Gives up what is still outstanding, as requests, and answers how the execution ends. */
  close(): ClosingBody {
    const reason = this.#next === undefined ? "the orchestration ended" : "the orchestration continued as new";
    for (const [, operation] of [...this.pending]) {
      const { body } = operation;
      if (body.kind === "SubOrchestrationScheduled" && body.parentClosePolicy === "abandon") operation.settled = true;
      else this.#cancel(operation, reason, false);
    }
    return this.#next ?? (this.#outcome as ClosingBody);
  }

  /** Waits that received their event since this was asked last. */
  takeSatisfied(): number[] {
    const satisfied = this.#satisfied;
    if (satisfied.length > 0) this.#satisfied = [];
    return satisfied;
  }

  /** Drops what only a replay needs. */
  forget(): void {
    this.foreknowledge = undefined;
    this.#satisfied = [];
  }

  /** Events that were delivered and not received, in order, by name. */
  unreceived(): { name: string; data?: Payload }[] {
    return [...(this.#buffered ?? [])].flatMap(([name, queue]) =>
      queue.map((data) => ({ name, ...(data !== undefined && { data }) })),
    );
  }

  // What the context does with it

  ask<Value>({ body, read }: Question<Value>): DurablePromise<Value> {
    const operation = new Operation(body);
    const promise = new Promise<Value>((resolve, reject) => {
      operation.resolve = resolve as (value: unknown) => void;
      operation.reject = reject;
    });
    operation.promise = promise;
    operation.read = read;
    operation.settled = false;
    this.#request(operation);
    if (body.kind === "EventAwaited") this.#await(operation, body.name);
    const durable = promise as DurablePromise<Value>;
    durable.cancel = (reason = "cancelled by the orchestration") => this.cancel(operation, reason);
    return durable;
  }

  /** Gives an unanswered request up, as a request of its own. */
  cancel(operation: Operation, reason: string): void {
    if (operation.settled) return;
    this.#assertOpen("cancel");
    this.#cancel(operation, reason, true).site = this.#site();
  }

  note(body: Exclude<RequestBody, { kind: AskingKind }>): void {
    this.#request(new Operation(body));
    switch (body.kind) {
      case "StatusSet":
        this.status = body.value;
        break;
      case "StateSet":
        this.state.set(body.key, body.value);
        break;
      case "StateDeleted":
        this.state.delete(body.key);
        break;
      case "ChangeMarked":
        (this.#changes ??= new Map()).set(body.changeId, body.active);
        break;
      default:
    }
  }

  continueAsNew(body: Omit<ContinuedAsNew, "kind">): Promise<never> {
    this.#assertOpen("continueAsNew");
    this.#next ??= { kind: "ContinuedAsNew", ...body };
    return new Promise(() => undefined);
  }

  takeEvent(name: string): { readonly data: Payload | undefined } | undefined {
    this.#assertOpen("tryReceive");
    const taken = this.#unbuffer(name);
    if (taken === undefined) return undefined;
    this.#request(new Operation({ kind: "EventAwaited", name }));
    return { data: copyOfJson(taken.data) };
  }

  changeMark(changeId: string): boolean | undefined {
    const known = this.#changes?.get(changeId);
    if (known !== undefined || !this.isReplaying || this.foreknowledge?.changes.has(changeId)) return known;
    (this.#changes ??= new Map()).set(changeId, false);
    return false;
  }

  verdictOn(eventId: number): Verdict | undefined {
    if (!this.isReplaying || this.foreknowledge === undefined) return undefined;
    return this.foreknowledge.refused.get(eventId) ?? "accepted";
  }

  drawBits(): bigint {
    const seed = `${this.identity}\n${this.execution}\n${this.#deliveredId}\n${this.#drawn++}`;
    return createHash("sha256").update(seed).digest().readBigUInt64BE();
  }

  nextChild(): number {
    return ++this.#children;
  }

  /** Records that the code broke a rule. The first breach is the one to report. */
  violate(error: StetError): void {
    this.violation ??= error;
  }

  #begin(event: Recorded & OrchestrationStarted): void {
    if (event.schemaVersion > historySchemaVersion) {
      throw new HistoryCorruptError(
        `Expected the history of instance ${this.instanceId} to have schema version ${historySchemaVersion} at most, got ${event.schemaVersion}: a newer release of this library wrote it`,
      );
    }
    this.started = event;
    const { carried } = event;
    this.status = carried?.status;
    for (const { key, value } of carried?.state ?? []) this.state.set(key, value);
    for (const { name, data } of carried?.events ?? []) this.#buffer(name, data);
    // Not on the caller's stack: code that never lets go can then be broken off without the caller.
    void microtask.then(() => this.#run(event.input));
  }

  #run(payload: Payload | undefined): void {
    try {
      const input = this.#input(copyOfJson(payload));
      const returned = this.#environment.enter(this, () =>
        this.definition.run(orchestrationContext(this), input as never),
      );
      if (isThenable(returned)) returned.then(this.#complete, this.#fail);
      else this.#complete(returned);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** What a schema of today would refuse stands when history shows that the code ran with it. */
  #input(input: Payload | undefined): unknown {
    const schema = this.definition.options.input;
    if (schema === undefined) return input;
    const what = `the input of orchestration ${this.name}`;
    const checked = check(schema, input, what);
    if ("value" in checked) return checked.value;
    if (this.isReplaying && this.foreknowledge?.inputRefused === false) return input;
    throw new InputError(`Expected ${what} to satisfy its schema, got: ${checked.problem}`, {
      details: checked.details,
    });
  }

  readonly #complete = (value: unknown): void => {
    try {
      const output = toPayload(value, "output of orchestration", this.name, this.payloadLimit);
      this.#outcome = { kind: "OrchestrationCompleted", ...(output !== undefined && { output }) };
    } catch (error) {
      this.#fail(error);
    }
  };

  readonly #fail = (error: unknown): void => {
    if (isStetError(error, "determinism_violated")) this.violate(error);
    this.#outcome =
      this.cancelRequested && isStetError(error, "cancelled")
        ? { kind: "OrchestrationCancelled", reason: error.message }
        : { kind: "OrchestrationFailed", error: toFailure(error) };
  };

  #request(operation: Operation): void {
    this.#assertOpen(operation.body.kind);
    if (++this.#requestsSinceDelivery > this.#environment.maxRequestsPerDelivery) this.#runAway(operation);
    operation.site = this.#site();
    this.#requested.push(operation);
  }

  #site(): string | undefined {
    return this.#environment.traceRequests === true ? callSite() : undefined;
  }

  #runAway({ body }: Operation): never {
    const error = new DeterminismError(
      `Expected orchestration ${this.name} (instance ${this.instanceId}) to make at most ${this.#environment.maxRequestsPerDelivery} requests between two waits, got one more (${body.kind}): it loops without waiting, or needs continueAsNew`,
    );
    this.violate(error);
    throw error;
  }

  #assertOpen(what: string): void {
    if (this.#open) return;
    const error = new DeterminismError(
      `Expected orchestration ${this.name} (instance ${this.instanceId}) to use ctx only while it is being run, got ${what} from elsewhere: a callback, timer or promise that is not durable woke it. Await durable promises of ctx only`,
    );
    this.violate(error);
    throw error;
  }

  /** Takes the operation that an event answers. Feeds deliver no other answers, unless history is damaged. */
  #take(source: number, event: Recorded & DeliveryBody): Operation {
    const operation = this.pending.get(source);
    if (operation === undefined || !answers(event.kind, operation.body.kind)) {
      throw new HistoryCorruptError(
        `Expected event ${event.id} (${event.kind}) of instance ${this.instanceId} to answer an open request, got source ${source}${operation === undefined ? "" : `, a ${operation.body.kind}`}`,
      );
    }
    this.pending.delete(source);
    operation.settled = true;
    return operation;
  }

  #answer(operation: Operation, event: Answer): void {
    try {
      const { read } = operation;
      const value = read === undefined ? copyOfJson((event as { result?: Payload }).result) : read(copyOfJson(event));
      operation.resolve?.(value);
    } catch (error) {
      this.#reject(operation, error);
    }
  }

  #refuse(operation: Operation, event: Extract<DeliveryBody, { error: unknown }> & Recorded): void {
    this.#reject(operation, this.#errorOf(operation.body, event));
  }

  #errorOf(body: RequestBody, event: Extract<DeliveryBody, { error: unknown }> & Recorded): StetError {
    const cause = fromFailure(copyOfJson(event.error));
    if (event.kind === "LlmFailed" || event.error.code === "outcome_unknown") return cause;
    const { name } = body as { name: string };
    if (event.kind === "SubOrchestrationFailed") {
      const { instanceId } = body as { instanceId: string };
      return new SubOrchestrationError(
        `Sub-orchestration ${name} of instance ${this.identity} (event ${event.source}) failed: ${cause.message}`,
        { cause, details: { name, instanceId: childIdOf(this.started?.forkedFrom, event.source, instanceId) } },
      );
    }
    const attempts = event.attempts ?? 1;
    return new ActivityError(
      `Activity ${name} of instance ${this.identity} (event ${event.source}) failed after ${attempts} attempt${attempts === 1 ? "" : "s"}: ${cause.message}`,
      { cause, details: { name, attempts } },
    );
  }

  /** A rejection that nobody observes must not end the process: the code may have stopped caring. */
  #reject(operation: Operation, error: unknown): void {
    operation.promise?.catch(() => undefined);
    operation.reject?.(error);
  }

  #receive({ name, data }: { readonly name: string; readonly data?: Payload }): void {
    const waiter = this.#waiting?.get(name)?.shift();
    if (waiter === undefined) this.#buffer(name, data);
    else this.#hand(waiter, name, data);
  }

  #hand(waiter: Operation, name: string, data: Payload | undefined): void {
    waiter.settled = true;
    if (this.pending.delete(waiter.eventId)) this.#satisfied.push(waiter.eventId);
    this.#answer(waiter, { kind: "EventReceived", name, ...(data !== undefined && { data }) });
  }

  #await(operation: Operation, name: string): void {
    const buffered = this.#unbuffer(name);
    if (buffered !== undefined) return this.#hand(operation, name, buffered.data);
    const waiters = (this.#waiting ??= new Map<string, Operation[]>()).get(name);
    if (waiters === undefined) this.#waiting.set(name, [operation]);
    else waiters.push(operation);
  }

  #buffer(name: string, data: Payload | undefined): void {
    const queue = (this.#buffered ??= new Map<string, (Payload | undefined)[]>()).get(name);
    if (queue === undefined) this.#buffered.set(name, [data]);
    else queue.push(data);
  }

  #unbuffer(name: string): { readonly data: Payload | undefined } | undefined {
    const queue = this.#buffered?.get(name);
    return queue === undefined || queue.length === 0 ? undefined : { data: queue.shift() };
  }

  #cancelAll(reason: string): void {
    this.cancelRequested = true;
    for (const [, operation] of [...this.pending]) this.#cancel(operation, reason, true);
  }

  #cancel(operation: Operation, reason: string, tellCode: boolean): Operation {
    const { body } = operation;
    operation.settled = true;
    this.pending.delete(operation.eventId);
    if (body.kind === "EventAwaited") {
      const waiters = this.#waiting?.get(body.name);
      waiters?.splice(waiters.indexOf(operation), 1);
    }
    const cancellation = new Operation(cancellationOf(body, reason), operation);
    this.#requested.push(cancellation);
    if (tellCode) this.#reject(operation, new CancelledError(reason));
    return cancellation;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as PromiseLike<unknown>).then === "function";
}
