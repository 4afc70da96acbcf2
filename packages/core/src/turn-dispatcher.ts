/**
 * Runs turns: takes instances that have messages, answers or code to run, brings their executions to life, lets a batch
 * of them advance side by side, and commits the batch.
 *
 * It owns the cache of live executions and is the only one that touches them. One batch is under way at a time.
 *
 * Invariants
 *   T1  A cached execution stands exactly where the store's history ends: what cannot be committed is dropped with it.
 *   T2  Work of a turn starts after its commit, never before.
 *   T3  An answer found in this worker is kept until a commit has taken it, or goes to the store's inbox.
 */
import { turnDiagnostics } from "./diagnostics.ts";
import { effectiveOptions } from "./activity-runner.ts";
import { advance, Course } from "./course.ts";
import { asStetError, DeterminismError, type StetError, toFailure } from "./errors.ts";
import type { ActivityScheduled, LlmRequested, OrchestrationStarted, Recorded } from "./events.ts";
import { Execution, type ExecutionEnvironment } from "./execution.ts";
import { ExecutionLoader } from "./execution-loader.ts";
import { type AnswerBody, idempotencyKeyOf, type Message, type WorkItem } from "./messages.ts";
import type { Patience } from "./patience.ts";
import type { Clock, Logger } from "./ports.ts";
import type { Registry } from "./registry.ts";
import type {
  ClaimedTurn,
  CommitOutcome,
  InstanceKey,
  OutgoingWork,
  StorageProvider,
  StoredMessage,
  TurnCommit,
  WorkerKey,
} from "./storage.ts";
import { PayloadSink, type TextCodec } from "./text-codec.ts";
import { type Incoming, TurnFeed } from "./turn.ts";
import { blockOf, commitOf } from "./turn-commit.ts";
import type { Watchdog } from "./watchdog.ts";
import type { WorkDispatcher } from "./work-dispatcher.ts";

/** Most instances in one batch, and most messages in one claim. */
const batchSize = 512;
const claimSize = 2_048;

/** Most answers of this worker in one turn, so that a large fan-out does not hold up the batch. */
const mostAnswers = 1_000;

/** A turn that was claimed this often without a commit takes its worker down with it each time. */
const mostAttempts = 5;

/** The engine's own timer, taken before any guard wraps it. */
const nextMacrotask = setImmediate;
const hop = (): Promise<void> => new Promise((resolve) => nextMacrotask(resolve));

/** What the dispatcher is given. */
export interface TurnEnvironment extends Omit<ExecutionEnvironment, "traceRequests"> {
  readonly storage: StorageProvider;
  readonly codec: TextCodec;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly worker: () => WorkerKey;
  readonly patience: Patience;
  readonly work: WorkDispatcher;
  readonly buildId: string;
  readonly cacheSize: number;
  readonly strictPrompts: boolean;
  /** Whether code that does not match its history fails the instance instead of blocking it. */
  readonly failOnNondeterminism: boolean;
  /** Something will become visible at this time. */
  readonly wakeAt: (at: number) => void;
  readonly onIdle: () => void;
  /** Breaks off code that does not let go of the event loop. */
  readonly watchdog: Watchdog | undefined;
}

/** An instance that this worker owns. */
interface Owned {
  readonly key: InstanceKey;
  readonly instanceId: string;
  readonly rootId: string;
  execution: Execution;
  lastEventId: number;
  /** The recorded start of an execution whose code has not run yet. */
  unrun: (Recorded & OrchestrationStarted) | undefined;
  /** Requests whose work runs here without a row. */
  readonly held: Set<number>;
  /** Answers found here that no turn has taken yet. */
  readonly arrived: AnswerBody[];
}

/** An instance in a batch. */
interface Entry {
  readonly owned: Owned;
  readonly incoming: readonly Incoming[];
  /** Requests that a worker before this one ran without a row, and whose answer is lost. */
  readonly lost: readonly number[];
}

/** See the head of the file. */
export class TurnDispatcher {
  readonly #environment: TurnEnvironment;
  readonly #loader: ExecutionLoader;
  /** In the order of their last turn, oldest first. */
  readonly #owned = new Map<string, Owned>();
  readonly #ready = new Set<Owned>();
  #claimSignalled = false;
  #scheduled = false;
  #pumping: Promise<void> | undefined;
  #stopped = false;
  /** Who is running, for the watchdog to name. */
  #running = "";
  /** Whether code was broken off since this was looked at last. */
  #brokenOff = false;
  /** After code was broken off instances run one by one, until it is known whose code it was. */
  #cautious = false;

  constructor(environment: TurnEnvironment) {
    this.#environment = environment;
    this.#loader = new ExecutionLoader(environment, this.#hop);
  }

  /** There may be messages in the store. */
  signal(): void {
    this.#claimSignalled = true;
    this.#schedule();
  }

  /** Brings home an answer that was found in this worker (T3). */
  deliver(instanceId: string, execution: number, answer: AnswerBody): void {
    const owned = this.#owned.get(instanceId);
    if (owned?.execution.execution === execution && owned.held.has(answer.source)) {
      owned.arrived.push(answer);
      this.#ready.add(owned);
      this.#schedule();
    } else void this.#sendToInbox(instanceId, execution, [answer]);
  }

  /** A request that was held here has a row now. */
  release(instanceId: string, execution: number, eventId: number): void {
    const owned = this.#owned.get(instanceId);
    if (owned?.execution.execution === execution) owned.held.delete(eventId);
  }

  get isIdle(): boolean {
    return this.#pumping === undefined && !this.#scheduled;
  }

  /** Instances whose executions are alive here. */
  get cached(): number {
    return this.#owned.size;
  }

  /** Forgets all executions, as another registration begins. Answers that were found go to the inboxes (T3). */
  forget(): void {
    for (const owned of [...this.#owned.values()]) this.#forgetOwned(owned);
  }

  /** Gives executions without work here back to the store, as eviction would. */
  async evictIdle(): Promise<void> {
    await this.#evict(0);
  }

  /** Runs what is there, then no more. */
  async stop(): Promise<void> {
    while (!this.isIdle) {
      await this.#pumping;
      if (this.#scheduled) await hop();
    }
    this.#stopped = true;
  }

  #schedule(): void {
    if (this.#scheduled || this.#pumping !== undefined || this.#stopped) return;
    this.#scheduled = true;
    nextMacrotask(() => {
      this.#scheduled = false;
      this.#pumping = this.#pump().finally(() => {
        this.#pumping = undefined;
        if (this.#claimSignalled || this.#ready.size > 0) this.#schedule();
        if (this.isIdle) this.#environment.onIdle();
      });
    });
  }

  async #pump(): Promise<void> {
    while (!this.#stopped && (this.#claimSignalled || this.#ready.size > 0)) {
      const claimed = this.#claimSignalled ? await this.#claim() : [];
      const oneByOne = this.#cautious && claimed.length > 0;
      const groups = oneByOne ? claimed.map((turn) => [turn]) : [claimed];
      const size = this.#cautious ? 1 : batchSize;
      this.#cautious = false;
      for (const group of groups) {
        const entries = await this.#prepare(group, size);
        if (entries.length > 0) await this.#run(entries);
      }
      if (this.#owned.size > this.#environment.cacheSize) await this.#evict(this.#environment.cacheSize);
    }
  }

  /** Lets all code run until it waits, under the eyes of the watchdog. */
  readonly #hop = async (): Promise<void> => {
    const { watchdog } = this.#environment;
    if (watchdog === undefined) return hop();
    watchdog.begin(this.#running);
    await hop();
    if (watchdog.end()) this.#brokenOff = true;
  };

  /** Whether code was broken off since this was asked last: then no execution of the batch can be trusted. */
  #wasBrokenOff(): boolean {
    const brokenOff = this.#brokenOff;
    this.#brokenOff = false;
    return brokenOff;
  }

  /** It was one of several: they are given back and run one by one. */
  async #suspect(keys: readonly InstanceKey[]): Promise<void> {
    this.#cautious = true;
    await this.#giveBack(keys);
    this.#claimSignalled = true;
  }

  async #claim(): Promise<ClaimedTurn[]> {
    this.#claimSignalled = false;
    const { storage, worker, clock, registry, buildId, patience } = this.#environment;
    const claim = { now: clock.now(), max: claimSize, orchestrations: registry.handlers, buildId };
    const claimed = await patience.until("claim turns", () => storage.claimTurns({ ...claim, worker: worker() }));
    if (claimed === undefined) return [];
    const messages = claimed.reduce((sum, turn) => sum + Math.max(1, turn.messages.length), 0);
    if (messages >= claimSize / 2) this.#claimSignalled = true; // the claim may have been cut off
    return claimed;
  }

  /** The batch: claimed instances with their messages, and owned ones with answers or code to run. */
  async #prepare(claimed: readonly ClaimedTurn[], size: number): Promise<Entry[]> {
    const entries: Entry[] = [];
    const unloaded: ClaimedTurn[] = [];
    for (const turn of claimed) {
      const owned = this.#owned.get(turn.instanceId);
      if (owned !== undefined && stands(owned, turn)) {
        const incoming = await this.#incoming(turn);
        if (incoming !== undefined)
          entries.push({ owned, incoming: [...incoming, ...this.#takeArrived(owned)], lost: [] });
      } else unloaded.push(turn);
    }
    entries.push(...(await this.#load(unloaded)));
    const batched = new Set(entries.map(({ owned }) => owned));
    for (const owned of this.#ready) {
      if (entries.length >= size) break;
      if (batched.has(owned)) continue;
      if (owned.arrived.length === 0) this.#ready.delete(owned);
      entries.push({ owned, incoming: this.#takeArrived(owned), lost: [] });
    }
    return entries;
  }

  #takeArrived(owned: Owned): Incoming[] {
    const taken = owned.arrived.splice(0, mostAnswers);
    if (owned.arrived.length === 0) this.#ready.delete(owned);
    return taken.map((message) => ({ message }));
  }

  /** Brings executions to life that are not here. What cannot be brought to life is blocked. */
  async #load(turns: readonly ClaimedTurn[]): Promise<Entry[]> {
    const entries: Entry[] = [];
    const doomed = turns.filter((turn) => turn.attempts > mostAttempts);
    for (const turn of doomed) await this.#block(turn, this.#loader.crashLoop(turn));
    const loadable = turns.filter((turn) => turn.attempts <= mostAttempts);
    const incomings = new Map<ClaimedTurn, readonly Incoming[]>();
    for (const turn of loadable) {
      const incoming = await this.#incoming(turn);
      if (incoming !== undefined) incomings.set(turn, incoming);
    }
    this.#running = loadable[0]?.instanceId ?? "";
    const loaded = await this.#loader.load(incomings);
    if (this.#wasBrokenOff()) {
      const [only, ...others] = loadable;
      if (only !== undefined && others.length === 0) await this.#block(only, holdsTheLoop(only));
      else await this.#suspect(loadable.map(({ key }) => key));
      return [];
    }
    for (const { turn, execution, unrun, lost, failure } of loaded) {
      if (execution === undefined) {
        await this.#refuse(turn, failure);
        continue;
      }
      const { key, instanceId, rootId, lastEventId } = turn;
      const before = this.#owned.get(instanceId);
      if (before !== undefined) this.#forgetOwned(before);
      const owned: Owned = { key, instanceId, rootId, execution, lastEventId, unrun, held: new Set(), arrived: [] };
      this.#owned.set(instanceId, owned);
      entries.push({ owned, incoming: incomings.get(turn) ?? [], lost });
    }
    return entries;
  }

  /** The messages of a claim in the order of their time; undefined when one cannot be read and the instance is blocked. */
  async #incoming(turn: ClaimedTurn): Promise<Incoming[] | undefined> {
    const { storage, codec, patience } = this.#environment;
    const stored = inOrder(turn.messages);
    const source = async (digests: readonly string[]) =>
      (await patience.read("read payloads", () => storage.readPayloads(turn.rootId, digests))) ?? [];
    try {
      const what = `a message to instance ${turn.instanceId}`;
      const texts = stored.map(({ body }) => body);
      const messages = await codec.decode<Message>(texts, turn.instanceId, source, what);
      return messages.map((message, i) => ({ message, key: (stored[i] as StoredMessage).key }));
    } catch (error) {
      await this.#block(turn, error);
      return undefined;
    }
  }

  async #run(entries: readonly Entry[]): Promise<void> {
    const at = this.#environment.clock.now();
    const turns = entries.map((entry) => this.#turn(entry, at));
    this.#running = entries[0]?.owned.instanceId ?? "";
    await advance(
      turns.map(({ course }) => course),
      this.#hop,
    );
    if (this.#wasBrokenOff()) {
      const [only, ...others] = turns;
      if (only === undefined || others.length > 0) {
        for (const { owned, feed } of turns) this.#drop(owned, feed);
        return this.#suspect(turns.map(({ owned }) => owned.key));
      }
      only.course.failure = holdsTheLoop(only.owned);
    }
    const commits = turns.map((turn) => this.#commitOrBlock(turn, at));
    const { storage, worker, patience } = this.#environment;
    const outcomes = await patience.until("commit turns", () =>
      storage.commitTurns(
        worker(),
        commits.map(({ commit }) => commit),
      ),
    );
    commits.forEach((done, i) => this.#after(done, outcomes?.[i]));
    const refused = commits.filter((_, i) => outcomes?.[i] === "notOwner").map(({ commit }) => commit.key);
    if (refused.length > 0) await this.#giveBack(refused);
  }

  /**
   * A commit is refused when another worker owns the instance, and when it was taken before and the answer was lost on
   * the way. Then it is still ours, and nobody would look at it again.
   */
  async #giveBack(keys: readonly InstanceKey[]): Promise<void> {
    const { storage, worker, patience } = this.#environment;
    await patience.until("release instances", () => storage.releaseInstances(worker(), keys));
  }

  #turn({ owned, incoming, lost }: Entry, at: number): Turn {
    const { codec, registry } = this.#environment;
    const { rootId, execution, unrun } = owned;
    const sink = new PayloadSink();
    owned.unrun = undefined;
    const feed = new TurnFeed(execution, {
      incoming,
      at,
      encode: (event) => codec.encode(event, rootId, sink),
      totalTimeoutMs: (request) => this.#totalTimeoutMs(request),
      nextVersion: (name, asked) => asked ?? registry.orchestration(name)?.version ?? execution.version,
      ...(unrun !== undefined && { unrun }),
    });
    const messages = incoming.filter(({ key }) => key !== undefined).length;
    return { owned, feed, sink, lost, messages, course: new Course(execution, feed) };
  }

  #totalTimeoutMs(request: ActivityScheduled): number | undefined {
    const definition = this.#environment.registry.activity(request.name);
    return (definition === undefined ? request.options : effectiveOptions(definition, request))?.totalTimeoutMs;
  }

  /** What goes wrong with one instance is not the trouble of its batch. */
  #commitOrBlock(turn: Turn, at: number): Done {
    try {
      return this.#commit(turn, at);
    } catch (error) {
      turn.course.failure = asStetError(error);
      return this.#commit(turn, at);
    }
  }

  #commit(turn: Turn, at: number): Done {
    const { owned, course, feed, sink } = turn;
    const { execution, key, lastEventId } = owned;
    const position = { key, execution: execution.execution, lastEventId };
    if (course.failure !== undefined) {
      const { buildId, codec } = this.#environment;
      const commit = blockOf(position, codec.encode(toFailure(course.failure), owned.rootId), buildId, at);
      return { turn, commit, starts: [], blocked: course.failure };
    }
    feed.finish(execution);
    for (const { source } of feed.localAnswers) owned.held.delete(source);
    for (const source of feed.effects.cancelledWork) owned.held.delete(source);
    const over = feed.closing !== undefined;
    const { starts, rows } = over ? noWork : this.#placeWork(turn, at);
    const continues = feed.nextStart !== undefined && this.#canRun(feed.nextStart.event);
    const commit = commitOf(position, execution, feed, {
      at,
      codec: this.#environment.codec,
      sink,
      work: rows,
      unsettled: over ? feed.nextStart !== undefined : owned.held.size > 0,
      keep: over ? continues : true,
    });
    return { turn, commit, starts };
  }

  /** Which new requests run here and which get a row; requests whose earlier run was lost get one that counts it. */
  #placeWork(
    { owned, feed, sink, lost }: Turn,
    at: number,
  ): { readonly starts: readonly WorkItem[]; readonly rows: OutgoingWork[] } {
    const { work } = this.#environment;
    const starts: WorkItem[] = [];
    const rows: OutgoingWork[] = [];
    for (const [eventId, request] of feed.effects.work) {
      const item = itemOf(owned, eventId, request, at);
      if (work.holdsItself(request)) {
        owned.held.add(eventId);
        starts.push(item);
      } else rows.push(work.outgoing(item, 0, sink));
    }
    for (const eventId of lost) {
      const body = owned.execution.pending.get(eventId)?.body;
      if (body?.kind === "ActivityScheduled" || body?.kind === "LlmRequested") {
        rows.push(work.outgoing(itemOf(owned, eventId, body, at), 1, sink));
      }
    }
    return { starts, rows };
  }

  #canRun({ name, version }: OrchestrationStarted): boolean {
    return this.#environment.registry.orchestration(name, version) !== undefined;
  }

  #after({ turn, commit, starts, blocked }: Done, outcome: CommitOutcome | undefined): void {
    const { owned, feed } = turn;
    const { work, wakeAt } = this.#environment;
    turnDiagnostics.publish(() => ({
      instanceId: owned.instanceId,
      execution: commit.execution,
      orchestration: owned.execution.name,
      events: feed.texts.length,
      outcome: blocked !== undefined ? "blocked" : (outcome ?? "notOwner"),
    }));
    if (outcome !== "committed" || blocked !== undefined) {
      if (blocked !== undefined) this.#reportBlocked(owned, blocked);
      return this.#drop(owned, feed);
    }
    const { instanceId, execution } = owned;
    for (const eventId of feed.effects.cancelledWork) {
      work.cancel(
        idempotencyKeyOf({ instanceId, execution: execution.execution, eventId }),
        "the orchestration gave it up",
      );
    }
    for (const { fireAt } of commit.timers) wakeAt(fireAt);
    if (feed.nextStart !== undefined) {
      if (feed.consumed.length < turn.messages) this.#claimSignalled = true; // the rest is for the next execution
      this.#continueAsNew(owned, feed.nextStart.event);
    } else if (feed.closing !== undefined) this.#owned.delete(instanceId);
    else {
      owned.lastEventId = execution.lastEventId;
      this.#owned.delete(instanceId);
      this.#owned.set(instanceId, owned);
      for (const item of starts) work.start(item, owned.key);
    }
  }

  #continueAsNew(owned: Owned, start: Recorded & OrchestrationStarted): void {
    const { registry } = this.#environment;
    const definition = registry.orchestration(start.name, start.version);
    if (definition === undefined) {
      this.#owned.delete(owned.instanceId);
      return;
    }
    const header = { instanceId: owned.instanceId, rootId: owned.rootId, execution: owned.execution.execution + 1 };
    owned.execution = new Execution(definition, header, this.#environment);
    owned.execution.lastEventId = 1;
    owned.lastEventId = 1;
    owned.unrun = start;
    owned.held.clear();
    owned.arrived.length = 0;
    this.#ready.add(owned);
  }

  /** What this turn took from this worker and could not commit goes to the inbox; the rest is still there. */
  #drop(owned: Owned, feed: TurnFeed): void {
    owned.arrived.unshift(...feed.untaken());
    this.#forgetOwned(owned);
  }

  #forgetOwned(owned: Owned): void {
    const { instanceId, execution, arrived } = owned;
    if (this.#owned.get(instanceId) === owned) this.#owned.delete(instanceId);
    this.#ready.delete(owned);
    if (arrived.length > 0) void this.#sendToInbox(instanceId, execution.execution, arrived);
  }

  async #sendToInbox(instanceId: string, execution: number, answers: readonly AnswerBody[]): Promise<void> {
    const { storage, codec, clock, patience } = this.#environment;
    const messages = answers.map((answer) => ({
      instanceId,
      body: codec.encode({ ...answer, execution }, instanceId),
      at: clock.now(),
    }));
    await patience.until("send answers", () => storage.sendMessages(messages));
  }

  /** An instance that could not be brought to life: blocked with the reason, or failed where that was asked for. */
  async #refuse(turn: ClaimedTurn, failure: StetError | undefined): Promise<void> {
    const { failOnNondeterminism, clock, codec, storage, worker, patience } = this.#environment;
    const failed =
      failOnNondeterminism && failure?.code === "nondeterminism" ? await this.#loader.failing(turn) : undefined;
    if (failed === undefined || failure === undefined) return this.#block(turn, failure);
    const at = clock.now();
    const sink = new PayloadSink();
    const feed = new TurnFeed(failed, {
      incoming: [],
      at,
      encode: (event) => codec.encode(event, turn.rootId, sink),
      totalTimeoutMs: () => undefined,
      nextVersion: () => failed.version,
    });
    feed.close(failed, { kind: "OrchestrationFailed", error: toFailure(failure) });
    const commit = commitOf(turn, failed, feed, { at, codec, sink, work: [], unsettled: false, keep: false });
    await patience.until("fail an instance", () => storage.commitTurns(worker(), [commit]));
  }

  async #block(turn: ClaimedTurn, reason: unknown): Promise<void> {
    const { storage, codec, worker, clock, buildId, patience } = this.#environment;
    const commit = blockOf(turn, codec.encode(toFailure(reason), turn.rootId), buildId, clock.now());
    await patience.until("block an instance", () => storage.commitTurns(worker(), [commit]));
    this.#reportBlocked(turn, reason);
    const owned = this.#owned.get(turn.instanceId);
    if (owned !== undefined) this.#forgetOwned(owned);
  }

  #reportBlocked({ instanceId }: { readonly instanceId: string }, reason: unknown): void {
    this.#environment.logger.error("An instance is blocked until other code or client.resume() tries again", {
      instanceId,
      error: toFailure(reason).message,
    });
  }

  /** Gives back what was used longest ago and has nothing running here, down to `size`. */
  async #evict(size: number): Promise<void> {
    const { storage, worker, patience } = this.#environment;
    const idle: Owned[] = [];
    for (const owned of this.#owned.values()) {
      if (this.#owned.size - idle.length <= size) break;
      if (owned.held.size === 0 && owned.arrived.length === 0 && owned.unrun === undefined) idle.push(owned);
    }
    if (idle.length === 0) return;
    for (const { instanceId } of idle) this.#owned.delete(instanceId);
    await patience.until("release instances", () =>
      storage.releaseInstances(
        worker(),
        idle.map(({ key }) => key),
      ),
    );
  }
}

/** A turn under way. */
interface Turn {
  readonly owned: Owned;
  readonly course: Course;
  readonly feed: TurnFeed;
  readonly sink: PayloadSink;
  readonly lost: readonly number[];
  /** How many came from the inbox. */
  readonly messages: number;
}

/** A turn with its commit. */
interface Done {
  readonly turn: Turn;
  readonly commit: TurnCommit;
  readonly starts: readonly WorkItem[];
  readonly blocked?: StetError;
}

const noWork: { readonly starts: readonly WorkItem[]; readonly rows: OutgoingWork[] } = { starts: [], rows: [] };

function holdsTheLoop({ instanceId }: { readonly instanceId: string }): StetError {
  return new DeterminismError(
    `Expected the code of instance ${instanceId} to wait for a durable promise, got code that held the event loop until it was broken off: it loops without waiting, or computes for too long. Move long computations into an activity`,
  );
}

/** Whether the cached execution is where the store says the instance is (T1). */
function stands({ execution, lastEventId }: Owned, turn: ClaimedTurn): boolean {
  return execution.execution === turn.execution && lastEventId === turn.lastEventId;
}

function itemOf(
  { execution, instanceId, rootId }: Owned,
  eventId: number,
  request: ActivityScheduled | LlmRequested,
  at: number,
): WorkItem {
  const { name, version } = execution;
  return {
    instanceId,
    execution: execution.execution,
    eventId,
    rootId,
    orchestration: { name, version },
    request,
    requestedAt: at,
  };
}

/** Messages as they were sent, and each timer before the first message that was sent after it was due. */
function inOrder(messages: readonly StoredMessage[]): readonly StoredMessage[] {
  const timers = messages.filter(({ timer }) => timer).sort((a, b) => a.at - b.at);
  if (timers.length === 0) return messages;
  const ordered: StoredMessage[] = [];
  for (const message of messages) {
    if (message.timer) continue;
    while (timers[0] !== undefined && timers[0].at <= message.at) ordered.push(timers.shift() as StoredMessage);
    ordered.push(message);
  }
  return [...ordered, ...timers];
}
