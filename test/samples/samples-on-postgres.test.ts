/**
 * Samples with `postgres({ url })` in the place of `sqlite(file)`: nothing else is changed, and they print what their
 * headers say. The triage desk is killed half-way here too.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Client } from "@stet/core";
import { postgres } from "@stet/postgres";
import pg from "pg";
import { databaseUrl, dropSchemas } from "../storage/postgres-database.ts";
import { promisedBy } from "./promised.ts";
import { schemaOf } from "./sqlite-in-postgres.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const prefix = `sample_${randomBytes(6).toString("hex")}`;
process.env["STET_SAMPLE"] = prefix;
const offline = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("OPENAI_")));

after(async () => {
  const client = new pg.Client({ connectionString: databaseUrl() });
  await client.connect();
  const { rows } = await client.query<{ name: string }>(
    "SELECT nspname AS name FROM pg_namespace WHERE starts_with(nspname, $1)",
    [prefix],
  );
  await client.end();
  await dropSchemas(rows.map(({ name }) => name));
});

async function sample(file: string, ...args: readonly string[]): Promise<string> {
  assert.ok(databaseUrl());
  const flags = ["--conditions=@stet/source", "--import", "tsx", "--import", "./test/samples/on-postgres.ts"];
  const { stdout } = await run(process.execPath, [...flags, join("samples", file), ...args], {
    cwd: root,
    env: offline,
    timeout: 200_000,
  });
  return stdout;
}

const chosen = ["04-approval", "08-crash-and-resume", "19-budget"];

for (const name of chosen) {
  test(`samples/${name}.ts prints on PostgreSQL what its header says`, { timeout: 240_000 }, async () => {
    assert.equal(await sample(`${name}.ts`), promisedBy(join(root, "samples", `${name}.ts`)));
  });
}

test(
  "npm start on PostgreSQL finishes a dozen tickets across a kill, and asks nobody again",
  { timeout: 280_000 },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "stet-triage-postgres-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const database = join(folder, "triage.db");

    const output = await sample("triage/main.ts", "--db", database);
    const again = await sample("triage/main.ts", "--db", database);

    assert.match(output, /worker \d+ is killed \(SIGKILL\)/);
    assert.match(output, /^ {2}before the kill/m);
    assert.match(output, /^ {2}after the kill/m);
    assert.equal(again.split("Each line is")[1], output.split("Each line is")[1]);
    const client = await Client.connect({ storage: postgres({ url: databaseUrl(), schema: schemaOf(database) }) });
    t.after(() => client.close());
    const { instances } = await client.list();
    assert.deepEqual(
      instances.map(({ status }) => status),
      Array.from({ length: 12 }, () => "completed"),
    );
  },
);
