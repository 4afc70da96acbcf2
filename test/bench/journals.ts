/** Which journal is the limit of a run. */
import type { Journal } from "./bare-journal.ts";
import { postgresJournal } from "./postgres-journal.ts";
import { sqliteJournal } from "./sqlite-journal.ts";
import type { Run } from "./workload.ts";

/** The journal beside a run's store. */
export function journalOf(run: Run): Journal {
  return run.postgres === undefined ? sqliteJournal(run) : postgresJournal(run.postgres);
}
