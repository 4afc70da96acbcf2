/**
 * The table of commands, in the order in which `stet --help` lists them.
 *
 * To add one: write `commands/NAME.ts` that exports a {@link CommandFile}, and put it into the table. Results go to
 * `session.out`, the store is had by `session.withClient`, an answer that is bad sets `session.exitCode`, and trouble is
 * thrown as an error of the family. Import what is heavy inside the action: every start of `stet` loads all these files.
 */
import type { CommandFile } from "./command.ts";
import { bench } from "./commands/bench.ts";
import { cancel } from "./commands/cancel.ts";
import { completion } from "./commands/completion.ts";
import { approve, reject } from "./commands/decide.ts";
import { dev } from "./commands/dev.ts";
import { deleteInstance } from "./commands/delete.ts";
import { diagram } from "./commands/diagram.ts";
import { doctor } from "./commands/doctor.ts";
import { exportInstance } from "./commands/export.ts";
import { fork } from "./commands/fork.ts";
import { history } from "./commands/history.ts";
import { importInstance } from "./commands/import.ts";
import { init } from "./commands/init.ts";
import { list } from "./commands/list.ts";
import { migrate } from "./commands/migrate.ts";
import { outputs } from "./commands/outputs.ts";
import { prune } from "./commands/prune.ts";
import { raise } from "./commands/raise.ts";
import { replay } from "./commands/replay.ts";
import { resume } from "./commands/resume.ts";
import { retry } from "./commands/retry.ts";
import { show } from "./commands/show.ts";
import { start } from "./commands/start.ts";
import { stats } from "./commands/stats.ts";
import { terminate } from "./commands/terminate.ts";
import { topUp } from "./commands/top-up.ts";
import { watch } from "./commands/watch.ts";
import { worker } from "./commands/worker.ts";

/** A heading of `stet --help`, and the commands under it. */
export const commands: readonly (readonly [heading: string, files: readonly CommandFile[]])[] = [
  ["Run", [init, dev, worker]],
  ["Look", [list, show, watch, history, outputs, stats]],
  ["Act", [start, raise, approve, reject, cancel, terminate, resume, retry, topUp, fork]],
  ["Keep and remove", [exportInstance, importInstance, deleteInstance, prune]],
  ["Code", [replay, diagram]],
  ["Set up", [doctor, migrate, bench, completion]],
];
