/**
 * `npm start`, offline: the worker is killed half-way, the next one finishes, and nothing recorded is asked for again. The
 * database and the tally are read here once more, so that the sample need not be believed.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Client, type HistoryEvent } from "@stet/core";
import { sqlite } from "@stet/sqlite";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("npm start finishes a dozen tickets across a kill", { timeout: 110_000 }, async (t) => {
  const folder = await temporaryFolder(t);
  const database = join(folder, "triage.db");
  const { code, output } = await start(["--db", database]);
  assert.equal(code, 0, output);
  assert.match(output, /worker \d+ is killed \(SIGKILL\)/);

  const histories = await historiesIn(database);
  const { kills, calls } = await readTally(`${database}.tally.jsonl`);
  const [kill] = kills;
  assert.ok(kill !== undefined && kills.length === 1, "Expected exactly one kill.");
  const isBefore = (instanceId: string, event: HistoryEvent) => event.id <= (kill.lastEventIds[instanceId] ?? 0);
  const answers = [...histories].flatMap(([instanceId, events]) =>
    events.flatMap((event) =>
      event.kind === "LlmCompleted"
        ? [{ key: `${instanceId}/1/${event.source}`, before: isBefore(instanceId, event) }]
        : [],
    ),
  );

  await t.test("all instances completed", () => {
    assert.equal(histories.size, 12);
    for (const [instanceId, events] of histories) {
      assert.equal(events.at(-1)?.kind, "OrchestrationCompleted", instanceId);
    }
  });

  await t.test("there are results on both sides of the kill, and the timeline tells them apart", () => {
    const before = answers.filter((answer) => answer.before).length;
    assert.ok(before > 0 && before < answers.length, `${before} of ${answers.length} answers before the kill`);
    assert.match(output, /^ {2}before the kill {4}3 {2}classify +refund$/m);
    assert.match(output, /^ {2}after the kill +\d+ {2}\w+/m);
  });

  await t.test("no call answered before the kill was made again", () => {
    for (const { key, before } of answers) {
      const lines = calls.get(key) ?? [];
      assert.ok(lines.length > 0, `Expected a call of ${key} in the tally.`);
      if (before)
        assert.deepEqual(
          lines.filter((line) => line > kill.line),
          [],
          key,
        );
    }
  });

  await t.test("the hostile ticket was not refunded, the entitled ones were, once", async () => {
    const hostile = histories.get("ticket-10-system-override") ?? [];
    const names = hostile.flatMap((event) => (event.kind === "ActivityScheduled" ? [event.name] : []));
    assert.ok(names.includes("lookUpOrder") && !names.includes("payRefund"), names.join(", "));
    assert.match(output, /^10-system-override +other: /m);

    const payments = (await readFile(`${database}.payments.jsonl`, "utf8")).trimEnd().split("\n");
    const references: string[] = payments.map((line) => JSON.parse(line).reference);
    assert.deepEqual(references.sort(), ["01-changed-my-mind", "03-linke-seite-tot", "06-speaker-and-equaliser"]);
  });

  await t.test("started again on its finished database it asks nobody and says the same", async () => {
    const again = await start(["--db", database]);
    assert.equal(again.code, 0, again.output);
    const [, blocks] = output.split("Each line is");
    const [, blocksAgain] = again.output.split("Each line is");
    assert.equal(blocksAgain, blocks);
  });
});

test("npm start triages a text of your own", { timeout: 60_000 }, async (t) => {
  const folder = await temporaryFolder(t);
  const file = join(folder, "broken-headphones.txt");
  const text =
    "From: Margaret Ellwood <m@example.com>\n\nMy Fjell 700 (NA-48213, 249.00 EUR) hums. I want my money back.\n";
  await writeFile(file, text);
  const { code, output } = await start([file, "--db", join(folder, "own.db")]);
  assert.equal(code, 0, output);
  assert.match(output, /^broken-headphones +refund: refunded 249\.00 EUR$/m);
  assert.match(output, /1 of 1 instance completed/);
  assert.match(output, /after the kill/);
});

/** As `scripts/start.mjs` does it, without a key. */
function start(args: readonly string[]): Promise<{ code: number | string; output: string }> {
  const { OPENAI_API_KEY: _key, ...env } = process.env;
  const flags = ["--conditions=@stet/source", "--import", "tsx", "samples/triage/main.ts"];
  return new Promise((resolve) => {
    execFile(process.execPath, [...flags, ...args], { cwd: root, env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? String(error.signal)), output: stdout + stderr });
    });
  });
}

async function historiesIn(database: string): Promise<Map<string, HistoryEvent[]>> {
  const client = await Client.connect({ storage: sqlite(database) });
  try {
    const { instances } = await client.list();
    const histories = instances.map(
      async ({ instanceId }) => [instanceId, await client.instance(instanceId).history()] as const,
    );
    return new Map(await Promise.all(histories));
  } finally {
    await client.close();
  }
}

interface Kill {
  readonly line: number;
  readonly lastEventIds: { readonly [instanceId: string]: number };
}

/** The kills, and the lines at which each call was made, by idempotency key. */
async function readTally(file: string): Promise<{ kills: Kill[]; calls: Map<string, number[]> }> {
  const kills: Kill[] = [];
  const calls = new Map<string, number[]>();
  const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
  lines.forEach((text, line) => {
    const { kind, key, lastEventIds } = JSON.parse(text);
    if (kind === "killed") kills.push({ line, lastEventIds });
    if (kind === "asked") calls.set(key, [...(calls.get(key) ?? []), line]);
  });
  return { kills, calls };
}

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "stet-triage-test-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
