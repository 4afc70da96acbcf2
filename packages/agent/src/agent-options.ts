/** What is said about an agent, and what is made of it. */
import type { TextOptions } from "@stet/core";
import type { Bounds, Guardrails, Rules } from "./guardrails.ts";
import type { Planning } from "./prompts.ts";
import type { Tool } from "./tool.ts";
import type { ToolSet } from "./tool-set.ts";

/** How the model is asked for plans: the options of a model call. The label is the name of the agent. */
export type ModelOptions = Pick<
  TextOptions,
  "model" | "temperature" | "maxTokens" | "vendor" | "timeout" | "priority" | "stream"
>;

/** How much of what happened the model is shown. */
export interface MemoryOptions {
  /**
   * Most tokens of a question, four bytes each. Beyond it results of older iterations are shortened first, and then the
   * iterations themselves are summarised, by a model call of its own. @default 32000
   */
  readonly maxTokens?: number;
  /** The last iterations, which stay whole as long as they have room by themselves. @default 3 */
  readonly keepLast?: number;
  /** Most characters of one result. What is longer is cut when it comes. @default 16000 */
  readonly maxResultLength?: number;
}

/** What an agent is made of. */
export interface AgentOptions {
  readonly name: string;
  /** What it may call. A run can be started with one of the sets only: see {@link AgentInput}. */
  readonly tools: readonly (Tool | ToolSet)[];
  /** Who it is and how it should work: the beginning of its system prompt. */
  readonly instructions?: string;
  /** For people, and for the models of agents that have it as a tool. */
  readonly description?: string;
  /** As in `orchestration()`. @default "1" */
  readonly version?: string;
  /** A model of the runtime's table, or the options of its calls. @default the runtime's default model */
  readonly model?: string | ModelOptions;
  /**
   * How the model says what comes next: by calling tools as its vendor knows them, or by writing a plan
   * ({@link planSchema}), which every model can that writes JSON. @default "tools"
   */
  readonly planning?: Planning;
  readonly guardrails?: Guardrails;
  readonly memory?: MemoryOptions;
}

/** Options with every default, and the rules of those above. */
export interface AgentSpec {
  readonly name: string;
  /** By name, those that may be called. */
  readonly tools: readonly Tool[];
  /** By name, those that may not, so that the model is told so. */
  readonly forbidden: readonly Tool[];
  readonly system: string;
  readonly planning: Planning;
  readonly model: ModelOptions;
  readonly bounds: Bounds;
  readonly rules: readonly Rules[];
  readonly memory: Required<MemoryOptions>;
}
