/**
 * The table of commands, in the order in which `stet --help` lists them.
 *
 * To add one: write `commands/NAME.ts` that exports a {@link CommandFile}, and put it into the table. Results go to
 * `session.out`, the store is had by `session.withClient`, an answer that is bad sets `session.exitCode`, and trouble is
 * thrown as an error of the family. Import what is heavy inside the action: every start of `stet` loads all these files.
 */
import type { CommandFile } from "./command.ts";
import { list } from "./commands/list.ts";
import { show } from "./commands/show.ts";
import { start } from "./commands/start.ts";

/** A heading of `stet --help`, and the commands under it. */
export const commands: readonly (readonly [heading: string, files: readonly CommandFile[]])[] = [
  ["Instances", [start, list, show]],
];
