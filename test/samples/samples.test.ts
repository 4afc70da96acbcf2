/**
 * The numbered samples, and those of agents, do what they say: each is run as a process of its own, offline, and must
 * print exactly what its header promises.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));

/** Keys of the environment would make the samples ask a real model. */
const offline = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("OPENAI_")));

for (const folder of ["samples", "samples/agents"]) {
  const names = readdirSync(join(root, folder)).filter((name) => /^\d\d-.+\.ts$/.test(name));

  test(`there are numbered samples in ${folder}, without gaps`, () => {
    assert.ok(names.length > 0, `Expected ${folder}/NN-name.ts files, got none.`);
    assert.deepEqual(
      names.map((name) => Number(name.slice(0, 2))),
      names.map((_, i) => i + 1),
    );
  });

  for (const name of names) {
    test(`${folder}/${name} prints what its header says`, { timeout: 60_000 }, async () => {
      const expected = promised(readFileSync(join(root, folder, name), "utf8"));

      const { stdout } = await run(
        process.execPath,
        ["--conditions=@stet/source", "--import", "tsx", join(folder, name)],
        { cwd: root, env: offline, timeout: 50_000 },
      );

      assert.equal(stdout, expected);
    });
  }
}

/** The lines below ` * Prints:` in the first comment of a sample, without their margin. */
function promised(source: string): string {
  const lines = /^\/\*\*[\s\S]*?\n \* Prints:\n([\s\S]*?)\n \*\//.exec(source)?.[1];
  assert.ok(lines !== undefined, "Expected the first comment to end with the lines below Prints:, got no such lines.");
  return lines.replaceAll(/^ \* {3}/gm, "") + "\n";
}
