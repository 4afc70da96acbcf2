/** A worker of its own on a SQLite file, for `93-limits.test.ts`: says when its model was asked, until it is told to end. */
import { once } from "node:events";
import { orchestration, Runtime } from "@stet/core";
import { after, mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";

const [path = ""] = process.argv.slice(2);
const ask = orchestration("ask", async (ctx, prompt: string) => ctx.generate(prompt));
const llm = mock().otherwise(() => {
  process.stdout.write(`${Date.now()}\n`);
  return after(300, "done"); // alone, with one call at a time, no process reaches the limit
});
process.stdout.write("ready\n");
await once(process.stdin, "data");
const runtime = await Runtime.start({
  storage: sqlite(path),
  orchestrations: [ask],
  llm,
  concurrency: { models: 1 },
  modelLimits: { "mock-1": { requestsPerSecond: 5 } },
});
await once(process.stdin, "data");
await runtime.shutdown();
process.stdin.destroy();
