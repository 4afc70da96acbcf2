/** One execution of an agent: what its parts share, and what it tells the world outside. */
import type { DurablePromise, OrchestrationContext, Payload } from "@stet/core";
import type { AgentSpec } from "./agent-options.ts";
import type { ActionStatus, AgentMemory } from "./memory.ts";
import { Ending, type AgentOutcome } from "./outcome.ts";

/** What an agent emits to its output stream while it works: see `handle.outputs()`. */
export type AgentEvent =
  | {
      readonly kind: "planned";
      readonly iteration: number;
      readonly thought: string;
      readonly actions: readonly { readonly id: string; readonly tool: string; readonly arguments: Payload }[];
      readonly costUsd: number;
    }
  /** The model's answer was none, or its plan cannot be run. */
  | { readonly kind: "mistaken"; readonly iteration: number; readonly problem: string }
  | { readonly kind: "awaited"; readonly actionId: string; readonly tool: string; readonly why: string }
  | {
      readonly kind: "decided";
      readonly actionId: string;
      readonly decision: string;
      readonly by: string;
      readonly reason?: string;
    }
  | {
      readonly kind: "acted";
      readonly actionId: string;
      readonly tool: string;
      readonly status: ActionStatus;
      readonly excerpt: string;
    }
  | { readonly kind: "asked"; readonly actionId: string; readonly question: string }
  /** Something that came from outside. */
  | { readonly kind: "heard"; readonly text: string }
  /** Something that came from outside and changed nothing. */
  | { readonly kind: "ignored"; readonly why: string }
  | { readonly kind: "summarised"; readonly iterations: number }
  | { readonly kind: "ended"; readonly outcome: AgentOutcome; readonly summary: string; readonly costUsd: number };

/** What an agent says about itself: see `handle.status()`. */
export type AgentStatus = {
  /** From 1: the one it is in. */
  readonly iteration: number;
  readonly phase: "planning" | "acting" | "waiting for approval" | "waiting for an answer" | "waiting" | "paused";
  readonly costUsd: number;
};

/** See the head of the file. */
export interface Run {
  readonly ctx: OrchestrationContext;
  readonly spec: AgentSpec;
  readonly memory: AgentMemory;
  /** The promise, unless the agent's time is up before: then what was asked for is cancelled and the agent ends. */
  readonly within: <Value>(promise: DurablePromise<Value>) => Promise<Value>;
}

/** Begins an execution. */
export function run(ctx: OrchestrationContext, spec: AgentSpec, memory: AgentMemory): Run {
  return { ctx, spec, memory, within: withinTime(ctx, spec, memory) };
}

/** Tells whoever watches. */
export function tell({ ctx }: Run, event: AgentEvent): void {
  ctx.emit(event);
}

/** Says where the agent stands. */
export function stand({ ctx, memory }: Run, phase: AgentStatus["phase"]): void {
  const costUsd = memory.usage.usd + ctx.usage().usd;
  ctx.setStatus({ iteration: memory.iteration + 1, phase, costUsd } satisfies AgentStatus);
}

/** One timer for the execution, not one for each thing that is waited for. */
function withinTime(ctx: OrchestrationContext, { bounds }: AgentSpec, { startedAt }: AgentMemory): Run["within"] {
  const { timeoutMs } = bounds;
  if (timeoutMs === undefined) return (promise) => promise;
  const end = ctx.timer(Math.max(0, startedAt + timeoutMs - ctx.now())).then(() => {
    throw new Ending("timeout", `The time of ${timeoutMs / 1000} s was up.`);
  });
  end.catch(() => undefined);
  return async (promise) => {
    try {
      return await Promise.race([promise, end]);
    } catch (error) {
      if (error instanceof Ending) promise.cancel("the agent's time is up");
      throw error;
    }
  };
}
