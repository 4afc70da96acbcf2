import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";

/** `stet migrate`: the schema, before the first worker of a release comes. */
export const migrate: CommandFile = (session) =>
  new Command("migrate")
    .description("make the store, or bring its schema up to date; workers do the same when they open it")
    .action(async () => {
      const { name } = await session.storage({ create: true });
      await session.withClient((client) => client.stats(), { create: true });
      session.out.result({ store: name }, () => `${name} is up to date`);
    });
