import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";

/** `stet delete`: an instance, with all that it started. */
export const deleteInstance: CommandFile = (session) =>
  new Command("delete")
    .description("remove an ended instance with all that it started")
    .argument("<id>", "the instance")
    .option("--force", "also when it is running")
    .action(async (id, { force }) => {
      await session.withClient((client) => client.delete(id, { force: force === true }));
      session.out.result({ instanceId: id }, () => `deleted ${id}`);
    });
