/**
 * What a turn asks of budgets: room for the model calls it makes, and what became of those whose answers it records. The
 * store grants or refuses (`storage.ts`); an instance under no budget comes by here with one look.
 */
import { limitedMembers, type Budget, type RecordedBudget } from "./budget.ts";
import { BudgetExceededError, toFailure, type BudgetShortage } from "./errors.ts";
import type { LlmCompleted, LlmFailed, LlmRequested } from "./events.ts";
import type { Execution } from "./execution.ts";
import { usageAtMost } from "./llm/estimate.ts";
import type { LlmDispatcher } from "./llm/llm-dispatcher.ts";
import type { AnswerMessage, WorkItem } from "./messages.ts";
import type { TurnCommit } from "./storage.ts";
import type { OutgoingWork } from "./storage-work.ts";
import {
  type Amounts,
  type Booking,
  type BudgetChanges,
  type BudgetLimits,
  mayPass,
  type Settlement,
  type Shortage,
} from "./storage-budgets.ts";
import type { TextCodec } from "./text-codec.ts";
import type { TurnFeed } from "./turn.ts";

const nanoPerUsd = 1_000_000_000;

/** What bookings are made with. */
export interface BookingMeans {
  readonly codec: TextCodec;
  /** Absent where this worker makes no model calls: then it knows no prices. */
  readonly llm: LlmDispatcher | undefined;
}

/** Asks for room for a model call. `work` is its row, if it gets one. */
export function bookingOf(
  item: WorkItem,
  budget: RecordedBudget,
  work: OutgoingWork | undefined,
  { codec, llm }: BookingMeans,
): Booking {
  const { instanceId, eventId, execution } = item;
  const { request } = item.request as LlmRequested;
  const usage = usageAtMost(request);
  const usd = llm?.costOf(request, usage);
  const isPriced = usd !== undefined || !limitedMembers(budget).includes("usd");
  const tokens = usage.inputTokens + usage.outputTokens;
  return {
    eventId,
    ...(isPriced && { amounts: { tokens, nanoUsd: nanoUsdOf(usd ?? 0), calls: 1 } }),
    ...(work !== undefined && { work }),
    refusal: (shortage) => {
      const error = { ...toFailure(exceeded(item, shortage)), retryable: shortage !== undefined && mayPass(shortage) };
      const answer: AnswerMessage = { kind: "LlmFailed", source: eventId, execution, error };
      return codec.encode(answer, instanceId);
    },
  };
}

/** The part of a turn's commit that is about budgets. */
export function budgetChangesOf(
  { started }: Execution,
  feed: TurnFeed,
  bookings: readonly Booking[],
): TurnCommit["budget"] {
  if (started?.budget === undefined) return undefined;
  const { limits } = started.budget;
  const changes: BudgetChanges = {
    ...(feed.firstEventId === 1 && limits !== undefined && { opened: limitsOf(limits) }),
    settled: settledBy(feed),
    bookings,
  };
  const { opened, settled } = changes;
  const isIdle = opened === undefined && settled.length === 0 && bookings.length === 0 && feed.closing === undefined;
  return isIdle ? undefined : changes;
}

/** Limits as a store keeps them. */
export function limitsOf({ usd, ...limits }: Budget): BudgetLimits {
  return { ...limits, ...(usd !== undefined && { nanoUsd: nanoUsdOf(usd) }) };
}

/** Limits as people know them. */
export function publicLimits({ nanoUsd, ...limits }: BudgetLimits): Budget {
  return { ...limits, ...(nanoUsd !== undefined && { usd: usdOf(nanoUsd) }) };
}

/** Money as people know it. */
export function usdOf(nanoUsd: number): number {
  return nanoUsd / nanoPerUsd;
}

/** Rounded up, so that no sum of cheap calls comes to nothing. */
function nanoUsdOf(usd: number): number {
  return Math.ceil(Number((usd * nanoPerUsd).toFixed(3)));
}

/** Calls that were answered or failed, and calls that were given up: what those have used nobody knows. */
function settledBy({ events, effects }: TurnFeed): Settlement[] {
  const settled = new Map<number, Settlement["used"]>();
  for (const event of events) {
    if (event.kind === "LlmCompleted" || event.kind === "LlmFailed") settled.set(event.source, usedBy(event));
  }
  for (const eventId of effects.cancelledWork) if (!settled.has(eventId)) settled.set(eventId, asked);
  return Array.from(settled, ([eventId, used]) => ({ eventId, used }));
}

const asked: Amounts = { tokens: 0, nanoUsd: 0, calls: 1 };

/** By all attempts. Where one has no price, money counts as much as was reserved. */
function usedBy(event: LlmCompleted | LlmFailed): Settlement["used"] {
  const { wasted = [] } = event;
  const answered = event.kind === "LlmCompleted" && event.cached !== true ? [event] : [];
  const attempts = [...wasted, ...answered];
  const calls = attempts.length > 0 || event.kind === "LlmFailed" ? 1 : 0;
  const tokens = attempts.reduce((sum, { usage }) => sum + usage.inputTokens + usage.outputTokens, 0);
  const isPriced = attempts.every(({ costUsd }) => costUsd !== undefined);
  const nanoUsd = attempts.reduce((sum, { costUsd = 0 }) => sum + nanoUsdOf(costUsd), 0);
  return { tokens, calls, ...(isPriced && { nanoUsd }) };
}

function exceeded({ instanceId, eventId, request }: WorkItem, shortage: Shortage | undefined): BudgetExceededError {
  const { operation, request: asked } = request as LlmRequested;
  const call = `ctx.${operation} of instance ${instanceId} (event ${eventId})`;
  if (shortage === undefined) {
    return new BudgetExceededError(
      `Expected the model of ${call} to have a price, as a budget limits its money, got none for ${asked.model ?? "the default model"}: give Runtime.start({ prices }), then call client.resume(${JSON.stringify(instanceId)})`,
    );
  }
  const known = publicShortage(shortage);
  const { member, limit, spent, reserved, wanted } = known;
  const whose = JSON.stringify(known.instanceId);
  const found =
    member === "timeMs"
      ? `${spent} ms since its start, of ${limit}`
      : `${wanted} wanted where ${spent} are spent and ${reserved} reserved of ${limit}`;
  const help = mayPass(shortage)
    ? `it is asked again when calls under way have used less; to go on at once, call client.topUp(${whose}, { ${member} })`
    : `call client.topUp(${whose}, { ${member} }), or catch this error`;
  return new BudgetExceededError(
    `Expected ${call} to fit into ${member} of the budget of instance ${known.instanceId}, got ${found}: ${help}`,
    known,
  );
}

function publicShortage({ member, limit, spent, reserved, wanted, instanceId }: Shortage): BudgetShortage {
  if (member !== "nanoUsd") return { instanceId, member, limit, spent, reserved, wanted };
  const money = { limit: usdOf(limit), spent: usdOf(spent), reserved: usdOf(reserved), wanted: usdOf(wanted) };
  return { instanceId, member: "usd", ...money };
}
