/** What an agent waits for when it waits for people, as the details of its wait tell it to whoever looks. */
import type { Effect, Payload } from "@stet/core";

/** The event by which people reach an agent. */
export const inboxName = "agent.inbox";

/** An action that waits for people to decide about it. */
export type PendingApproval = {
  readonly actionId: string;
  readonly tool: string;
  readonly arguments: Payload;
  readonly effect: Effect;
  /** What the model thought when it planned it. */
  readonly thought: string;
  /** Why it needs approval. */
  readonly why: string;
  readonly since: number;
  /** When nobody's answer becomes a rejection. */
  readonly expiresAt?: number;
  readonly quorum: number;
  /** Who has approved of it so far, with these arguments. */
  readonly approvedBy: readonly string[];
  /** Why the last decision about it changed nothing, if it did not. */
  readonly problem?: string;
};

/** What an agent that waits for people waits for: the details of its open wait. */
export type AgentWait = {
  readonly agent: string;
  readonly iteration: number;
  readonly costUsd: number;
  readonly approvals?: readonly PendingApproval[];
  readonly question?: { readonly actionId: string; readonly text: string };
  readonly paused?: { readonly by: string; readonly since: number };
};
