/**
 * Another process on the same SQLite file, for tests that need one: `open` opens and closes, `claim` claims instances
 * until there are none and prints their ids. It says "ready" and waits for a line before it begins, so that several
 * begin together.
 */
import { once } from "node:events";
import { sqlite } from "@stet/sqlite";

const [path = "", task = ""] = process.argv.slice(2);
process.stdout.write("ready\n");
await once(process.stdin, "data");

const store = sqlite(path);
await store.open();
if (task === "claim") process.stdout.write(`${(await claimAll()).join(" ")}\n`);
await store.close();
process.stdin.destroy();

async function claimAll(): Promise<string[]> {
  const capabilities = { orchestrations: ["order"], activities: [], models: false, tags: [] };
  const worker = await store.registerWorker({ name: "w", host: "h", pid: process.pid, capabilities, now: 1 });
  const ids: string[] = [];
  for (;;) {
    const turns = await store.claimTurns({ worker, now: 1, max: 5, orchestrations: ["order"], buildId: "b" });
    const fresh = turns.filter((turn) => !ids.includes(turn.instanceId));
    if (fresh.length === 0) return ids;
    ids.push(...fresh.map((turn) => turn.instanceId));
    await store.commitTurns(
      worker,
      turns.map((turn) => ({
        key: turn.key,
        execution: turn.execution,
        expectedEventId: turn.lastEventId,
        history: [{ execution: 1, firstEventId: 1, lastEventId: 1, body: "[]" }],
        consumed: turn.messages.map((message) => message.key),
        payloads: [],
        timers: [],
        settled: [],
        work: [],
        messages: [],
        starts: [],
        state: [],
        outputs: [],
        waits: [],
        unsettled: false,
        keep: true,
        at: 1,
      })),
    );
  }
}
