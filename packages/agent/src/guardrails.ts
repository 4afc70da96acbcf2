/**
 * Guardrails: what an agent may do, checked before anything runs. Those of an agent hold for the agents that are its tools
 * as well: what it forbids or wants approved, they cannot do either.
 */
import type { Budget, Duration, Effect, Payload, UsageTotals } from "@stet/core";
import { ConfigurationError } from "@stet/core";
import { assertOptions, durationMs, type NamesOf, shown } from "@stet/core/internal";
import type { Tool } from "./tool.ts";

/** Bounds of an agent. They hold across executions, restarts and agents below it. */
export interface Guardrails {
  /** How often the model may be asked for a plan. @default 25 */
  readonly maxIterations?: number;
  /** Tokens of all questions and answers, those of agents below it included, as a budget: see `docs/budgets.md`. @default no limit */
  readonly maxTokens?: number;
  /** US dollars, likewise. Models without a price are refused. @default no limit */
  readonly maxUsd?: number;
  /** Time from start to end, waits for people included. @default no limit */
  readonly timeout?: Duration;
  /** Actions of one plan. A plan with more is refused whole. @default 10 */
  readonly maxActionsPerPlan?: number;
  /** Actions that run at the same time. @default 5 */
  readonly parallelism?: number;
  /**
   * Tools that must not be called, by their own name or that of what they call. They are not offered to the model.
   * @default none
   */
  readonly forbidden?: readonly string[];
  /** Which actions a person must approve of, besides those of tools with `approval`. @default none */
  readonly approval?: ApprovalRule;
  /** How many people must approve of an action. One who rejects it is enough. @default 1 */
  readonly quorum?: number;
  /** How long an action waits for approval. Nobody's answer counts as a rejection. @default for ever */
  readonly approvalTimeout?: Duration;
  /** Plans in a row that name unknown tools, have bad arguments or cannot be read; then it ends without progress. @default 3 */
  readonly maxMistakes?: number;
  /** Iterations in a row that only repeat earlier actions with the results they had; then it ends without progress. @default 3 */
  readonly maxRepeats?: number;
}

/**
 * Which actions need approval: all that do something outside of the agent, those of some tools, or what a function says of each. It runs again on replay, so it
 * must depend on nothing but the action.
 */
export type ApprovalRule = "always" | readonly string[] | ((action: ProposedAction) => "allow" | "ask" | "deny");

/** An action that a model asks for, as an {@link ApprovalRule} sees it. */
export interface ProposedAction {
  /** The agent's name. An agent that is a tool has the names of those above it before its own. */
  readonly agent: string;
  readonly tool: string;
  readonly arguments: Payload;
  readonly effect: Effect;
  readonly iteration: number;
  /** What the agent has spent so far, in US dollars. */
  readonly costUsd: number;
  readonly usage: UsageTotals;
}

/** Guardrails with every default. */
export interface Bounds {
  readonly maxIterations: number;
  readonly timeoutMs: number | undefined;
  readonly maxActionsPerPlan: number;
  readonly parallelism: number;
  readonly maxMistakes: number;
  readonly maxRepeats: number;
}

/** What guardrails say about actions. Those of the agents above come with one's own. */
export interface Rules {
  readonly forbidden: ReadonlySet<string>;
  readonly approval: ApprovalRule;
  readonly quorum: number;
  readonly approvalTimeoutMs: number | undefined;
}

/** What is to happen with an action that could run. */
export type Ruling =
  | { readonly verdict: "allow" }
  | { readonly verdict: "deny"; readonly why: string }
  | { readonly verdict: "ask"; readonly why: string; readonly quorum: number; readonly timeoutMs: number | undefined };

const optionNames: NamesOf<Guardrails> = {
  maxIterations: true,
  maxTokens: true,
  maxUsd: true,
  timeout: true,
  maxActionsPerPlan: true,
  parallelism: true,
  forbidden: true,
  approval: true,
  quorum: true,
  approvalTimeout: true,
  maxMistakes: true,
  maxRepeats: true,
};

/** @throws ConfigurationError when a bound is none. */
export function boundsOf(guardrails: Guardrails, agent: string): Bounds {
  assertOptions(guardrails, optionNames, `the guardrails of agent ${agent}`);
  const { timeout } = guardrails;
  return {
    maxIterations: atLeastOne(guardrails.maxIterations ?? 25, "maxIterations", agent),
    timeoutMs: timeout === undefined ? undefined : durationMs(timeout, `timeout of agent ${agent}`),
    maxActionsPerPlan: atLeastOne(guardrails.maxActionsPerPlan ?? 10, "maxActionsPerPlan", agent),
    parallelism: atLeastOne(guardrails.parallelism ?? 5, "parallelism", agent),
    maxMistakes: atLeastOne(guardrails.maxMistakes ?? 3, "maxMistakes", agent),
    maxRepeats: atLeastOne(guardrails.maxRepeats ?? 3, "maxRepeats", agent),
  };
}

/**
 * @param known - Names that may be forbidden or need approval: those of all tools, and of what they call.
 * @throws ConfigurationError when a rule names a tool that nobody has: a misspelt guardrail guards nothing.
 */
export function rulesOf(guardrails: Guardrails, known: ReadonlySet<string>, agent: string): Rules {
  const { forbidden = [], approval = [], quorum = 1, approvalTimeout } = guardrails;
  assertKnown(forbidden, known, "forbidden", agent);
  if (typeof approval !== "function" && approval !== "always") assertKnown(approval, known, "approval", agent);
  return {
    forbidden: new Set(forbidden),
    approval,
    quorum: atLeastOne(quorum, "quorum", agent),
    approvalTimeoutMs:
      approvalTimeout === undefined ? undefined : durationMs(approvalTimeout, `approvalTimeout of agent ${agent}`),
  };
}

/** The part of guardrails that the store enforces, over the agent and all below it. */
export function budgetOf({ maxTokens, maxUsd }: Guardrails): Budget | undefined {
  if (maxTokens === undefined && maxUsd === undefined) return undefined;
  return { ...(maxTokens !== undefined && { tokens: maxTokens }), ...(maxUsd !== undefined && { usd: maxUsd }) };
}

/** Whether a tool must not be called, by whichever of its names. */
export function isForbidden({ name, definition }: Tool, rules: readonly Rules[]): boolean {
  return rules.some(({ forbidden }) => forbidden.has(name) || forbidden.has(definition.name));
}

/** What all rules together say: the strictest of them. */
export function rule(tool: Tool, proposed: ProposedAction, rules: readonly Rules[]): Ruling {
  let strictest: Ruling = tool.approval ? ask(`every call of ${tool.name} needs it`, rules) : { verdict: "allow" };
  for (const { approval } of rules) {
    const verdict = verdictOf(approval, tool, proposed);
    if (verdict === "deny")
      return { verdict, why: `the rules of this agent do not allow ${tool.name} with these arguments now` };
    if (verdict === "ask" && strictest.verdict === "allow")
      strictest = ask("the rules of this agent ask for it", rules);
  }
  return strictest;
}

/** What an action needs that a person must approve of, whatever the rules say. */
export function ask(why: string, rules: readonly Rules[]): Ruling {
  const limits = rules.flatMap(({ approvalTimeoutMs }) => approvalTimeoutMs ?? []);
  return {
    verdict: "ask",
    why,
    quorum: Math.max(...rules.map(({ quorum }) => quorum)),
    timeoutMs: limits.length === 0 ? undefined : Math.min(...limits),
  };
}

function verdictOf(approval: ApprovalRule, tool: Tool, proposed: ProposedAction): "allow" | "ask" | "deny" {
  if (approval === "always") return tool.definition.kind === "builtIn" ? "allow" : "ask";
  if (typeof approval !== "function") {
    return approval.includes(tool.name) || approval.includes(tool.definition.name) ? "ask" : "allow";
  }
  const verdict: unknown = approval(proposed);
  if (verdict === "allow" || verdict === "ask" || verdict === "deny") return verdict;
  throw new ConfigurationError(
    `Expected the approval rule of agent ${proposed.agent} to answer "allow", "ask" or "deny", got ${shown(verdict)}`,
  );
}

function assertKnown(names: readonly string[], known: ReadonlySet<string>, what: string, agent: string): void {
  const stranger = names.find((name) => !known.has(name));
  if (stranger === undefined) return;
  throw new ConfigurationError(
    `Expected ${what} of agent ${agent} to name its tools (${[...known].sort().join(", ")}), got ${shown(stranger)}`,
  );
}

function atLeastOne(value: number, what: string, agent: string): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw new ConfigurationError(`Expected ${what} of agent ${agent} to be a whole number from 1, got ${shown(value)}`);
}
