/**
 * The runtime: a worker of this process. It registers with the store, runs turns and work, keeps its heartbeat, takes
 * over from the dead, and gives everything back when it is shut down.
 */
import { Client, deadAfterMs } from "./client.ts";
import type { AnyOrchestration, Orchestration, OrchestrationClient } from "./context.ts";
import { enterGuarded, installDeterminismGuard, leaveGuarded } from "./determinism-guard.ts";
import { ownershipDiagnostics } from "./diagnostics.ts";
import { durationMs, type Duration } from "./duration.ts";
import { CancelledError, ConfigurationError, StetError } from "./errors.ts";
import { isGone, thisProcess } from "./host.ts";
import type { InstanceHandle } from "./instance-handle.ts";
import { busyMeter, concessionOf, peersOf } from "./load.ts";
import { LlmDispatcher } from "./llm/llm-dispatcher.ts";
import { ModelLines } from "./llm/model-lines.ts";
import { ModelTable } from "./llm/model-table.ts";
import { Patience } from "./patience.ts";
import type { Clock, LogFields, Logger } from "./ports.ts";
import { assertKind, Registry } from "./registry.ts";
import { assertRuntimeOptions, type RuntimeOptions } from "./runtime-options.ts";
import type { WorkerKey } from "./storage-work.ts";
import type { StorageProvider, WorkerRecord } from "./storage.ts";
import { systemClock, warningLogger } from "./system-ports.ts";
import { TextCodec } from "./text-codec.ts";
import { defaultPayloadLimit } from "./to-payload.ts";
import { TurnDispatcher } from "./turn-dispatcher.ts";
import { Watchdog } from "./watchdog.ts";
import { WorkDispatcher } from "./work-dispatcher.ts";

/** How a worker ends. */
export interface ShutdownOptions {
  /** How long to wait for activities that are running; then they are aborted and start again elsewhere. @default "30s" */
  readonly timeout?: Duration;
}

const heartbeatEveryMs = 2_000;

/** A worker looks again after this long even if the store told of no change: sessions become idle without one. */
const lookAgainMs = 30_000;

/** More requests than this between two waits are taken for a loop that never waits. */
const maxRequestsPerDelivery = 100_000;

/**
 * A worker of this process. {@link Runtime.start} brings it up and {@link Runtime.shutdown} ends it; in between it runs the
 * instances and the activities that it has been given the definitions of.
 */
export class Runtime {
  /** Starts, watches and manages instances, of this runtime's definitions and of others'. */
  readonly client: Client;
  readonly #options: RuntimeOptions;
  readonly #storage: StorageProvider;
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #patience: Patience;
  readonly #turns: TurnDispatcher;
  readonly #work: WorkDispatcher;
  readonly #watchdog: Watchdog | undefined;
  readonly #busy: () => number;
  readonly #restoreGlobals: () => void;
  readonly #idleWaiters = new Set<() => void>();
  #worker: WorkerKey = "";
  #unsubscribe = (): void => undefined;
  #cancelHeartbeat = (): void => undefined;
  #wake: { readonly at: number; readonly cancel: () => void } | undefined;
  #lastBeatAt = 0;
  /** Since when its own heartbeats have been arriving: others can be called silent only for as long as it was heard itself. */
  #heardSince = 0;
  #lookedAt = 0;
  #state: "running" | "stopping" | "stopped" = "running";

  /**
   * Opens the store, registers a worker and begins to work.
   *
   * @example
   * ```ts
   * const runtime = await Runtime.start({ storage: sqlite("app.db"), orchestrations: [greet], activities: [lookUp] });
   * ```
   * @throws ConfigurationError when a definition or an option is wrong.
   * @throws StorageError when the store cannot be opened.
   */
  static async start(options: RuntimeOptions): Promise<Runtime> {
    assertRuntimeOptions(options);
    const registry = new Registry(options.orchestrations ?? [], options.activities ?? []);
    const { storage, llm, codec, clock, payloadLimit } = options;
    const lines = llm && new ModelLines(new ModelTable(llm), options.modelLimits ?? {}, slotsOf(options).models);
    const client = await Client.connect({
      storage,
      ...(codec !== undefined && { codec }),
      ...(clock !== undefined && { clock }),
      ...(payloadLimit !== undefined && { payloadLimit }),
    });
    await storage.open(); // for itself: users may close the client
    const runtime = new Runtime(options, registry, client, lines);
    try {
      await runtime.#begin();
    } catch (error) {
      await runtime.#close();
      throw error;
    }
    return runtime;
  }

  private constructor(options: RuntimeOptions, registry: Registry, client: Client, lines: ModelLines | undefined) {
    const { storage, clock = systemClock, logger = warningLogger, tags = [] } = options;
    this.client = client;
    this.#options = options;
    this.#storage = storage;
    this.#registry = registry;
    this.#clock = clock;
    this.#logger = logger;
    this.#patience = new Patience(clock, logger);
    this.#busy = busyMeter(clock);
    const guarded = options.determinism !== "off";
    this.#watchdog = guarded ? new Watchdog(logger) : undefined;
    this.#restoreGlobals = guarded ? installDeterminismGuard() : () => undefined;
    const shared = {
      storage,
      codec: new TextCodec(options.codec, options.recordPrompts),
      registry,
      clock,
      logger,
      patience: this.#patience,
      payloadLimit: options.payloadLimit ?? defaultPayloadLimit,
      worker: () => this.#worker,
      onIdle: () => this.#noticeIdle(),
    };
    const llm = lines && new LlmDispatcher({ ...shared, lines, prices: options.prices });
    this.#work = new WorkDispatcher({
      ...shared,
      llm,
      tags,
      slots: slotsOf(options),
      client: () => this.client,
      deliver: (job, answer) => this.#turns.deliver(job, answer),
      released: (job) => this.#turns.release(job),
    });
    this.#turns = new TurnDispatcher({
      ...shared,
      work: this.#work,
      llm,
      buildId: options.buildId ?? registry.fingerprint,
      cacheSize: options.cacheSize ?? 10_000,
      strictPrompts: options.promptDrift === "error",
      failOnNondeterminism: options.onNondeterminism === "fail",
      maxRequestsPerDelivery,
      logger: guarded ? unguarded(logger) : logger,
      enter: guarded ? enterGuarded : (_execution, run) => run(),
      wakeAt: (at) => this.#wakeAt(at),
      onReleased: (instances) =>
        ownershipDiagnostics.publish(() => ({ change: "released", worker: this.#name, instances })),
      watchdog: this.#watchdog,
    });
  }

  /**
   * Starts an instance. It is stored when the promise resolves.
   *
   * @throws ConfigurationError when this runtime has no such orchestration: register it, or use `runtime.client`.
   * @throws InputError when the input does not satisfy the definition's schema.
   * @throws PayloadError when the input is not JSON.
   * @throws InstanceError (`instance_exists`) unless `ifExists` is `"attach"`.
   */
  startOrchestration: OrchestrationClient["startOrchestration"] = (
    callee: AnyOrchestration | string,
    ...rest: readonly unknown[]
  ): Promise<InstanceHandle<never>> => {
    const [input, options] = rest as [unknown, Parameters<OrchestrationClient["startOrchestration"]>[2]];
    try {
      const registered = this.#definition(callee, options?.version);
      if (this.#state !== "running") throw stopped(registered.name);
      return this.client.startOrchestration(registered as never, input as never, options as never);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  };

  /** A handle of an instance by its id. */
  instance<Input, Output>(instanceId: string, orchestration: Orchestration<Input, Output>): InstanceHandle<Output>;
  instance<Output = unknown>(instanceId: string): InstanceHandle<Output>;
  instance<Output>(instanceId: string): InstanceHandle<Output> {
    return this.client.instance<Output>(instanceId);
  }

  /** What this worker holds at this moment. */
  stats(): { readonly cachedExecutions: number; readonly runningWork: number; readonly queuedWork: number } {
    const { running, queued } = this.#work.counts;
    return { cachedExecutions: this.#turns.cached, runningWork: running, queuedWork: queued };
  }

  /** Whether nothing is left to do until a message, a timer or an activity comes. */
  get isIdle(): boolean {
    return this.#turns.isIdle && this.#work.isIdle;
  }

  /** Resolves when nothing is left to do until a message, a timer or an activity comes. For tests that own the clock. */
  async whenIdle(): Promise<void> {
    while (!this.isIdle) await new Promise<void>((resolve) => this.#idleWaiters.add(resolve));
  }

  /** Drops all live executions that have nothing running: the next turn of each replays its history. */
  evictCache(): Promise<void> {
    return this.#turns.evictIdle();
  }

  /** Finishes what is running, gives back what it owns and closes. A second call waits for the first. */
  async shutdown({ timeout = "30s" }: ShutdownOptions = {}): Promise<void> {
    const timeoutMs = durationMs(timeout, "the timeout of shutdown");
    if (this.#state !== "running") return this.#stopping;
    this.#state = "stopping";
    this.#stopping = this.#end(timeoutMs);
    return this.#stopping;
  }

  #stopping: Promise<void> | undefined;

  async #begin(): Promise<void> {
    await this.#register();
    this.#unsubscribe = this.#storage.onChange(({ turns, work }) => {
      if (turns) this.#turns.signal();
      if (work) this.#work.signal();
      if ((turns || work) && this.#state === "running") void this.#planWake();
    });
    this.#beatLater();
    await this.#meetPeers();
    this.#lookForAll();
  }

  async #register(): Promise<void> {
    const { tags = [], llm } = this.#options;
    const now = this.#clock.now();
    this.#lastBeatAt = now;
    this.#worker = await this.#storage.registerWorker({
      name: this.#name,
      ...thisProcess(),
      capabilities: {
        orchestrations: this.#registry.handlers,
        activities: this.#registry.activities.map(({ name }) => name),
        models: llm !== undefined,
        tags,
      },
      now,
    });
    ownershipDiagnostics.publish(() => ({ change: "registered", worker: this.#name }));
  }

  get #name(): string {
    return this.#options.workerName ?? `worker-${process.pid}`;
  }

  #lookForAll(): void {
    this.#lookedAt = this.#clock.now();
    this.#turns.signal();
    this.#work.signal();
    void this.#planWake();
  }

  // Heartbeat

  #beatLater(): void {
    const beat = () => void this.#beat().finally(() => (this.#state === "stopped" ? undefined : this.#beatLater()));
    this.#cancelHeartbeat = this.#clock.setTimer(this.#clock.now() + heartbeatEveryMs, beat, true);
  }

  async #beat(): Promise<void> {
    try {
      const jobs = this.#work.rows;
      const beat = { worker: this.#worker, now: this.#clock.now(), work: [...jobs.keys()], busy: this.#busy() };
      const { stands, lost } = await this.#storage.heartbeat(beat);
      const now = this.#clock.now();
      // It slept, its clock jumped, or the store was away.
      const wasInterrupted = Math.abs(now - this.#lastBeatAt) > 3 * heartbeatEveryMs;
      this.#lastBeatAt = now;
      if (wasInterrupted) this.#heardSince = now;
      if (!stands) await this.#comeBack();
      else lost.forEach((row) => jobs.get(row)?.abandon(taken())); // not what has begun under the row meanwhile
      if (wasInterrupted) this.#wakeAnew();
      this.#turns.concede(concessionOf(this.#worker, await this.#meetPeers()));
      if (now - this.#lookedAt >= lookAgainMs) this.#lookForAll();
    } catch (error) {
      this.#logger.warn("A heartbeat did not reach the store", { error: String(error) });
    }
  }

  /** Declared dead while alive: what is held here belongs to others now. */
  async #comeBack(): Promise<void> {
    ownershipDiagnostics.publish(() => ({ change: "declaredDead", worker: this.#name }));
    this.#logger.warn("This worker was taken for dead; it drops what it held and registers again");
    this.#turns.forget();
    this.#work.abandonAll("this worker was taken for dead");
    await this.#register();
    this.#lookForAll();
  }

  /** Answers who is alive and can run the same. */
  async #meetPeers(): Promise<WorkerRecord[]> {
    const peers = peersOf(this.#worker, await this.#buryDead());
    this.#turns.hasPeers = peers.length > 1;
    return peers;
  }

  /** Answers who is alive. */
  async #buryDead(): Promise<WorkerRecord[]> {
    const now = this.#clock.now();
    const living: WorkerRecord[] = [];
    for (const other of await this.#storage.listWorkers(now)) {
      const silent = Math.min(other.silentForMs, now - this.#heardSince) > deadAfterMs;
      if (other.key === this.#worker || !(silent || isGone(other))) {
        living.push(other);
        continue;
      }
      this.#logger.warn("A worker is dead; what it owned may be taken over", {
        worker: other.name,
        silentForMs: other.silentForMs,
      });
      await this.#storage.releaseWorker(other.key);
      ownershipDiagnostics.publish(() => ({ change: "buried", worker: other.name }));
      this.#lookForAll();
    }
    return living;
  }

  // Waking up

  async #planWake(): Promise<void> {
    const at = await this.#patience.until("ask for the next wake-up", () =>
      this.#storage.nextWakeAt(this.#clock.now()),
    );
    if (at !== undefined) this.#wakeAt(at);
  }

  #wakeAt(at: number): void {
    if (this.#state === "stopped" || (this.#wake !== undefined && this.#wake.at <= at)) return;
    this.#wake?.cancel();
    const cancel = this.#clock.setTimer(at, () => {
      this.#wake = undefined;
      this.#lookForAll();
    });
    this.#wake = { at, cancel };
  }

  /** The clock jumped: what was to be woken at its time may be due already. */
  #wakeAnew(): void {
    this.#wake?.cancel();
    this.#wake = undefined;
    this.#lookForAll();
  }

  // Idleness and the end

  #noticeIdle(): void {
    if (!this.isIdle) return;
    const waiters = [...this.#idleWaiters];
    this.#idleWaiters.clear();
    for (const resolve of waiters) resolve();
  }

  async #end(timeoutMs: number): Promise<void> {
    this.#unsubscribe();
    const stopped = this.#work.stop();
    if (timeoutMs > 0) await this.#within(timeoutMs, Promise.all([stopped, this.whenIdle()]));
    this.#patience.stop();
    await stopped;
    this.#work.abandonAll("the worker is shut down");
    await this.#turns.stop();
    try {
      await this.#storage.releaseWorker(this.#worker);
      ownershipDiagnostics.publish(() => ({ change: "released", worker: this.#name }));
    } catch (error) {
      this.#logger.warn("The store could not release this worker; others will notice its silence", {
        error: String(error),
      });
    }
    await this.#close();
  }

  async #within(timeoutMs: number, done: Promise<unknown>): Promise<void> {
    let cancel = (): void => undefined;
    const late = new Promise<void>((resolve) => {
      cancel = this.#clock.setTimer(this.#clock.now() + timeoutMs, resolve);
    });
    await Promise.race([done, late]);
    cancel();
  }

  /** Leaves nothing behind in this process. */
  async #close(): Promise<void> {
    this.#state = "stopped";
    this.#unsubscribe();
    this.#patience.stop();
    this.#cancelHeartbeat();
    this.#wake?.cancel();
    this.#restoreGlobals();
    this.#watchdog?.stop();
    await this.client.close();
    await this.#storage.close();
  }

  #definition(callee: AnyOrchestration | string, version: string | undefined): AnyOrchestration {
    if (typeof callee !== "string") assertKind(callee, "orchestration", "what is started");
    const name = typeof callee === "string" ? callee : callee.name;
    const found = this.#registry.orchestration(name, version);
    if (found !== undefined) return typeof callee === "string" ? found : callee;
    const known = this.#registry.handlers.filter((handler) => handler.includes("@"));
    throw new ConfigurationError(
      `Expected orchestration ${name}${version === undefined ? "" : ` version ${version}`} to be registered with this runtime, got ${known.join(", ") || "none"}: add it to Runtime.start({ orchestrations }), or start it through runtime.client`,
    );
  }
}

/** Orchestration code logs through it; the logger itself is not orchestration code and has the real time. */
function unguarded(logger: Logger): Logger {
  const at = (level: keyof Logger) => (message: string, fields?: LogFields) =>
    leaveGuarded(() => logger[level](message, fields));
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function slotsOf({ concurrency }: RuntimeOptions): { readonly activities: number; readonly models: number } {
  return { activities: concurrency?.activities ?? 256, models: concurrency?.models ?? 16 };
}

/** Why the store names a row that ran here as one that is not this worker's. */
function taken(): CancelledError {
  return new CancelledError("the work was cancelled or taken over");
}

function stopped(name: string): StetError {
  return new StetError(
    "runtime_stopped",
    `Expected the runtime to be running to start orchestration ${name}, got one that was shut down: start another with Runtime.start, or use a Client`,
  );
}
