// `npm run simulate -- [--minutes N] [--seed S]`: made-up programs under made-up schedules, for as long as you like, in
// one process a core. The first has the seed S, the next S + 1, and so on. See test/chaos/simulate.ts.

import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ensureInstalled, root } from "./install.mjs";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "5" }, seed: { type: "string" } } });
const firstSeed = Number(values.seed ?? Date.now() % 1_000_000_000);

ensureInstalled();
const processes = Array.from({ length: availableParallelism() }, (_, i) => simulate(firstSeed + i));
const codes = await Promise.all(processes.map(endOf));
process.exit(Math.max(...codes));

function simulate(seed) {
  const flags = ["--conditions=@stet/source", "--import", "tsx"];
  const main = join(root, "test/chaos/simulate.ts");
  return spawn(process.execPath, [...flags, main, "--minutes", values.minutes, "--seed", String(seed)], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  });
}

/** What one found is for somebody to look at: the others need not go on. */
function endOf(child) {
  return new Promise((resolve) => {
    child.on("exit", (code) => {
      if (code) for (const other of processes) other.kill();
      resolve(code ?? 0);
    });
  });
}
