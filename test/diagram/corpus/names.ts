/** `ctx` under other names, and definitions behind names, objects and files. */
import { orchestration, type OrchestrationContext } from "@stet/core";
import { notify, ship, tell, twice, warehouse as stock, weigh } from "./definitions.ts";
import { all, deliver, take, takeByWeight } from "./re-exports.ts";

export const destructured = orchestration("destructured", async ({ timer, activity: call }, id: string) => {
  await timer("1s");
  return call(ship, id);
});

export const renamed = orchestration("renamed", async (world, id: string) => {
  const { waitForEvent } = world;
  const other = world;
  await other.activity(ship, id);
  return waitForEvent<string>("answer");
});

export const bound = orchestration("bound", async (ctx, id: string) => {
  const run = ctx.activity.bind(ctx);
  return run(ship, id);
});

export const elsewhere = orchestration("elsewhere", async (ctx, id: string) => {
  await takeByWeight(ctx, id);
  await ctx.activity(take, { id, price: 1 });
  await ctx.activity(all.ship, id);
  await ctx.activity(stock.nested.notify, id);
  const { weigh: scales } = stock;
  await ctx.activity(scales, id);
  return ctx.subOrchestration(deliver, id);
});

export const byName = orchestration("byName", async (ctx, id: string) => {
  const name = "ship";
  await ctx.activity(name, id);
  await ctx.subOrchestration("deliver", id);
  return ctx.startOrchestration("deliver", id);
});

export const givenDefinition = orchestration("givenDefinition", async (ctx, text: string) => {
  await tell(ctx, notify, text);
  return twice(async () => ctx.activity(weigh, text));
});

export const chosenAtRunTime = orchestration("chosenAtRunTime", async (ctx, name: string) => {
  const plan = await ctx.activity<{ tool: string; input: string }>(name);
  await ctx.waitForEvent(plan.tool);
  await ctx.subOrchestration(plan.tool, plan.input);
  const tools: Record<string, (input: string) => Promise<unknown>> = { ship: (input) => ctx.activity(ship, input) };
  await tools[plan.tool]?.(plan.input);
});

export const callsItself = orchestration("callsItself", async (ctx, depth: number) => descend(ctx, depth));

async function descend(ctx: OrchestrationContext, depth: number): Promise<number> {
  await ctx.timer(depth);
  return depth === 0 ? 0 : descend(ctx, depth - 1);
}

interface Desk {
  readonly ctx: OrchestrationContext;
  readonly name: string;
}

class Clerk {
  readonly desk: Desk;

  constructor(desk: Desk) {
    this.desk = desk;
  }

  async work(id: string): Promise<string> {
    await this.desk.ctx.activity(notify, this.desk.name);
    return this.desk.ctx.activity(ship, id);
  }
}

export const byMethod = orchestration("byMethod", async (ctx, id: string) => {
  const clerk = new Clerk({ ctx, name: "Ada" });
  return clerk.work(id);
});

export const definedApart = orchestration("definedApart", { version: "3" }, run);

async function run(ctx: OrchestrationContext, id: string): Promise<string> {
  return ctx.activity(ship, id);
}
