/**
 * Budgets: what an instance with all below it may use of models. What is limited is recorded when the instance begins, so
 * that replay knows it; how much is left is the store's to know (`storage.ts`), because only a transaction can tell.
 */
import { ConfigurationError } from "./errors.ts";
import { assertOptions, type NamesOf, shown } from "./options.ts";

/** Limits of what model calls use up. A member that is absent is not limited. */
export type Budget = {
  /** Tokens of questions and answers together. */
  readonly tokens?: number;
  /** Money by the runtime's prices, in US dollars. A model without a price is refused. */
  readonly usd?: number;
  /** Calls that a model is asked, however often each is sent. Answers from a cache are none. */
  readonly calls?: number;
  /** Time from the first turn of the instance on, in milliseconds. What is asked for later is refused. */
  readonly timeMs?: number;
};

/** One of the things that a {@link Budget} limits. */
export type BudgetMember = keyof Budget;

/** Which budgets an execution's model calls draw on. */
export type RecordedBudget = {
  /** The limits that the instance's own budget began with, when it has one. */
  readonly limits?: Budget;
  /** What budgets of the instances above limit. */
  readonly above?: readonly BudgetMember[];
};

/** Longest answer of a call under a budget of tokens or money that names no `maxTokens`: it is reserved, and sent. */
export const boundedAnswerTokens = 4_096;

const members: NamesOf<Budget> = { tokens: true, usd: true, calls: true, timeMs: true };

/** The members of a budget, in the order in which they are checked. */
export const budgetMembers: readonly BudgetMember[] = Object.keys(members) as BudgetMember[];

/** @throws ConfigurationError unless it limits at least one thing, by numbers that are not negative. */
export function assertBudget(budget: unknown, what: string): asserts budget is Budget {
  assertOptions(budget, members, what);
  const given = Object.entries(budget as { readonly [member: string]: number });
  if (given.length === 0) {
    throw new ConfigurationError(`Expected ${what} to have at least one of ${budgetMembers.join(", ")}, got none`);
  }
  for (const [member, limit] of given) {
    const isAmount = Number.isFinite(limit) && limit >= 0 && limit <= mostOf(member as BudgetMember);
    if (isAmount && (member === "usd" || Number.isInteger(limit))) continue;
    throw new ConfigurationError(
      `Expected ${member} of ${what} to be a ${member === "usd" ? "number" : "whole number"} from 0 to ${mostOf(member as BudgetMember)}, got ${shown(limit)}`,
    );
  }
}

/** The budget of an instance that begins: the call's limits go before those of the definition, member by member. */
export function beginningBudget(
  definition: Budget | undefined,
  { limits, above }: RecordedBudget = {},
): RecordedBudget | undefined {
  const own = { ...definition, ...limits };
  const hasOwn = Object.keys(own).length > 0;
  if (!hasOwn && above === undefined) return undefined;
  return { ...(hasOwn && { limits: own }), ...(above !== undefined && { above }) };
}

/** What is limited for an instance, and so for all below it. */
export function limitedMembers({ limits = {}, above = [] }: RecordedBudget): readonly BudgetMember[] {
  return budgetMembers.filter((member) => limits[member] !== undefined || above.includes(member));
}

/** What a call that names no bound of its answer is bounded to. */
export function answerBound(budget: RecordedBudget | undefined): number | undefined {
  if (budget === undefined) return undefined;
  const limited = limitedMembers(budget);
  return limited.includes("tokens") || limited.includes("usd") ? boundedAnswerTokens : undefined;
}

/** Sums of a million times this are still exact. */
function mostOf(member: BudgetMember): number {
  return member === "usd" ? 1_000_000 : 1_000_000_000_000_000;
}
