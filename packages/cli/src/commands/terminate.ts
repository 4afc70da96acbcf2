import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";

/** `stet terminate`: an end from outside, without its code. */
export const terminate: CommandFile = (session) =>
  new Command("terminate")
    .description("stop an instance without running its code")
    .argument("<id>", "the instance")
    .option("--reason <text>", "why, for its history", "terminated on the command line")
    .action(async (id, { reason }) => {
      await session.withClient((client) => client.instance(id).terminate(reason));
      session.out.result({ instanceId: id, reason }, () => `terminated ${id}`);
    });
