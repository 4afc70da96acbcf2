/**
 * Brings executions to life from the store: reads history, replays it, and finds out what was running when the owner
 * before lost it.
 */
import { HistoryCorruptError, isStetError, NondeterminismError, type StetError, asStetError } from "./errors.ts";
import type { DeliveryBody, HistoryEvent, OrchestrationStarted, Recorded, RequestBody } from "./events.ts";
import { Execution, type ExecutionEnvironment } from "./execution.ts";
import type { StartMessage } from "./messages.ts";
import { Operation } from "./operation.ts";
import type { Patience } from "./patience.ts";
import type { Logger } from "./ports.ts";
import type { Registry } from "./registry.ts";
import { type PromptDrift, replay, unrunOf } from "./replay.ts";
import type { ClaimedTurn, StorageProvider } from "./storage.ts";
import type { TextCodec } from "./text-codec.ts";
import type { Incoming } from "./turn.ts";

/** What the loader is given. */
export interface LoaderEnvironment extends Omit<ExecutionEnvironment, "traceRequests"> {
  readonly storage: StorageProvider;
  readonly codec: TextCodec;
  readonly registry: Registry;
  readonly logger: Logger;
  readonly strictPrompts: boolean;
  readonly patience: Patience;
}

/** What became of a load. Without an execution, `failure` says why. */
export interface Loaded {
  readonly turn: ClaimedTurn;
  readonly execution?: Execution;
  /** The delivery at the end of history, when the code has not seen it yet. */
  readonly unrun?: Recorded & DeliveryBody;
  /** Work requests that nobody runs and no row waits for. */
  readonly lost: readonly number[];
  readonly failure?: StetError;
}

/** See the head of the file. */
export class ExecutionLoader {
  readonly #environment: LoaderEnvironment;
  readonly #hop: () => Promise<void>;

  constructor(environment: LoaderEnvironment, hop: () => Promise<void>) {
    this.#environment = environment;
    this.#hop = hop;
  }

  /** Loads many, replaying side by side. */
  async load(turns: ReadonlyMap<ClaimedTurn, readonly Incoming[]>): Promise<Loaded[]> {
    const loaded: Loaded[] = [];
    const replays: Replay[] = [];
    const stored = await this.#readChunks([...turns.keys()].filter(({ lastEventId }) => lastEventId > 0));
    for (const [turn, incoming] of turns) {
      try {
        const read = this.#decode(turn, stored.get(turn) ?? (await this.#readChunksOf(turn)));
        const events = read instanceof Promise ? await read : read;
        const execution = this.#newExecution(turn, events, incoming);
        const unrun = unrunOf(events);
        const seen = unrun === undefined ? events : events.slice(0, -1);
        const job: Replay = { turn, execution, events: seen, ...(unrun !== undefined && { unrun }) };
        if (seen.length > 0) replays.push(job);
        else loaded.push(standing(job, []));
      } catch (error) {
        loaded.push({ turn, lost: [], failure: asStetError(error) });
      }
    }
    loaded.push(...(await this.#replayAll(replays)));
    return loaded;
  }

  /** An execution that stands where history ends although its code never ran, to be ended without it. */
  async loadWithoutCode(turn: ClaimedTurn): Promise<Execution> {
    const events = await this.#decode(turn, await this.#readChunksOf(turn));
    const execution = this.#newExecution(turn, events, []);
    execution.started = events[0] as Recorded & OrchestrationStarted;
    execution.lastEventId = turn.lastEventId;
    for (const event of events) {
      if (isWork(event.kind) || event.kind === "SubOrchestrationScheduled") {
        execution.pending.set(event.id, new Operation(event as RequestBody));
      } else if ("source" in event) execution.pending.delete(event.source);
    }
    return execution;
  }

  /** Why an instance whose turns never come to an end is left alone. */
  crashLoop({ instanceId, attempts, lastEventId }: ClaimedTurn): StetError {
    return new NondeterminismError(
      `Expected the turn of instance ${instanceId} after event ${lastEventId} to end, got ${attempts - 1} workers that died in it: its code blocks or ends the process`,
    );
  }

  /** The histories of many. When there is trouble none is answered: each is then read by itself, as it may be that of one. */
  async #readChunks(turns: readonly ClaimedTurn[]): Promise<ReadonlyMap<ClaimedTurn, string[]>> {
    if (turns.length === 0) return new Map();
    const { storage, patience } = this.#environment;
    const read = patience.read("read histories", () => storage.readHistory(turns));
    const histories = await read.catch(() => undefined);
    return new Map(histories?.map((chunks, i) => [turns[i] as ClaimedTurn, chunks]));
  }

  async #readChunksOf(turn: ClaimedTurn): Promise<string[]> {
    if (turn.lastEventId === 0) return [];
    const { storage, patience } = this.#environment;
    const histories = await patience.read("read history", () => storage.readHistory([turn]));
    return histories?.[0] ?? [];
  }

  #decode(turn: ClaimedTurn, chunks: readonly string[]): HistoryEvent[] | Promise<HistoryEvent[]> {
    if (turn.lastEventId === 0) return [];
    const { storage, codec, patience } = this.#environment;
    const { instanceId, rootId, execution } = turn;
    const source = async (digests: readonly string[]) =>
      (await patience.read("read payloads", () => storage.readPayloads(rootId, digests))) ?? [];
    const what = `the history of instance ${instanceId}, execution ${execution}`;
    const events = codec.decodeHistory(chunks, rootId, source, what);
    return events instanceof Promise
      ? events.then((revived) => this.#whole(turn, revived, what))
      : this.#whole(turn, events, what);
  }

  /** @throws HistoryCorruptError unless it is as long as the instance says. */
  #whole({ lastEventId }: ClaimedTurn, events: HistoryEvent[], what: string): HistoryEvent[] {
    if (events.length !== lastEventId || events[0]?.kind !== "OrchestrationStarted") {
      throw new HistoryCorruptError(
        `Expected ${what} to begin with OrchestrationStarted and have ${lastEventId} events, got ${events.length} beginning with ${events[0]?.kind}`,
      );
    }
    return events;
  }

  #newExecution(
    turn: ClaimedTurn,
    events: readonly HistoryEvent[],
    incoming: readonly Incoming[],
    trace = false,
  ): Execution {
    const started = events[0] as OrchestrationStarted | undefined;
    const start = incoming.find(({ message }) => message.kind === "Start")?.message as StartMessage | undefined;
    const version = started?.version ?? turn.version ?? start?.version;
    const definition = this.#environment.registry.orchestration(turn.name, version);
    if (definition === undefined) {
      throw new HistoryCorruptError(
        `Expected instance ${turn.instanceId} to be of an orchestration that this worker has, got ${turn.name} version ${version}`,
      );
    }
    const { instanceId, rootId, execution } = turn;
    const environment: ExecutionEnvironment = trace ? { ...this.#environment, traceRequests: true } : this.#environment;
    return new Execution(definition, { instanceId, rootId, execution }, environment);
  }

  async #replayAll(replays: readonly Replay[]): Promise<Loaded[]> {
    const { strictPrompts, storage, patience } = this.#environment;
    const outcomes = await replay(
      replays.map((job) => ({ ...job, strictPrompts })),
      this.#hop,
    );
    const loaded: Loaded[] = [];
    const working = new Map<Replay, readonly number[]>();
    for (const [i, job] of replays.entries()) {
      const { turn, execution, events } = job;
      const { failure, drift } = outcomes[i] as (typeof outcomes)[number];
      this.#reportDrift(turn, drift);
      const failed = failure !== undefined;
      const work = failed ? [] : outstandingWork(execution);
      if (failed) loaded.push({ turn, lost: [], failure: await this.#explained(turn, events, failure) });
      else if (work.length > 0) working.set(job, work);
      else loaded.push(standing(job, []));
    }
    if (working.size === 0) return loaded;
    const turns = Array.from(working.keys(), ({ turn }) => turn);
    const rows = (await patience.read("read work", () => storage.readWork(turns))) ?? [];
    Array.from(working).forEach(([job, work], i) => {
      const waiting = new Set(rows[i]);
      loaded.push(
        standing(
          job,
          work.filter((eventId) => !waiting.has(eventId)),
        ),
      );
    });
    return loaded;
  }

  /** The same mismatch with the source line that caused it: replayed once more, this time remembering call sites. */
  async #explained(turn: ClaimedTurn, events: readonly HistoryEvent[], failure: StetError): Promise<StetError> {
    if (!isStetError(failure, "nondeterminism")) return failure;
    const { strictPrompts } = this.#environment;
    const execution = this.#newExecution(turn, events, [], true);
    const [outcome] = await replay([{ execution, events, strictPrompts }], this.#hop);
    return outcome?.failure ?? failure;
  }

  #reportDrift({ instanceId }: ClaimedTurn, drift: readonly PromptDrift[]): void {
    for (const { eventId, operation, label } of drift) {
      this.#environment.logger.warn("A prompt differs from the recorded one; the recorded answer stands", {
        instanceId,
        eventId,
        operation,
        label,
      });
    }
  }
}

/** An execution to be brought to where its history ends, or to the delivery that its code has not seen. */
interface Replay {
  readonly turn: ClaimedTurn;
  readonly execution: Execution;
  readonly events: readonly HistoryEvent[];
  readonly unrun?: Recorded & DeliveryBody;
}

function standing({ turn, execution, unrun }: Replay, lost: readonly number[]): Loaded {
  if (unrun !== undefined) execution.lastEventId = unrun.id;
  return { turn, execution, lost, ...(unrun !== undefined && { unrun }) };
}

/** Event ids of its activities and model calls without an answer. */
function outstandingWork({ pending }: Execution): number[] {
  const work: number[] = [];
  for (const [eventId, { body }] of pending) if (isWork(body.kind)) work.push(eventId);
  return work;
}

function isWork(kind: string): boolean {
  return kind === "ActivityScheduled" || kind === "LlmRequested";
}
