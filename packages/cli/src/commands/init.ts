import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import { ConfigurationError } from "@stet/core";
import type { CommandFile } from "../command.ts";
import { projectFiles } from "../project-template.ts";
import { versionOfThis } from "../version.ts";

/** `stet init`: a project that works. */
export const init: CommandFile = (session) =>
  new Command("init")
    .description("make a working project in a folder: orchestration, activity, test, configuration")
    .argument("[folder]", "the folder; it must be empty or not there", ".")
    .addOption(
      new Option("--store <kind>", "where it keeps its instances")
        .choices(["sqlite", "postgres"] as const)
        .default("sqlite" as const),
    )
    .action(async (folder, { store }) => {
      const target = resolve(session.io.cwd, folder);
      if (existsSync(target) && (await readdir(target)).length > 0) {
        throw new ConfigurationError(`Expected ${target} to be an empty folder, or none, got one with files in it`);
      }
      const files = projectFiles(nameOf(target), store, versionOfThis());
      for (const [path, text] of Object.entries(files)) {
        const file = join(target, path);
        await mkdir(dirname(file), { recursive: true });
        await writeFile(file, text, { flag: "wx" });
      }
      session.out.result({ folder: target, files: Object.keys(files) }, ({ colors }) =>
        [
          ...Object.keys(files).map((path) => `  ${join(folder, path)}`),
          "",
          `now: ${colors.bold(`${target === session.io.cwd ? "" : `cd ${relative(session.io.cwd, target)} && `}npm install && npm test && npm run dev`)}`,
        ].join("\n"),
      );
    });

/** What npm takes for a name. */
function nameOf(folder: string): string {
  const name = basename(folder)
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .replace(/^-+|-+$/g, "");
  return name === "" ? "app" : name;
}
