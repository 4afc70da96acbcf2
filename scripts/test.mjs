// `npm test [file or folder ...]`: runs every *.test.ts under packages/, providers/ and test/ from source.
//
// `node --test` finds no TypeScript by itself on Node 20 and then ends with 0, and it counts an empty file as a passed
// test. So the files are found here, and a whole run fails when it ran fewer tests than test/floor.json says.

import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { ensureInstalled, root } from "./install.mjs";
import { startPostgres } from "./postgres-server.mjs";

const capMs = 30 * 60_000;
const chosen = process.argv.slice(2);
const files = chosen.length > 0 ? chosen.flatMap((path) => testFiles(resolve(path))) : everyTestFile();

ensureInstalled();
const server = needsPostgres() ? await startPostgres() : undefined;
if (server !== undefined) process.env.DATABASE_URL = server.url;
const { code, output } = await run(files.map((file) => relative(root, file)).sort());
await server?.stop();
process.exit(code || verdict(output));

/** One server serves all files; DATABASE_URL names another. Tests that need one never pass without. */
function needsPostgres() {
  return !process.env.DATABASE_URL && files.some((file) => readFileSync(file, "utf8").includes("postgres"));
}

function everyTestFile() {
  return ["packages", "providers", "test"].flatMap((folder) => testFiles(join(root, folder)));
}

function testFiles(path) {
  if (!existsSync(path)) fail(`Expected ${path} to exist.`);
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory())
      return ["node_modules", "dist"].includes(entry.name) ? [] : testFiles(join(path, entry.name));
    return entry.name.endsWith(".test.ts") ? [join(path, entry.name)] : [];
  });
}

function run(paths) {
  if (paths.length === 0) fail("Expected at least one *.test.ts file, got none.");
  const flags = [
    "--conditions=@stet/source",
    "--import",
    "tsx",
    "--test",
    "--test-force-exit",
    "--test-timeout=300000", // of a whole file, on Node 20: a slow machine is slow, not wrong
    "--test-concurrency=2",
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
  ];
  const child = spawn(process.execPath, [...flags, ...paths], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  const cap = setTimeout(() => {
    console.error(`The tests did not end within ${capMs / 60_000} minutes.`);
    child.kill("SIGKILL");
  }, capMs);
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  let output = "";
  child.stdout.on("data", (chunk) => {
    process.stdout.write(chunk);
    output += chunk;
  });
  return new Promise((done) => {
    child.on("close", (exitCode) => {
      clearTimeout(cap);
      done({ code: exitCode ?? 1, output });
    });
  });
}

/** The runner was content; is it believable? Reads its closing lines. */
function verdict(text) {
  const count = (word) =>
    Number([...stripVTControlCharacters(text).matchAll(new RegExp(`^(?:ℹ|#) ${word} (\\d+)$`, "gm"))].at(-1)?.[1]);
  const tests = count("tests");
  if (Number.isNaN(tests)) fail("Expected the runner to print how many tests it ran, got no such line.");
  if (count("fail") + count("cancelled") > 0) return 1;
  if (chosen.length > 0) return 0;
  const floor = JSON.parse(readFileSync(join(root, "test/floor.json"), "utf8")).tests;
  if (tests < floor) fail(`Expected at least ${floor} tests (test/floor.json), got ${tests}.`);
  return 0;
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
