/** The command line itself: what it takes, what it prints where, what it ends with, and which store it works on. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { exitCodes } from "stet";
import { newFolder } from "../runtime/world.ts";
import { json, plain, type } from "./terminal.ts";

const config = (storage: string) => `export default { storage: ${JSON.stringify(storage)} };\n`;

test("start() makes the store that is named and prints the id, and list() finds the instance", async () => {
  const cwd = newFolder();

  const started = await type(["start", "greet", "--input", '{"name":"Ada"}', "--id", "g-1", "-s", "sqlite:a.db"], {
    cwd,
  });
  const listed = await type(["list", "--json", "-s", "sqlite:a.db"], { cwd });

  assert.deepEqual(started, { code: exitCodes.ok, stdout: "g-1\n", stderr: "" });
  assert.deepEqual(
    json<{ instances: { instanceId: string; status: string }[] }>(listed).instances.map(({ instanceId, status }) => [
      instanceId,
      status,
    ]),
    [["g-1", "pending"]],
  );
});

test("the store is named by the flag, else by the environment, else by the configuration", async () => {
  const cwd = newFolder();
  for (const name of ["flag", "env", "config", "other"]) {
    await type(["start", "greet", "--id", `in-${name}`, "-s", `sqlite:${name}.db`], { cwd });
  }
  writeFileSync(join(cwd, "stet.config.ts"), config("sqlite:config.db"));
  writeFileSync(join(cwd, "other.config.ts"), config("sqlite:other.db"));
  const ids = async (argv: string[], env = {}) =>
    json<{ instances: { instanceId: string }[] }>(await type(["list", "--json", ...argv], { cwd, env })).instances.map(
      ({ instanceId }) => instanceId,
    );

  assert.deepEqual(await ids([]), ["in-config"]);
  assert.deepEqual(await ids(["--config", "other.config.ts"]), ["in-other"]);
  assert.deepEqual(await ids([], { STET_CONFIG: "other.config.ts" }), ["in-other"]);
  assert.deepEqual(await ids([], { STET_STORAGE: "sqlite:env.db" }), ["in-env"]);
  assert.deepEqual(await ids(["--storage", "sqlite:flag.db"], { STET_STORAGE: "sqlite:env.db" }), ["in-flag"]);
});

test("a configuration may be TypeScript that Node does not run by itself, and give a storage provider", async () => {
  const cwd = newFolder();
  await type(["start", "greet", "--id", "g-1", "-s", "sqlite:a.db"], { cwd });
  const provider = pathToFileURL(join(import.meta.dirname, "../../providers/storage/sqlite/src/index.ts")).href;
  writeFileSync(
    join(cwd, "stet.config.ts"),
    `import { sqlite } from ${JSON.stringify(provider)};
     enum File { Store = ${JSON.stringify(join(cwd, "a.db"))} }
     export default { storage: sqlite(File.Store as string) };\n`,
  );

  const listed = await type(["list"], { cwd });

  assert.match(listed.stdout, /^g-1 /m);
});

test("options that all commands have may stand before the command", async () => {
  const cwd = newFolder();
  await type(["start", "greet", "--id", "g-1", "-s", "sqlite:a.db"], { cwd });

  const listed = await type(["--storage", "sqlite:a.db", "--json", "list"], { cwd });

  assert.equal(json<{ instances: unknown[] }>(listed).instances.length, 1);
});

test("a store that is not there is an error, and not made, unless something is put into it", async () => {
  const cwd = newFolder();

  const listed = await type(["list", "-s", "sqlite:typo.db"], { cwd });

  assert.equal(listed.code, exitCodes.storage);
  assert.match(listed.stderr, /Expected sqlite:typo\.db to be a store, got no such file/);
  assert.equal(existsSync(join(cwd, "typo.db")), false);
});

test("errors go to stderr, as JSON with --json, and the exit code says of which kind they are", async () => {
  const cwd = newFolder();
  const store = ["-s", "sqlite:a.db"];
  await type(["start", "greet", "--id", "g-1", ...store], { cwd });
  const ends = async (...argv: string[]) => {
    const { code, stdout, stderr } = await type(argv, { cwd });
    assert.equal(stdout, "", `Expected ${argv.join(" ")} to print nothing on stdout.`);
    assert.notEqual(stderr, "", `Expected ${argv.join(" ")} to say why on stderr.`);
    return code;
  };

  assert.equal(await ends("list"), exitCodes.usage, "no store is named");
  assert.equal(await ends("lst"), exitCodes.usage, "no such command");
  assert.equal(await ends("list", "--limit", "many", ...store), exitCodes.usage, "no number");
  assert.equal(await ends("list", "-s", "mysql://host/db"), exitCodes.usage, "no such kind of store");
  assert.equal(await ends("list", "-c", "nix.ts", ...store), exitCodes.usage, "no such configuration");
  assert.equal(await ends("start", "greet", "-i", "{", ...store), exitCodes.usage, "no JSON");
  assert.equal(await ends("start", "greet", "-i", "@nix.json", ...store), exitCodes.usage, "no such file");
  assert.equal(await ends("start", "greet", "--id", "g-1", ...store), exitCodes.instance, "it exists");
  assert.equal(await ends("show", "nobody", ...store), exitCodes.instance, "it does not exist");
  const refused = await type(["show", "nobody", "--json", ...store], { cwd });
  assert.equal((JSON.parse(refused.stderr) as { error: { code: string } }).error.code, "instance_not_found");
});

test("an address of a store is never printed with its password", async () => {
  const { code, stderr } = await type(["list", "-s", "postgres://ada:secret@127.0.0.1:1/none"]);

  assert.equal(code, exitCodes.storage);
  assert.doesNotMatch(stderr, /secret/);
  assert.doesNotMatch((await type(["list", "-s", "mysql://ada:secret@host/db"])).stderr, /secret/);
});

test("colours are for terminals, and for those who want them", async () => {
  const cwd = newFolder();
  const store = ["-s", "sqlite:a.db"];
  await type(["start", "greet", "--id", "g-1", ...store], { cwd });
  const printed = async (argv: string[], around = {}) => (await type([...argv, ...store], { cwd, ...around })).stdout;
  const isPainted = (text: string) => text !== plain(text);

  assert.equal(isPainted(await printed(["list"], { columns: 80 })), true);
  assert.equal(isPainted(await printed(["list"])), false, "in a pipe");
  assert.equal(isPainted(await printed(["list"], { columns: 80, env: { NO_COLOR: "1" } })), false, "NO_COLOR");
  assert.equal(isPainted(await printed(["list", "--no-color"], { columns: 80 })), false, "--no-color");
  assert.equal(isPainted(await printed(["list", "--json"], { columns: 80 })), false, "JSON");
});
