/** Beside each other. */
import { orchestration } from "@stet/core";
import { charge, deliver, notify, ship, weigh, weighAndCharge } from "./definitions.ts";

export const allOf = orchestration("allOf", async (ctx, id: string) => {
  const [parcel, said] = await Promise.all([
    ctx.activity(weigh, id),
    ctx.generate("One word."),
    weighAndCharge(ctx, id),
    ctx.subOrchestration(deliver, id),
  ]);
  return `${parcel.id} ${said}`;
});

export const eachOf = orchestration("eachOf", async (ctx, ids: string[]) => {
  return Promise.all(ids.map((id) => ctx.activity(ship, id)));
});

export const eachOfBodies = orchestration("eachOfBodies", async (ctx, ids: string[]) => {
  const parts = ids.map(async (id) => {
    const parcel = await ctx.activity(weigh, id);
    if (parcel.price > 3) await ctx.activity(charge, parcel);
    return ctx.activity(ship, id);
  });
  return (await Promise.allSettled(parts)).length;
});

export const firstOf = orchestration("firstOf", async (ctx, id: string) => {
  const first = await ctx.race({ answer: ctx.waitForEvent<string>("answer"), tooLate: ctx.timer("1h") });
  if (first.winner === "answer") return ctx.activity(notify, first.value);
  return ctx.activity(ship, id);
});

export const anyOf = orchestration("anyOf", async (ctx, ids: string[]) => {
  const any = await Promise.any([ctx.activity(ship, "first"), ...ids.map((id) => ctx.activity(ship, id))]);
  return Promise.race([ctx.timer(10), ctx.activity(notify, any)]);
});

export const begunBefore = orchestration("begunBefore", async (ctx, id: string) => {
  const weighed = ctx.activity(weigh, id);
  const said = ctx.generate("A greeting.");
  await ctx.timer("1s");
  const parcel = await weighed;
  await ctx.activity(charge, parcel);
  return said;
});

export const begunTogether = orchestration("begunTogether", async (ctx, id: string) => {
  const left = ctx.activity(ship, `${id}-left`);
  const right = (async () => {
    await ctx.timer(5);
    return ctx.activity(ship, `${id}-right`);
  })();
  return Promise.all([left, right]);
});

export const collected = orchestration("collected", async (ctx, ids: string[]) => {
  const running: Promise<string>[] = [];
  for (const id of ids) running.push(ctx.activity(ship, id));
  await Promise.all(running);
  return ctx.activity(notify, "all shipped");
});

export const limited = orchestration("limited", async (ctx, ids: string[]) => {
  const waiting = [...ids];
  const lane = async () => {
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) await ctx.activity(ship, id);
  };
  await Promise.all([lane(), lane()]);
});

export const caughtTogether = orchestration("caughtTogether", async (ctx, id: string) => {
  try {
    await Promise.all([ctx.activity(ship, id), ctx.activity(notify, id)]);
  } catch {
    await ctx.activity(notify, "one of them failed");
  }
});

export const detached = orchestration("detached", async (ctx, id: string) => {
  const child = ctx.startOrchestration(deliver, id);
  ctx.sendEvent(child, "hello", { id });
  await ctx.timer("1d");
});
