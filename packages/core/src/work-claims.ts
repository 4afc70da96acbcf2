/**
 * Takes work from the store into this worker: as much as there are slots, and of models with limits as much as there is
 * capacity. What cannot be read is put aside for a while.
 */
import { toFailure } from "./errors.ts";
import { type AttemptFailure, Job } from "./job.ts";
import type { LlmDispatcher } from "./llm/llm-dispatcher.ts";
import type { Offer } from "./llm/model-lines.ts";
import { idempotencyKeyOf, type WorkItem } from "./messages.ts";
import type { Patience } from "./patience.ts";
import type { Payload } from "./payload.ts";
import type { Pool } from "./pool.ts";
import type { Clock, Logger } from "./ports.ts";
import type { Registry } from "./registry.ts";
import type { WorkerKey } from "./storage-work.ts";
import type { ClaimedWork, StorageProvider, WorkKey } from "./storage.ts";
import type { TextCodec } from "./text-codec.ts";

/** A session that was idle for this long may move to another worker. */
const sessionIdleMs = 5 * 60_000;

/** Work that cannot be read is given back after this long, in case another worker or another key can. */
const unreadableForMs = 60_000;

/** What the claims are given. */
export interface ClaimEnvironment {
  readonly storage: StorageProvider;
  readonly codec: TextCodec;
  readonly registry: Registry;
  readonly llm: LlmDispatcher | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tags: readonly string[];
  readonly patience: Patience;
  readonly worker: () => WorkerKey;
  readonly pools: { readonly activities: Pool; readonly models: Pool };
  /** The job that runs or waits here under a key. */
  readonly jobOf: (key: string) => Job | undefined;
  /** Rows that run here. */
  readonly rows: () => readonly WorkKey[];
  /** What was claimed is this worker's to do. */
  readonly take: (job: Job) => void;
  readonly giveBack: (rows: readonly WorkKey[]) => Promise<void>;
  /** Called when nothing is being taken any more. */
  readonly onIdle: () => void;
}

/** See the head of the file. */
export class WorkClaims {
  readonly #environment: ClaimEnvironment;
  /** Rows in the hands of this worker that it cannot read, with what ends the wait for giving them back. */
  readonly #unreadable = new Map<WorkKey, () => void>();
  /** Rows that jobs got, with their attempts, since a claim is made again: it may hand them out in ignorance of that. */
  #learned: Map<WorkKey, number> | undefined;
  #wake: { readonly at: number; readonly cancel: () => void } | undefined;
  #claiming = false;
  #signalled = false;
  #stopped = false;

  constructor(environment: ClaimEnvironment) {
    this.#environment = environment;
  }

  /** Whether nothing is being taken. */
  get isIdle(): boolean {
    return !this.#claiming;
  }

  /** There may be rows to take, or room for them. */
  signal(): void {
    this.#signalled = true;
    if (!this.#claiming) void this.#claim();
  }

  /** A job here has a row now. */
  learn({ row, attempt }: Job): void {
    if (row !== undefined) this.#learned?.set(row, attempt);
  }

  /** Takes nothing more. Answers the rows that could not be read: they are to be given back. */
  stop(): WorkKey[] {
    this.#stopped = true;
    this.#wake?.cancel();
    const rows = [...this.#unreadable.keys()];
    for (const row of rows) this.#forget(row);
    return rows;
  }

  async #claim(): Promise<void> {
    const { llm, pools } = this.#environment;
    this.#claiming = true;
    try {
      while (this.#signalled && !this.#stopped) {
        this.#signalled = false;
        if (await this.#claimActivities(pools.activities)) this.#signalled = true;
        if (llm !== undefined && (await this.#claimModelCalls(pools.models, llm))) this.#signalled = true;
        this.#learned = undefined;
      }
    } finally {
      this.#claiming = false;
      this.#environment.onIdle();
    }
  }

  /** Whether there may be more. */
  async #claimActivities(pool: Pool): Promise<boolean> {
    const activities = this.#environment.registry.activities.map(({ name }) => name);
    return this.#claimInto(pool, { activities, models: false }, activities.length > 0);
  }

  async #claimModelCalls(pool: Pool, llm: LlmDispatcher): Promise<boolean> {
    const offers = llm.lines.offers(this.#environment.clock.now());
    let more = false;
    for (const offer of offers) if (await this.#claimCalls(pool, offer)) more = true;
    const exceptLines = offers.flatMap(({ lines }) => lines);
    const unlimited = { activities: [], models: true, ...(exceptLines.length > 0 && { exceptLines }) };
    return (await this.#claimInto(pool, unlimited, true)) || more;
  }

  async #claimInto(
    pool: Pool,
    what: {
      readonly activities: readonly string[];
      readonly models: boolean;
      readonly exceptLines?: readonly string[];
    },
    isWanted: boolean,
  ): Promise<boolean> {
    const { storage, clock, tags, worker, patience } = this.#environment;
    const max = pool.free;
    pool.leftWork = max === 0;
    if (max === 0 || !isWanted) return false;
    const claim = { max, ...what, tags, sessionIdleMs };
    const claimed = await patience.claim("claim work", (again) =>
      storage.claimWork({ ...claim, worker: worker(), now: clock.now(), ...(again && { held: this.#held() }) }),
    );
    for (const work of claimed ?? []) await this.#take(work);
    return claimed !== undefined && claimed.length === max;
  }

  /** Claims for one model what it has capacity for; looks again when it has some more. */
  async #claimCalls(pool: Pool, { gate, lines }: Offer): Promise<boolean> {
    const { storage, clock, worker, patience } = this.#environment;
    if (gate.closedUntil > clock.now()) {
      this.#lookAgainAt(gate.closedUntil);
      return false;
    }
    const max = Math.min(pool.free, gate.free(clock.now()));
    if (max === 0) return false; // the end of a call to it is a signal
    let claimedAt = 0;
    const claimed = await patience.claim("claim model calls", (again) => {
      claimedAt = clock.now();
      const claim = { worker: worker(), now: claimedAt, max, model: gate.name, lines, windows: gate.windows };
      return storage.claimCalls({ ...claim, ...(again && { held: this.#held() }) });
    });
    if (claimed === undefined) return false;
    for (const work of claimed.calls) {
      await this.#take(work, (job) => (job.asking = { gate, begun: gate.begin(), claimedAt }));
    }
    if (claimed.nextAt !== undefined) this.#lookAgainAt(claimed.nextAt);
    return claimed.calls.length === max;
  }

  #lookAgainAt(at: number): void {
    if (this.#stopped || (this.#wake !== undefined && this.#wake.at <= at)) return;
    this.#wake?.cancel();
    const cancel = this.#environment.clock.setTimer(at, () => {
      this.#wake = undefined;
      this.signal();
    });
    this.#wake = { at, cancel };
  }

  /** What this worker knows to own. What it learns from here on is remembered until the claim is over. */
  #held(): WorkKey[] {
    this.#learned ??= new Map();
    return [...this.#environment.rows(), ...this.#unreadable.keys()];
  }

  async #take(work: ClaimedWork, prepare?: (job: Job) => void): Promise<void> {
    const { jobOf, llm, take } = this.#environment;
    try {
      const { item, lastHeartbeat, lastFailure } = await this.#readRow(work);
      if (this.#learned?.get(work.key) === work.attempts) return; // it has run, or runs
      const here = jobOf(idempotencyKeyOf(item));
      if (here?.saving !== undefined && here.row === undefined) return; // its row is on its way
      const job = new Job(item, work.instance, work.attempts, work.key, lastHeartbeat);
      if (item.request.kind === "LlmRequested") job.line = llm?.lines.lineOf(item.request, work.name);
      job.lastFailure = lastFailure;
      prepare?.(job);
      take(job);
    } catch (error) {
      this.#park(work, error);
    }
  }

  async #readRow(work: ClaimedWork): Promise<Pick<Job, "item" | "lastHeartbeat" | "lastFailure">> {
    const { storage, codec, patience } = this.#environment;
    const { instanceId, rootId, eventId, body, kind, heartbeat, failure } = work;
    const what = `work item ${eventId} of instance ${instanceId}`;
    const source = async (digests: readonly string[]) =>
      (await patience.read("read payloads", () => storage.readPayloads(rootId, digests))) ?? [];
    const read = async <Record>(text: string | undefined): Promise<Record | undefined> =>
      text === undefined ? undefined : (await codec.decode<Record>([text], rootId, source, what))[0];
    const item = (await read<WorkItem>(body)) as WorkItem;
    const said = await read<{ readonly details?: Payload }>(heartbeat);
    const lastFailure = kind === "model" ? await read<AttemptFailure>(failure) : undefined;
    return { item, lastHeartbeat: said?.details, lastFailure };
  }

  /** Damaged, or sealed with a key that is not here: failing it would make history of what may be put right. */
  #park({ key, instanceId, eventId, name }: ClaimedWork, error: unknown): void {
    const { clock, logger, giveBack } = this.#environment;
    logger.error("A work item cannot be read; it is put aside and tried again later", {
      instanceId,
      eventId,
      name,
      error: toFailure(error).message,
    });
    const giveUp = () => {
      this.#forget(key);
      void giveBack([key]);
    };
    this.#unreadable.set(key, clock.setTimer(clock.now() + unreadableForMs, giveUp, true));
  }

  #forget(row: WorkKey): void {
    this.#unreadable.get(row)?.();
    this.#unreadable.delete(row);
  }
}
