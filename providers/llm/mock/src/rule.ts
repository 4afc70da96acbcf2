/**
 * Rules: which calls, and what they are answered. Rules are asked in the order in which they were written, and the first
 * that wants a call and still has an answer gives it.
 */
import type { MockAnswer } from "./answers.ts";
import type { MockCall } from "./calls.ts";

/** A line of a script. */
export interface Rule {
  /** As it was written, e.g. `when(/refund/)`. */
  readonly name: string;
  /** `"each once"`: every answer is given once, then the rule is silent. `"last stays"`: the last is given for ever. */
  readonly use: "each once" | "last stays";
  readonly answers: readonly MockAnswer[];
  readonly wants: (call: MockCall) => boolean;
  /** The operation it names. Calls that ask for vectors are answered only by rules that name theirs. */
  readonly operation?: string;
  /** How many answers were given. */
  given: number;
}

/** The answer of the first rule that has one for `call`, taken from it, or nothing. */
export function takeAnswer(
  rules: readonly Rule[],
  call: MockCall,
): { readonly rule: Rule; readonly answer: MockAnswer } | undefined {
  for (const rule of rules) {
    const { answers, use, given } = rule;
    const index = use === "each once" ? given : Math.min(given, answers.length - 1);
    const answer = answers[index];
    if (answer === undefined || !rule.wants(call)) continue;
    rule.given += 1;
    return { rule, answer };
  }
  return undefined;
}

/** How many answers of `rule` have never been given. */
export function unusedOf(rule: Rule): number {
  return Math.max(0, rule.answers.length - rule.given);
}

/** The rule and how much of it is left. */
export function describeRule(rule: Rule): string {
  return rule.use === "each once" ? `${rule.name}, ${rule.given} of ${rule.answers.length} used` : rule.name;
}
