// `npm run simulate -- [--minutes N] [--seed S]`: made-up programs under made-up schedules, for as long as you like. See
// test/chaos/simulate.ts.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ensureInstalled, root } from "./install.mjs";

ensureInstalled();
const flags = ["--conditions=@stet/source", "--import", "tsx"];
const main = join(root, "test/chaos/simulate.ts");
const { status } = spawnSync(process.execPath, [...flags, main, ...process.argv.slice(2)], {
  cwd: root,
  stdio: "inherit",
});
process.exit(status ?? 1);
