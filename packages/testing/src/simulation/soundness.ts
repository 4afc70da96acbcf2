/**
 * What must be true of a store after anything that can happen to its workers. Each check throws an error that says which
 * promise was broken.
 */
import { isDeepStrictEqual } from "node:util";
import {
  type AnyOrchestration,
  type HistoryEvent,
  type InstanceState,
  isStetError,
  type OrchestrationStarted,
  type Payload,
  type Recorded,
} from "@stet/core";
import { Registry } from "@stet/core/internal";
import { answeredTwice, readRecorded, type RecordedInstance } from "../recorded-facts.ts";
import { replayHistory } from "../replay-history.ts";
import { relive } from "./relive.ts";
import type { World } from "./world.ts";

/** How an instance ended. */
export interface Outcome {
  readonly status: InstanceState["status"];
  readonly output?: Payload;
  /** The code of the error that ended it. */
  readonly code?: string;
}

/** Reads how an instance ended. */
export async function outcomeOf({ client }: World, instanceId: string): Promise<Outcome> {
  const { status, output, error } = await client.instance(instanceId).status();
  return {
    status,
    ...(output !== undefined && { output }),
    ...(error !== undefined && { code: isStetError(error.cause) ? error.cause.code : error.code }),
  };
}

/** Checks every instance, and that nothing is left of the work that was done for them. */
export async function assertSound(
  world: World,
  orchestrations: readonly AnyOrchestration[],
): Promise<RecordedInstance[]> {
  const all = await readRecorded(world.client);
  const registry = new Registry(orchestrations, []);
  for (const recorded of all) {
    for (const { events } of recorded.histories) assertWellFormed(recorded.state, events);
    await assertRepeatable(recorded, registry);
    assertTold(recorded);
  }
  for (const problem of answeredTwice(all)) throw new Error(problem);
  same("the irreversible activities that were started twice", [], world.work.startedTwice);
  same("the activities that were started again for no reason", [], world.work.startedNeedlessly);
  await assertNothingLeft(world);
  return all;
}

/** Invariant W1: each outstanding request of an owned instance runs or has a row. */
export async function assertNothingLost(world: World): Promise<void> {
  if (!(await world.isWhole())) return;
  for (const { instanceId, status, execution } of await world.running()) {
    if (status !== "running") continue;
    const { waitingFor } = await world.client.instance(instanceId).status();
    for (const { kind, eventId } of waitingFor) {
      if (kind !== "activity" && kind !== "model") continue;
      const key = `${instanceId}/${execution}/${eventId}`;
      if (world.isRunning(key) || (await world.rows(instanceId, execution)).includes(eventId)) continue;
      broken(`the ${kind} ${key} to be run or to have a row`, "neither");
    }
  }
}

/** Dense ids, one start, answers after their requests, and timers not before their time. */
function assertWellFormed({ instanceId }: InstanceState, history: readonly HistoryEvent[]): void {
  const where = (id: number) => `event ${id} of instance ${instanceId}`;
  history.forEach((event, i) => {
    if (event.id !== i + 1) broken(`${where(i + 1)} to have its place as its id`, `id ${event.id}`);
    if ((event.kind === "OrchestrationStarted") !== (i === 0))
      broken(`${where(event.id)} to be in its place`, event.kind);
    if (event.at < (history[i - 1]?.at ?? 0))
      broken(`${where(event.id)} to be later than the one before`, `${event.at}`);
    if (!("source" in event)) return;
    const request = history[event.source - 1];
    if (request === undefined || event.source >= event.id)
      broken(`${where(event.id)} to answer an earlier one`, event.kind);
    if (event.kind === "TimerFired" && request?.kind === "TimerCreated" && event.at < request.fireAt) {
      broken(`the timer ${where(event.source)} to fire at ${request.fireAt}`, `${event.at}`);
    }
  });
}

/** The recorded history is what today's code does, by replay and by living it again. */
async function assertRepeatable({ state, histories }: RecordedInstance, registry: Registry): Promise<void> {
  const { instanceId, rootId } = state;
  for (const [i, { execution, events: history }] of histories.entries()) {
    const started = history[0] as (Recorded & OrchestrationStarted) | undefined;
    if (started === undefined || history[1]?.kind === "OrchestrationTerminated") continue;
    const definition = registry.orchestration(started.name, started.version);
    if (definition === undefined) continue;
    const header = { instanceId, rootId, execution };
    const { failure } = await replayHistory(definition, history, header);
    if (failure !== undefined) throw failure;
    const next = histories[i + 1]?.events[0] as (Recorded & OrchestrationStarted) | undefined;
    const relived = await relive(definition, header, history, next?.version ?? started.version);
    const continued = history.at(-1)?.kind === "ContinuedAsNew";
    const recorded = continued && next !== undefined ? [...history, next] : history;
    recorded.forEach((event, at) => {
      if (!isDeepStrictEqual(event, relived[at])) {
        broken(
          `event ${event.id} of instance ${instanceId} to be ${JSON.stringify(event)} when it is lived again`,
          JSON.stringify(relived[at]),
        );
      }
    });
    if (relived.length > recorded.length) {
      broken(`instance ${instanceId} to have ${recorded.length} events when it is lived again`, `${relived.length}`);
    }
  }
}

/** State, status and output stream are what history says. */
function assertTold({ state, histories, values: told, outputs }: RecordedInstance): void {
  const { instanceId } = state;
  let values = new Map<string, Payload>();
  const emitted: Payload[] = [];
  let status: Payload = null;
  for (const event of histories.flatMap(({ events }) => events)) {
    if (event.kind === "OrchestrationStarted") {
      values = new Map(event.carried?.state?.map(({ key, value }) => [key, value]));
      status = event.carried?.status ?? null;
    } else if (event.kind === "StateSet") values.set(event.key, event.value);
    else if (event.kind === "StateDeleted") values.delete(event.key);
    else if (event.kind === "StatusSet") status = event.value;
    else if (event.kind === "OutputEmitted") emitted.push(event.data);
  }
  same(`the state of instance ${instanceId}`, Object.fromEntries(values), told);
  same(`the status of instance ${instanceId}`, status, state.customStatus ?? null);
  same(`the output stream of instance ${instanceId}`, emitted, outputs);
}

async function assertNothingLeft({ client }: World): Promise<void> {
  const { messages, work } = await client.stats();
  const nothing = { ready: 0, delayed: 0 };
  same("the messages that are left", nothing, messages);
  same("the work that is left", { ...nothing, running: 0 }, work);
  same("the waits that are left", [], (await client.pendingWaits()).waits);
}

function same(what: string, expected: unknown, got: unknown): void {
  if (!isDeepStrictEqual(expected, got)) broken(`${what} to be ${JSON.stringify(expected)}`, JSON.stringify(got));
}

/** @throws Error in the grammar of the house. */
export function broken(expected: string, got: string | undefined): never {
  throw new Error(`Expected ${expected}, got ${got ?? "nothing"}`);
}
