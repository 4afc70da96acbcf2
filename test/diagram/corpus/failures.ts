/** What fails, what is caught, and what is undone. */
import { isStetError, orchestration } from "@stet/core";
import { charge, notify, refund, ship, twice, weigh } from "./definitions.ts";

export const caught = orchestration("caught", async (ctx, id: string) => {
  try {
    await ctx.activity(ship, id);
  } catch (error) {
    if (isStetError(error, "cancelled")) throw error;
    await ctx.activity(notify, "it failed");
  }
  return "done";
});

export const cleanedUp = orchestration("cleanedUp", async (ctx, id: string) => {
  try {
    if (id === "") return "nothing";
    await ctx.activity(ship, id);
  } finally {
    await ctx.activity(notify, "over");
  }
  return "shipped";
});

export const caughtAndCleanedUp = orchestration("caughtAndCleanedUp", async (ctx, ids: string[]) => {
  for (const id of ids) {
    try {
      if (id === "skip") continue;
      await ctx.activity(ship, id);
    } catch {
      await ctx.activity(refund, 1);
      break;
    } finally {
      await ctx.activity(notify, id);
    }
  }
  await ctx.timer("1s");
});

export const saga = orchestration("saga", async (ctx, id: string) => {
  const parcel = await ctx.activity(weigh, id);
  await ctx.activity(charge, parcel);
  try {
    await ctx.activity(ship, id);
    await ctx.activity(notify, "on its way");
  } catch (error) {
    await ctx.activity(refund, parcel.price);
    throw error;
  }
});

export const sagaByList = orchestration("sagaByList", async (ctx, id: string) => {
  const undo: (() => Promise<unknown>)[] = [];
  try {
    const parcel = await ctx.activity(weigh, id);
    undo.push(() => ctx.activity(refund, parcel.price));
    await ctx.activity(charge, parcel);
    undo.push(async () => {
      await ctx.timer("1m");
      await ctx.activity(notify, "stopped");
    });
    return await ctx.activity(ship, id);
  } catch (error) {
    for (const each of undo.reverse()) await each();
    throw error;
  }
});

export const chains = orchestration("chains", async (ctx, id: string) => {
  const parcel = await ctx.activity(weigh, id).catch(() => ctx.activity(weigh, "instead"));
  await ctx
    .activity(charge, parcel)
    .then((price) => ctx.activity(refund, price))
    .finally(() => ctx.activity(notify, "settled"));
  const left = ctx.activity(ship, id);
  left.catch(() => undefined);
  return left;
});

export const again = orchestration("again", async (ctx, id: string) => twice(() => ctx.activity(ship, id)));

export const approval = orchestration("approval", { description: "Asks a person." }, async (ctx, id: string) => {
  try {
    const { ok } = await ctx.waitForEvent<{ ok: boolean }>("approval", { timeout: "3d", details: id });
    if (!ok) return "refused";
  } catch (error) {
    if (!isStetError(error, "timeout")) throw error;
    return "nobody answered";
  }
  return ctx.activity(ship, id);
});
