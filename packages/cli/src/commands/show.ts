import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";
import { portrait, portraitOf } from "../portrait.ts";
import { count } from "../values.ts";

/** `stet show`: an instance for people. */
export const show: CommandFile = (session) =>
  new Command("show")
    .description("show what happened to an instance, how long it took, what it costs and what it waits for")
    .argument("<id>", "the instance")
    .option("--execution <number>", "an execution before the current one", count)
    .action(async (id, { execution }) => {
      const shown = await session.withClient((client) => portraitOf(client, id, execution));
      session.out.result(shown, (look) => portrait(shown, look));
    });
