/**
 * What the database holds about the tickets, read from outside while a worker may be writing.
 */
import { type Client, type HistoryEvent, isClosing, isStetError } from "@stet/core";
import { instanceIdOf, type Ticket } from "./tickets.ts";
import type { Verdict } from "./triage.ts";

/** One ticket's instance. */
export interface TicketRecord {
  readonly ticket: Ticket;
  readonly instanceId: string;
  /** Empty when it has not begun. */
  readonly events: readonly HistoryEvent[];
  /** Present when it has completed. */
  readonly verdict?: Verdict;
  /** Why it failed, when it has. */
  readonly failure?: string;
}

/** The records of all tickets, in their order. */
export function readRecords(client: Client, tickets: readonly Ticket[]): Promise<TicketRecord[]> {
  return Promise.all(
    tickets.map(async (ticket) => {
      const instance = client.instance<Verdict>(instanceIdOf(ticket));
      const events = await instance.history().catch(noneIfUnknown);
      const last = events.at(-1);
      return {
        ticket,
        instanceId: instance.instanceId,
        events,
        ...(last?.kind === "OrchestrationCompleted" && { verdict: await instance.result() }),
        ...(last?.kind === "OrchestrationFailed" && { failure: last.error.message }),
      };
    }),
  );
}

/** How many of them have not ended. */
export function countOpen(records: readonly TicketRecord[]): number {
  return records.filter(({ events }) => !events.some(isClosing)).length;
}

/** How many model answers they hold. */
export function countAnswers(records: readonly TicketRecord[]): number {
  return records.flatMap(({ events }) => events).filter(({ kind }) => kind === "LlmCompleted").length;
}

function noneIfUnknown(error: unknown): HistoryEvent[] {
  if (isStetError(error, "instance_not_found")) return [];
  throw error;
}
