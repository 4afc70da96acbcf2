/** That the benchmark runs and says what it promises to say. How fast it is, no test decides. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Report } from "./report.ts";
import { sizingOf } from "./sizing.ts";

const main = fileURLToPath(new URL("main.ts", import.meta.url));

test("the benchmark prints a table and writes JSON of the promised shape", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "stet-bench-test-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "bench.json");

  const { stdout, stderr } = await bench("--quick", "--only", "startToResult", "--json", file);

  const { machine, date, quick, rows } = JSON.parse(readFileSync(file, "utf8")) as Report;
  assert.ok(machine.cores > 0 && machine.node === process.versions.node, JSON.stringify(machine));
  assert.ok(!Number.isNaN(Date.parse(date)), date);
  assert.equal(quick, true);
  assert.deepEqual(
    rows.map(({ id, unit }) => [id, unit]),
    [
      ["startToResult", "ms"],
      ["startToResult.p99", "ms"],
      ["startToResult.full", "ms"],
      ["startToResult.full.p99", "ms"],
    ],
  );
  for (const row of rows) assert.ok(row.value > 0 && (row.limit ?? 0) > 0 && (row.ratio ?? 0) > 0, JSON.stringify(row));
  const [first] = rows;
  assert.deepEqual(Object.keys(first ?? {}), [
    ...["id", "value", "unit", "limit", "ratio", "p50", "p99"],
    ...["floor", "floorMet", "aim", "aimMet"],
  ]);
  assert.match(stdout, /^\| startToResult +\| /m);
  assert.match(stderr, /startToResult: run 1 of 1/);
});

test("the benchmark measures a store on a server, and counts what goes there", async () => {
  assert.ok(process.env["DATABASE_URL"], "run this by scripts/test.mjs");

  const { stdout } = await bench("--storage", "postgres", "--quick", "--only", "startToResult");

  assert.match(stdout, /PostgreSQL \d+/);
  const [, trips] = /^\| startToResult.roundTrips +\| +([\d.]+) /m.exec(stdout) ?? [];
  assert.ok(Number(trips) > 0, stdout);
});

for (const storage of ["sqlite", "postgres"]) {
  test(`the benchmark measures what stays in a store, and says how much room it needs (${storage})`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "stet-bench-test-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, "bench.json");

    await bench("--storage", storage, "--quick", "--only", "disk", "--json", file);

    const { rows } = JSON.parse(readFileSync(file, "utf8")) as Report;
    assert.deepEqual(
      rows.map(({ id }) => id),
      ["disk.activity", "disk.instance", "disk.waiting"],
    );
    for (const { id, value } of rows) assert.ok(value > 50 && value < 5_000, `${id}: ${value}`);
    assert.match(sizingOf(rows), /^\| disk of an activity \| \d+ bytes \| `disk.activity` \|$/m);
    assert.match(sizingOf(rows), /So a million activities a day in 200,000 instances are [\d.]+ GB a month/);
  });
}

test("the benchmark refuses a command line that it does not understand", async () => {
  await assert.rejects(bench("--only", "nothing"), /Expected --only to begin a row's id/);
  await assert.rejects(bench("--storage", "punch cards"), /Expected --storage to be sqlite or postgres/);
  await assert.rejects(bench("--write-docs", "--quick"), /--write-docs measures everything/);
});

/** From source, as all tests run: what is compiled may be old or not there. */
function bench(...args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const flags = ["--conditions=@stet/source", "--import", "tsx", "--expose-gc"];
  return promisify(execFile)(process.execPath, [...flags, main, ...args], { timeout: 100_000 });
}
