/**
 * A runtime in a test: virtual time, crashes on demand, and a replay of everything that was recorded when it closes.
 */
import {
  Client,
  type Clock,
  type Duration,
  type InstanceHandle,
  type OrchestrationClient,
  Runtime,
  type RuntimeOptions,
  type StorageProvider,
} from "@stet/core";
import { durationMs, Registry } from "@stet/core/internal";
import type { FaultyStorage } from "./faulty-storage.ts";
import { replayHistory } from "./replay-history.ts";
import { severable, severableClock } from "./severed-storage.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** Options of a test environment: those of a runtime, and three more. */
export interface TestEnvironmentOptions extends Omit<RuntimeOptions, "clock"> {
  /** @default a clock that starts on 1 January 2026 */
  readonly clock?: VirtualClock;
  /** Whether `close()` replays every history against the registered code. @default true */
  readonly replayOnClose?: boolean;
  /**
   * Puts something on the wire between the worker and the store, such as `faulty`. `startOrchestration` and `client` of
   * the environment are the world outside and do not pass through it.
   */
  readonly wire?: (storage: StorageProvider, clock: VirtualClock) => StorageProvider;
}

/** One process: its worker, once that is up, and the knife for all that connects it to the world. */
interface Life {
  runtime: Runtime | undefined;
  readonly severed: Promise<void>;
  isSevered: boolean;
  sever(): void;
}

/**
 * A runtime in a test: virtual time, crashes on demand, and a replay of everything that was recorded when it closes.
 *
 * @example
 * ```ts
 * const env = await TestEnvironment.start({ storage: sqlite(":memory:"), orchestrations: [remind], activities: [mail] });
 * const run = await env.startOrchestration(remind, "T-1");
 * assert.equal(await env.result(run), "sent after 30 days");
 * await env.close();
 * ```
 */
export class TestEnvironment {
  readonly clock: VirtualClock;
  readonly client: Client;
  readonly #store: StorageProvider;
  /** What the workers see of the store. */
  readonly #wired: StorageProvider & Partial<Pick<FaultyStorage, "waitsUntil">>;
  #options: TestEnvironmentOptions;
  #life: Life | undefined;
  #reviving: Promise<void> | undefined;

  static async start(options: TestEnvironmentOptions): Promise<TestEnvironment> {
    const clock = options.clock ?? new VirtualClock();
    const { storage } = options;
    await storage.open(); // held open across crashes, so that an in-memory store survives them
    const client = await Client.connect({ storage, clock, ...clientPart(options) });
    const environment = new TestEnvironment(options, clock, client);
    await environment.#revive();
    return environment;
  }

  private constructor(options: TestEnvironmentOptions, clock: VirtualClock, client: Client) {
    this.clock = clock;
    this.client = client;
    this.#store = options.storage;
    this.#wired = options.wire?.(options.storage, clock) ?? options.storage;
    this.#options = options;
  }

  /** The worker of the moment. Another one after each `restart()`. */
  get runtime(): Runtime {
    const runtime = this.#life?.runtime;
    if (runtime === undefined) throw new Error("Expected a worker to run, got one that has not started yet");
    return runtime;
  }

  /** Starts an instance. Its handle outlives crashes. */
  get startOrchestration(): OrchestrationClient["startOrchestration"] {
    return this.client.startOrchestration;
  }

  /** Waits until nothing moves without time: every message is taken and nothing runs. After a crash nothing does. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 2; quiet++) {
      while (this.#reviving !== undefined) await this.#reviving;
      const life = this.#life;
      if (life !== undefined && !isQuiet(life)) {
        await Promise.race([life.runtime?.whenIdle(), life.severed, this.#heldUp(life)]);
      }
      await hop();
      if (this.#reviving !== undefined || (!isQuiet(this.#life) && !this.#isHeldUp)) quiet = -1;
    }
  }

  /** Resolves when the worker can do no more before time has passed, because the store is in trouble. */
  async #heldUp(life: Life): Promise<void> {
    if (this.#wired.waitsUntil === undefined) return life.severed;
    for (let hops = 0; hops < hopsOfWork && !isQuiet(life); hops++) {
      await hop();
      if (!this.#isHeldUp) hops = -1;
    }
  }

  /** Whether the worker waits for a time that comes soon, because the store is in trouble. */
  get #isHeldUp(): boolean {
    const { waitsUntil = -Infinity } = this.#wired;
    const { nextAt = Infinity } = this.clock;
    return nextAt <= waitsUntil;
  }

  /** Waits until something is so, however much is running meanwhile: an activity that hangs, for example. */
  async until(condition: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await condition())) await hop();
  }

  /** Moves time on, stopping at each timer on the way so that what follows from it happens in its time. */
  async advance(duration: Duration): Promise<void> {
    const until = this.clock.now() + durationMs(duration, "the duration to advance by");
    await this.settle();
    for (let next = this.clock.nextAt; next !== undefined && next <= until; next = this.clock.nextAt) {
      this.clock.jumpTo(Math.max(next, this.clock.now()));
      await this.settle();
    }
    this.clock.jumpTo(until);
    await this.settle();
  }

  /**
   * The output of an instance, skipping the time it waits for.
   *
   * @throws what `handle.result()` throws, and an Error when the instance waits for something other than time.
   */
  async result<Output>(handle: InstanceHandle<Output>): Promise<Output> {
    for (;;) {
      await this.settle();
      const { status, waitingFor, error } = await this.client.instance(handle.instanceId).status();
      if (status === "blocked") throw error ?? new Error(`Instance ${handle.instanceId} is blocked`);
      if (status !== "running" && status !== "pending") return this.client.instance<Output>(handle.instanceId).result();
      const next = this.clock.nextAt;
      if (next === undefined) {
        throw new Error(
          `Instance ${handle.instanceId} waits for what time will not bring: ${JSON.stringify(waitingFor)}`,
        );
      }
      this.clock.jumpTo(Math.max(next, this.clock.now()));
    }
  }

  /** The process dies: what it did not commit is lost, what it owned can be taken over. */
  async crash(): Promise<void> {
    this.#life?.sever();
    for (const { key } of await this.#store.listWorkers(this.clock.now())) await this.#store.releaseWorker(key);
  }

  /**
   * Another process starts on the same store, with the same or other code. Crashes the one before if it still runs.
   * `settle()` and what rests on it wait for the process that is starting.
   */
  async restart(changes: Partial<Omit<TestEnvironmentOptions, "storage" | "clock" | "wire">> = {}): Promise<void> {
    this.#options = { ...this.#options, ...changes };
    const reviving = this.crash().then(() => this.#revive());
    this.#reviving = reviving;
    try {
      await reviving;
    } finally {
      if (this.#reviving === reviving) this.#reviving = undefined;
    }
  }

  async #revive(): Promise<void> {
    const wire = severable(this.#wired);
    const time = severableClock(this.clock);
    const life: Life = {
      runtime: undefined,
      severed: wire.severed,
      isSevered: false,
      sever() {
        life.isSevered = true;
        wire.sever();
        time.sever();
      },
    };
    this.#life = life;
    const starting = Runtime.start(runtimePart(this.#options, wire.storage, time.clock));
    await Promise.race([starting.then((runtime) => void (life.runtime = runtime)), life.severed]); // it may die at once
  }

  /**
   * Shuts down and replays every history in the store against the registered code.
   *
   * @throws Error naming the instances whose history does not replay.
   */
  async close(): Promise<void> {
    try {
      await this.settle();
      if (this.#life?.isSevered === false) await this.runtime.shutdown({ timeout: 0 });
      if (this.#options.replayOnClose !== false) await this.#replayAll();
    } finally {
      await this.client.close();
      await this.#store.close();
    }
  }

  async #replayAll(): Promise<void> {
    const registry = new Registry(this.#options.orchestrations ?? [], this.#options.activities ?? []);
    const failures: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await this.client.list({ limit: 500, ...(cursor !== undefined && { cursor }) });
      for (const { instanceId, rootId, status } of page.instances) {
        if (status !== "blocked") failures.push(...(await this.#replay(instanceId, rootId, registry)));
      }
      cursor = page.cursor;
    } while (cursor !== undefined);
    if (failures.length > 0) throw new Error(`Histories do not replay:\n${failures.join("\n")}`);
  }

  async #replay(instanceId: string, rootId: string, registry: Registry): Promise<string[]> {
    const failures: string[] = [];
    for (const { execution } of await this.client.executions(instanceId)) {
      const events = await this.client.instance(instanceId).history(execution);
      const [started] = events;
      if (started?.kind !== "OrchestrationStarted" || events.length === 1) continue;
      const definition = registry.orchestration(started.name, started.version);
      if (definition === undefined) continue;
      const { payloadLimit } = this.#options;
      const { failure } = await replayHistory(definition, events, {
        instanceId,
        rootId,
        execution,
        ...(payloadLimit !== undefined && { payloadLimit }),
      });
      if (failure !== undefined) failures.push(failure.message);
    }
    return failures;
  }
}

function clientPart({ codec, payloadLimit }: TestEnvironmentOptions): Pick<RuntimeOptions, "codec" | "payloadLimit"> {
  return { ...(codec !== undefined && { codec }), ...(payloadLimit !== undefined && { payloadLimit }) };
}

function runtimePart(options: TestEnvironmentOptions, storage: StorageProvider, clock: Clock): RuntimeOptions {
  const { replayOnClose: _, wire: __, ...rest } = options;
  return { ...rest, storage, clock };
}

/** More macrotasks than a worker needs to do what can be done without time. */
const hopsOfWork = 8;

const hop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Whether nothing moves: the worker has nothing to do, or there is none. */
function isQuiet(life: Life | undefined): boolean {
  return life === undefined || life.isSevered || life.runtime?.isIdle === true;
}
