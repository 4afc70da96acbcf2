/** The limit: a journal and nothing else, in the store's own database, in the process that ran the workload. */

/** How much a table holds. */
export interface Volume {
  readonly rows: number;
  readonly bytes: number;
}

/** What a workload asked for: so many activities each of so many instances. */
export interface Load {
  readonly instances: number;
  readonly activitiesEach: number;
}

/** Times are milliseconds. */
export interface Journal {
  /** What a workload has left in the store. */
  volume(table?: "history" | "work"): Promise<Volume>;
  /** Writes that volume as well as it can be written by as many writers as the load has. */
  together(volume: Volume, load: Load): Promise<number>;
  /** Writes that volume row by row: what each commit took. */
  oneByOne(volume: Volume): Promise<number[]>;
  /** Reads the histories and parses them. */
  read(): Promise<number>;
}
