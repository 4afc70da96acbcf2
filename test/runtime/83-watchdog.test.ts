/**
 * Code that holds the event loop, in a real process: the thread that names it cannot be simulated.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const breaksOff = Number(process.versions.node.split(".")[0]) >= 24;
const script = fileURLToPath(new URL("./watchdog-process.ts", import.meta.url));

/** Runs the process until it ends or `enough` of its output was seen, and answers what it printed. */
async function run(scenario: string, enough: (output: string) => boolean): Promise<string> {
  const child = spawn(process.execPath, [
    ...process.execArgv.filter((arg) => !arg.startsWith("--test")),
    script,
    scenario,
  ]);
  let output = "";
  const read = (chunk: Buffer) => {
    output += chunk.toString();
    if (enough(output)) child.kill("SIGKILL");
  };
  child.stdout.on("data", read);
  child.stderr.on("data", read);
  await once(child, "close");
  return output;
}

for (const scenario of ["microtasks", "loop"]) {
  test(`the watchdog names the instance whose code never lets go of the event loop (${scenario})`, async () => {
    const output = await run(scenario, (text) => text.includes("has not let go") && !breaksOff);

    assert.match(output, /Orchestration code has not let go of the event loop/);
    assert.match(output, /"instance":"the-greedy-one"/);
  });
}

test(
  "code that is broken off blocks its instance and no other",
  { skip: breaksOff ? false : "needs Node 24" },
  async () => {
    const output = await run("among others", () => false);

    assert.match(output, /others done: 3/);
    assert.match(output, /greedy: blocked determinism_violated/);
  },
);
