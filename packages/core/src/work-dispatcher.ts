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
import { effectiveOptions, once, runActivity, type ActivityEnvironment } from "./activity-runner.ts";
import {
  CancelledError,
  ConfigurationError,
  type Failure,
  HistoryCorruptError,
  LlmError,
  OutcomeUnknownError,
  toFailure,
} from "./errors.ts";
import type { ActivityScheduled, LlmCompleted, LlmRequested, RecordedRetryPolicy } from "./events.ts";
import { type WorkDiagnostic, workDiagnostics } from "./diagnostics.ts";
import { Job } from "./job.ts";
import { askedDelayMs, type LlmDispatcher, llmRetryPolicy } from "./llm/llm-dispatcher.ts";
import type { AnswerBody, AnswerMessage, WorkItem } from "./messages.ts";
import { mayRetry, retryDelayMs } from "./retry.ts";
import type { Payload } from "./payload.ts";
import type { Patience } from "./patience.ts";
import type { Clock, Logger } from "./ports.ts";
import type { Registry } from "./registry.ts";
import type { ClaimedWork, InstanceKey, OutgoingWork, StorageProvider, WorkerKey, WorkKey } from "./storage.ts";
import type { TextCodec } from "./text-codec.ts";

/** Queued work beyond the slots that a worker holds itself; what comes on top gets rows, for others to take. */
const longestQueue = 20_000;

/** A session that was idle for this long may move to another worker. */
const sessionIdleMs = 5 * 60_000;

/** How often work may be started without an end being known before it is given up as harmful to its workers. */
const mostLostStarts = 10;

/** Heartbeat details are written at most this often. */
const heartbeatEveryMs = 1_000;

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
  readonly deliver: (instanceId: string, answer: AnswerMessage) => void;
  /** A request that was held here has a row from now on. */
  readonly released: (instanceId: string, execution: number, eventId: number) => void;
  /** Called when the last job has ended. */
  readonly onIdle: () => void;
}

/** Slots for one kind of work, and what waits for them here. */
class Pool {
  readonly slots: number;
  running = 0;
  readonly #queue: Job[] = [];
  #head = 0;

  constructor(slots: number) {
    this.slots = slots;
  }

  get queued(): number {
    return this.#queue.length - this.#head;
  }
  get free(): number {
    return Math.max(0, this.slots - this.running - this.queued);
  }

  push(job: Job): void {
    this.#queue.push(job);
  }

  shift(): Job | undefined {
    const job = this.#queue[this.#head];
    if (job === undefined) return undefined;
    this.#head++;
    if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    return job;
  }
}

type Found = { readonly answer: AnswerBody } | { readonly failure: Failure };

/** See the head of the file. */
export class WorkDispatcher {
  readonly #environment: WorkEnvironment;
  readonly #activities: Pool;
  readonly #models: Pool;
  readonly #jobs = new Map<string, Job>();
  readonly #beats = new Map<Job, { at: number; details: Payload | undefined; saved: boolean }>();
  readonly #runner: ActivityEnvironment;
  #claiming = false;
  #signalled = false;
  #stopped = false;

  constructor(environment: WorkEnvironment) {
    this.#environment = environment;
    this.#activities = new Pool(environment.slots.activities);
    this.#models = new Pool(environment.slots.models);
    const { clock, logger, client, payloadLimit } = environment;
    this.#runner = {
      clock,
      logger,
      client,
      payloadLimit,
      keepHeartbeat: (job, details) => this.#keepHeartbeat(job, details),
    };
  }

  /** Whether a new request runs in this worker without a row. */
  holdsItself(request: ActivityScheduled | LlmRequested): boolean {
    if (this.#stopped) return false;
    if (request.kind === "LlmRequested") {
      return this.#environment.llm !== undefined && this.#models.queued < longestQueue;
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

  /** Stops what runs here for requests whose answers nobody wants any more. */
  cancel(key: string, reason: string): void {
    this.#jobs.get(key)?.abandon(new CancelledError(reason));
  }

  /** There may be rows to take. */
  signal(): void {
    this.#signalled = true;
    if (!this.#claiming) void this.#claim();
  }

  /** Whether nothing runs, waits for a slot or is being taken. */
  get isIdle(): boolean {
    return this.#jobs.size === 0 && !this.#claiming;
  }

  /** Rows that run here, for the heartbeat. */
  get rows(): WorkKey[] {
    return [...this.#jobs.values()].flatMap(({ row }) => (row === undefined ? [] : [row]));
  }

  /** Numbers for `runtime.stats()`. */
  get counts(): { readonly running: number; readonly queued: number } {
    return {
      running: this.#activities.running + this.#models.running,
      queued: this.#activities.queued + this.#models.queued,
    };
  }

  /** The store says that these rows are no longer ours. */
  lose(rows: readonly WorkKey[]): void {
    const lost = new Set(rows);
    for (const job of this.#jobs.values()) {
      if (job.row !== undefined && lost.has(job.row))
        job.abandon(new CancelledError("the work was cancelled or taken over"));
    }
  }

  /** Abandons everything: this worker was declared dead, or stops. */
  abandonAll(reason: string): void {
    for (const job of this.#jobs.values()) job.abandon(new CancelledError(reason));
  }

  /** Takes nothing new; what was not started goes back. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const unstarted = [...drain(this.#activities), ...drain(this.#models)];
    for (const job of unstarted) this.#jobs.delete(job.key);
    const rows = unstarted.flatMap(({ row }) => (row === undefined ? [] : [row]));
    if (rows.length > 0) await this.#environment.storage.abandonWork(this.#environment.worker(), rows);
    await this.#saveUnstarted(unstarted.filter(({ row }) => row === undefined));
  }

  async #saveUnstarted(jobs: readonly Job[]): Promise<void> {
    if (jobs.length === 0) return;
    const { storage, worker } = this.#environment;
    await storage.saveWork(
      worker(),
      jobs.map((job) => ({ ...this.outgoing(job.item, job.attempt - 1), instance: job.instance, owned: false })),
    );
  }

  /** The row of an item, `attempts` starts of which are known. */
  outgoing(item: WorkItem, attempts: number, sink?: Parameters<TextCodec["encode"]>[2]): OutgoingWork {
    const { instanceId, execution, eventId, request, rootId } = item;
    const { tag, session } = request.kind === "ActivityScheduled" ? this.#routing(request) : {};
    return {
      instanceId,
      execution,
      eventId,
      kind: request.kind === "ActivityScheduled" ? "activity" : "model",
      name: request.kind === "ActivityScheduled" ? request.name : (request.request.model ?? ""),
      ...(tag !== undefined && { tag }),
      ...(session !== undefined && { session }),
      body: this.#environment.codec.encode(item, rootId, sink),
      attempts,
    };
  }

  #routing(request: ActivityScheduled): { readonly tag?: string; readonly session?: string } {
    const definition = this.#environment.registry.activity(request.name);
    return definition === undefined ? (request.options ?? {}) : effectiveOptions(definition, request);
  }

  #enqueue(job: Job): void {
    this.#jobs.set(job.key, job);
    const pool = this.#poolOf(job);
    if (pool.running < pool.slots) this.#run(job, pool);
    else pool.push(job);
  }

  #poolOf(job: Job): Pool {
    return job.item.request.kind === "ActivityScheduled" ? this.#activities : this.#models;
  }

  #run(job: Job, pool: Pool): void {
    pool.running++;
    const begun = workDiagnostics.isHeard ? performance.now() : 0;
    this.#attempt(job).then(
      (found) => this.#found(job, pool, found, begun),
      (error: unknown) => this.#found(job, pool, { failure: toFailure(error) }, begun),
    );
  }

  async #attempt(job: Job): Promise<Found> {
    const { item, attempt } = job;
    const { request, eventId: source } = item;
    const attempts = attempt > 1 ? { attempts: attempt } : undefined;
    if (request.kind === "LlmRequested") {
      const completed: LlmCompleted = await this.#llm().call(job);
      return { answer: { ...completed, ...attempts } };
    }
    const definition = this.#environment.registry.activity(request.name);
    if (definition === undefined)
      throw new ConfigurationError(`Expected activity ${request.name} to be registered, got none`);
    this.#assertStartable(job, effectiveOptions(definition, request).effect === "irreversible");
    const result = await runActivity(definition, job, this.#runner);
    return { answer: { kind: "ActivityCompleted", source, ...(result !== undefined && { result }), ...attempts } };
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

  #found(job: Job, pool: Pool, found: Found, begun: number): void {
    if (job.saving !== undefined) {
      void job.saving.then(() => this.#found(job, pool, found, begun));
      return;
    }
    workDiagnostics.publish(() => diagnosticOf(job, found, performance.now() - begun));
    pool.running--;
    this.#beats.delete(job);
    if (job.abandoned !== undefined) this.#done(job);
    else if ("answer" in found) this.#answer(job, found.answer);
    else this.#failed(job, found.failure);
    const next = pool.shift();
    if (next !== undefined) this.#run(next, pool);
    else if (this.#signalled && !this.#claiming) void this.#claim();
  }

  #failed(job: Job, failure: Failure): void {
    const { request, eventId: source } = job.item;
    const policy = this.#policyOf(request);
    const model = request.kind === "LlmRequested";
    if (!this.#stopped && mayRetry(policy, job.attempt, failure)) {
      const delay = Math.max(
        retryDelayMs(policy, job.attempt, Math.random()),
        model ? (askedDelayMs(failure) ?? 0) : 0,
      );
      return this.#retryLater(job, failure, this.#environment.clock.now() + delay);
    }
    const attempts = job.attempt > 1 ? { attempts: job.attempt } : undefined;
    this.#answer(job, { kind: model ? "LlmFailed" : "ActivityFailed", source, error: failure, ...attempts });
  }

  #policyOf(request: ActivityScheduled | LlmRequested): RecordedRetryPolicy {
    if (request.kind === "LlmRequested") return llmRetryPolicy;
    const definition = this.#environment.registry.activity(request.name);
    const retry = definition === undefined ? undefined : effectiveOptions(definition, request).retry;
    return retry ?? once;
  }

  /** The answer goes home: through the turn of the owner, or through the store when there is a row (W2). */
  #answer(job: Job, body: AnswerBody): void {
    const { item, row } = job;
    const { instanceId, execution } = item;
    const answer: AnswerMessage = { ...body, execution };
    if (row === undefined) {
      this.#done(job);
      this.#environment.deliver(instanceId, answer);
      return;
    }
    const { storage, codec, clock, worker, patience } = this.#environment;
    const message = { instanceId, body: codec.encode(answer, instanceId), at: clock.now() };
    void patience
      .until("complete work", () => storage.completeWork(worker(), [{ key: row, message }]))
      .finally(() => this.#done(job));
  }

  #retryLater(job: Job, failure: Failure, visibleAt: number): void {
    const { storage, worker, patience } = this.#environment;
    const { item, row, attempt, instance } = job;
    const text = JSON.stringify(failure);
    const retry = async (): Promise<void> => {
      if (row !== undefined) await storage.retryWork(worker(), [{ key: row, visibleAt, failure: text }]);
      else {
        const work = { ...this.outgoing(item, attempt), visibleAt, failure: text, instance, owned: false };
        await storage.saveWork(worker(), [work]);
        this.#environment.released(item.instanceId, item.execution, item.eventId);
      }
    };
    void patience.until("put work off", retry).finally(() => this.#done(job));
  }

  #done(job: Job): void {
    if (this.#jobs.get(job.key) === job) this.#jobs.delete(job.key);
    if (this.isIdle) this.#environment.onIdle();
  }

  async #claim(): Promise<void> {
    this.#claiming = true;
    try {
      while (this.#signalled && !this.#stopped) {
        this.#signalled = false;
        if (await this.#claimInto(this.#activities, false)) this.#signalled = true;
        if (this.#environment.llm !== undefined && (await this.#claimInto(this.#models, true))) this.#signalled = true;
        if (this.#activities.free === 0 && this.#models.free === 0) break;
      }
    } finally {
      this.#claiming = false;
      if (this.isIdle) this.#environment.onIdle();
    }
  }

  /** Whether there may be more. */
  async #claimInto(pool: Pool, models: boolean): Promise<boolean> {
    const { storage, clock, registry, tags, worker, patience } = this.#environment;
    const max = pool.free;
    const activities = models ? [] : registry.activities.map(({ name }) => name);
    if (max === 0 || (!models && activities.length === 0)) return false;
    const claimed = await patience.until("claim work", () =>
      storage.claimWork({ worker: worker(), now: clock.now(), max, activities, models, tags, sessionIdleMs }),
    );
    for (const work of claimed ?? []) await this.#take(work);
    return claimed !== undefined && claimed.length === max;
  }

  async #take(work: ClaimedWork): Promise<void> {
    const { storage, codec, worker } = this.#environment;
    const { instance, instanceId, rootId, execution, eventId, attempts, key, kind } = work;
    const what = `work item ${eventId} of instance ${instanceId}`;
    const source = (digests: readonly string[]) => storage.readPayloads(rootId, digests);
    const lastHeartbeat = work.heartbeat === undefined ? undefined : (JSON.parse(work.heartbeat) as Payload);
    try {
      const [item] = await codec.decode<WorkItem>([work.body], rootId, source, what);
      const job = new Job(item as WorkItem, instance, attempts, key, lastHeartbeat);
      if (attempts > mostLostStarts + this.#policyOf(job.item.request).maxAttempts) {
        const error = new OutcomeUnknownError(`Expected ${what} to end, got ${attempts - 1} starts whose worker died`);
        this.#jobs.set(job.key, job);
        this.#failed(job, toFailure(error));
      } else this.#enqueue(job);
    } catch (error) {
      const failure = toFailure(
        new HistoryCorruptError(`Expected ${what} to be readable, got a damaged row`, { cause: error }),
      );
      const answer: AnswerMessage = {
        kind: kind === "model" ? "LlmFailed" : "ActivityFailed",
        source: eventId,
        error: failure,
        execution,
      };
      const message = { instanceId, body: codec.encode(answer, instanceId), at: this.#environment.clock.now() };
      await this.#environment.patience.until("refuse damaged work", () =>
        storage.completeWork(worker(), [{ key, message }]),
      );
    }
  }

  #keepHeartbeat(job: Job, details: Payload | undefined): void {
    const { clock } = this.#environment;
    const last = this.#beats.get(job);
    const beat = { at: clock.now(), details, saved: false };
    if (last?.saved === true && beat.at - last.at < heartbeatEveryMs) {
      last.details = details;
      return;
    }
    this.#beats.set(job, { ...beat, saved: true });
    job.saving = this.#saveHeartbeat(job, details).finally(() => {
      job.saving = undefined;
    });
  }

  /** The first heartbeat gives the job a row, so that the next attempt finds the details wherever it runs. */
  async #saveHeartbeat(job: Job, details: Payload | undefined): Promise<void> {
    const { storage, worker, clock, logger } = this.#environment;
    const text = JSON.stringify(details ?? null);
    try {
      if (job.row !== undefined)
        await storage.saveHeartbeats(worker(), [{ key: job.row, details: text, now: clock.now() }]);
      else {
        const work = { ...this.outgoing(job.item, job.attempt), heartbeat: text, instance: job.instance, owned: true };
        const [row] = await storage.saveWork(worker(), [work]);
        job.row = row;
        this.#environment.released(job.item.instanceId, job.item.execution, job.item.eventId);
      }
    } catch (error) {
      logger.warn("A heartbeat could not be kept", { instanceId: job.item.instanceId, error: String(error) });
    }
  }
}

function diagnosticOf({ item, attempt }: Job, found: Found, durationMs: number): WorkDiagnostic {
  const { instanceId, execution, eventId, request } = item;
  const model = request.kind === "LlmRequested";
  const common = { instanceId, execution, eventId, attempt, durationMs, kind: model ? "model" : "activity" } as const;
  const name = model ? request.operation : request.name;
  if ("failure" in found) return { ...common, name, failure: found.failure };
  if (found.answer.kind !== "LlmCompleted") return { ...common, name };
  return { ...common, name, model: found.answer.model, usage: found.answer.usage };
}

function drain(pool: Pool): Job[] {
  const jobs: Job[] = [];
  for (let job = pool.shift(); job !== undefined; job = pool.shift()) jobs.push(job);
  return jobs;
}
