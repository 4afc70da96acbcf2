/** Which calls a rule of a script is for. */
import type { LlmRequest } from "@stet/core";
import type { MockCall } from "./calls.ts";

/** A text that holds this string, or that this expression finds something in. */
export type TextMatcher = string | RegExp;

/** Members that must all hold. An absent one holds always. */
export interface CallPattern {
  /** Exactly this operation, e.g. `"ifTrue"`. */
  readonly operation?: string;
  /** In the words of the user and the tools. */
  readonly prompt?: TextMatcher;
  /** In the words of the system. */
  readonly system?: TextMatcher;
  /** Exactly this label. */
  readonly label?: string;
}

/** Decides by looking at the request. */
export type CallPredicate = (request: LlmRequest, call: MockCall) => boolean;

/** A text to be found in the prompt, several conditions, or a predicate. */
export type CallMatcher = TextMatcher | CallPattern | CallPredicate;

/** Whether `call` is one of those that `matcher` means. */
export function matches(matcher: CallMatcher, call: MockCall): boolean {
  if (typeof matcher === "function") return matcher(call.request, call);
  if (typeof matcher === "string" || matcher instanceof RegExp) return found(matcher, call.prompt);
  const { operation, prompt, system, label } = matcher;
  return (
    (operation === undefined || operation === call.operation) &&
    (prompt === undefined || found(prompt, call.prompt)) &&
    (system === undefined || found(system, call.system)) &&
    (label === undefined || label === call.label)
  );
}

/** The matcher as it was written, for messages. */
export function describeMatcher(matcher: CallMatcher): string {
  if (typeof matcher === "function") return matcher.name === "" ? "a predicate" : matcher.name;
  if (typeof matcher === "string" || matcher instanceof RegExp) return describeText(matcher);
  const members = Object.entries(matcher).map(
    ([name, value]: [string, TextMatcher]) => `${name}: ${describeText(value)}`,
  );
  return `{ ${members.join(", ")} }`;
}

/** `search` ignores and keeps `lastIndex`, so that expressions with `g` or `y` answer the same each time. */
function found(matcher: TextMatcher, text: string): boolean {
  return typeof matcher === "string" ? text.includes(matcher) : text.search(matcher) >= 0;
}

function describeText(matcher: TextMatcher): string {
  return typeof matcher === "string" ? JSON.stringify(matcher) : String(matcher);
}
