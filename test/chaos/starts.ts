/** The side file: what activities really did, in lines that a kill cannot tear apart. */
import { existsSync, readFileSync } from "node:fs";
import type { ActivityContext } from "@stet/core";

/** One attempt that began. */
export interface Start {
  /** The idempotency key: instance, execution and event id. */
  readonly key: string;
  readonly attempt: number;
  readonly pid: number;
  readonly at: number;
}

/** The line of an attempt that begins now. To be appended in one write. */
export function startsLine({ idempotencyKey, attempt }: ActivityContext): string {
  return `${JSON.stringify({ key: idempotencyKey, attempt, pid: process.pid, at: Date.now() } satisfies Start)}\n`;
}

/** All that was written so far. */
export function readStarts(file: string): Start[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n").slice(0, -1); // a line may be on its way
  return lines.map((line) => JSON.parse(line) as Start);
}

/** The starts of each key, in the order of the file. */
export function startsByKey(starts: readonly Start[]): Map<string, Start[]> {
  const found = new Map<string, Start[]>();
  for (const start of starts) found.set(start.key, [...(found.get(start.key) ?? []), start]);
  return found;
}
