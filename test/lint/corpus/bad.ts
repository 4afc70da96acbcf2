// As `bad.js`, for what only TypeScript says.
import * as stet from "@stet/core";
import type { OrchestrationContext } from "@stet/core";

/** A helper for orchestrations of other files: its parameter says so. */
export async function helper(durable: OrchestrationContext, id: string): Promise<number> {
  await durable.timer("1s");
  durable.activity("note", id); // no-floating-durable
  const price = (process.env as Record<string, string>)["PRICE"]; // no-ambient
  return Number(price) * (Math.random() as number); // no-ambient
}

export const typed = stet.orchestration("typed", async (ctx, id: string) => {
  const times: { at: Date; Date: typeof Date }[] = [];
  const at = Date.now() as number; // no-ambient
  return [times, at, id, await helper(ctx, id)];
});

export const settings = { at: Date.now(), env: process.env };
