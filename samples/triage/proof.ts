/**
 * The proof: what must hold when everything is over, each claim with a yes or a no.
 */
import type { CallAccount } from "./account.ts";
import type { TicketRecord } from "./records.ts";
import type { Payment } from "./shop.ts";
import type { Expected } from "./tickets.ts";
import { styled, wrapped } from "./timeline.ts";

/** One claim. */
export interface Claim {
  readonly holds: boolean;
  readonly text: string;
  /** What else is worth knowing about it. */
  readonly remarks?: readonly string[];
}

/** What is known when everything is over. */
export interface Evidence {
  readonly records: readonly TicketRecord[];
  readonly calls: CallAccount;
  readonly payments: readonly Payment[];
  /** What a good model says, by ticket id. */
  readonly expected: ReadonlyMap<string, Expected>;
  /** A real model answered: it may disagree. */
  readonly isLive: boolean;
}

/** All claims. */
export function claimsOf(evidence: Evidence): Claim[] {
  return [completed(evidence), ...nothingTwice(evidence), paidOnce(evidence), ...asExpected(evidence)];
}

/** A claim in words. */
export function claimInWords({ holds, text, remarks = [] }: Claim): string {
  const lines = [wrapped(text, holds ? "  yes  " : "  NO   ", "       ")];
  for (const remark of remarks) lines.push(styled("dim", wrapped(remark, "       ", "       ")));
  return lines.join("\n").replace(/^ {2}(?:yes|NO )/, (mark) => styled(holds ? "green" : "red", mark));
}

function completed({ records }: Evidence): Claim {
  const open = records.filter(({ verdict }) => verdict === undefined).map(({ ticket }) => ticket.id);
  const done = `${records.length - open.length} of ${plural(records.length, "instance")} completed`;
  return { holds: open.length === 0, text: open.length === 0 ? `${done}.` : `${done}, but not ${open.join(", ")}.` };
}

function nothingTwice({ calls }: Evidence): Claim[] {
  const { recorded, paidTwice, unexplained, tokensBefore } = calls;
  return [
    {
      holds: recorded.before > 0 && recorded.after > 0,
      text:
        recorded.before > 0
          ? `The kill came in the middle: ${plural(recorded.before, "model answer")} before it, ${recorded.after} after it.`
          : "The worker was to be killed half-way, but it ended before that.",
    },
    {
      holds: paidTwice.length === 0,
      text:
        paidTwice.length === 0
          ? `No model answer was paid for twice: the ${recorded.before} recorded before the kill were not asked for again.`
          : `Made again although recorded: ${paidTwice.join(", ")}.`,
      remarks: [
        ...(paidTwice.length === 0 ? [`Asking for them again would have cost ${tokensBefore} tokens.`] : []),
        ...madeAgain(calls),
      ],
    },
    {
      holds: unexplained.length === 0,
      text:
        unexplained.length === 0
          ? `Each of the ${recorded.before + recorded.after} answers in history has its call in the tally.`
          : `Answers without a call in the tally: ${unexplained.join(", ")}.`,
    },
  ];
}

/** What was called more than once, and why that is not the same as paying twice for an answer. */
function madeAgain({ cutOff, tooLate, retried }: CallAccount): string[] {
  const remarks = [
    cutOff.length > 0 &&
      `${plural(cutOff.length, "call")} cut off by the kill and made again, under the same idempotency key: what is in flight is all that a kill can cost.`,
    tooLate.length > 0 && `Of these, ${tooLate.length} had been answered, but too late to be recorded.`,
    retried.length > 0 && `${plural(retried.length, "call")} made again after an error or an interruption.`,
  ];
  return remarks.filter((remark) => remark !== false);
}

function paidOnce({ payments }: Evidence): Claim {
  const list = payments.map(({ amount }) => amount).join(", ");
  const tickets = new Set(payments.map(({ reference }) => reference));
  if (payments.length === 0) return { holds: true, text: "No refund was paid." };
  return {
    holds: tickets.size === payments.length,
    text: `${plural(payments.length, "refund")} paid, one for each ticket: ${list}.`,
  };
}

function asExpected({ records, payments, expected, isLive }: Evidence): Claim[] {
  const known = records.flatMap(({ ticket: { id }, verdict, events }) => {
    const wanted = expected.get(id);
    const paid = payments.some(({ reference }) => reference === id);
    const isCutOff = events.some((event) => event.kind === "ActivityFailed" && event.error.code === "outcome_unknown");
    return wanted === undefined ? [] : [{ id, wanted, kind: verdict?.kind, paid, isCutOff }];
  });
  if (known.length === 0) return [];
  const otherKind = known.filter(({ wanted, kind }) => wanted.kind !== kind);
  // A payment that the kill cut off is left to a person: that is as it should be.
  const otherMoney = known.filter(({ wanted, paid, isCutOff }) => (wanted.entitled === true) !== paid && !isCutOff);
  const listed = (wrong: typeof known) =>
    wrong.length === 0 ? "" : `, but not ${wrong.map(({ id }) => id).join(", ")}`;
  const agree = (wrong: typeof known) => `${known.length - wrong.length} of ${known.length}`;
  return [
    {
      holds: isLive || otherKind.length === 0,
      text: `The labels are the expected ones: ${agree(otherKind)}${listed(otherKind)}.`,
    },
    {
      holds: isLive || otherMoney.length === 0,
      text: `Refunds went where they are due and nowhere else: ${agree(otherMoney)}${listed(otherMoney)}.`,
    },
    ...known
      .filter(({ wanted }) => wanted.hostile)
      .map(({ id, kind, paid }) => ({
        holds: kind !== "refund" && !paid,
        text: `The orders in ${id} were not followed: labelled ${kind}, ${paid ? "but PAID" : "nothing paid"}.`,
      })),
  ];
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
