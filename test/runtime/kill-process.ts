/** The process of `82-kill.test.ts`: a worker that goes on until it is killed. Each start of an activity is written down. */
import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { activity, orchestration, Runtime } from "@stet/core";
import { sqlite } from "@stet/sqlite";

const [, , store = "", starts = "", name = "worker"] = process.argv;

/** Long enough that three kills find work to interrupt, however slowly the test looks. */
const stepMs = 250;

const step = activity("step", async (ctx, n: number) => {
  appendFileSync(starts, `${ctx.idempotencyKey} ${ctx.attempt}\n`);
  await sleep(stepMs);
  return n + 1;
});

const pay = activity("pay", { effect: "irreversible" }, async (ctx) => {
  appendFileSync(starts, `${ctx.idempotencyKey} ${ctx.attempt}\n`);
  await sleep(stepMs);
});

export const child = orchestration("child", async (ctx, n: number) => ctx.activity(step, n));

export const work = orchestration("work", async (ctx, from: number): Promise<number> => {
  let n = from;
  for (let i = 0; i < 3; i++) n = await ctx.activity(step, n);
  const parts = await Promise.all([1, 2, 3].map((part) => ctx.activity(step, part)));
  await ctx.timer(20);
  await ctx.activity(pay).catch(() => undefined);
  n = await ctx.subOrchestration(child, n);
  return ctx.execution < 2 ? ctx.continueAsNew(n) : n + parts.length;
});

if (store !== "") {
  await Runtime.start({
    storage: sqlite(store),
    orchestrations: [work, child],
    activities: [step, pay],
    workerName: name,
  });
  process.stdout.write("at work\n");
}
