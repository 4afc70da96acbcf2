/** How agents end, and what they answer then. */
import type { UsageTotals } from "@stet/core";
import type { ActionCounts } from "./memory.ts";

/** Why an agent ended. */
export type AgentOutcome =
  /** The model says that the goal is reached. */
  | "success"
  /** The model says that it cannot be reached. */
  | "gave_up"
  | "max_iterations"
  /** Its budget, or one above it, had no room for the next question. */
  | "budget_exceeded"
  | "timeout"
  | "cancelled"
  /** It only repeated what it had done, or made one mistake after the other. */
  | "no_progress";

/** What an agent answers. */
export type AgentResult = {
  readonly outcome: AgentOutcome;
  /** The model's own with `success` and `gave_up`; otherwise why it ended and what the model thought last. */
  readonly summary: string;
  readonly iterations: number;
  /** Of its model calls and those of agents below it. */
  readonly usage: UsageTotals;
  readonly costUsd: number;
  /** By tool, how many actions came to what. Calls of tools that do not exist are counted under `(unknown)`. */
  readonly actions: { readonly [tool: string]: ActionCounts };
};

/** Thrown inside of an agent to end it. It never leaves the package. */
export class Ending extends Error {
  override name = "Ending";
  readonly outcome: AgentOutcome;

  constructor(outcome: AgentOutcome, summary: string) {
    super(summary);
    this.outcome = outcome;
  }
}
