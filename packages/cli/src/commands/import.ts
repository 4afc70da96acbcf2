import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";
import { textOf } from "../values.ts";

/** `stet import`: an instance from a file. */
export const importInstance: CommandFile = (session) =>
  new Command("import")
    .description("put what stet export wrote into this store; what was running goes on here")
    .argument("[file]", "the file; - is standard input", "-")
    .action(async (file) => {
      const capsule = await textOf(file, session.io);
      const { instanceId } = await session.withClient((client) => client.import(capsule), { create: true });
      session.out.result({ instanceId }, () => instanceId);
    });
