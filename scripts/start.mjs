// `npm start`: installs if need be, then runs the triage sample from source. Arguments go on to the sample.

import { spawn } from "node:child_process";
import { ensureInstalled, root } from "./install.mjs";

ensureInstalled();

const child = spawn(
  process.execPath,
  ["--conditions=@stet/source", "--import", "tsx", "samples/triage/main.ts", ...process.argv.slice(2)],
  { cwd: root, stdio: "inherit" },
);
// Ctrl-C reaches the whole process group: the sample decides what to do with it, this process only waits.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.on("exit", (code, signal) => {
  if (!signal) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
