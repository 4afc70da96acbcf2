/**
 * What must hold when all is over, however it went: nothing lost, nothing recorded twice, and what was recorded is what
 * was done.
 */
import assert from "node:assert/strict";
import type { AnyOrchestration, Client, HistoryEvent, InstanceState } from "@stet/core";
import { replayHistory } from "@stet/testing";
import { executions, expectedResult, mixedWork, partCount, retried } from "./mixed-work.ts";
import { readStarts, startsByKey, type Start } from "./starts.ts";
import { assertIntact } from "./stores.ts";

/** Where to look. */
export interface Scene {
  readonly client: Client;
  /** The address of the store. */
  readonly store: string;
  readonly starts: string;
  /** How many instances of `main` there are: `w-0`, `w-1` and so on. */
  readonly instances: number;
  /** Whether a worker that was stopped, or clocks that jumped, make it impossible to say what came before what. */
  readonly timeIsOut?: boolean;
}

/** What was found, for the reader of the report. */
export interface Findings {
  readonly events: number;
  readonly activityStarts: number;
  /** Activities that were started more often than once although nobody saw them fail. */
  readonly startedAgain: number;
  /** Irreversible activities of which nobody knows whether they happened. */
  readonly unknownOutcomes: number;
}

/** The definitions to replay against. Activities never run here. */
const definitions = mixedWork().orchestrations;

/** Checks all of it, and throws at the first thing that does not hold. */
export async function assertSound(scene: Scene): Promise<Findings> {
  const { client, store, instances } = scene;
  await assertIntact(store);
  const stats = await client.stats();
  const children = instances * executions;
  assert.deepEqual(
    { ...stats.instances },
    { ...stats.instances, pending: 0, running: 0, completed: instances + children, failed: 0 },
  );
  assert.equal(stats.blocked, 0);
  assert.deepEqual(stats.messages, { ready: 0, delayed: 0 }, "no message is left");
  assert.deepEqual(stats.work, { ready: 0, delayed: 0, running: 0 }, "no work is left");

  const starts = startsByKey(readStarts(scene.starts));
  const found = { events: 0, activityStarts: 0, startedAgain: 0, unknownOutcomes: 0 };
  const known = new Set<string>();
  for (const instance of await allInstances(client)) {
    const history: HistoryEvent[] = [];
    for (const { execution } of await client.executions(instance.instanceId)) {
      const events = await client.instance(instance.instanceId).history(execution);
      history.push(...events);
      await assertHistory(definitions, instance, execution, events);
      for (const [key, activity] of activitiesOf(instance.instanceId, execution, events)) {
        known.add(key);
        assertActivity(key, activity, starts.get(key) ?? []);
        if (scene.timeIsOut !== true) assertStartedBefore(key, activity, starts.get(key) ?? []);
        if (!retried.has(activity.name) && (starts.get(key)?.length ?? 0) > 1) found.startedAgain++;
        if (activity.end?.kind === "ActivityFailed") found.unknownOutcomes++;
      }
    }
    found.events += history.length;
    if (instance.parentId === undefined) await assertInstance(client, instance, history);
  }
  for (const [key, times] of starts) {
    assert.ok(known.has(key), `${key} was started, and no history asked for it`);
    found.activityStarts += times.length;
  }
  return found;
}

/** All that there are, children included. */
export async function allInstances(client: Client): Promise<InstanceState[]> {
  const found: InstanceState[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.list({ limit: 1000, ...(cursor !== undefined && { cursor }) });
    found.push(...page.instances);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return found;
}

/** Ids are dense, each request is answered once, and the code of today would do the same. */
export async function assertHistory(
  orchestrations: readonly AnyOrchestration[],
  { instanceId, rootId, name: orchestration }: InstanceState,
  execution: number,
  events: readonly HistoryEvent[],
): Promise<void> {
  const name = `${instanceId}/${execution}`;
  assert.deepEqual(
    events.map(({ id }) => id),
    events.map((_, i) => i + 1),
    `${name} has every event once`,
  );
  const answered = events.flatMap((event) => ("source" in event ? [event.source] : []));
  assert.equal(new Set(answered).size, answered.length, `${name} answers each request once`);
  const definition = orchestrations.find(({ name }) => name === orchestration)!;
  const report = await replayHistory(definition, events, { instanceId, rootId, execution });
  assert.ok(report.ok, `${name} replays: ${report.failure?.message}`);
  assert.deepEqual(report.promptDrift, []);
}

interface RecordedActivity {
  readonly name: string;
  readonly end: Extract<HistoryEvent, { kind: "ActivityCompleted" | "ActivityFailed" }> | undefined;
}

function activitiesOf(
  instanceId: string,
  execution: number,
  events: readonly HistoryEvent[],
): Map<string, RecordedActivity> {
  const ends = new Map<number, RecordedActivity["end"]>();
  for (const event of events) {
    if (event.kind === "ActivityCompleted" || event.kind === "ActivityFailed") ends.set(event.source, event);
  }
  const found = new Map<string, RecordedActivity>();
  for (const event of events) {
    if (event.kind !== "ActivityScheduled") continue;
    found.set(`${instanceId}/${execution}/${event.id}`, { name: event.name, end: ends.get(event.id) });
  }
  return found;
}

/** What was really started, held against what was recorded. */
function assertActivity(key: string, { name, end }: RecordedActivity, starts: readonly Start[]): void {
  assert.ok(end !== undefined, `${key} (${name}) has an end`);
  const attempts = end.attempts ?? 1;
  assert.ok(
    starts.length <= attempts,
    `${key} (${name}) was started ${starts.length} times, recorded ${attempts}: ${JSON.stringify([starts, end])}`,
  );
  const numbers = starts.map(({ attempt }) => attempt);
  assert.equal(
    new Set(numbers).size,
    numbers.length,
    `${key} (${name}) was started twice as the same attempt: ${numbers.join(", ")}`,
  );
  if (end.kind === "ActivityCompleted") {
    assert.ok(
      starts.some(({ attempt }) => attempt === attempts),
      `${key} (${name}) is recorded as done by attempt ${attempts}, which never started`,
    );
  } else assert.ok(name === "pay" && end.error.code === "outcome_unknown", `${key} (${name}): ${end.error.message}`);
  if (name === "pay") assert.ok(starts.length <= 1, `${key} is irreversible and was started ${starts.length} times`);
}

/** Nothing is started once its end is recorded. */
function assertStartedBefore(key: string, { name, end }: RecordedActivity, starts: readonly Start[]): void {
  for (const { at } of starts) {
    assert.ok(end !== undefined && at <= end.at, `${key} (${name}) was started after its end was recorded`);
  }
}

/** The result, the outputs and the state that an instance must come to, and the events that it must have got. */
async function assertInstance(
  client: Client,
  { instanceId }: InstanceState,
  history: readonly HistoryEvent[],
): Promise<void> {
  const handle = client.instance(instanceId);
  const n = Number(instanceId.slice("w-".length));
  assert.equal(await handle.result(), expectedResult(n), `the result of ${instanceId}`);
  assert.equal((await handle.state())["total"], expectedResult(n), `the state of ${instanceId}`);

  const rounds = Array.from({ length: executions }, (_, i) => i + 1);
  const outputs: unknown[] = [];
  for await (const { data } of handle.outputs()) outputs.push(data);
  assert.deepEqual(
    outputs,
    rounds.flatMap((execution) => Array.from({ length: partCount }, (_, part) => ({ execution, part }))),
    `the outputs of ${instanceId} are there once and in order`,
  );
  for (const name of ["poke", "told", "note"]) {
    const received = history.filter((event) => event.kind === "EventReceived" && event.name === name);
    assert.equal(received.length, executions, `${instanceId} received each ${name} once`);
  }
}
