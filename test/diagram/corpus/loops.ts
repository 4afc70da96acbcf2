/** Again and again. */
import { orchestration } from "@stet/core";
import { notify, ship, weigh } from "./definitions.ts";

export const forEach = orchestration("forEach", async (ctx, ids: string[]) => {
  const shipped: string[] = [];
  for (const id of ids) shipped.push(await ctx.activity(ship, id));
  return shipped;
});

export const counted = orchestration("counted", async (ctx, times: number) => {
  for (let i = 0; i < times; i++) await ctx.activity(notify, `${i}`);
});

export const whileAsked = orchestration("whileAsked", async (ctx, topic: string) => {
  while (await ctx.ifTrue(`Is there more to say about ${topic}?`)) await ctx.activity(notify, topic);
});

export const doWhile = orchestration("doWhile", async (ctx, id: string) => {
  let parcel;
  do {
    parcel = await ctx.activity(weigh, id);
    await ctx.timer(100);
  } while (parcel.price > 10);
  return parcel;
});

export const endless = orchestration("endless", async (ctx) => {
  while (true) {
    const word = await ctx.waitForEvent<string>("word");
    if (word === "stop") break;
    if (word === "") continue;
    await ctx.activity(notify, word);
  }
  await ctx.activity(notify, "stopped");
});

export const neverEnds = orchestration("neverEnds", async (ctx) => {
  for (;;) await ctx.activity(notify, await ctx.waitForEvent<string>("word"));
});

export const labelled = orchestration("labelled", async (ctx, rows: string[][]) => {
  rows: for (const row of rows) {
    for (const id of row) {
      if (id === "skip") continue rows;
      if (id === "stop") break rows;
      await ctx.activity(ship, id);
    }
    await ctx.activity(notify, "row done");
  }
});

export const monitor = orchestration("monitor", { version: "2.1" }, async (ctx, count: number) => {
  const { price } = await ctx.activity(weigh, "all");
  if (price > 100) return "full";
  await ctx.timer("1h");
  return ctx.continueAsNew(count + 1);
});
