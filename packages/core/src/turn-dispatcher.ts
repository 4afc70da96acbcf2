/**
 * Runs turns: takes instances that have messages, answers or code to run, brings their executions to life, lets a batch
 * of them advance side by side, and commits the batch.
 *
 * It owns the cache of live executions and is the only one that touches them. Code runs in one batch at a time. Where the
 * store takes several commits at once, the next batch runs while earlier ones are on their way.
 *
 * Invariants
 *   T1  A cached execution stands exactly where the store's history ends, or its commit is under way and it takes nothing
 *       new until that is settled. What cannot be committed is dropped with it.
 *   T2  Work of a turn starts after its commit, never before.
 *   T3  An answer found in this worker is kept until a commit has taken it, or goes to the store's inbox.
 */
import { turnDiagnostics } from "./diagnostics.ts";
import { BlockedInstances, type BlockingEnvironment } from "./blocked-instances.ts";
import { CommitsUnderWay } from "./commits-under-way.ts";
import { advance, Course } from "./course.ts";
import { asStetError, type StetError } from "./errors.ts";
import type { OrchestrationStarted, Recorded } from "./events.ts";
import { Execution, type ExecutionEnvironment } from "./execution.ts";
import { ExecutionLoader } from "./execution-loader.ts";
import { readInbox } from "./inbox.ts";
import type { Job } from "./job.ts";
import type { Concession } from "./load.ts";
import type { LlmDispatcher } from "./llm/llm-dispatcher.ts";
import { type AnswerBody, idempotencyKeyOf, type WorkItem } from "./messages.ts";
import { type Addressee, type Owned, OwnedExecutions } from "./owned-executions.ts";
import { areRefusals, refusalsOf, refusedIn, uncaughtRefusal } from "./refusals.ts";
import type { ClaimedTurn, InstanceKey, TurnCommit, TurnOutcome } from "./storage.ts";
import { PayloadSink } from "./text-codec.ts";
import { type ClaimEnvironment, TurnClaims } from "./turn-claims.ts";
import { type Incoming, TurnFeed, type TurnTerms } from "./turn.ts";
import { commitOf } from "./turn-commit.ts";
import { termsAt } from "./turn-terms.ts";
import type { Watchdog } from "./watchdog.ts";
import { holdsTheLoop, hop, nextMacrotask, WatchedHop } from "./watched-hop.ts";
import type { WorkDispatcher } from "./work-dispatcher.ts";
import { noWork, placeWork } from "./work-placement.ts";

/** Most instances in one batch. */
const batchSize = 512;
const nothing: readonly never[] = [];

/** Most answers of this worker in one turn, so that a large fan-out does not hold up the batch. */
const mostAnswers = 1_000;

/** What was claimed more often than this without a commit may be what its workers died of, and runs alone. */
const fewAttempts = 5;

/** A turn that was claimed this often without a commit takes its worker down with it each time. */
const mostAttempts = 10;

/** What the dispatcher is given. */
export interface TurnEnvironment
  extends Omit<ExecutionEnvironment, "traceRequests">, ClaimEnvironment, BlockingEnvironment {
  readonly work: WorkDispatcher;
  readonly llm: LlmDispatcher | undefined;
  readonly cacheSize: number;
  readonly strictPrompts: boolean;
  /** Something will become visible at this time. */
  readonly wakeAt: (at: number) => void;
  readonly onIdle: () => void;
  /** So many instances went back to the store. */
  readonly onReleased: (instances: number) => void;
  /** Breaks off code that does not let go of the event loop. */
  readonly watchdog: Watchdog | undefined;
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
  readonly #watched: WatchedHop;
  readonly #loader: ExecutionLoader;
  readonly #blocked: BlockedInstances;
  readonly #owned = new OwnedExecutions((to, answers) => this.#sendToInbox(to, answers));
  readonly #claims: TurnClaims;
  readonly #commits: CommitsUnderWay;
  #scheduled = false;
  #round: Promise<void> | undefined;
  #stopped = false;
  /** After code was broken off instances run one by one, until it is known whose code it was. */
  #cautious = false;

  constructor(environment: TurnEnvironment) {
    this.#environment = environment;
    this.#watched = new WatchedHop(environment.watchdog);
    this.#loader = new ExecutionLoader(environment, this.#watched.hop);
    this.#blocked = new BlockedInstances(environment, this.#loader);
    this.#claims = new TurnClaims(environment, this.#owned);
    this.#commits = new CommitsUnderWay(environment.storage.commitsAtOnce ?? 1, () => this.#goOn());
  }

  /** There may be messages in the store. */
  signal(): void {
    this.#claims.signal();
    this.#schedule();
  }

  /** Brings home an answer that was found in this worker (T3). */
  deliver(job: Job, answer: AnswerBody): void {
    if (this.#owned.deliver(job, answer)) this.#schedule();
  }

  /** A request that was held here has a row now. */
  release(job: Job): void {
    this.#owned.release(job);
  }

  get isIdle(): boolean {
    return this.#round === undefined && !this.#scheduled && this.#commits.size === 0;
  }

  /** Instances whose executions are alive here. */
  get cached(): number {
    return this.#owned.size;
  }

  /** Forgets all executions, as another registration begins. Answers that were found go to the inboxes (T3). */
  forget(): void {
    this.#owned.forgetAll();
  }

  /** Gives executions without work here back to the store, as eviction would. */
  async evictIdle(): Promise<void> {
    await this.#round;
    await this.#commits.all(); // what is being committed has nothing running and is not idle
    await this.#evict(this.#owned.takeIdle(this.#owned.size));
  }

  /** Whether other workers live that can run some of the same. */
  set hasPeers(hasPeers: boolean) {
    this.#claims.hasPeers = hasPeers;
  }

  /** Lets workers that have more time have what is nobody's, and some of what is idle here, until it is told otherwise. */
  concede(concession: Concession | undefined): void {
    this.#owned.giveAway(concession);
    if (this.#claims.concede(concession)) this.signal();
  }

  /** Runs what is there, then no more. */
  async stop(): Promise<void> {
    while (!this.isIdle) {
      await this.#round;
      await this.#commits.all();
      if (this.#scheduled) await hop();
    }
    this.#stopped = true;
  }

  #schedule(): void {
    if (this.#scheduled || this.#round !== undefined || this.#stopped) return;
    this.#scheduled = true;
    nextMacrotask(() => {
      this.#scheduled = false;
      this.#round = this.#runRound().finally(() => {
        this.#round = undefined;
        this.#goOn();
      });
    });
  }

  /** Something is over: what has been waiting for it goes on. */
  #goOn(): void {
    if (this.#hasWork) this.#schedule();
    if (this.isIdle) this.#environment.onIdle();
  }

  get #hasWork(): boolean {
    return this.#claims.isSignalled || this.#owned.ready.size > 0;
  }

  /** The next round comes in another macrotask: until then answers gather that are there at once. */
  async #runRound(): Promise<void> {
    const claimed = this.#claims.isTime() ? await this.#claim() : [];
    const oneByOne = this.#cautious && claimed.length > 0;
    const groups = oneByOne ? claimed.map((turn) => [turn]) : [claimed];
    const size = this.#cautious ? 1 : batchSize;
    this.#cautious = false;
    for (const group of groups) {
      const entries = await this.#prepare(group, size);
      if (entries.length > 0) await this.#run(entries);
    }
    await this.#evict(this.#owned.takeSurplus(this.#environment.cacheSize));
  }

  /** It is one of several: they are given back, as if they had not been claimed, and run one by one. */
  async #suspect(keys: readonly InstanceKey[]): Promise<void> {
    this.#cautious = true;
    await this.#giveBack(keys);
    this.#claims.signal();
  }

  /** Commits under way go first: a claim would find the messages that they take, and instances as they were before. */
  async #claim(): Promise<ClaimedTurn[]> {
    await this.#commits.all();
    return this.#singleOut(await this.#claims.claim());
  }

  /** One that its workers may have died of runs alone, and before what is owned: another death will tell. */
  async #singleOut(claimed: ClaimedTurn[]): Promise<ClaimedTurn[]> {
    const [one] = claimed.filter(({ attempts }) => attempts > fewAttempts).sort((a, b) => b.attempts - a.attempts);
    if (one === undefined) return claimed;
    const isOwned = (turn: ClaimedTurn) => turn !== one && this.#owned.get(turn.key) !== undefined;
    this.#claims.startSmall();
    await this.#suspect(claimed.filter((turn) => turn !== one && !isOwned(turn)).map(({ key }) => key));
    return [one, ...claimed.filter(isOwned)];
  }

  /** The batch: claimed instances with their messages, and owned ones with answers or code to run. */
  async #prepare(claimed: readonly ClaimedTurn[], size: number): Promise<Entry[]> {
    const entries: Entry[] = [];
    const unloaded: ClaimedTurn[] = [];
    for (const turn of claimed) {
      const owned = this.#owned.get(turn.key);
      if (owned !== undefined && stands(owned, turn)) {
        const read = this.#incoming(turn);
        const incoming = read instanceof Promise ? await read : read;
        if (incoming === undefined) continue;
        if (incoming.length < turn.messages.length) this.#claims.signal(); // refusals come with the next claim
        const arrived = areRefusals(incoming) ? nothing : this.#owned.takeArrived(owned, mostAnswers);
        entries.push({ owned, incoming: [...incoming, ...arrived], lost: nothing });
      } else unloaded.push(turn);
    }
    entries.push(...(await this.#load(unloaded)));
    const batched = new Set(entries.map(({ owned }) => owned));
    for (const owned of this.#owned.ready) {
      if (entries.length >= size) break;
      if (batched.has(owned)) continue;
      entries.push({ owned, incoming: this.#owned.takeArrived(owned, mostAnswers), lost: nothing });
    }
    return entries;
  }

  /** Brings executions to life that are not here. What cannot be brought to life is blocked. */
  async #load(turns: readonly ClaimedTurn[]): Promise<Entry[]> {
    const entries: Entry[] = [];
    const doomed = turns.filter((turn) => turn.attempts > mostAttempts);
    for (const turn of doomed) await this.#blocked.block(turn, this.#loader.crashLoop(turn));
    const loadable = turns.filter((turn) => turn.attempts <= mostAttempts);
    const incomings = new Map<ClaimedTurn, readonly Incoming[]>();
    for (const turn of loadable) {
      const read = this.#incoming(turn);
      const incoming = read instanceof Promise ? await read : read;
      if (incoming !== undefined) incomings.set(turn, incoming);
    }
    this.#watched.running = loadable[0]?.instanceId ?? "";
    const loaded = await this.#loader.load(incomings);
    if (this.#watched.wasBrokenOff()) {
      const [only, ...others] = loadable;
      if (only !== undefined && others.length === 0) await this.#blocked.block(only, holdsTheLoop(only));
      else await this.#suspect(loadable.map(({ key }) => key));
      return [];
    }
    for (const { turn, execution, unrun, lost, failure } of loaded) {
      if (execution === undefined) {
        await this.#blocked.refuse(turn, failure, incomings.get(turn) ?? []);
        continue;
      }
      if (execution.started?.budget !== undefined) this.#claims.signal(); // refusals do not wake it but may wait
      const { key, instanceId, rootId, lastEventId } = turn;
      const owned = this.#owned.add({ key, instanceId, rootId, execution, lastEventId, unrun });
      entries.push({ owned, incoming: incomings.get(turn) ?? [], lost });
    }
    return entries;
  }

  /** The messages of a claim, at once where they can be; undefined when one cannot be read and the instance is blocked. */
  #incoming(turn: ClaimedTurn): readonly Incoming[] | Promise<readonly Incoming[] | undefined> {
    try {
      const incoming = readInbox(turn, this.#environment);
      return incoming instanceof Promise ? incoming.catch((error: unknown) => this.#unreadable(turn, error)) : incoming;
    } catch (error) {
      return this.#unreadable(turn, error);
    }
  }

  async #unreadable(turn: ClaimedTurn, error: unknown): Promise<undefined> {
    await this.#blocked.block(turn, error);
    const owned = this.#owned.get(turn.key);
    if (owned !== undefined) this.#owned.forget(owned);
  }

  async #run(entries: readonly Entry[]): Promise<void> {
    const at = this.#environment.clock.now();
    const terms = termsAt(at, this.#environment.registry);
    const turns = entries.map((entry) => turnOf(entry, terms));
    this.#watched.running = entries[0]?.owned.instanceId ?? "";
    await advance(
      turns.map(({ course }) => course),
      this.#watched.hop,
    );
    if (this.#watched.wasBrokenOff()) {
      const [only, ...others] = turns;
      if (only === undefined || others.length > 0) {
        for (const { owned, feed } of turns) this.#drop(owned, feed);
        return this.#suspect(turns.map(({ owned }) => owned.key));
      }
      only.course.failure = holdsTheLoop(only.owned);
    }
    const { llm } = this.#environment;
    if (llm !== undefined && entries.some(({ owned }) => owned.execution.started?.budget)) await llm.knowPrices();
    const done = turns.map((turn) => this.#commitOrBlock(turn, at));
    for (const { turn, commit } of done) if (commit.suspended !== undefined) await this.#letGo(turn.owned);
    await this.#commits.add(this.#write(done));
  }

  async #write(done: readonly Done[]): Promise<void> {
    const { storage, worker, patience } = this.#environment;
    const commits = done.map(({ commit }) => commit);
    for (const { turn } of done) this.#owned.beginCommit(turn.owned);
    const outcomes = await patience.until("commit turns", () => storage.commitTurns(worker(), commits));
    done.forEach((each, i) => this.#after(each, outcomes?.[i]));
    const refused = commits.filter((_, i) => outcomes?.[i] === "notOwner").map(({ key }) => key);
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
    const { owned, course, feed, sink, lost } = turn;
    const { execution, key, lastEventId } = owned;
    const position = { key, execution: execution.execution, lastEventId };
    const blocked = course.failure ?? uncaughtRefusal(feed);
    if (blocked !== undefined) {
      const commit = this.#blocked.commitOf(position, owned.rootId, blocked, at, refusalsOf(feed));
      return { turn, commit, starts: [], blocked };
    }
    feed.finish(execution);
    for (const { key, message } of feed.incoming) if (key === undefined) owned.held.delete(message.source);
    for (const source of feed.effects.cancelledWork) owned.held.delete(source);
    const over = feed.closing !== undefined;
    const { starts, rows, bookings } = over
      ? noWork
      : placeWork({ owned, effects: feed.effects, lost, sink, at }, this.#environment.work, this.#environment);
    const continues = feed.nextStart !== undefined && this.#canRun(feed.nextStart);
    const commit = commitOf(position, execution, feed, {
      at,
      codec: this.#environment.codec,
      sink,
      work: rows,
      bookings,
      unsettled: over ? feed.nextStart !== undefined : owned.held.size > 0,
      keep: over ? continues : true,
    });
    return { turn, commit, starts };
  }

  #canRun({ name, version }: OrchestrationStarted): boolean {
    return this.#environment.registry.orchestration(name, version) !== undefined;
  }

  #after({ turn, commit, starts, blocked }: Done, outcome: TurnOutcome | undefined): void {
    const { owned, feed } = turn;
    const { work, wakeAt } = this.#environment;
    const refused = refusedIn(outcome);
    this.#owned.endCommit(owned);
    turnDiagnostics.publish(() => ({
      instanceId: owned.instanceId,
      execution: commit.execution,
      orchestration: owned.execution.name,
      events: feed.events.length,
      outcome: blocked !== undefined ? "blocked" : refused === undefined ? "notOwner" : "committed",
    }));
    if (refused === undefined || blocked !== undefined) {
      if (blocked !== undefined) this.#blocked.report(owned.instanceId, blocked);
      return this.#drop(owned, feed);
    }
    const { instanceId, execution } = owned;
    turn.sink.stored();
    for (const eventId of feed.effects.cancelledWork) {
      work.cancel(
        idempotencyKeyOf({ instanceId, execution: execution.execution, eventId }),
        owned.key,
        "the orchestration gave it up",
      );
    }
    for (const { fireAt } of commit.timers) wakeAt(fireAt);
    if (feed.nextStart !== undefined) {
      if (feed.leftMessages) this.#claims.signal(); // they are for the next execution
      this.#continueAsNew(owned, feed.nextStart);
    } else if (feed.closing !== undefined) this.#owned.remove(owned);
    else {
      owned.lastEventId = execution.lastEventId;
      for (const eventId of refused) owned.held.delete(eventId);
      for (const item of starts) if (!refused.has(item.eventId)) work.start(item, owned.key);
    }
  }

  /** What is held here is known to the store before the instance goes: nothing that was paid for is asked again. */
  async #letGo(owned: Owned): Promise<void> {
    await this.#environment.work.giveRows(owned.key);
    await this.#owned.handOver(owned);
  }

  #continueAsNew(owned: Owned, start: Recorded & OrchestrationStarted): void {
    const { registry } = this.#environment;
    const definition = registry.orchestration(start.name, start.version);
    if (definition === undefined) {
      this.#owned.remove(owned);
      return;
    }
    const header = { instanceId: owned.instanceId, rootId: owned.rootId, execution: owned.execution.execution + 1 };
    owned.execution = new Execution(definition, header, this.#environment);
    owned.execution.lastEventId = 1;
    owned.lastEventId = 1;
    owned.unrun = start;
    owned.held.clear();
    owned.arrived = [];
    this.#owned.makeReady(owned);
  }

  /** What this turn took from this worker and could not commit goes to the inbox; the rest is still there. */
  #drop(owned: Owned, feed: TurnFeed): void {
    owned.arrived = [...feed.untaken(), ...owned.arrived];
    this.#owned.forget(owned);
  }

  async #sendToInbox({ key, instanceId, execution }: Addressee, answers: readonly AnswerBody[]): Promise<void> {
    const { storage, codec, clock, patience } = this.#environment;
    const messages = answers.map((answer) => ({
      instanceId,
      instance: key,
      body: codec.encode({ ...answer, execution }, instanceId),
      at: clock.now(),
      answers: { execution, eventId: answer.source },
    }));
    await patience.until("send answers", () => storage.sendMessages(messages));
  }

  async #evict(idle: readonly Owned[]): Promise<void> {
    if (idle.length === 0) return;
    await this.#giveBack(idle.map(({ key }) => key));
    this.#environment.onReleased(idle.length);
  }
}

/** A turn under way. */
interface Turn {
  readonly owned: Owned;
  readonly course: Course;
  readonly feed: TurnFeed;
  readonly sink: PayloadSink;
  readonly lost: readonly number[];
}

/** A turn with its commit. */
interface Done {
  readonly turn: Turn;
  readonly commit: TurnCommit;
  readonly starts: readonly WorkItem[];
  readonly blocked?: StetError;
}

function turnOf({ owned, incoming, lost }: Entry, terms: TurnTerms): Turn {
  const { execution, unrun, transcripts } = owned;
  owned.unrun = undefined;
  const feed = new TurnFeed(execution, terms, incoming, unrun);
  return { owned, feed, sink: new PayloadSink(transcripts), lost, course: new Course(execution, feed) };
}

/** Whether the cached execution is where the store says the instance is (T1). */
function stands({ execution, lastEventId }: Owned, turn: ClaimedTurn): boolean {
  return execution.execution === turn.execution && lastEventId === turn.lastEventId;
}
