/**
 * Telling other processes that the store has changed, and hearing it from them, by `LISTEN` and `NOTIFY`. Nothing relies
 * on it: what is not heard is found by looking again after a while, and where there is no such thing, soon.
 *
 * An announcement is a statement of its own after the transaction it is about, because a transaction that notifies makes
 * every other that does so wait for its end. Many changes are announced as one.
 */
import { createHash, randomUUID } from "node:crypto";
import { clearTimeout, setTimeout } from "node:timers";
import type { StorageChange } from "@stet/core";
import type { ClientBase } from "pg";
import type { Database } from "./database.ts";
import { fromJson, toJson } from "./values.ts";

/** A connection that stays: what it is asked and told, and how it is given up. */
export interface Line {
  readonly client: ClientBase;
  end(): void;
}

/** What announcements need. */
export interface AnnouncementsOptions {
  readonly schema: string;
  /** Opens a connection to listen on. Absent: nothing is announced or heard. */
  readonly connect: (() => Promise<Line>) | undefined;
  readonly onChange: (change: StorageChange) => void;
}

/** How soon one looks again without hearing anything: where one listens, and where one cannot. */
const lookAfterMs = { listening: 10_000, deaf: 1_000 };

/** A line that takes longer to answer is given up. */
const answerWithinMs = 5_000;

const firstPauseMs = 100;
const longestPauseMs = 5_000;

/** PostgreSQL carries fewer than 8,000 bytes. Longer lists go unnamed: anything may have changed. */
const longestPayload = 7_500;

/** Nobody waits for the disk: an announcement that a crash of the server takes along would have been in vain anyway. */
const notify = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";

const anything: StorageChange = { turns: true, work: true };

/** See the head of the file. Begins and ends with the opening of its store. */
export class Announcements {
  readonly #db: Database;
  readonly #options: AnnouncementsOptions;
  readonly #channel: string;
  /** Tells one's own announcements from those of others. */
  readonly #sender: string = randomUUID();
  #line: Line | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pauseMs = firstPauseMs;
  #ended = false;
  #pending: { turns: boolean; work: boolean; instances: string[] | undefined; ended: string[] | undefined } | undefined;
  #sending: Promise<void> | undefined;

  constructor(db: Database, options: AnnouncementsOptions) {
    this.#db = db;
    this.#options = options;
    this.#channel = `stet_${createHash("sha256").update(options.schema).digest("hex").slice(0, 16)}`;
  }

  /** Begins to listen: what others change from then on is heard. */
  async start(): Promise<void> {
    this.#lookAgain();
    await this.#listen();
  }

  /** Hears nothing more. What there was to tell has been told then: whoever came to start one instance must not go unheard. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#line?.end();
    this.#line = undefined;
    await this.#sending;
  }

  /** Tells others, soon. */
  announce({ turns, work, instances, ended }: StorageChange): void {
    if (this.#options.connect === undefined || this.#ended) return;
    const pending = (this.#pending ??= { turns: false, work: false, instances: [], ended: [] });
    pending.turns ||= turns;
    pending.work ||= work;
    pending.instances = joined(pending.instances, instances);
    pending.ended = joined(pending.ended, ended);
    this.#sending ??= this.#send();
  }

  async #send(): Promise<void> {
    while (this.#pending !== undefined) {
      const change = this.#pending;
      this.#pending = undefined;
      let payload = toJson({ by: this.#sender, ...change });
      if (Buffer.byteLength(payload) > longestPayload) payload = toJson({ by: this.#sender, turns: true, work: true });
      try {
        await this.#db.query(notify, [this.#channel, payload]);
      } catch {
        // Others look by themselves after a while.
      }
    }
    this.#sending = undefined;
  }

  async #listen(): Promise<void> {
    const { connect } = this.#options;
    if (connect === undefined) return;
    try {
      const line = await connect();
      if (this.#ended) return line.end();
      const lost = (): void => this.#lost(line);
      line.client.on("error", lost);
      line.client.on("end", lost);
      line.client.on("notification", ({ payload }) => this.#hear(payload ?? ""));
      this.#line = line;
      await line.client.query(inTime(`LISTEN ${this.#channel}`));
      if (this.#pauseMs > firstPauseMs) this.#options.onChange(anything); // whatever happened meanwhile
      this.#pauseMs = firstPauseMs;
      this.#lookAgain();
    } catch {
      if (this.#line === undefined) this.#listenLater();
      else this.#lost(this.#line);
    }
  }

  #lost(line: Line): void {
    if (this.#line !== line) return;
    this.#line = undefined;
    line.end();
    this.#lookAgain();
    this.#listenLater();
  }

  #listenLater(): void {
    if (this.#ended) return;
    setTimeout(() => void this.#listen(), this.#pauseMs * (0.5 + Math.random())).unref();
    this.#pauseMs = Math.min(longestPauseMs, this.#pauseMs * 2);
  }

  #hear(payload: string): void {
    let change: (StorageChange & { readonly by?: unknown }) | undefined;
    try {
      change = fromJson(payload) as typeof change;
    } catch {
      return; // not one of ours
    }
    if (change?.by === this.#sender) return;
    this.#options.onChange({
      turns: change?.turns !== false,
      work: change?.work !== false,
      ...(change?.instances && { instances: change.instances }),
      ...(change?.ended && { ended: change.ended }),
    });
  }

  #lookAgain(): void {
    clearTimeout(this.#timer);
    if (this.#ended) return;
    const afterMs = this.#line === undefined ? lookAfterMs.deaf : lookAfterMs.listening;
    this.#timer = setTimeout(() => {
      this.#options.onChange(anything);
      void this.#askLine();
      this.#lookAgain();
    }, afterMs).unref();
  }

  /** A line whose other end has gone without a word is as silent as one on which nothing is said. */
  async #askLine(): Promise<void> {
    const line = this.#line;
    if (line === undefined) return;
    try {
      await line.client.query(inTime("SELECT 1"));
    } catch {
      this.#lost(line);
    }
  }
}

/** A statement that fails when it is not answered for so long. */
function inTime(text: string): { readonly text: string } {
  const query = { text, query_timeout: answerWithinMs };
  return query;
}

function joined(some: string[] | undefined, more: readonly string[] | undefined): string[] | undefined {
  if (some === undefined || more === undefined) return undefined;
  for (const each of more) some.push(each);
  return some;
}
