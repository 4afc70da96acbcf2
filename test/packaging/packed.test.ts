/**
 * What users get: the packages as npm packs them, installed into an empty folder, without the source condition, tsx or
 * the workspace around them. The program is the one that the README shows.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { transform } from "esbuild";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const tsc = join(root, "node_modules/typescript/bin/tsc");

test("the packed packages work in an empty project", { timeout: 240_000 }, async (t) => {
  const { project, packed } = await installPacked(t);

  await t.test("a package holds what it builds and nothing else", () => {
    for (const { name, files } of packed) {
      const strays = files.filter(
        (file) => !/^(dist\/.+\.(js|d\.ts)(\.map)?|package\.json|README\.md|LICENSE)$/.test(file),
      );
      assert.deepEqual(strays, [], `Expected ${name} to hold only its build.`);
    }
  });

  await t.test("every public entry can be imported", async () => {
    for (const { name } of packed) {
      const manifest = await readManifest(join(project, "node_modules", name));
      const entries = Object.keys(manifest.exports).map((path) => name + path.slice(1));
      await run(
        process.execPath,
        ["-e", entries.map((entry) => `await import("${entry}");`).join("\n"), "--input-type=module"],
        {
          cwd: project,
        },
      );
    }
  });

  await t.test("the program in the README type-checks and runs", async () => {
    await writeFile(join(project, "program.ts"), await programInReadme());
    const flags = ["--noEmit", "--strict", "--target", "es2023", "--module", "nodenext", "--types", "node"];
    await orOutput(
      run(process.execPath, [tsc, ...flags, "--typeRoots", join(root, "node_modules/@types"), "program.ts"], {
        cwd: project,
      }),
    );
    // Node 20 runs no TypeScript: take the types away first, as Node 22 and later do by themselves.
    const { code } = await transform(await readFile(join(project, "program.ts"), "utf8"), {
      loader: "ts",
      target: "node20",
    });
    await writeFile(join(project, "program.mjs"), code);

    const { stdout } = await orOutput(run(process.execPath, ["program.mjs"], { cwd: project, timeout: 30_000 }));

    assert.notEqual(stdout.trim(), "", "Expected the program to print something.");
  });

  await t.test(
    "the project that `stet init` makes type-checks, passes its own test, and runs on the built program",
    async () => {
      const stet = (cwd: string, ...argv: string[]) =>
        orOutput(run(process.execPath, [join(project, "node_modules/stet/dist/bin.js"), ...argv], { cwd }));
      await stet(project, "init", "shop");
      const shop = join(project, "shop"); // it finds the packages in the folder above

      await orOutput(
        run(process.execPath, [tsc, "-p", ".", "--typeRoots", join(root, "node_modules/@types")], { cwd: shop }),
      );
      await orOutput(run("npm", ["test"], { cwd: shop, timeout: 60_000 }));
      const started = await stet(shop, "start", "placeOrder", "--input", '{"item":"a pen","price":2}', "--id", "pen");
      const worker = execFile(process.execPath, [join(project, "node_modules/stet/dist/bin.js"), "worker"], {
        cwd: shop,
      });
      const watched = await stet(shop, "watch", "pen");
      worker.kill("SIGINT");
      const [code] = (await once(worker, "exit")) as [number | null];

      assert.equal(started.stdout, "pen\n");
      assert.match(watched.stdout, /completed after .*: bought a pen for 2\n$/);
      assert.equal(code, 0);
    },
  );
});

interface Packed {
  readonly name: string;
  readonly filename: string;
  readonly files: readonly string[];
}

/** Builds and packs every package, and installs all the tarballs together, so that they must fit each other. */
async function installPacked(t: TestContext): Promise<{ project: string; packed: readonly Packed[] }> {
  const project = await mkdtemp(join(tmpdir(), "stet-packed-"));
  t.after(() => rm(project, { recursive: true, force: true }));

  await orOutput(run(process.execPath, [tsc, "-b", ...(await packageFolders())], { cwd: root }));
  const { stdout } = await run("npm", ["pack", "--workspaces", "--json", "--pack-destination", project], { cwd: root });
  const packed = (JSON.parse(stdout) as { name: string; filename: string; files: { path: string }[] }[]).map(
    ({ name, filename, files }) => ({ name, filename, files: files.map(({ path }) => path) }),
  );

  await writeFile(join(project, "package.json"), JSON.stringify({ name: "empty", private: true, type: "module" }));
  // Scripts are off because better-sqlite3 12 would compile SQLite for a minute. What it would build is here already.
  const tarballs = packed.map(({ filename }) => `./${filename}`);
  await orOutput(
    run("npm", ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", ...tarballs], { cwd: project }),
  );
  await copyBuiltSqlite(project);
  return { project, packed };
}

/** On Node 22 and later npm may choose better-sqlite3 13, which brings its binaries along and needs no copy. */
async function copyBuiltSqlite(project: string): Promise<void> {
  const [built, installed] = [root, project].map((folder) => join(folder, "node_modules/better-sqlite3")) as [
    string,
    string,
  ];
  const same = (await readManifest(built)).version === (await readManifest(installed)).version;
  if (same) await cp(join(built, "build"), join(installed, "build"), { recursive: true });
}

async function readManifest(folder: string): Promise<{ version: string; exports: Record<string, unknown> }> {
  return JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as never;
}

async function packageFolders(): Promise<string[]> {
  const parents = ["packages", "providers/storage", "providers/llm"];
  const folders = parents.map(async (parent) => (await readdir(join(root, parent))).map((name) => `${parent}/${name}`));
  return (await Promise.all(folders)).flat();
}

/** The first ts block after the line `<!-- program -->`. */
async function programInReadme(): Promise<string> {
  const readme = await readFile(join(root, "README.md"), "utf8").catch(() =>
    assert.fail("Expected README.md to exist."),
  );
  const program = /^<!-- program -->$[\s\S]*?^```ts\n([\s\S]*?)^```$/m.exec(readme)?.[1];
  assert.ok(program, "Expected README.md to have a ts block after a line <!-- program -->, got none.");
  return program;
}

/** A failed command says why on its output, which its error message leaves out. */
async function orOutput<T>(command: Promise<T>): Promise<T> {
  return command.catch((error: Error & { stdout?: string }) => {
    error.message += `\n${error.stdout}`;
    throw error;
  });
}
