/** The process of `83-watchdog.test.ts`: an orchestration that does not let go, alone or among others. */
import { setTimeout as sleep } from "node:timers/promises";
import { activity, orchestration, Runtime } from "@stet/core";
import { sqlite } from "@stet/sqlite";

const echo = activity("echo", async (_ctx, n: number) => n);

const microtasks = orchestration("microtasks", async (ctx) => {
  await ctx.activity(echo, 1);
  for (;;) await Promise.resolve();
});

const loop = orchestration("loop", async (ctx) => {
  await ctx.activity(echo, 1);
  for (;;);
});

const modest = orchestration("modest", async (ctx, n: number) => {
  for (let i = 0; i < 20; i++) await ctx.activity(echo, i);
  return n;
});

const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  orchestrations: [microtasks, loop, modest],
  activities: [echo],
});

const [, , scenario] = process.argv;
if (scenario === "among others") {
  const others = await Promise.all([1, 2, 3].map((n) => runtime.startOrchestration(modest, n)));
  const greedy = await runtime.startOrchestration(microtasks, undefined, { instanceId: "the-greedy-one" });
  const done = await Promise.all(others.map((handle) => handle.result()));
  process.stdout.write(`others done: ${done.length}\n`);
  let status = await greedy.status();
  while (status.status !== "blocked") {
    await sleep(50);
    status = await greedy.status();
  }
  process.stdout.write(`greedy: ${status.status} ${status.error?.code}\n`);
  await runtime.shutdown();
} else {
  await runtime.startOrchestration(scenario === "loop" ? loop : microtasks, undefined, {
    instanceId: "the-greedy-one",
  });
}
