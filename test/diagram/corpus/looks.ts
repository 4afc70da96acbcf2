/** Titles, icons and colours of definitions. */
import { activity, orchestration } from "@stet/core";

const look = { icon: "💳", color: "green" } as const;

const pay = activity("pay", { title: "Charge the card", diagram: look }, async (_ctx, price: number) => price);
const check = activity("check", { diagram: { icon: "?" } }, async (_ctx, price: number) => price > 3);
const plain = activity("plain", { description: "Has no title." }, async () => "done");

/** Called by another, with its looks. */
export const receipt = orchestration(
  "receipt",
  { title: 'Write a "receipt": all of it', diagram: { color: "purple" } },
  async (ctx, price: number) => ctx.activity(plain, undefined, { timeout: price }),
);

export const titled = orchestration(
  "titled",
  { version: "2", title: "Sell something", description: "To whom it may concern.", diagram: { icon: "🛒" } },
  async (ctx, price: number) => {
    if (!(await ctx.activity(check, price))) return "too little";
    await ctx.activity(pay, price);
    await ctx.activity("pay", price);
    ctx.startOrchestration(receipt, price);
    return ctx.subOrchestration(receipt, price);
  },
);
