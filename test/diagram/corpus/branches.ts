/** Ways that part and meet. */
import { orchestration } from "@stet/core";
import { charge, label, notify, refund, ship, weigh } from "./definitions.ts";

export const ifElse = orchestration("ifElse", async (ctx, id: string) => {
  const parcel = await ctx.activity(weigh, id);
  if (parcel.price > 3) {
    await ctx.activity(charge, parcel);
  } else if (parcel.price === 0) {
    await ctx.activity(notify, "free");
  } else {
    await ctx.activity(ship, id);
  }
  return label(parcel);
});

export const earlyReturns = orchestration("earlyReturns", async (ctx, id: string) => {
  if (id === "") return "nothing to do";
  const parcel = await ctx.activity(weigh, id);
  if (!(parcel.price > 3)) return `too light: ${parcel.id}`;
  if (parcel.price > 100) throw new Error("too heavy");
  await ctx.activity(ship, id);
  return 1;
});

export const plainCodeOnly = orchestration("plainCodeOnly", async (ctx, id: string) => {
  let text = "";
  for (const letter of id) if (letter !== "-") text += letter;
  if (text.length > 3) text = text.slice(0, 3);
  ctx.setStatus(text);
  ctx.state.set("text", text);
  return text;
});

export const ternary = orchestration("ternary", async (ctx, id: string) => {
  const parcel = id === "none" ? undefined : await ctx.activity(weigh, id);
  return parcel === undefined ? ctx.activity(notify, "none") : ctx.activity(charge, parcel);
});

export const shortCircuits = orchestration("shortCircuits", async (ctx, id: string) => {
  if (id.length > 2 && (await ctx.ifTrue("Is it fragile?", { about: id }))) await ctx.activity(notify, "careful");
  const known = ctx.state.get<string>("known") ?? (await ctx.activity(ship, id));
  const said = known.length > 5 || (await ctx.ifTrue(`Is ${known} enough?`));
  return said;
});

export const conditionWithElse = orchestration("conditionWithElse", async (ctx, id: string) => {
  if (id.length > 2 && (await ctx.ifTrue("Is it fragile?", { about: id }))) await ctx.activity(notify, "careful");
  else await ctx.activity(ship, id);
});

export const switchOfKinds = orchestration("switchOfKinds", async (ctx, text: string) => {
  const kind = await ctx.classify(text, ["refund", "bug", "praise", "other"]);
  switch (kind) {
    case "refund":
      await ctx.activity(refund, 3);
      break;
    case "bug":
    case "praise":
      return ctx.activity(notify, kind);
    case "other":
      throw new Error("nobody knows");
  }
  return kind;
});

export const kindsAsBranches = orchestration("kindsAsBranches", async (ctx, text: string) => {
  const kind = await ctx.classify(text, ["refund", "bug", "other"]);
  if (kind !== "refund") return ctx.activity(notify, kind);
  return ctx.activity(refund, 1);
});

export const patched = orchestration("patched", async (ctx, id: string) => {
  if (ctx.patched("ship-by-air")) await ctx.activity(notify, "by air");
  return ctx.activity(ship, id);
});
