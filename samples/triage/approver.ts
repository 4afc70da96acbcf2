/**
 * The person who approves refunds, played by the sample. She believes the shop's records and not what a ticket says.
 */
import type { Approval, Claim } from "./triage.ts";

/** Approves what the customer has bought and paid, and not a cent more. */
export function decide(details: unknown): Approval {
  const by = "Nora";
  if (!isClaim(details)) return { decision: "refused", by, reason: "there is nothing to judge by" };
  const { order, customer, amount } = details;
  if (order === null) return { decision: "refused", by, reason: "no such order in our records" };
  if (!sameName(order.customer, customer)) {
    return { decision: "refused", by, reason: `order ${order.number} is somebody else's` };
  }
  if (!(cents(amount) <= cents(order.amount))) {
    return { decision: "refused", by, reason: `${amount || "no amount"} asked for, ${order.amount} paid` };
  }
  return { decision: "approved", by, reason: "order, name and amount agree" };
}

function isClaim(details: unknown): details is Claim {
  return typeof details === "object" && details !== null && "order" in details && "amount" in details;
}

function sameName(one: string, other: string): boolean {
  return one.trim().toLowerCase() === other.trim().toLowerCase();
}

/** `1,840.00 EUR` and `179,00 €` as whole cents. */
function cents(amount: string): number {
  const digits = amount.replace(/[^\d.,]/g, "").replace(/[.,](?=\d{3})/g, "");
  return digits === "" ? NaN : Math.round(Number(digits.replace(",", ".")) * 100);
}
