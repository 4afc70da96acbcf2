/** Streams between processes: a reader in one, workers in others, one of which is killed while its model speaks. */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Client, type StreamPiece } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { essay } from "./essay.ts";
import { newFolder, ofKind } from "./world.ts";

/** A worker whose model says so many words that begin with `name`. */
function worker(t: TestContext, path: string, name: string, words: number): ChildProcess {
  const child = fork(fileURLToPath(new URL("stream-process.ts", import.meta.url)), [path, name, `${words}`]);
  t.after(() => child.kill("SIGKILL"));
  return child;
}

test("kill -9 while a model speaks: the reader goes on from its offset, and ends with the recorded text", async (t) => {
  const path = join(newFolder(), "app.db");
  const client = await Client.connect({ storage: sqlite(path) });
  t.after(() => client.close());
  const run = await client.startOrchestration(essay, undefined, { instanceId: "e" });
  const first = worker(t, path, "first", 100_000);

  const seen: StreamPiece[] = [];
  for await (const piece of run.stream({ channel: "essay" })) {
    seen.push(piece);
    if (seen.length === 3) break;
  }
  first.kill("SIGKILL");
  await once(first, "exit");
  worker(t, path, "second", 20);
  for await (const piece of run.stream({ channel: "essay", from: seen.at(-1)?.offset ?? 0 })) seen.push(piece);

  const offsets = seen.map(({ offset }) => offset);
  assert.deepEqual(
    offsets,
    [...new Set(offsets)].sort((a, b) => a - b),
  );
  const mark = seen.findLastIndex(({ kind }) => kind === "superseded");
  const textOf = (pieces: readonly StreamPiece[]) => pieces.map(({ text }) => text).join("");
  assert.match(textOf(seen.slice(0, mark)), /^first1 first2 first3 (first\d+ )*$/);
  assert.ok(mark >= 3, "Expected what the first worker said to be there before it is superseded.");
  const { result } = ofKind(await run.history(), "LlmCompleted")[0] ?? assert.fail();
  assert.equal(result.text, Array.from({ length: 20 }, (_, i) => `second${i + 1} `).join(""));
  assert.equal(textOf(seen.slice(mark)), result.text);
  assert.equal(seen.at(-1)?.kind, "end");
  assert.equal(await run.result(), result.text);
});

test("a reader in another process hears a model while it speaks", async (t) => {
  const path = join(newFolder(), "app.db");
  const client = await Client.connect({ storage: sqlite(path) });
  t.after(() => client.close());
  const run = await client.startOrchestration(essay, undefined, { instanceId: "e" });
  worker(t, path, "word", 100);

  const heardWhileRunning: string[] = [];
  for await (const { kind, text } of run.stream()) {
    if (kind === "delta" && (await run.history()).every(({ kind: event }) => event !== "LlmCompleted")) {
      heardWhileRunning.push(text);
    }
  }

  assert.ok(heardWhileRunning.length >= 5, `${heardWhileRunning.length} pieces while it spoke`);
  assert.ok(heardWhileRunning.every((text) => text.length > 0));
});
