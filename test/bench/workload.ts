/** What a workload is: the rows it fills, what they are held against, and one run of it. */
import type { SqliteOptions } from "@stet/sqlite";
import type { PostgresPlace } from "./postgres-site.ts";

/** A row of the table before anything is measured. */
export interface RowDefinition {
  readonly id: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** What has to be reached on a machine of two cores: in SQLite with `synchronous=NORMAL`. */
  readonly floor?: number;
  /** What is wanted. */
  readonly aim?: number;
}

/** What one run measured for one row. */
export interface Sample {
  readonly value: number;
  /** What a bare journal took for the same rows and bytes, in the row's unit. */
  readonly limit?: number;
  readonly p50?: number;
  readonly p99?: number;
}

/** What one run measured, by row id. */
export type Samples = { readonly [rowId: string]: Sample };

/** Circumstances of one run. */
export interface Run {
  /** A fresh folder of the run's own, removed after it. */
  readonly folder: string;
  readonly synchronous: NonNullable<SqliteOptions["synchronous"]>;
  /** The store is there, and not in a file of the folder. Commits wait for its disk. */
  readonly postgres?: PostgresPlace;
  /** Small counts: to see that it works, not how fast. */
  readonly quick: boolean;
}

/** Something to measure. All of its rows come from the same runs. */
export interface Workload {
  readonly rows: readonly RowDefinition[];
  measure(run: Run): Promise<Samples>;
}

/** The workload, and the same with a synchronous setting that keeps every commit through a loss of power. */
export function withFull(workload: Workload): readonly Workload[] {
  const rows = workload.rows.map(({ id, unit, better }) => ({ id: fullId(id), unit, better }));
  const measure = async (run: Run): Promise<Samples> => {
    const samples = await workload.measure({ ...run, synchronous: "full" });
    return Object.fromEntries(Object.entries(samples).map(([id, sample]) => [fullId(id), sample]));
  };
  return [workload, { rows, measure }];
}

function fullId(id: string): string {
  return id.replace(/^[^.]+/, "$&.full");
}
