import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";
import { budgetInWords } from "../portrait.ts";
import { amount, count, milliseconds } from "../values.ts";

/** `stet top-up`: more budget for an instance, and for those that it started. */
export const topUp: CommandFile = (session) =>
  new Command("top-up")
    .description("add to the budget of an instance, and let what is suspended for want of it go on")
    .argument("<id>", "the instance that has the budget")
    .option("--usd <dollars>", "money", amount)
    .option("--tokens <count>", "tokens", count)
    .option("--calls <count>", "calls", count)
    .option("--time <duration>", "time, such as 2h", milliseconds)
    .action(async (id, { usd, tokens, calls, time }) => {
      const budget = await session.withClient(async (client) => {
        await client.topUp(id, {
          ...(usd !== undefined && { usd }),
          ...(tokens !== undefined && { tokens }),
          ...(calls !== undefined && { calls }),
          ...(time !== undefined && { timeMs: time }),
        });
        return client.budget(id);
      });
      session.out.result({ instanceId: id, budget }, () => (budget === undefined ? "" : budgetInWords(budget)));
    });
