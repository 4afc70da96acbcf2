/**
 * The world of one simulated run: a store, two workers on it, a clock that stands still, and a client. Moves are played
 * one after another; then everything is repaired and runs to its end.
 */
import {
  type AnyActivity,
  type AnyOrchestration,
  Client,
  type InstanceKey,
  type InstanceState,
  type LlmProvider,
  type Logger,
  type PendingWait,
  Runtime,
  type StorageProvider,
  type WorkerKey,
} from "@stet/core";
import { chance } from "../chance.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { HeldWork } from "./held-work.ts";
import type { WorkerMove } from "./schedule.ts";
import { hop, UnsteadyStorage } from "./unsteady-storage.ts";

/** What lives in a world. */
export interface Inhabitants {
  readonly orchestrations: readonly AnyOrchestration[];
  readonly activities: readonly AnyActivity[];
  readonly llm?: LlmProvider;
  /** What is sent to an instance that waits for an event when nothing else is left to happen. */
  readonly answerWait: (wait: PendingWait) => unknown;
}

/** How a world behaves. */
export interface WorldOptions {
  /** Open, and empty. */
  readonly store: StorageProvider;
  readonly seed: number;
  /** Whether time may pass while activities and model calls run. Then they race with timers. */
  readonly timePassesDuringWork: boolean;
  /** Called when the workers have nothing left to do but wait. */
  readonly whenQuiet?: (world: World) => Promise<void>;
}

interface Worker {
  /** Tells it from the workers before and after it. */
  readonly number: number;
  readonly line: UnsteadyStorage;
  readonly runtime: Runtime;
}

const workerCount = 2;
const tags = ["left", "right"];
const heartbeatMs = 2_000;
/** Macrotasks without a call of the store after which nothing more is to be expected. */
const quietHops = 16;
/** A world that has not come to its end after so many things happened never will. */
const mostSteps = 2_000;
/** Heartbeats without anything else happening: longer than it takes to notice a death, or an idle session. */
const mostBeats = 200;

const disturbing: ReadonlySet<WorkerMove["move"]> = new Set(["crash", "restart", "bury", "trouble"]);

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** See the head of the file. */
export class World {
  readonly clock: VirtualClock = new VirtualClock();
  readonly work: HeldWork = new HeldWork();
  readonly client: Client;
  readonly store: StorageProvider;
  readonly #inhabitants: Inhabitants;
  readonly #options: WorldOptions;
  readonly #random: () => number;
  readonly #workers: (Worker | undefined)[] = [];
  readonly #keys = new Map<string, InstanceKey>();
  /** Every worker that there ever was. */
  readonly #all: Worker[] = [];

  static async open(inhabitants: Inhabitants, options: WorldOptions): Promise<World> {
    const clock = new VirtualClock();
    const client = await Client.connect({ storage: options.store, clock });
    const world = new World(inhabitants, options, client, clock);
    for (let worker = 0; worker < workerCount; worker++) await world.#start(worker);
    return world;
  }

  private constructor(inhabitants: Inhabitants, options: WorldOptions, client: Client, clock: VirtualClock) {
    this.#inhabitants = inhabitants;
    this.#options = options;
    this.#random = chance(options.seed);
    this.store = options.store;
    this.client = client;
    this.clock = clock;
  }

  /** Lets macrotasks pass. */
  async pass(hops: number): Promise<void> {
    for (let i = 0; i < hops; i++) await hop();
    await this.#noticeDeaths();
  }

  async play(move: WorkerMove): Promise<void> {
    if (disturbing.has(move.move)) this.work.isDisturbed = true;
    switch (move.move) {
      case "answer":
        this.work.release(move.pick);
        return;
      case "time":
        if (this.#mayTimePass) this.#skipToTimer();
        return;
      case "beat":
        if (this.#mayTimePass) this.#beat();
        return;
      case "trouble":
        this.#workers[move.worker]?.line.fail(move.calls);
        return;
      case "evict":
        void this.#workers[move.worker]?.runtime.evictCache();
        return;
      case "crash":
        this.#workers[move.worker]?.line.cutAfter(move.afterCalls, move.answered);
        if (!move.silent) this.#declare.add(move.worker);
        return;
      case "restart":
        return this.#restart(move.worker);
      case "bury":
        return this.#release(this.#workers[move.worker]);
    }
  }

  /** Repairs everything and lets all instances come to their end. */
  async comeToEnd(): Promise<void> {
    for (const { line } of this.#all) line.calmDown();
    await this.#repair();
    await this.#options.whenQuiet?.(this);
    let beats = 0;
    for (let steps = 0; steps < mostSteps && beats < mostBeats; steps++) {
      await this.#repair();
      if (await this.#goOn()) beats = 0;
      else {
        await this.#options.whenQuiet?.(this);
        const running = await this.running();
        const stuck = running.find(({ status }) => status === "blocked");
        if (stuck !== undefined) throw stuck.error ?? new Error(`Instance ${stuck.instanceId} is blocked`);
        if (running.length === 0) return;
        this.#beat();
        beats++;
      }
    }
    throw new Error(`Expected all instances to come to their end, got ${await this.#standing()}`);
  }

  /** Waits until the workers have nothing left to do but wait. */
  async quiet(): Promise<void> {
    let calls = this.#calls();
    for (let still = 0; still < quietHops; still++) {
      await hop();
      const now = this.#calls();
      if (now !== calls || this.#isBusy()) still = -1;
      calls = now;
    }
    await this.#noticeDeaths();
  }

  /** Whether a call of the store is on its way, or work is done that does not hold its answer back. */
  #isBusy(): boolean {
    return this.#all.some(({ line }) => !line.isCut && line.inFlight > 0) || this.#workers.some(this.#isWorking);
  }

  /** One whose store is in trouble waits for time to pass, whatever it works at. */
  readonly #isWorking = (worker: Worker | undefined): boolean =>
    worker !== undefined &&
    !worker.line.isCut &&
    !worker.line.isInTrouble &&
    worker.runtime.stats().runningWork > this.work.heldBy(worker.number);

  /** Instances that have not ended. */
  async running(): Promise<InstanceState[]> {
    const { instances } = await this.client.list({ status: ["pending", "running", "blocked"], limit: 1000 });
    return [...instances];
  }

  /** Whether both workers live, and neither has trouble that it is waiting out or is unaware that it was declared dead. */
  async isWhole(): Promise<boolean> {
    const lines = this.#workers.map((worker) => worker?.line);
    if (lines.some((line) => line === undefined || line.isCut || line.isInTrouble)) return false;
    const registered = (await this.store.listWorkers(this.clock.now())).map(({ key }) => key);
    return registered.length === lines.length && lines.every((line) => registered.includes(line?.worker as WorkerKey));
  }

  /** The requests of an instance that have a row in the store. */
  async rows(instanceId: string, execution: number): Promise<readonly number[]> {
    const key = this.#keys.get(instanceId);
    const [rows = []] = key === undefined ? [] : await this.store.readWork([{ key, execution }]);
    return rows;
  }

  async close(): Promise<void> {
    for (const { line } of this.#all) line.bury();
    await Promise.all(this.#all.map(({ runtime }) => runtime.shutdown({ timeout: 0 })));
    await this.client.close();
  }

  // Workers

  /** Those whose death is declared as soon as it is noticed. */
  readonly #declare = new Set<number>();

  async #start(worker: number): Promise<void> {
    const { orchestrations, activities, llm } = this.#inhabitants;
    const line = new UnsteadyStorage(this.store, this.#random, this.#keys);
    const number = this.#all.length;
    const runtime = await Runtime.start({
      storage: line.storage,
      clock: this.clock,
      logger: silent,
      workerName: `worker-${worker}`,
      tags: [tags[worker] as string],
      concurrency: { activities: 10_000, models: 10_000 },
      orchestrations,
      activities: activities.map((definition) => this.work.activity(number, definition)),
      ...(llm !== undefined && { llm: this.work.model(number, llm) }),
    });
    const started = { number, line, runtime };
    this.#workers[worker] = started;
    this.#all.push(started);
  }

  /** Whether a request of an instance runs in a living worker. */
  isRunning(key: string): boolean {
    return this.#workers.some((worker) => worker !== undefined && this.work.isRunning(worker.number, key));
  }

  /** Starts the workers that are down, and waits until all have nothing left to do. */
  async #repair(): Promise<void> {
    do {
      for (let worker = 0; worker < workerCount; worker++) {
        if (this.#workers[worker] === undefined) await this.#start(worker);
      }
      await this.quiet(); // in which one may still die of what was planned for it
    } while (this.#workers.includes(undefined));
  }

  async #restart(worker: number): Promise<void> {
    const before = this.#workers[worker];
    if (before !== undefined && !before.line.isCut) {
      this.#workers[worker] = undefined;
      void before.runtime.shutdown({ timeout: 0 });
    }
    await this.#noticeDeaths();
    await this.#start(worker);
  }

  async #noticeDeaths(): Promise<void> {
    for (let worker = 0; worker < workerCount; worker++) {
      const dead = this.#workers[worker];
      if (dead === undefined || !dead.line.isCut) continue;
      this.#workers[worker] = undefined;
      this.work.forget(dead.number);
      if (this.#declare.delete(worker)) await this.#release(dead);
    }
  }

  async #release(worker: Worker | undefined): Promise<void> {
    if (worker?.line.worker !== undefined) await this.store.releaseWorker(worker.line.worker);
  }

  #calls(): number {
    return this.#all.reduce((sum, { line }) => sum + line.calls, 0);
  }

  // Time and answers

  get #mayTimePass(): boolean {
    return this.#options.timePassesDuringWork || (this.work.size === 0 && !this.#workers.some(this.#isWorking));
  }

  #skipToTimer(): boolean {
    const { nextAt } = this.clock;
    if (nextAt === undefined) return false;
    this.clock.jumpTo(Math.max(nextAt, this.clock.now()));
    return true;
  }

  /** One of the things that can still happen. */
  async #goOn(): Promise<boolean> {
    if (this.work.size > 0 && (!this.#options.timePassesDuringWork || this.#random() < 0.8)) {
      return this.work.release(Math.floor(this.#random() * this.work.size));
    }
    const { waits } = await this.client.pendingWaits();
    const open = waits.filter((wait) => !this.#answered.has(nameOf(wait)));
    if (open.length > 0 && this.#random() < 0.5) return this.#send(open);
    return this.#skipToTimer() || (open.length > 0 && this.#send(open)) || this.work.release(0);
  }

  /** Waits for which an event is under way. Something else in the instance may take it. */
  readonly #answered = new Set<string>();

  async #send(waits: readonly PendingWait[]): Promise<boolean> {
    const wait = waits[Math.floor(this.#random() * waits.length)] as PendingWait;
    this.#answered.add(nameOf(wait));
    await this.client.instance(wait.instanceId).raiseEvent(wait.name, this.#inhabitants.answerWait(wait));
    return true;
  }

  #beat(): void {
    this.#answered.clear();
    this.clock.jumpTo(this.clock.now() + heartbeatMs);
  }

  async #standing(): Promise<string> {
    const reports = (await this.running()).map(async ({ instanceId }) => {
      const { status, waitingFor } = await this.client.instance(instanceId).status();
      return `${instanceId} ${status}, waiting for ${JSON.stringify(waitingFor)}`;
    });
    return (await Promise.all(reports)).join("; ");
  }
}

function nameOf({ instanceId, execution, eventId }: PendingWait): string {
  return `${instanceId}/${execution}/${eventId}`;
}
