/** A worker with 10,000 instances in flight is killed: the time until another process has all of them running again. */
import { askChild } from "../children/child.ts";
import { journalMs, readMs, volumeOf } from "../bare-journal.ts";
import { storeFile } from "../programs.ts";
import type { Run, Workload } from "../workload.ts";

/** What a worker is told. */
export interface Holding extends Pick<Run, "synchronous"> {
  readonly file: string;
  readonly count: number;
  readonly startThem: boolean;
}

/** See the head of the file. Counted from `Runtime.start`; the limit reads the histories and writes the work rows. */
export const takeover: Workload = {
  rows: [{ id: "takeover", unit: "ms", better: "lower", floor: 5_000, aim: 2_000 }],
  async measure(run) {
    const file = storeFile(run);
    const holding = { file, count: run.quick ? 500 : 10_000, synchronous: run.synchronous };
    const hold = (startThem: boolean) =>
      askChild<{ ms: number }>("hold.ts", { ...holding, startThem } satisfies Holding);
    await hold(true); // and it is killed
    const { ms } = await hold(false);
    const rewritten = volumeOf(file, "work");
    return { takeover: { value: ms, limit: readMs(file) + (rewritten.rows > 0 ? journalMs(run, rewritten) : 0) } };
  },
};
