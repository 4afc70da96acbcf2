/** What a table of measured rows says to somebody who asks how much he needs. */
import type { Row } from "./report.ts";

/** What stands in the table, the row that tells, and the figure that it makes of the row's value. */
type Line = readonly [what: string, rowId: string, figure: (value: number) => string];

const asItIs: Line[2] = (value) => inDigits(value);
const bytes: Line[2] = (value) => `${inDigits(value)} bytes`;
/** Of 10,000, in so many milliseconds. */
const aSecond: Line[2] = (ms) => inDigits(10_000_000 / ms);

const lines: readonly Line[] = [
  ["activities a second, of 10,000 short instances at once", "chain5x10k", asItIs],
  ["activities a second, of 100 longer instances at once", "chain100x100", asItIs],
  ["activities a second, asked for at once by one instance", "fanout10k", asItIs],
  ["activities a second, one after the other in one instance", "chain5000", (µs) => inDigits(1_000_000 / µs)],
  ["from the start of an instance to its result, one at a time", "startToResult", (ms) => `${inDigits(ms)} ms`],
  ["model calls a second, beside what the models take", "llmCalls", asItIs],
  ["waiting instances a second that get an event and end", "idleMemory.wakeMs", aSecond],
  ["instances a second that are taken over from a dead worker", "takeover", aSecond],
  ["memory of a waiting instance in the cache of its worker", "idleMemory.kb", (kb) => `${inDigits(kb)} KB`],
  ["disk of an activity", "disk.activity", bytes],
  ["disk of an instance, beside its activities", "disk.instance", bytes],
  ["disk of an instance that waits", "disk.waiting", bytes],
  ["round trips for an activity, of 10,000 short instances at once", "chain5x10k.roundTrips", asItIs],
  ["round trips for an activity, one after the other in one instance", "chain5000.roundTrips", asItIs],
  ["write-ahead log for an activity, of 10,000 short instances at once", "chain5x10k.walBytes", bytes],
  ["write-ahead log for an activity, one after the other in one instance", "chain5000.walBytes", bytes],
];

/** The table as Markdown, and an example of what to do with it. Rows that were not measured have no line. */
export function sizingOf(rows: readonly Row[]): string {
  const valueOf = (rowId: string) => rows.find(({ id }) => id === rowId)?.value;
  const table = lines.flatMap(([what, rowId, figure]) => {
    const value = valueOf(rowId);
    return value === undefined ? [] : [`| ${what} | ${figure(value)} | \`${rowId}\` |`];
  });
  const [activity, instance, waiting] = ["disk.activity", "disk.instance", "disk.waiting"].map(valueOf);
  const parts = ["| | about | row |\n|---|---:|---|", ...table].join("\n");
  if (activity === undefined || instance === undefined || waiting === undefined) return parts;
  const gigabytes = (amount: number) => `${inDigits(amount / 1e9)} GB`;
  const month = gigabytes(30 * (1_000_000 * activity + 200_000 * instance));
  return `${parts}\n\nSo a million activities a day in 200,000 instances are ${month} a month, and a million instances that wait are ${gigabytes(1_000_000 * waiting)}.`;
}

function inDigits(value: number): string {
  return value.toLocaleString("en-US", { maximumSignificantDigits: 2 });
}
