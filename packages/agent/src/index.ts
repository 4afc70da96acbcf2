/** The public names of `@stet/agent`, grouped by who needs them. */

// Agents
export { type Agent, agent, type AgentInput, definitionsOf } from "./agent.ts";
export type { AgentOptions, MemoryOptions, ModelOptions } from "./agent-options.ts";
export type { ApprovalRule, Guardrails, ProposedAction } from "./guardrails.ts";
export type { AgentResult, AgentOutcome } from "./outcome.ts";
export type { ActionCounts, ActionStatus } from "./memory.ts";
export { planJsonSchema, planSchema, type WrittenPlan } from "./plan.ts";

// Tools
export { tool, type BuiltIn, type Tool, type ToolExample, type ToolOptions } from "./tool.ts";
export { toolSet, type ToolSet } from "./tool-set.ts";
export { toolsIn, type ToolsInFolder } from "./tools-in.ts";
export { askHuman, note, wait } from "./built-ins.ts";

// Watching
export { agentEvents, narrate } from "./narration.ts";
export type { AgentEvent, AgentStatus } from "./run.ts";

// People
export {
  type Agents,
  agents,
  type AgentWaitOptions,
  type Approval,
  ApprovalError,
  type Approvals,
  type DecisionOptions,
  type AgentQuestion,
} from "./agents.ts";
export type { PendingApproval } from "./agent-wait.ts";
