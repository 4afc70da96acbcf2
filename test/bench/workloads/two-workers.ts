/**
 * Two workers against one, each a process: 2,000 instances of 5 activities that do nothing, and 400 of 5 that burn 2 ms
 * of the processor each. The values are how many times as fast two are.
 */
import { Client } from "@stet/core";
import { withChildren } from "../children/child.ts";
import { chain, storageOf } from "../programs.ts";
import { beside } from "../scratch.ts";
import type { Run, Workload } from "../workload.ts";

/** What a worker is told. */
export interface Employment {
  readonly run: Run;
  readonly burnMs: number;
}

/** See the head of the file. */
export const twoWorkers: Workload = {
  rows: [
    { id: "twoWorkers", unit: "times as fast as one", better: "higher", floor: 1 },
    { id: "twoWorkers.burn", unit: "times as fast as one", better: "higher", floor: 1.4 },
  ],
  async measure(run) {
    const idle = { count: run.quick ? 50 : 2_000, burnMs: 0 };
    const busy = { count: run.quick ? 10 : 400, burnMs: 2 };
    return {
      twoWorkers: { value: await gain(run, idle) },
      "twoWorkers.burn": { value: await gain(run, busy) },
    };
  },
};

interface Job {
  readonly count: number;
  readonly burnMs: number;
}

async function gain(run: Run, job: Job): Promise<number> {
  const one = await beside(run, (other) => timeOf(other, 1, job));
  const two = await beside(run, (other) => timeOf(other, 2, job));
  return one / two;
}

/** All workers are there, and have run as much already, before the clock starts: what a process costs to begin with is not meant. */
async function timeOf(run: Run, workers: number, { count, burnMs }: Job): Promise<number> {
  const client = await Client.connect({ storage: storageOf(run) });
  try {
    return await withChildren("work.ts", workers, { run, burnMs } satisfies Employment, async () => {
      await driveFrom(client, count);
      const start = performance.now();
      await driveFrom(client, count);
      return performance.now() - start;
    });
  } finally {
    await client.close();
  }
}

async function driveFrom(client: Client, count: number): Promise<void> {
  const handles = await Promise.all(Array.from({ length: count }, () => client.startOrchestration(chain, 5)));
  await Promise.all(handles.map((handle) => handle.result()));
}
