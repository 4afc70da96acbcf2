/**
 * What an agent knows, as data. It is the state of the instance under the key `agent`, so it goes with it from execution
 * to execution, and whoever may read the instance may read it.
 */
import type { OrchestrationContext, Payload, UsageTotals } from "@stet/core";
import { noUsage, sumOfUsage } from "@stet/core/internal";

/** What became of an action. */
export type ActionStatus =
  /** It ran and answered. */
  | "completed"
  /** It ran and failed. */
  | "failed"
  /** It is irreversible and was cut off: nobody knows whether it happened. */
  | "unknown"
  /** It was never run: no such tool, bad arguments, forbidden, denied. */
  | "refused"
  /** A person rejected it, or nobody approved of it in time. */
  | "rejected"
  /** A person did it in the agent's place. */
  | "takenOver"
  /** It was not run because of another action of the same plan. */
  | "skipped";

/** An action as the agent remembers it. */
export type RememberedAction = {
  /** The agent's own id of it, which no other action of the instance has. */
  readonly id: string;
  readonly tool: string;
  readonly arguments: Payload;
  readonly status: ActionStatus;
  /** What came of it, as the model is shown it. */
  result: string;
  /** Whether the result comes from outside, so that it is shown as material. */
  readonly isMaterial: boolean;
  /** Set when the result is only the beginning of what there was. */
  shortened?: boolean;
  /** What the model called it, with `planning: "plan"`. */
  readonly writtenId?: string;
};

/** One round: what was heard, what the model thought, what was done. */
export type Iteration = {
  readonly number: number;
  /** The execution whose history has all of it. */
  readonly execution: number;
  /** What the model was told last before it was asked: what was new. */
  readonly heard: string;
  readonly thought: string;
  readonly parallel: boolean;
  readonly actions: readonly RememberedAction[];
};

/** How many actions of a tool came to what. */
export type ActionCounts = { readonly [status in ActionStatus]?: number };

/** See the head of the file. */
export type AgentMemory = {
  goal: string;
  readonly startedAt: number;
  /** Rounds so far. */
  iteration: number;
  /** Those that are remembered one by one, oldest first. */
  iterations: Iteration[];
  /** Those before, in few words. */
  summary?: {
    readonly text: string;
    readonly iterations: number;
    readonly executions: readonly [first: number, last: number];
  };
  notes: string[];
  /** What the model has not been told yet. */
  news: string[];
  /** Of the executions before, and of agents below. */
  usage: UsageTotals;
  actions: { [tool: string]: ActionCounts };
  /** Plans with mistakes in a row. */
  mistakes: number;
  /** Iterations in a row without new information. */
  repeats: number;
  /** Actions with their results, as hashes, newest last. */
  seen: string[];
  /** Irreversible actions of which nobody knows whether they happened, as hashes. */
  uncertain: string[];
  paused?: { readonly by: string; readonly since: number };
};

const key = "agent";

/**
 * How it is kept. Each iteration is a text of its own: a long text is stored once, however often it is handed on, and so an
 * iteration that stays as it is costs a reference in the executions that follow.
 */
type KeptMemory = Omit<AgentMemory, "iterations"> & { readonly iterations: readonly string[] };

/** What the agent knows from its executions before, or the beginning of a new one. */
export function recall(ctx: OrchestrationContext, goal: string): AgentMemory {
  const kept = ctx.state.get<KeptMemory>(key);
  if (kept !== undefined) return { ...kept, iterations: kept.iterations.map((text) => JSON.parse(text) as Iteration) };
  return {
    goal,
    startedAt: ctx.now(),
    iteration: 0,
    iterations: [],
    notes: [],
    news: [],
    usage: noUsage,
    actions: {},
    mistakes: 0,
    repeats: 0,
    seen: [],
    uncertain: [],
  };
}

/** Hands over what is known to the execution that follows. */
export function remember(ctx: OrchestrationContext, memory: AgentMemory): void {
  const iterations = memory.iterations.map((iteration) => JSON.stringify(iteration));
  ctx.state.set(key, { ...memory, iterations, usage: spent(ctx, memory) } satisfies KeptMemory);
}

/** What all executions have used, with agents below. */
export function spent(ctx: OrchestrationContext, { usage }: AgentMemory): UsageTotals {
  return sumOfUsage(usage, ctx.usage());
}

/** Counts what became of an action. */
export function tally(memory: AgentMemory, tool: string, status: ActionStatus): void {
  const counts = memory.actions[tool];
  memory.actions[tool] = { ...counts, [status]: (counts?.[status] ?? 0) + 1 };
}
