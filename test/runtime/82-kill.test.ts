/** A real process, killed in the middle of its work and started again. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Client, type HistoryEvent } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { replayHistory } from "@stet/testing";
import { child, work } from "./kill-process.ts";
import { ofKind } from "./world.ts";

const script = fileURLToPath(new URL("./kill-process.ts", import.meta.url));

/** A store in a folder of its own, and processes that work on it. */
async function site(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "stet-kill-"));
  const [store, starts] = [join(folder, "store.db"), join(folder, "starts.txt")];
  const processes: ChildProcess[] = [];
  const client = await Client.connect({ storage: sqlite(store) });
  t.after(async () => {
    for (const each of processes) each.kill("SIGKILL");
    await client.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    client,
    startsByKey: (): Map<string, number> => {
      const counted = new Map<string, number>();
      for (const line of (existsSync(starts) ? readFileSync(starts, "utf8") : "").trim().split("\n")) {
        const [key = ""] = line.split(" ");
        counted.set(key, (counted.get(key) ?? 0) + 1);
      }
      return counted;
    },
    launch: async (name: string): Promise<ChildProcess> => {
      const launched = spawn(process.execPath, [...process.execArgv, script, store, starts, name], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      processes.push(launched);
      await once(launched.stdout as NodeJS.ReadableStream, "data");
      return launched;
    },
  };
}

async function kill(process: ChildProcess): Promise<void> {
  const gone = once(process, "exit");
  process.kill("SIGKILL");
  await gone;
}

/** Looks until a condition holds. The store is in another process, so there is nothing to wait for but time. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  const giveUpAt = Date.now() + 60_000; // a loaded machine is slow, not wrong
  while (!(await condition())) {
    assert.ok(Date.now() < giveUpAt, "Expected the condition to hold within 60 s.");
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

async function allHistories(
  client: Client,
): Promise<{ id: string; execution: number; rootId: string; events: HistoryEvent[] }[]> {
  const { instances } = await client.list({ limit: 1000 });
  const found = [];
  for (const { instanceId: id, rootId } of instances) {
    for (const { execution } of await client.executions(id)) {
      found.push({ id, rootId, execution, events: await client.instance(id).history(execution) });
    }
  }
  return found;
}

test("killed three times in the middle, started again each time: everything ends, once, and at once", async (t) => {
  const { client, launch, startsByKey } = await site(t);
  const startsSoFar = () => [...startsByKey().values()].reduce((sum, times) => sum + times, 0);
  const count = 60;
  let worker = await launch("worker-0");
  for (let i = 0; i < count; i++) await client.startOrchestration(work, i, { instanceId: `w-${i}` });
  const events = async (): Promise<HistoryEvent[]> => (await allHistories(client)).flatMap(({ events: all }) => all);

  for (let kills = 1; kills <= 3; kills++) {
    const before = startsSoFar();
    await until(async () => startsSoFar() > before + 40);
    await kill(worker);
    const recorded = (await events()).length;
    assert.ok((await client.stats()).instances.running > 0, "it was killed in the middle");
    worker = await launch(`worker-${kills}`);
    const { workers } = await client.stats();
    const startedAt = workers.find(({ name }) => name === `worker-${kills}`)?.registeredAt ?? Number.NaN;
    await until(async () => (await events()).length > recorded);
    const first = Math.min(...(await events()).map(({ at }) => at).filter((at) => at >= startedAt));
    // A tenth of a second as a rule. The bound tells recognising the dead (at once) from waiting for them (10 s).
    assert.ok(first - startedAt < 5_000, `${first - startedAt} ms until work went on`);
    assert.deepEqual(
      (await client.stats()).workers.map(({ name }) => name),
      [`worker-${kills}`],
      "the dead one is buried",
    );
  }

  for (let i = 0; i < count; i++) {
    assert.equal(await client.instance(`w-${i}`).result({ timeout: "60s" }), i + 8 + 3);
  }
  const starts = startsByKey();
  for (const { id, rootId, execution, events: history } of await allHistories(client)) {
    assert.deepEqual(
      history.map((event) => event.id),
      history.map((_, i) => i + 1),
    );
    const answered = history.flatMap((event) => ("source" in event ? [event.source] : []));
    assert.equal(new Set(answered).size, answered.length, "each request is answered once");
    for (const { id: eventId, name } of ofKind(history, "ActivityScheduled")) {
      const times = starts.get(`${id}/${execution}/${eventId}`) ?? 0;
      const end = history.find((event) => "source" in event && event.source === eventId) as { attempts?: number };
      assert.ok(times <= (end.attempts ?? 1), `${id}/${eventId} was started ${times} times`);
      if (name === "pay") assert.ok(times <= 1, "irreversible work was started twice");
    }
    const definition = history[0]?.kind === "OrchestrationStarted" && history[0].name === "work" ? work : child;
    const report = await replayHistory(definition, history, { instanceId: id, rootId, execution });
    assert.ok(report.ok, report.failure?.message);
  }
});

test("a client sees a worker of another process go and come", async (t) => {
  const { client, launch } = await site(t);
  const run = await client.startOrchestration(work, 0, { instanceId: "w" });
  assert.equal((await client.stats()).workers.length, 0);
  assert.deepEqual((await client.stats()).missingHandlers.orchestrations, ["work"]);
  const worker = await launch("late");
  assert.equal(await run.result({ timeout: "60s" }), 11);
  assert.deepEqual(
    (await client.stats()).workers.map(({ name, pid }) => [name, pid]),
    [["late", worker.pid]],
  );
});
