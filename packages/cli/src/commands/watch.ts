import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";
import { watchInstance } from "../watching.ts";

/** `stet watch`: an instance while it runs. */
export const watch: CommandFile = (session) =>
  new Command("watch")
    .description("watch what happens to an instance until it ends or is blocked")
    .argument("<id>", "the instance")
    .action((id) => session.withClient((client, storage) => watchInstance(session, client, storage, id)));
