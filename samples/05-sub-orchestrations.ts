/**
 * Orchestrations that start orchestrations. Each child is an instance of its own with a history of its own; the parent
 * awaits its output like that of an activity, and a child that fails rejects with the reason.
 *
 * Prints:
 *   report: north sold 3, south sold 4, west: no numbers from west
 *   report (completed)
 *     north (completed)
 *     south (completed)
 *     west (failed)
 */
import { NonRetryableError, Runtime, activity, isStetError, orchestration } from "@stet/core";
import { sqlite } from "@stet/sqlite";

const sales = new Map([
  ["north", [1, 2]],
  ["south", [4]],
]);

const salesOf = activity("salesOf", async (_ctx, region: string) => {
  const numbers = sales.get(region);
  if (numbers === undefined) throw new NonRetryableError(`no numbers from ${region}`);
  return numbers;
});

const region = orchestration("region", async (ctx, name: string) => {
  const numbers = await ctx.activity(salesOf, name);
  return numbers.reduce((sum, number) => sum + number, 0);
});

const report = orchestration("report", async (ctx, regions: string[]) => {
  const parts = regions.map(async (name) => {
    try {
      return `${name} sold ${await ctx.subOrchestration(region, name, { instanceId: name })}`;
    } catch (error) {
      if (!isStetError(error, "sub_orchestration_failed")) throw error;
      return `${name}: ${rootOf(error).message}`;
    }
  });
  return (await Promise.all(parts)).join(", ");
});

/** A child that failed because its activity failed: the causes tell the whole way down. */
function rootOf(error: Error): Error {
  return error.cause instanceof Error ? rootOf(error.cause) : error;
}

const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  orchestrations: [report, region],
  activities: [salesOf],
});

const handle = await runtime.startOrchestration(report, ["north", "south", "west"], { instanceId: "report" });
console.log("report:", await handle.result());

const tree = await runtime.client.tree("report");
for (const { instanceId, parentId, status } of tree) {
  console.log(`${parentId === undefined ? "" : "  "}${instanceId} (${status})`);
}

await runtime.shutdown();
