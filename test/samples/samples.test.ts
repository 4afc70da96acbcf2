/**
 * The numbered samples, and those of agents, do what they say: each is run as a process of its own, offline, and must
 * print exactly what its header promises.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { promisedBy } from "./promised.ts";

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
      const expected = promisedBy(join(root, folder, name));

      const { stdout } = await run(
        process.execPath,
        ["--conditions=@stet/source", "--import", "tsx", join(folder, name)],
        { cwd: root, env: offline, timeout: 50_000 },
      );

      assert.equal(stdout, expected);
    });
  }
}
