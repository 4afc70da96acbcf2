import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";

/** `stet cancel`: an end from outside, its code may clean up. */
export const cancel: CommandFile = (session) =>
  new Command("cancel")
    .description("ask an instance to stop: its code may clean up")
    .argument("<id>", "the instance")
    .option("--reason <text>", "why, for its history", "cancelled on the command line")
    .action(async (id, { reason }) => {
      await session.withClient((client) => client.instance(id).cancel(reason));
      session.out.result({ instanceId: id, reason }, () => `asked ${id} to stop`);
    });
