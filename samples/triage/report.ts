/**
 * The report: a timeline for each ticket, the sums, and the proof.
 */
import { callAccountOf } from "./account.ts";
import { isLive } from "./model.ts";
import { claimInWords, claimsOf } from "./proof.ts";
import type { TicketRecord } from "./records.ts";
import { resultsOf } from "./results.ts";
import { paymentsIn } from "./shop.ts";
import { readTally } from "./tally.ts";
import { readExpected } from "./tickets.ts";
import { callTable, legend, styled, timelineOf } from "./timeline.ts";

/** Prints it all. Answers whether the proof holds. */
export function report(
  records: readonly TicketRecord[],
  files: { readonly tally: string; readonly payments: string },
): boolean {
  const tally = readTally(files.tally);
  const expected = readExpected();
  console.log(`\n${legend}\n`);
  for (const record of records) {
    const { ticket, verdict, failure } = record;
    const outcome = verdict === undefined ? "not finished" : `${verdict.kind}: ${verdict.decision}`;
    // Of your own texts you want to read the summary whole.
    const details = failure ?? (expected.has(ticket.id) ? undefined : verdict?.summary);
    console.log(`${timelineOf({ title: ticket.id, outcome, details, results: resultsOf(record, tally) })}\n`);
  }
  const calls = callAccountOf(records, tally);
  const payments = paymentsIn(files.payments);
  const claims = claimsOf({ records, calls, payments, expected, isLive });
  console.log(`${callTable(calls)}\n`);
  console.log(`${styled("bold", "Proof")}\n${claims.map(claimInWords).join("\n")}`);
  return claims.every(({ holds }) => holds);
}
