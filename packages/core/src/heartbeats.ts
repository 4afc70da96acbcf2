/**
 * Heartbeats of running activities: what an attempt said last is there for the next one, wherever that runs. The first
 * is written at once, later ones at most once in a while, and the last one always.
 */
import type { Job } from "./job.ts";
import type { Payload } from "./payload.ts";
import type { Patience } from "./patience.ts";
import type { Clock } from "./ports.ts";
import type { StorageProvider } from "./storage.ts";
import type { OutgoingWork, WorkerKey } from "./storage-work.ts";
import type { TextCodec } from "./text-codec.ts";

/** Details are written at most this often. */
const everyMs = 1_000;

/** What the keeper is given. */
export interface HeartbeatEnvironment {
  readonly storage: StorageProvider;
  readonly codec: TextCodec;
  readonly clock: Clock;
  readonly patience: Patience;
  readonly worker: () => WorkerKey;
  /** The row of a job that has none yet. */
  readonly rowOf: (job: Job) => OutgoingWork;
  /** A request that was held here has a row from now on. */
  readonly released: (job: Job) => void;
}

interface Beat {
  details: Payload | undefined;
  writtenAt: number;
  written: boolean;
  cancelTimer: (() => void) | undefined;
}

/** See the head of the file. */
export class Heartbeats {
  readonly #environment: HeartbeatEnvironment;
  readonly #beats = new Map<Job, Beat>();

  constructor(environment: HeartbeatEnvironment) {
    this.#environment = environment;
  }

  /** Keeps what a job said. */
  keep(job: Job, details: Payload | undefined): void {
    const beat = this.#beats.get(job);
    if (beat === undefined) {
      const first: Beat = { details, writtenAt: 0, written: false, cancelTimer: undefined };
      this.#beats.set(job, first);
      this.#write(job, first);
    } else {
      beat.details = details;
      beat.written = false;
      this.#writeInTime(job, beat);
    }
  }

  /**
   * The attempt is over. Answers what to wait for before anything is done about it, if there is something.
   *
   * @param again - Whether another attempt may follow, which will want to know what was said last.
   */
  end(job: Job, again: boolean): Promise<void> | undefined {
    const beat = this.#beats.get(job);
    if (beat === undefined) return undefined;
    beat.cancelTimer?.();
    beat.cancelTimer = undefined;
    if (job.saving === undefined && again && !beat.written && job.abandoned === undefined) this.#write(job, beat);
    if (job.saving === undefined) this.#beats.delete(job);
    return job.saving;
  }

  #writeInTime(job: Job, beat: Beat): void {
    if (job.saving !== undefined || beat.cancelTimer !== undefined) return;
    const { clock } = this.#environment;
    const at = Math.min(beat.writtenAt, clock.now()) + everyMs; // the clock may have been put back
    if (clock.now() >= at) return this.#write(job, beat);
    beat.cancelTimer = clock.setTimer(at, () => {
      beat.cancelTimer = undefined;
      this.#write(job, beat);
    });
  }

  #write(job: Job, beat: Beat): void {
    beat.written = true;
    beat.writtenAt = this.#environment.clock.now();
    job.saving = this.#save(job, beat.details).finally(() => {
      job.saving = undefined;
      if (!beat.written && this.#beats.get(job) === beat) this.#writeInTime(job, beat);
    });
  }

  /** The first heartbeat gives the job a row. */
  async #save(job: Job, details: Payload | undefined): Promise<void> {
    const { storage, codec, worker, clock, patience, rowOf, released } = this.#environment;
    const text = codec.encode(details === undefined ? {} : { details }, job.item.rootId);
    await patience.until("keep a heartbeat", async () => {
      if (job.abandoned !== undefined) return;
      if (job.row !== undefined) {
        return storage.saveHeartbeats(worker(), [{ key: job.row, details: text, now: clock.now() }]);
      }
      const work = { ...rowOf(job), heartbeat: text, instance: job.instance, owned: true };
      [job.row] = await storage.saveWork(worker(), [work]);
      if (job.row !== undefined) released(job);
    });
  }
}
