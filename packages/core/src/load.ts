/**
 * How busy this worker is, and what it lets others have for it. Each worker tells with its heartbeat how busy it was, and
 * each decides for itself: while it has no time and another that can run the same has, it leaves instances that are
 * nobody's to that one; and when it is busy most of its time, it gives idle ones of its own back, so that they are
 * nobody's when something comes for them.
 *
 * Between busy and free lies a gap, and nobody gives more than its part of what is above the average of all: so it
 * settles. An idle fleet moves nothing. New instances are for whoever comes first, because nobody has them in memory.
 */
import type { Clock } from "./ports.ts";
import type { WorkerKey } from "./storage-work.ts";
import type { WorkerRecord } from "./storage.ts";

/** A worker that is busy for a larger part of its time than this gives away. */
const busyAbove = 0.75;

/** A worker that is busy for a smaller part of its time than this has time. */
const freeBelow = 0.5;

/** A worker that was silent for longer holds its event loop, whatever it said before. */
const freshForMs = 5_000;

/** What a worker lets others have. */
export interface Concession {
  /** Handlers (`name@version`) that workers with time have: what is nobody's is left to them. */
  readonly orchestrations: readonly string[];
  /** Which part of what it owns goes to them, from 0 to 1. */
  readonly part: number;
}

/** Answers with each call in which part of the time since the call before the event loop was busy, from 0 to 1. */
export function busyMeter(clock: Clock): () => number {
  const read = () => ({ at: clock.now(), busyMs: clock.busyMs?.() ?? 0 });
  let last = read();
  return () => {
    const { at, busyMs } = last;
    last = read();
    const share = (last.busyMs - busyMs) / Math.max(1, last.at - at); // the clock may have been put back
    return Math.min(1, Math.max(0, share));
  };
}

/** Those that can run some of what `worker` can, itself included. */
export function peersOf(worker: WorkerKey, living: readonly WorkerRecord[]): WorkerRecord[] {
  const handlers = new Set(living.find(({ key }) => key === worker)?.capabilities.orchestrations);
  return living.filter(({ capabilities }) => capabilities.orchestrations.some((name) => handlers.has(name)));
}

/** What `worker` lets its peers have, if anything. */
export function concessionOf(worker: WorkerKey, peers: readonly WorkerRecord[]): Concession | undefined {
  const own = peers.find(({ key }) => key === worker);
  if (own === undefined || own.busy < freeBelow) return undefined;
  const handlers = new Set(own.capabilities.orchestrations.filter((handler) => handler.includes("@")));
  const free = peers.filter(({ busy, silentForMs }) => busy < freeBelow && silentForMs < freshForMs);
  if (free.length === 0) return undefined;
  const theirs = new Set(free.flatMap(({ capabilities }) => capabilities.orchestrations));
  const average = peers.reduce((sum, { busy }) => sum + busy, 0) / peers.length;
  return {
    orchestrations: [...handlers].filter((handler) => theirs.has(handler)),
    part: own.busy > busyAbove ? 1 - average / own.busy : 0,
  };
}
