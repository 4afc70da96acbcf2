/**
 * Refusals: the answers to model calls that found no room in a budget. They come in turns of their own, after everything
 * else, so that a turn which ends because of one can be left undone and loses nothing.
 */
import { type BudgetExceededError, type Failure, fromFailure, type StetError } from "./errors.ts";
import type { AnswerBody, Message } from "./messages.ts";
import type { StoredMessage, TurnOutcome } from "./storage.ts";
import type { Incoming, TurnFeed } from "./turn.ts";

/** Whether a turn with these messages is one of refusals. */
export function areRefusals([first]: readonly Incoming[]): boolean {
  return first !== undefined && isRefusal(first.message);
}

/** The messages that a turn takes: those that are no refusals, or else the refusals. */
export function refusalsLast(incoming: readonly Incoming[]): readonly Incoming[] {
  if (!incoming.some(({ message }) => isRefusal(message))) return incoming;
  const others = incoming.filter(({ message }) => !isRefusal(message));
  return others.length > 0 ? others : incoming;
}

/** The refusal that the code let end the orchestration, itself or as a cause, in a turn of refusals. */
export function uncaughtRefusal({ closing, incoming }: TurnFeed): StetError | undefined {
  if (closing?.kind !== "OrchestrationFailed" || !areRefusals(incoming)) return undefined;
  const found = refusalIn(closing.error);
  return found === undefined ? undefined : fromFailure(found);
}

/**
 * The refusals that an instance is suspended for: also those behind the one that led there. What does not stand any more is
 * dropped with them, and all is asked anew at once, where each one that is left behind would take a turn of its own.
 */
export function refusalsOf({ incoming }: TurnFeed): readonly StoredMessage["key"][] {
  return incoming.flatMap(({ key }) => (key === undefined ? [] : [key]));
}

/** The requests of a turn that found no room. `undefined` when it was not committed. */
export function refusedIn(outcome: TurnOutcome = "notOwner"): ReadonlySet<number> | undefined {
  if (typeof outcome === "object") return new Set(outcome.refused);
  return outcome === "committed" ? none : undefined;
}

const none: ReadonlySet<number> = new Set();

function isRefusal(message: Message | AnswerBody): boolean {
  return message.kind === "LlmFailed" && message.error.code === exceeded;
}

const exceeded: BudgetExceededError["code"] = "budget_exceeded";

function refusalIn(failure: Failure): Failure | undefined {
  if (failure.code === exceeded) return failure;
  const { errors = [] } = (failure.details ?? {}) as { readonly errors?: readonly Failure[] };
  const gathered = failure.name === "AggregateError" && Array.isArray(errors) ? errors : [];
  for (const cause of [...(failure.cause === undefined ? [] : [failure.cause]), ...gathered]) {
    const found = refusalIn(cause);
    if (found !== undefined) return found;
  }
  return undefined;
}
