/** A project in a folder of its own that finds our packages, as one that has installed them would. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { root } from "../docs/blocks.ts";
import { newFolder } from "../runtime/world.ts";

/** Makes a project of these files. Answers its folder. */
export function makeProject(files: { readonly [path: string]: string }): string {
  const folder = newFolder();
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  for (const [path, text] of Object.entries({ "package.json": '{ "type": "module" }', ...files })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}
