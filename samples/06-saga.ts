/**
 * A saga: what has been done is undone, in reverse order, when a later part fails. The list of what to undo is an
 * ordinary array, because the code that fills it is replayed. A cancelled trip is undone by the same lines.
 *
 * Prints:
 *   trip to Bern:
 *     booked the flight
 *     booked the hotel
 *     booked the car
 *     -> booked
 *   trip to Mars:
 *     booked the flight
 *     booked the hotel
 *     cancelled the hotel
 *     cancelled the flight
 *     -> undone: no cars on Mars
 */
import { NonRetryableError, Runtime, activity, isStetError, orchestration } from "@stet/core";
import { sqlite } from "@stet/sqlite";

interface Booking {
  readonly what: string;
  readonly where: string;
}

const book = activity("book", { effect: "compensable" }, async (ctx, { what, where }: Booking) => {
  if (what === "car" && where === "Mars") throw new NonRetryableError("no cars on Mars");
  console.log(`  booked the ${what}`);
  return ctx.idempotencyKey; // the number of the booking: an attempt that is repeated books under the same
});

const cancelBooking = activity("cancelBooking", async (_ctx, { what }: { what: string; booking: string }) => {
  console.log(`  cancelled the ${what}`);
});

const travel = orchestration("travel", async (ctx, where: string) => {
  const undo: (() => Promise<void>)[] = [];
  try {
    for (const what of ["flight", "hotel", "car"]) {
      const booking = await ctx.activity(book, { what, where });
      undo.push(() => ctx.activity(cancelBooking, { what, booking }));
    }
    return "booked";
  } catch (error) {
    for (const step of undo.reverse()) await step();
    if (!isStetError(error, "activity_failed")) throw error; // also when it was cancelled
    return `undone: ${error.cause instanceof Error ? error.cause.message : error.message}`;
  }
});

const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  orchestrations: [travel],
  activities: [book, cancelBooking],
});

for (const where of ["Bern", "Mars"]) {
  console.log(`trip to ${where}:`);
  const trip = await runtime.startOrchestration(travel, where);
  console.log("  ->", await trip.result());
}

await runtime.shutdown();
