/**
 * Timers outlive the process: they are rows in the store, not timers of the machine. Here a loop that waits between its
 * rounds, and a deadline: `ctx.race` answers who was first and cancels the others durably.
 *
 * The waits are short so that the sample ends soon. `"3d"` works the same way.
 *
 * Prints:
 *   reminder 1
 *   reminder 2
 *   reminder 3
 *   the report was too late
 *   given up: writeReport, because it lost a race
 */
import { Runtime, activity, orchestration } from "@stet/core";
import { sqlite } from "@stet/sqlite";

const remind = activity("remind", async (_ctx, round: number) => {
  console.log(`reminder ${round}`);
});

/** Takes a minute, unless it is told that nobody waits any more. */
const writeReport = activity("writeReport", async (ctx) => {
  await new Promise((resolve) => {
    const slow = setTimeout(resolve, 60_000);
    ctx.signal.addEventListener("abort", () => resolve(clearTimeout(slow)));
  });
  return "a report";
});

const remindThreeTimes = orchestration("remindThreeTimes", async (ctx) => {
  for (let round = 1; round <= 3; round++) {
    await ctx.timer("50ms");
    await ctx.activity(remind, round);
  }
});

const reportInTime = orchestration("reportInTime", async (ctx) => {
  const first = await ctx.race({ report: ctx.activity(writeReport), deadline: ctx.timer("100ms") });
  return first.winner === "report" ? first.value : "the report was too late";
});

const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  orchestrations: [remindThreeTimes, reportInTime],
  activities: [remind, writeReport],
});

const reminders = await runtime.startOrchestration(remindThreeTimes);
await reminders.result();

const report = await runtime.startOrchestration(reportInTime);
console.log(await report.result());

const history = await report.history();
for (const event of history) {
  if (event.kind !== "ActivityCancelled") continue;
  const request = history.find(({ id }) => id === event.source);
  if (request?.kind === "ActivityScheduled") console.log(`given up: ${request.name}, because it ${event.reason}`);
}

await runtime.shutdown();
