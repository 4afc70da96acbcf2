/**
 * The search for a run that fails: made up by a seed, and when one has failed, made smaller until nothing can be left out.
 */
import { type Duration, Runtime, type StorageProvider } from "@stet/core";
import { durationMs } from "@stet/core/internal";
import fc from "fast-check";
import { Stores } from "./stores.ts";

/** Where a simulation takes place, and how long it goes on. */
export interface SearchOptions {
  /** Makes an empty store. It may serve several runs, one after another. */
  readonly storage: () => StorageProvider;
  /** How many runs. @default 100, or as many as there is time for */
  readonly runs?: number;
  /** Ends when this much real time is over. @default when all runs are done */
  readonly time?: Duration;
  /** The same seed makes up the same runs. @default another one each time */
  readonly seed?: number;
  /** Called after each run. */
  readonly onRun?: (runs: number) => void;
}

/** What a simulation did. */
export interface SimulationReport {
  readonly seed: number;
  readonly runs: number;
}

/** One run that takes longer than this in real time hangs: virtual time costs nothing. */
const longestRunMs = 60_000;

/** Plays what was kept, and then what is made up, until the limits are reached. @throws Error with the smallest case. */
export async function search<Case>(
  cases: fc.Arbitrary<Case>,
  play: (example: Case, stores: Stores) => Promise<void>,
  { storage, runs, time, seed = Date.now() % 0x7fff_ffff, onRun }: SearchOptions,
  kept: readonly Case[] = [],
): Promise<SimulationReport> {
  let played = 0;
  const stores = new Stores(storage);
  // With a runtime that stays, the guard and the watchdog of this process stay too: they are dear to start.
  const resident = await Runtime.start({ storage: storage() });
  const property = fc.asyncProperty(cases, async (example) => {
    await within(longestRunMs, play(example, stores));
    onRun?.(++played);
  });
  const limits = {
    seed,
    numRuns: runs ?? (time === undefined ? 100 : Number.MAX_SAFE_INTEGER),
    examples: kept.map((example): [Case] => [example]),
    ...(time !== undefined && { interruptAfterTimeLimit: durationMs(time, "the time of a simulation") }),
  };
  try {
    const details = await fc.check(property, limits);
    if (details.counterexample === null) return { seed, runs: details.numRuns };
    throw unsound(seed, details.numRuns, details.counterexample[0], details.errorInstance);
  } finally {
    await resident.shutdown();
    await stores.close();
  }
}

function unsound(seed: number, run: number, smallest: unknown, cause: unknown): Error {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Error(
    `Expected every simulated run to be sound, got run ${run} of seed ${seed}: ${why}\nMade small: ${JSON.stringify(smallest)}`,
    { cause },
  );
}

async function within(limitMs: number, run: Promise<void>): Promise<void> {
  let stop = (): void => undefined;
  const late = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(new Error(`Expected a run to end within ${limitMs} ms, got none`)), limitMs);
    stop = () => clearTimeout(timer);
  });
  await Promise.race([run, late]).finally(stop);
}
