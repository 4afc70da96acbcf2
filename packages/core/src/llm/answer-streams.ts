/**
 * What models say while they speak, on its way into the output streams of the instances that asked.
 *
 * Invariants
 *   R1  The text that follows the last `superseded` of a call is, when its `end` has come, the text of the answer that is
 *       recorded, unless this worker dies first: then another attempt follows, and begins with `superseded`.
 *   R2  All calls of this worker write together, one batch at a time: at most every 50 ms, and whenever one ends.
 *   R3  What an attempt says is in the store before its answer or its failure goes home, and nothing of it comes after.
 *   R4  A batch whose outcome is unknown is not written again: each of its calls begins its text anew.
 */
import type { StreamMark } from "../instance-handle.ts";
import type { Job } from "../job.ts";
import type { Patience } from "../patience.ts";
import type { Clock } from "../ports.ts";
import type { WorkerKey } from "../storage-work.ts";
import type { AppendedOutput, CommitOutcome, StorageProvider } from "../storage.ts";
import type { TextCodec } from "../text-codec.ts";

/** How long a delta may wait for others. */
const longestWaitMs = 50;

/** What the streams are given. */
export interface AnswerStreamsEnvironment {
  readonly storage: StorageProvider;
  readonly codec: TextCodec;
  readonly clock: Clock;
  readonly patience: Patience;
  readonly worker: () => WorkerKey;
}

/** The streams of one worker. */
export class AnswerStreams {
  readonly #environment: AnswerStreamsEnvironment;
  /** Those that have something to write. */
  readonly #waiting = new Set<AnswerStream>();
  #cancelTimer: (() => void) | undefined;
  #lastBatch: Promise<void> = Promise.resolve();

  constructor(environment: AnswerStreamsEnvironment) {
    this.#environment = environment;
  }

  /** The stream of one attempt. */
  open(job: Job, channel: RecordedChannel): AnswerStream {
    return new AnswerStream(job, channel, this);
  }

  /** There is something to write, which may wait for more. */
  soon(stream: AnswerStream): void {
    this.#waiting.add(stream);
    if (this.#cancelTimer !== undefined) return;
    const { clock } = this.#environment;
    this.#cancelTimer = clock.setTimer(clock.now() + longestWaitMs, () => void this.#write());
  }

  /** There is something to write, and somebody who waits until it is written. */
  async now(stream: AnswerStream): Promise<void> {
    this.#waiting.add(stream);
    await this.#write();
  }

  #write(): Promise<void> {
    this.#lastBatch = this.#lastBatch.then(() => this.#writeWaiting());
    return this.#lastBatch;
  }

  async #writeWaiting(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const streams = [...this.#waiting];
    this.#waiting.clear();
    if (streams.length === 0) return;
    const { storage, worker, patience } = this.#environment;
    await patience.until("write what models say", async () => {
      const rows = streams.flatMap((stream) =>
        stream.take().map((row) => ({ stream, row: this.#rowOf(stream.job, row) })),
      );
      if (rows.length === 0) return;
      const outcomes = await storage
        .appendOutputs(
          worker(),
          rows.map(({ row }) => row),
        )
        .catch((error: unknown) => {
          for (const stream of streams) stream.beginAnew();
          throw error;
        });
      rows.forEach(({ stream }, i) => stream.written(outcomes[i] as CommitOutcome));
    });
  }

  #rowOf({ item, row, instance }: Job, { text, stream }: StreamRow): AppendedOutput {
    const { codec, clock } = this.#environment;
    const { instanceId, execution, rootId } = item;
    const body = codec.encode({ value: text, stream }, rootId);
    return { instanceId, instance, execution, ...(row !== undefined && { work: row }), body, at: clock.now() };
  }
}

type RecordedChannel = true | string;

interface StreamRow {
  readonly text: string;
  readonly stream: StreamMark;
}

/** What one attempt says. */
export class AnswerStream {
  readonly job: Job;
  readonly #channel: RecordedChannel;
  readonly #streams: AnswerStreams;
  /** What was heard, and how much of it is in the store behind the last mark. */
  #text = "";
  #taken = 0;
  /** Whether there may be a text in the store that does not count. */
  #supersedes: boolean;
  #state: "open" | "ending" | "closed" = "open";

  constructor(job: Job, channel: RecordedChannel, streams: AnswerStreams) {
    this.job = job;
    this.#channel = channel;
    this.#streams = streams;
    this.#supersedes = job.attempt > 1;
  }

  /** The model said something. */
  hear(text: string): void {
    if (this.#state !== "open" || text === "") return;
    this.#text += text;
    this.#streams.soon(this);
  }

  /** The model has said all of this. */
  async end(text: string): Promise<void> {
    if (!text.startsWith(this.#text)) this.#forget();
    this.#text = text;
    await this.#finish("ending");
  }

  /** The attempt came to nothing, and what it said does not count. */
  async fail(): Promise<void> {
    this.#forget();
    await this.#finish("open");
  }

  async #finish(state: "ending" | "open"): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = state;
    if (state === "ending" || this.#supersedes) await this.#streams.now(this);
    this.#state = "closed";
  }

  #forget(): void {
    this.#supersedes ||= this.#taken > 0;
    this.#text = "";
    this.#taken = 0;
  }

  /** What is to be written now. */
  take(): StreamRow[] {
    if (this.#state === "closed" || this.job.abandoned !== undefined) return [];
    const rows: StreamRow[] = [];
    if (this.#supersedes) rows.push(this.#row("superseded"));
    if (this.#text.length > this.#taken) rows.push(this.#row("delta", this.#text.slice(this.#taken)));
    if (this.#state === "ending") rows.push(this.#row("end"));
    this.#supersedes = false;
    this.#taken = this.#text.length;
    return rows;
  }

  /** Nobody knows whether what was taken last has been written. */
  beginAnew(): void {
    this.#supersedes = true;
    this.#taken = 0;
  }

  /** What became of a row. The call is another worker's when it was refused. */
  written(outcome: CommitOutcome): void {
    if (outcome === "notOwner") this.#state = "closed";
  }

  #row(kind: StreamMark["kind"], text = ""): StreamRow {
    const { item, attempt } = this.job;
    const { execution, eventId } = item;
    const named = this.#channel !== true && { channel: this.#channel };
    return { text, stream: { kind, execution, eventId, attempt, ...named } };
  }
}
