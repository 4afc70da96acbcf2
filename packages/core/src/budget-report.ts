/** Budgets as clients see them and add to them. */
import { type Budget, type BudgetMember, budgetMembers } from "./budget.ts";
import { limitsOf, publicLimits, usdOf } from "./budget-changes.ts";
import { ConfigurationError } from "./errors.ts";
import type { StorageAdmin } from "./storage-admin.ts";
import type { Amounts, BudgetRecord } from "./storage-budgets.ts";

/** A budget as it stands. Money is in US dollars, time in milliseconds. */
export interface BudgetReport {
  readonly limits: Budget;
  /** By calls whose answers are recorded. Time is what has passed since the instance began. */
  readonly spent: { readonly [Member in BudgetMember]: number };
  /** For calls whose answers are not recorded yet: as much as they may use. */
  readonly reserved: { readonly [Member in Exclude<BudgetMember, "timeMs">]: number };
}

/** What a record says, at a time. */
export function reportOf({ limits, spent, reserved, openedAt }: BudgetRecord, now: number): BudgetReport {
  return {
    limits: publicLimits(limits),
    spent: { ...publicSums(spent), timeMs: Math.max(0, now - openedAt) },
    reserved: publicSums(reserved),
  };
}

function publicSums({ tokens, nanoUsd, calls }: Amounts): BudgetReport["reserved"] {
  return { tokens, usd: usdOf(nanoUsd), calls };
}

/** Adds to the limits of a budget. @throws ConfigurationError when there is nothing to add to. */
export async function toppedUp(
  instanceId: string,
  amounts: Budget,
  admin: StorageAdmin,
): Promise<"toppedUp" | "unknown"> {
  const limits = (await admin.readBudget(instanceId))?.limits;
  const limited = limits === undefined ? undefined : publicLimits(limits);
  const unlimited = budgetMembers.find((member) => amounts[member] !== undefined && limited?.[member] === undefined);
  if (limited !== undefined && unlimited !== undefined) {
    throw new ConfigurationError(
      `Expected client.topUp to add to what the budget of instance ${instanceId} limits (${Object.keys(limited).join(", ")}), got ${unlimited}`,
    );
  }
  const outcome = await admin.topUp({ instanceId, amounts: limitsOf(amounts) });
  if (outcome !== "noBudget") return outcome;
  throw new ConfigurationError(
    `Expected instance ${instanceId} to have a budget of its own to be topped up, got none: it has not begun, or was started without one; the error of a suspended instance names whose budget it is`,
  );
}
