import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";

/** `stet retry`: an ended instance begins again. */
export const retry: CommandFile = (session) =>
  new Command("retry")
    .description("run an ended instance again, from the beginning, with the same input")
    .argument("<id>", "the instance")
    .action(async (id) => {
      await session.withClient((client) => client.retry(id));
      session.out.result({ instanceId: id }, () => `${id} begins again`);
    });
