/**
 * What an execution remembers of what came to it: the last facts, for models that are told about it, and the usage of
 * its model calls in sum, for the executions after it and for its own code. A fork does not count what its origin has paid
 * for; its code is told all of it, or it would be told something else than its origin.
 */
import type { DeliveryBody, Recorded, RequestBody } from "./events.ts";
import { UsageTally } from "./llm/usage.ts";
import { RecentFacts } from "./recent-facts.ts";

/** See the head of the file. */
export class Recollection {
  readonly facts: RecentFacts = new RecentFacts();
  readonly usage: UsageTally = new UsageTally();
  /** What the model calls of this execution came to, for its code. */
  readonly toldUsage: UsageTally = new UsageTally();
  /** The last event that a fork shares with its origin. */
  #sharedUpTo = 0;

  /** @param request - What the event answers, if it answers something. */
  add(event: Recorded & DeliveryBody, request: RequestBody | undefined): void {
    if (event.kind === "OrchestrationStarted") {
      this.#sharedUpTo = event.forkedFrom?.atEvent ?? 0;
      if (event.forkedFrom === undefined) for (const row of event.usage ?? []) this.usage.addRow(row);
      return;
    }
    this.facts.add(event, request);
    if (event.kind !== "LlmCompleted" && event.kind !== "LlmFailed") return;
    const label = request?.kind === "LlmRequested" ? request.label : undefined;
    this.toldUsage.add(event, label);
    if (event.id > this.#sharedUpTo) this.usage.add(event, label);
  }
}
