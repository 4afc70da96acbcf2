/**
 * Measures one workload in a process of its own, so that a row does not depend on which rows ran before it: a warm-up,
 * then the counted runs, each with a fresh store. Answers the samples of the counted runs.
 */
import { type Profile, profiled } from "../profile.ts";
import { inSchema } from "../postgres-site.ts";
import { inScratch } from "../scratch.ts";
import type { Samples } from "../workload.ts";
import { workloadsOn } from "../workloads/index.ts";
import { argumentOfChild, say } from "./child.ts";

/** What the process is told. */
export interface Assignment {
  /** Any row of the workload. */
  readonly rowId: string;
  readonly quick: boolean;
  readonly profile: boolean;
  /** The server, where the stores are on one. */
  readonly url?: string;
}

/** What it answers. */
export interface Measured {
  readonly samples: readonly Samples[];
  readonly profile?: Profile;
}

process.setSourceMapsEnabled(false); // tsx turns them on, and then every stack trace costs milliseconds

const { rowId, quick, profile, url } = argumentOfChild<Assignment>();
const workload = workloadsOn(url === undefined ? "sqlite" : "postgres").find(({ rows }) =>
  rows.some(({ id }) => id === rowId),
);
if (workload === undefined) throw new Error(`Expected a workload with the row ${rowId}`);

const once = (): Promise<Samples> =>
  inScratch((folder) => {
    const run = { folder, quick, synchronous: "normal" } as const;
    if (url === undefined) return workload.measure(run);
    return inSchema(url, (postgres) => workload.measure({ ...run, postgres }));
  });

const runs = quick ? 1 : 3;
const samples: Samples[] = [];
progress("warming up");
await once();
const measureAll = async (): Promise<void> => {
  for (let i = 1; i <= runs; i++) {
    progress(`run ${i} of ${runs}`);
    samples.push(await once());
  }
};
const found = profile ? await profiled(measureAll) : await measureAll();
progress("");
await say({ samples, ...(found !== undefined && { profile: found }) } satisfies Measured);
process.disconnect();

/** One line that is written over where there is a terminal. */
function progress(what: string): void {
  const line = what === "" ? "" : `${rowId}: ${what}`;
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line}`);
  else if (line !== "") process.stderr.write(`${line}\n`);
}
