/** What the orchestrations of the corpus call. */
import { activity, type OrchestrationContext, orchestration } from "@stet/core";

export interface Parcel {
  readonly id: string;
  readonly price: number;
}

export const weigh = activity("weigh", async (_ctx, id: string): Promise<Parcel> => ({ id, price: id.length }));
export const charge = activity("charge", { effect: "compensable" }, async (_ctx, parcel: Parcel) => parcel.price);
export const refund = activity("refund", async (_ctx, price: number) => price);
export const ship = activity("ship", async (_ctx, id: string) => `shipped ${id}`);
export const notify = activity("notify", async (_ctx, text: string) => text.length);

/** A child. */
export const deliver = orchestration("deliver", async (ctx, id: string) => ctx.activity(ship, id));

/** Definitions in an object. */
export const warehouse = { weigh, ship, nested: { notify } } as const;

/** A helper that calls the context something else. */
export async function weighAndCharge(world: OrchestrationContext, id: string): Promise<number> {
  const parcel = await world.activity(weigh, id);
  return world.activity(charge, parcel);
}

/** A helper that is given what to do. */
export async function twice<Value>(attempt: () => Promise<Value>): Promise<Value> {
  try {
    return await attempt();
  } catch {
    return attempt();
  }
}

/** A helper that is given a definition. */
export const tell = (ctx: OrchestrationContext, what: typeof notify, text: string) => ctx.activity(what, text);

/** Nothing here is durable. */
export function label(parcel: Parcel): string {
  for (const letter of parcel.id) if (letter === "-") return "dashed";
  return parcel.price > 3 ? "heavy" : "light";
}
