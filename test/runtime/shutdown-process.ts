/** The process of `92-shutdown-in-trouble.test.ts`: nothing but the runtime keeps it alive, and then nothing does. */
import { activity, orchestration, Runtime } from "@stet/core";
import { sqlite } from "@stet/sqlite";

const say = activity("say", async (_ctx, text: string) => {
  process.stdout.write(`${text}\n`);
});

const wait = orchestration("wait", async (ctx) => {
  await ctx.timer(300);
  await ctx.activity(say, "hello after 300 ms");
});

const runtime = await Runtime.start({ storage: sqlite(":memory:"), orchestrations: [wait], activities: [say] });
const run = await runtime.startOrchestration(wait);
void run.result().then(async () => {
  await runtime.shutdown();
  process.stdout.write("ended\n");
});
