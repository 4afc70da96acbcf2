/** What a file in `commands/` exports: a command, described to the argument library and bound to its session. */
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { Session } from "./session.ts";

/** Describes a command: its name, arguments and options, and what it does with them. */
export type CommandFile = (session: Session) => CommandUnknownOpts;
