import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";

/** `stet export`: an instance with all that it started, as a file. */
export const exportInstance: CommandFile = (session) =>
  new Command("export")
    .description("write an instance with all that it started as JSON, for stet import")
    .argument("<id>", "the instance")
    .option("-o, --output <file>", "the file (default: standard output)")
    .action(async (id, { output }) => {
      const capsule = await session.withClient((client) => client.export(id));
      if (output === undefined) return void session.io.stdout.write(`${JSON.stringify(capsule)}\n`);
      await writeFile(resolve(session.io.cwd, output), `${JSON.stringify(capsule)}\n`);
      session.out.result({ instanceId: id, file: output }, () => output);
    });
