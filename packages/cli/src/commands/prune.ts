import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";
import { count, milliseconds } from "../values.ts";
import { countOf } from "../words.ts";

/** `stet prune`: old trees and old executions. */
export const prune: CommandFile = (session) =>
  new Command("prune")
    .description("remove instances that ended long ago, and executions before the last ones")
    .option("--older-than <duration>", "instances that ended this long ago or longer, such as 30d", milliseconds)
    .option("--keep-executions <count>", "of instances that continued as new, keep only the last executions", count)
    .action(async ({ olderThan, keepExecutions }) => {
      const pruned = await session.withClient(async (client) => {
        const sum = { trees: 0, executions: 0 };
        for (;;) {
          const { trees, executions } = await client.prune({
            limit: treesAtOnce,
            ...(olderThan !== undefined && { olderThan }),
            ...(keepExecutions !== undefined && { keepExecutions }),
          });
          sum.trees += trees;
          sum.executions += executions;
          if (trees < treesAtOnce || session.io.signal.aborted) return sum;
        }
      });
      session.out.result(
        pruned,
        () =>
          `removed ${countOf(pruned.trees, "instance")} with all that they started, and ${countOf(pruned.executions, "execution")}`,
      );
    });

/** Few enough for a transaction that others wait for. */
const treesAtOnce = 500;
