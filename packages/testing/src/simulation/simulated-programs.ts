/**
 * Random programs under random schedules: what one run is, and what must be true of it.
 */
import { isDeepStrictEqual } from "node:util";
import {
  type ForkOptions,
  type HistoryEvent,
  isDelivery,
  isStetError,
  type OrchestrationStarted,
  type StorageProvider,
} from "@stet/core";
import fc from "fast-check";
import { interpreter, type Errand, type ProgramInput } from "./interpreter.ts";
import type { Program } from "./program.ts";
import { programs } from "./programs.ts";
import { allMoves, harmlessMoves, type Move, type OutsideMove, type Schedule, schedules } from "./schedule.ts";
import { type SearchOptions, type SimulationReport, search } from "./search.ts";
import type { RecordedInstance } from "../recorded-facts.ts";
import { assertNothingLost, assertSound, broken, type Outcome, outcomeOf } from "./soundness.ts";
import type { Stores } from "./stores.ts";
import { type Inhabitants, World } from "./world.ts";

/** A program and what happens to it. Plain JSON, to be printed and kept. */
export interface Scenario {
  readonly program: Program;
  /** Whether what the program comes to may depend on the order in which things happen. */
  readonly races: boolean;
  readonly schedule: Schedule;
}

/** Options of {@link simulatePrograms}. */
export interface ProgramSimulationOptions extends SearchOptions {
  /** Played before anything is made up: what has failed before. */
  readonly scenarios?: readonly Scenario[];
}

/**
 * Makes up orchestration programs that use everything that is durable, and runs each on two workers that crash, forget,
 * are shut down, declared dead and cut off from their store, while clients send events, cancel, terminate, retry, delete
 * and start again. For those who write storage providers, and for this library itself.
 *
 * It checks, besides what {@link simulate} does, that each answer belongs to its question, and each event was sent.
 *
 * @example
 * ```ts
 * await simulatePrograms({ storage: () => sqlite(":memory:"), runs: 500 });
 * ```
 * @throws Error with the seed and the smallest scenario that was found to fail.
 */
export async function simulatePrograms(options: ProgramSimulationOptions): Promise<SimulationReport> {
  const { scenarios = [] } = options;
  const of = (races: boolean) =>
    fc.record({
      program: programs({ races }),
      races: fc.constant(races),
      schedule: schedules(races ? allMoves() : harmlessMoves()),
    });
  return search<Scenario>(fc.oneof(of(true), of(false)), play, options, scenarios);
}

async function play(scenario: Scenario, stores: Stores): Promise<void> {
  const disturbed = await stores.use((store) => run(scenario, store));
  if (scenario.races) return;
  const undisturbed = await stores.use((store) => run({ ...scenario, schedule: { seed: 0, moves: [] } }, store));
  if (!isDeepStrictEqual(disturbed, undisturbed)) {
    broken(`the outcome of the undisturbed run, ${JSON.stringify(undisturbed)}`, JSON.stringify(disturbed));
  }
}

const rootId = "program";

async function run({ program, races, schedule }: Scenario, store: StorageProvider): Promise<Outcome> {
  const { orchestration, activities, llm } = interpreter();
  const inhabitants: Inhabitants = {
    orchestrations: [orchestration],
    activities,
    llm,
    answerWait: ({ name }) => ({ name }),
  };
  const options = { store, seed: schedule.seed, timePassesDuringWork: races, whenQuiet: assertNothingLost };
  const world = await World.open(inhabitants, options);
  try {
    const clients = new Clients(world, { program, life: 1, races });
    await clients.start();
    for (const move of schedule.moves) {
      if (isOutside(move)) await clients.play(move);
      else await world.play(move);
      await world.pass(move.hops);
    }
    await world.comeToEnd();
    for (const recorded of await assertSound(world, inhabitants.orchestrations)) {
      assertFitting(recorded);
      clients.assertDelivered(recorded);
    }
    return await outcomeOf(world, rootId);
  } finally {
    await world.close();
  }
}

function isOutside(move: Move): move is OutsideMove & Move {
  return ["event", "cancel", "terminate", "retry", "fork", "recreate", "carry"].includes(move.move);
}

/** Clients, and what they have sent so far. */
class Clients {
  readonly #world: World;
  #input: ProgramInput;
  #sent = 0;
  /** The ids of events by receiver, in the order in which they were sent. */
  readonly #accepted = new Map<string, number[]>();
  readonly #keys = new Set<string>();
  #forks = 0;
  /** Those that were run again after their end, at which they dropped what they had not received. */
  readonly #retried = new Set<string>();

  constructor(world: World, input: ProgramInput) {
    this.#world = world;
    this.#input = input;
  }

  async start(): Promise<void> {
    await this.#world.client.startOrchestration("program", this.#input, { instanceId: rootId });
  }

  async play(move: OutsideMove): Promise<void> {
    const { client } = this.#world;
    if (move.move === "recreate" || move.move === "carry") this.#world.work.isDisturbed = true;
    if (move.move === "recreate") return this.#recreate();
    if (move.move === "carry") return this.#carry();
    const { instances } = await client.list({ limit: 1000 });
    const { instanceId } = instances[move.target % instances.length] as (typeof instances)[number];
    switch (move.move) {
      case "event":
        return this.#send(instanceId, move.name, move.key);
      case "cancel":
        return client.instance(instanceId).cancel("a client says so");
      case "terminate":
        return client.instance(instanceId).terminate("a client says so");
      case "fork":
        return this.#fork(instanceId, move);
      case "retry":
        this.#retried.add(instanceId);
        return ignoring("instance_running", client.retry(instanceId));
    }
  }

  async #fork(instanceId: string, { delivery, exchanged }: Extract<OutsideMove, { move: "fork" }>): Promise<void> {
    const { client } = this.#world;
    const history = await client.instance(instanceId).history();
    const deliveries = history.filter(isDelivery);
    if (deliveries.length === 0) return;
    const { id: atEvent } = deliveries[delivery % deliveries.length] as HistoryEvent;
    const replaceResult = exchanged ? anotherResult(history, atEvent) : undefined;
    const options = { atEvent, newInstanceId: `fork-${++this.#forks}`, ...(replaceResult && { replaceResult }) };
    const fork = await client.fork(instanceId, options);
    const shared = (await fork.history()).slice(0, atEvent);
    const exchangedAt = replaceResult === undefined ? -1 : atEvent - 1;
    const differing = shared.findIndex(
      (event, i) => i > 0 && i !== exchangedAt && !isDeepStrictEqual(event, history[i]),
    );
    if (differing >= 0) broken(`event ${differing + 1} of ${fork.instanceId} to be its origin's`, "another");
    this.#accepted.set(fork.instanceId, shared.flatMap(sentBy));
  }

  /** What an instance received from clients is what they sent, in order, as far as it lived to receive it. */
  assertDelivered({ state: { instanceId }, histories }: RecordedInstance): void {
    const received = histories.flatMap(({ events }) => events.flatMap(sentBy));
    const accepted = this.#accepted.get(instanceId) ?? [];
    const possible = this.#retried.has(instanceId) ? accepted.filter((id) => received.includes(id)) : accepted;
    if (!isDeepStrictEqual(received, possible.slice(0, received.length))) {
      broken(`instance ${instanceId} to receive the events ${accepted.join(", ")} in order`, received.join(", "));
    }
  }

  async #send(instanceId: string, name: string, key: string | undefined): Promise<void> {
    const sent = ++this.#sent;
    const options = key === undefined ? {} : { idempotencyKey: key };
    try {
      await this.#world.client.instance(instanceId).raiseEvent(name, { sent }, options);
    } catch (error) {
      if (isStetError(error, "instance_ended")) return;
      throw error;
    }
    const keyed = `${instanceId} ${key}`;
    if (key !== undefined && this.#keys.has(keyed)) return;
    this.#keys.add(keyed);
    this.#accepted.set(instanceId, [...(this.#accepted.get(instanceId) ?? []), sent]);
  }

  async #recreate(): Promise<void> {
    const { client } = this.#world;
    const tree = await client.tree(rootId);
    await client.delete(rootId, { force: true });
    for (const { instanceId } of tree) {
      this.#accepted.delete(instanceId);
      for (const keyed of this.#keys) if (keyed.startsWith(`${instanceId} `)) this.#keys.delete(keyed);
    }
    this.#input = { ...this.#input, life: this.#input.life + 1 };
    await this.start();
  }

  /** What starts between export and deletion starts again: nobody can tell. */
  async #carry(): Promise<void> {
    const { client, work } = this.#world;
    const capsule = await client.export(rootId);
    const started = work.irreversibleStarts;
    await client.delete(rootId, { force: true });
    work.forgiveSince(started);
    await client.import(JSON.stringify(capsule));
  }
}

/** Another result for a delivery, if it is one whose result can be exchanged. */
function anotherResult(history: readonly HistoryEvent[], eventId: number): ForkOptions["replaceResult"] {
  const event = history[eventId - 1] as HistoryEvent;
  const request = "source" in event ? history[event.source - 1] : undefined;
  if (event.kind === "ActivityCompleted" || event.kind === "ActivityFailed") return { eventId, result: { value: -1 } };
  if (event.kind === "SubOrchestrationCompleted" || event.kind === "EventReceived") return { eventId, result: -1 };
  if (event.kind !== "LlmCompleted" || request?.kind !== "LlmRequested") return undefined;
  const said = event.result.text;
  switch (request.operation) {
    case "ifTrue":
      return { eventId, result: said !== "true" };
    case "classify":
      return { eventId, result: said === "odd" ? "even" : "odd" };
    case "generateStructured":
      return { eventId, result: { life: -1, value: -1 } };
    default:
      return { eventId, result: "exchanged" };
  }
}

/** What a client sent, if the event came from one. */
function sentBy(event: HistoryEvent): number[] {
  if (event.kind !== "EventReceived") return [];
  const { sent } = (event.data ?? {}) as { readonly sent?: number };
  return sent === undefined ? [] : [sent];
}

/** Each answer is the answer to its question, in the same life of the instance. */
function assertFitting({ state: { instanceId }, histories }: RecordedInstance): void {
  const life = (histories.at(-1)?.events[0] as { input?: ProgramInput } | undefined)?.input?.life;
  for (const { events: history } of histories) {
    const exchanged = (history[0] as OrchestrationStarted | undefined)?.forkedFrom?.replaced ?? [];
    for (const event of history) {
      if (exchanged.includes(event.id)) continue;
      const request = "source" in event ? history[event.source - 1] : undefined;
      const where = `event ${event.id} of instance ${instanceId}`;
      if (event.kind === "ActivityCompleted" && request?.kind === "ActivityScheduled") {
        if (!isDeepStrictEqual(event.result, request.input)) {
          broken(`${where} to answer ${JSON.stringify(request.input)}`, JSON.stringify(event.result));
        }
        if ((request.input as unknown as Errand).life !== life) broken(`${where} to be of life ${life}`, "another");
      }
      if (event.kind === "EventReceived" && (event.data as { life?: number } | undefined)?.life !== undefined) {
        const sender = event.data as { from: string; life: number };
        if (sender.from === instanceId && sender.life !== life) {
          broken(`${where} to come from life ${life} of its sender`, `life ${sender.life}`);
        }
      }
    }
  }
}

async function ignoring(code: Parameters<typeof isStetError>[1], done: Promise<unknown>): Promise<void> {
  try {
    await done;
  } catch (error) {
    if (!isStetError(error, code)) throw error;
  }
}
