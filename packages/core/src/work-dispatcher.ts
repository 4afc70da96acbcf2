/**
 * Executes activities and model calls: decides which run here at once and which must wait or travel under a row, keeps
 * the slots filled, retries, and brings answers home.
 *
 * Invariants
 *   W1  Each request of an instance owned by this worker is held here (running or queued) or has a row in the store.
 *   W2  An answer that was found is delivered, whatever the store does meanwhile: it is kept and tried again.
 *   W3  An irreversible activity is claimed under a row before it starts, and never started when an earlier start of it
 *       has no known end.
 */
import { effectiveOptions, once, resultOf, runActivity, type ActivityEnvironment } from "./activity-runner.ts";
import {
  CancelledError,
  ConfigurationError,
  type Failure,
  LlmError,
  OutcomeUnknownError,
  toFailure,
} from "./errors.ts";
import type { ActivityScheduled, LlmCompleted, LlmRequested, RecordedRetryPolicy } from "./events.ts";
import { type WorkDiagnostic, workDiagnostics } from "./diagnostics.ts";
import { Heartbeats } from "./heartbeats.ts";
import { Job } from "./job.ts";
import { Gatherer } from "./gatherer.ts";
import type { LlmDispatcher } from "./llm/llm-dispatcher.ts";
import type { Asking } from "./llm/model-gate.ts";
import { isCached, usedBy } from "./llm/used-capacity.ts";
import { type AnswerBody, type AnswerMessage, type WorkItem } from "./messages.ts";
import { mayRetry, retryDelayMs } from "./retry.ts";
import type { Payload } from "./payload.ts";
import type { Patience } from "./patience.ts";
import { Pool } from "./pool.ts";
import type { Clock, Logger } from "./ports.ts";
import type { Registry } from "./registry.ts";
import { SessionLines } from "./session-lines.ts";
import type { InstanceKey, StorageProvider, WorkKey, WorkRetry } from "./storage.ts";
import type { OutgoingWork, WorkerKey } from "./storage-work.ts";
import type { PayloadSink, TextCodec } from "./text-codec.ts";
import { WorkClaims } from "./work-claims.ts";
import { rowOf, rowOfJob } from "./work-rows.ts";

/** Queued work beyond the slots that a worker holds itself; what comes on top gets rows, for others to take. */
const longestQueue = 20_000;

/** How often work may be started without an end being known before it is given up as harmful to its workers. */
const mostLostStarts = 10;

/** Calls that are put into line are written so many at once. */
const mostRowsAtOnce = 1_000;

/** What the dispatcher is given. */
export interface WorkEnvironment {
  readonly storage: StorageProvider;
  readonly codec: TextCodec;
  readonly registry: Registry;
  readonly llm: LlmDispatcher | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tags: readonly string[];
  readonly slots: { readonly activities: number; readonly models: number };
  readonly payloadLimit: number;
  readonly client: ActivityEnvironment["client"];
  readonly worker: () => WorkerKey;
  readonly patience: Patience;
  /** Brings the answer of work without a row to its instance, which this worker owns. */
  readonly deliver: (job: Job, answer: AnswerBody) => void;
  /** A request that was held here has a row from now on. */
  readonly released: (job: Job) => void;
  /** Called when the last job has ended. */
  readonly onIdle: () => void;
}

type Found = { readonly answer: AnswerBody } | { readonly failure: Failure };

/** See the head of the file. */
export class WorkDispatcher {
  readonly #environment: WorkEnvironment;
  readonly #activities: Pool;
  readonly #models: Pool;
  readonly #jobs = new Map<string, Job>();
  readonly #sessions = new SessionLines();
  readonly #beats: Heartbeats;
  readonly #claims: WorkClaims;
  readonly #intoLine: Gatherer<Job, void>;
  readonly #runner: ActivityEnvironment;
  #stopped = false;

  constructor(environment: WorkEnvironment) {
    this.#environment = environment;
    this.#activities = new Pool(environment.slots.activities);
    this.#models = new Pool(environment.slots.models);
    this.#beats = new Heartbeats({
      ...environment,
      rowOf: (job) => rowOfJob(job, job.attempt, environment),
      released: (job) => {
        this.#claims.learn(job);
        environment.released(job);
      },
    });
    const { clock, logger, client, payloadLimit } = environment;
    const keepHeartbeat = (job: Job, details: Payload | undefined) => this.#beats.keep(job, details);
    this.#claims = new WorkClaims({
      ...environment,
      pools: { activities: this.#activities, models: this.#models },
      jobOf: (key) => this.#jobs.get(key),
      rows: () => [...this.rows.keys()],
      take: (job) => this.#take(job),
      giveBack: (rows) => this.#giveBack(rows),
      onIdle: () => this.#noticeIdle(),
    });
    this.#intoLine = new Gatherer((jobs) => this.#saveIntoLine(jobs));
    this.#runner = { clock, logger, client, payloadLimit, keepHeartbeat };
  }

  /** Whether a new request runs in this worker without a row. */
  holdsItself(request: ActivityScheduled | LlmRequested): boolean {
    if (this.#stopped) return false;
    if (request.kind === "LlmRequested") {
      const { llm, clock } = this.#environment;
      return llm !== undefined && this.#models.queued < longestQueue && llm.lines.isFree(request, clock.now());
    }
    const definition = this.#environment.registry.activity(request.name);
    if (definition === undefined || this.#activities.queued >= longestQueue) return false;
    const { tag, session, effect } = effectiveOptions(definition, request);
    return (
      session === undefined && effect !== "irreversible" && (tag === undefined || this.#environment.tags.includes(tag))
    );
  }

  /** Runs an item that {@link holdsItself} took and whose request is committed. */
  start(item: WorkItem, instance: InstanceKey): void {
    this.#enqueue(new Job(item, instance, 1));
  }

  /** Stops what runs here for a request whose answer nobody wants any more. Another instance may have its id by now. */
  cancel(key: string, instance: InstanceKey, reason: string): void {
    const job = this.#jobs.get(key);
    if (job?.instance === instance) job.abandon(new CancelledError(reason));
  }

  /** Gives everything that is held here for an instance a row, so that it is not taken for lost when the instance goes. */
  async giveRows(instance: InstanceKey): Promise<void> {
    const held = [...this.#jobs.values()].filter((job) => job.instance === instance && job.row === undefined);
    for (const job of held) if (job.saving === undefined && job.leaving === undefined) this.#beats.keep(job, undefined);
    for (const { leaving, saving } of held) await (leaving ?? saving);
  }

  /** There may be rows to take. */
  signal(): void {
    this.#claims.signal();
  }

  /** Whether nothing runs, waits for a slot or is being taken. */
  get isIdle(): boolean {
    return this.#jobs.size === 0 && this.#claims.isIdle;
  }

  /** Jobs by the rows that they run under, for the heartbeat. */
  get rows(): Map<WorkKey, Job> {
    const found = new Map<WorkKey, Job>();
    for (const job of this.#jobs.values()) if (job.row !== undefined) found.set(job.row, job);
    return found;
  }

  /** Numbers for `runtime.stats()`. */
  get counts(): { readonly running: number; readonly queued: number } {
    return {
      running: this.#activities.running + this.#models.running,
      queued: this.#activities.queued + this.#models.queued + this.#sessions.waiting,
    };
  }

  /** Abandons everything: this worker was declared dead, or stops. */
  abandonAll(reason: string): void {
    for (const job of this.#jobs.values()) job.abandon(new CancelledError(reason));
  }

  /** Takes nothing new; what was not started goes back. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const queued = [...this.#activities.drain(), ...this.#models.drain(), ...this.#sessions.drain()];
    for (const job of queued) this.#jobs.delete(job.key);
    const unstarted = queued.filter(({ abandoned }) => abandoned === undefined);
    await this.#giveBack([...unstarted.flatMap(({ row }) => row ?? []), ...this.#claims.stop()]);
    await this.#saveUnstarted(unstarted.filter(({ row }) => row === undefined));
  }

  /** Rows go back as if they had never been taken. */
  async #giveBack(rows: readonly WorkKey[]): Promise<void> {
    if (rows.length === 0) return;
    const { storage, worker, patience } = this.#environment;
    await patience.until("give work back", () => storage.abandonWork(worker(), rows));
  }

  async #saveUnstarted(jobs: readonly Job[]): Promise<void> {
    if (jobs.length === 0) return;
    const { storage, worker, patience } = this.#environment;
    const work = jobs.map((job) => ({
      ...rowOfJob(job, job.attempt - 1, this.#environment),
      instance: job.instance,
      owned: false,
    }));
    await patience.until("give work back", () => storage.saveWork(worker(), work));
  }

  /** See {@link rowOf}. */
  outgoing(item: WorkItem, attempts: number, sink?: PayloadSink): OutgoingWork {
    return rowOf(item, attempts, this.#environment, sink);
  }

  #enqueue(job: Job): void {
    this.#jobs.set(job.key, job);
    if (this.#sessions.enter(job)) this.#admit(job);
  }

  /** What was claimed. A call with capacity in hand goes at once: its capacity is for now. */
  #take(job: Job): void {
    const { item, attempt } = job;
    const lost = attempt > mostLostStarts + this.#mostStarts(item.request);
    if (!lost && job.asking === undefined) return this.#enqueue(job);
    this.#jobs.set(job.key, job);
    if (!lost) return this.#run(job, this.#models);
    const error = new OutcomeUnknownError(
      `Expected work item ${item.eventId} of instance ${item.instanceId} to end, got ${attempt - 1} starts whose worker died`,
    );
    job.asking?.gate.dropped();
    this.#answerFailed(job, toFailure(error));
  }

  #admit(job: Job): void {
    const pool = this.#poolOf(job);
    if (pool.running < pool.slots) this.#run(job, pool);
    else pool.push(job);
  }

  #poolOf(job: Job): Pool {
    return job.item.request.kind === "ActivityScheduled" ? this.#activities : this.#models;
  }

  #run(job: Job, pool: Pool): void {
    const mustWait = pool === this.#models && !this.#llm().lines.admits(job, this.#environment.clock.now());
    if (mustWait && (job.item.request as LlmRequested).options?.cache === undefined) return this.#wait(job);
    pool.running++;
    const begun = workDiagnostics.isHeard ? performance.now() : 0;
    const failed = (error: unknown) => this.#found(job, pool, { failure: toFailure(error) }, begun);
    const ended = (returned: unknown) => this.#found(job, pool, this.#read(job, returned), begun);
    if (!mustWait) this.#attempt(job).then(ended, failed);
    else {
      const kept = this.#llm().kept(job); // what is kept needs no model, and so no capacity
      kept.then((answer) => (answer === undefined ? this.#missed(job, pool) : ended(answer)), failed);
    }
  }

  /** Nothing is kept for a call whose model may not be asked now. */
  #missed(job: Job, pool: Pool): void {
    const saving = this.#beats.end(job, false);
    if (saving !== undefined) return void saving.then(() => this.#missed(job, pool));
    pool.running--;
    this.#wait(job);
    this.#fill(pool);
  }

  #wait(job: Job): void {
    job.leaving = this.#intoLine.ask(job);
  }

  /** What the model call answers, or what the activity returns. Never throws. */
  #attempt(job: Job): Promise<unknown> {
    try {
      const { request } = job.item;
      if (request.kind === "LlmRequested") return this.#llm().call(job);
      const definition = this.#environment.registry.activity(request.name);
      if (definition === undefined)
        throw new ConfigurationError(`Expected activity ${request.name} to be registered, got none`);
      this.#assertStartable(job, effectiveOptions(definition, request).effect === "irreversible");
      return runActivity(definition, job, this.#runner);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  /** The answer in what an attempt resolved to. */
  #read(job: Job, returned: unknown): Found {
    const { item, attempt } = job;
    const { request, eventId: source } = item;
    const attempts = attempt > 1 ? { attempts: attempt } : undefined;
    if (request.kind === "LlmRequested")
      return { answer: { ...(returned as LlmCompleted), ...attempts, ...inVain(job) } };
    try {
      const result = resultOf(returned, request.name, this.#environment.payloadLimit);
      return { answer: { kind: "ActivityCompleted", source, ...(result !== undefined && { result }), ...attempts } };
    } catch (error) {
      return { failure: toFailure(error) };
    }
  }

  /** @throws OutcomeUnknownError when an earlier start has no known end and another one would do harm (W3). */
  #assertStartable({ item, attempt }: Job, irreversible: boolean): void {
    const { name } = item.request as ActivityScheduled;
    if (irreversible && attempt > 1) {
      throw new OutcomeUnknownError(
        `Expected the irreversible activity ${name} of instance ${item.instanceId} to start once, got a worker that died after it started it; it may have happened`,
      );
    }
  }

  #llm(): LlmDispatcher {
    const { llm } = this.#environment;
    if (llm === undefined) throw new LlmError("not_found", "Expected the runtime to have an llm provider, got none");
    return llm;
  }

  /** Calls whose model may not be asked now wait for it in the store. */
  async #saveIntoLine(jobs: readonly Job[]): Promise<void[]> {
    const { storage, clock, worker, patience } = this.#environment;
    for (let from = 0; from < jobs.length; from += mostRowsAtOnce) {
      const chunk = jobs.slice(from, from + mostRowsAtOnce);
      const put = async () => {
        const waiting = chunk.filter(({ abandoned }) => abandoned === undefined);
        const rows = waiting.flatMap(({ row, item, attempt }) => {
          if (row === undefined) return [];
          const { name } = this.outgoing(item, 0);
          return [{ key: row, visibleAt: clock.now(), name, attempts: attempt - 1 }];
        });
        if (rows.length > 0) await storage.retryWork(worker(), rows);
        await this.#saveUnstarted(waiting.filter(({ row }) => row === undefined));
      };
      await patience.until("put calls into line", put);
      for (const job of chunk) {
        if (job.row === undefined && job.abandoned === undefined) this.#environment.released(job);
        this.#done(job);
      }
    }
    return jobs.map(() => undefined);
  }

  #found(job: Job, pool: Pool, found: Found, begun: number): void {
    const saving = this.#beats.end(job, "failure" in found);
    if (saving !== undefined) {
      void saving.then(() => this.#found(job, pool, found, begun));
      return;
    }
    workDiagnostics.publish(() => diagnosticOf(job, found, performance.now() - begun));
    pool.running--;
    if (job.asking !== undefined) this.#tellGate(job, job.asking, found);
    if (job.abandoned !== undefined) this.#done(job);
    else if ("answer" in found) this.#answer(job, found.answer);
    else this.#failed(job, found.failure);
    this.#fill(pool);
    this.#letNext(job);
  }

  /** The next of its session goes on. What nobody wants any more is passed over. */
  #letNext(job: Job): void {
    let next = this.#sessions.leave(job);
    for (; next?.abandoned !== undefined; next = this.#sessions.leave(next)) this.#done(next);
    if (next !== undefined) this.#admit(next);
  }

  /** The slot that came free goes to what waits here, or else in the store. What nobody wants any more is passed over. */
  #fill(pool: Pool): void {
    while (pool.running < pool.slots) {
      const next = pool.shift();
      if (next === undefined) {
        if (pool.leftWork) this.signal();
        return;
      }
      if (next.abandoned === undefined) this.#run(next, pool);
      else {
        this.#done(next);
        this.#letNext(next);
      }
    }
  }

  /** A gate learns how a call ended. What waits behind it may go on then, or must no longer be asked for. */
  #tellGate(job: Job, { gate, begun }: Asking, found: Found): void {
    const { storage, clock, patience } = this.#environment;
    const now = clock.now();
    const wasGuarded = gate.isGuarded(now);
    const wasAsked = job.abandoned === undefined && !("answer" in found && isCached(found.answer));
    if (!wasAsked) gate.dropped();
    else if ("answer" in found) gate.succeeded();
    else {
      const until = gate.failed(begun, found.failure, now);
      if (until !== undefined) void patience.until("close a model", () => storage.closeModel(gate.name, until));
    }
    if (wasGuarded || gate.isGuarded(now)) this.signal();
  }

  #failed(job: Job, failure: Failure): void {
    const { request } = job.item;
    const now = this.#environment.clock.now();
    if (request.kind === "LlmRequested") return this.#callFailed(job, failure, now);
    const policy = this.#policyOf(request);
    if (!mayRetry(policy, job.attempt, failure)) return this.#answerFailed(job, failure);
    this.#retryLater(job, failure, { visibleAt: now + retryDelayMs(policy, job.attempt, Math.random()) });
  }

  /** Another model may be asked at once, under the row that there is. */
  #callFailed(job: Job, failure: Failure, now: number): void {
    const { item, instance, row, attempt } = job;
    const { lines } = this.#llm();
    const sequel = lines.sequelOf(job, failure, now);
    if (sequel === "failed") return this.#answerFailed(job, failure);
    const next = new Job(item, instance, attempt + 1, row);
    next.line = sequel.line;
    next.mayPass = job.mayPass || failure.retryable;
    next.lastFailure = job.failedBy(failure);
    if (sequel.delayMs === 0 && !this.#stopped && lines.admits(next, now)) return this.#enqueue(next);
    this.#retryLater(job, failure, { visibleAt: now + sequel.delayMs, name: sequel.line, attempts: attempt });
  }

  #answerFailed(job: Job, error: Failure): void {
    const { request, eventId: source } = job.item;
    const kind = request.kind === "LlmRequested" ? "LlmFailed" : "ActivityFailed";
    this.#answer(job, { kind, source, error, ...(job.attempt > 1 && { attempts: job.attempt }), ...inVain(job) });
  }

  #mostStarts(request: ActivityScheduled | LlmRequested): number {
    return request.kind === "LlmRequested"
      ? this.#llm().lines.mostStartsOf(request)
      : this.#policyOf(request).maxAttempts;
  }

  #policyOf(request: ActivityScheduled): RecordedRetryPolicy {
    const definition = this.#environment.registry.activity(request.name);
    if (definition === undefined) return once;
    const { retry = once, effect } = effectiveOptions(definition, request);
    return effect === "irreversible" ? once : retry;
  }

  /** The answer goes home: through the turn of the owner, or through the store when there is a row (W2). */
  #answer(job: Job, body: AnswerBody): void {
    const { item, row } = job;
    const { instanceId, execution } = item;
    if (row === undefined) {
      this.#done(job);
      this.#environment.deliver(job, body);
      return;
    }
    const answer: AnswerMessage = { ...body, execution };
    const { storage, codec, clock, worker, patience } = this.#environment;
    const answers = { execution, eventId: body.source };
    const message = { instanceId, body: codec.encode(answer, instanceId), at: clock.now(), answers };
    void patience
      .until("complete work", () => storage.completeWork(worker(), [{ key: row, message, ...usedBy(job, body) }]))
      .finally(() => this.#done(job));
  }

  #retryLater(job: Job, failure: Failure, again: Pick<WorkRetry, "visibleAt" | "name" | "attempts">): void {
    const { storage, codec, worker, patience } = this.#environment;
    const { item, row, attempt, instance } = job;
    const text = codec.encode(job.failedBy(failure), item.rootId);
    const retry = async (): Promise<void> => {
      if (job.abandoned !== undefined) return;
      if (row !== undefined) await storage.retryWork(worker(), [{ key: row, ...again, failure: text, ...usedBy(job) }]);
      else {
        const work = { ...this.outgoing(item, attempt), ...again, failure: text, instance, owned: false };
        await storage.saveWork(worker(), [work]);
        this.#environment.released(job);
      }
    };
    job.leaving = patience.until("put work off", retry).finally(() => this.#done(job));
  }

  #done(job: Job): void {
    if (this.#jobs.get(job.key) === job) this.#jobs.delete(job.key);
    this.#noticeIdle();
  }

  #noticeIdle(): void {
    if (this.isIdle) this.#environment.onIdle();
  }
}

/** What answers say about attempts that came to nothing. */
function inVain({ wasted }: Job): Pick<LlmCompleted, "wasted"> {
  return wasted.length === 0 ? {} : { wasted };
}

function diagnosticOf({ item, attempt, spent }: Job, found: Found, durationMs: number): WorkDiagnostic {
  const { instanceId, execution, eventId, request } = item;
  const model = request.kind === "LlmRequested";
  const common = { instanceId, execution, eventId, attempt, durationMs, kind: model ? "model" : "activity" } as const;
  const name = model ? request.operation : request.name;
  if ("failure" in found) {
    return { ...common, name, failure: found.failure, ...(spent && { model: spent.model, usage: spent.usage }) };
  }
  if (found.answer.kind !== "LlmCompleted") return { ...common, name };
  return { ...common, name, model: found.answer.model, usage: found.answer.usage };
}
