/** Agents: orchestrations whose next steps a model plans. */
import {
  type AnyActivity,
  type AnyOrchestration,
  ConfigurationError,
  type Orchestration,
  orchestration,
} from "@stet/core";
import { assertChoice, assertName, assertOptions, type NamesOf, shown } from "@stet/core/internal";
import { z } from "zod";
import type { AgentOptions, AgentSpec, MemoryOptions, ModelOptions } from "./agent-options.ts";
import { boundsOf, budgetOf, isForbidden, type Rules, rulesOf } from "./guardrails.ts";
import { live } from "./loop.ts";
import type { AgentResult } from "./outcome.ts";
import { finishTool, systemPrompt } from "./prompts.ts";
import type { Tool } from "./tool.ts";
import { assertComplete, toolSet, type ToolSet } from "./tool-set.ts";

/** What an agent is started with. */
export interface AgentInput {
  readonly goal: string;
  /** The name of one of the sets in the agent's `tools`: until it ends it may call these and no others. @default all its tools */
  readonly toolSet?: string | undefined;
}

/** An agent: an orchestration like any other, which can be started, watched, cancelled, forked, nested, or be a tool. */
export interface Agent extends Orchestration<AgentInput, AgentResult> {
  /** What it was made of. */
  readonly agent: AgentOptions;
  /** What it may call, the agents among them bound by its guardrails. */
  readonly tools: readonly Tool[];
}

/**
 * Makes an agent. Register it with what it calls by {@link definitionsOf}.
 *
 * @example
 * ```ts
 * const support = agent({
 *   name: "support",
 *   instructions: "You help customers. Look orders up before you decide.",
 *   tools: [tool(lookUp, { description: "Finds a customer by name." })],
 *   guardrails: { maxIterations: 10, maxUsd: 0.5, timeout: "1h" },
 * });
 * const started = await Runtime.start({ storage, llm, ...definitionsOf(support) });
 * const run = await started.startOrchestration(support, { goal: "Where is the parcel of Ada?" });
 * const { outcome, summary } = await run.result();
 * ```
 * @throws ConfigurationError when an option is wrong.
 */
export function agent(options: AgentOptions): Agent {
  return build(options, options.name, []);
}

/**
 * What a runtime must know to run agents: themselves, what they call, and the agents among that. Each once, so that agents
 * may share tools.
 */
export function definitionsOf(...agents: readonly Agent[]): {
  readonly orchestrations: readonly AnyOrchestration[];
  readonly activities: readonly AnyActivity[];
} {
  const orchestrations = new Set<AnyOrchestration>();
  const activities = new Set<AnyActivity>();
  const add = (member: AnyOrchestration | AnyActivity): void => {
    if (member.kind === "activity") return void activities.add(member);
    orchestrations.add(member);
    if (isAgent(member)) for (const { definition } of member.tools) if (definition.kind !== "builtIn") add(definition);
  };
  for (const each of agents) add(each);
  return { orchestrations: [...orchestrations], activities: [...activities] };
}

const optionNames: NamesOf<AgentOptions> = {
  name: true,
  tools: true,
  instructions: true,
  description: true,
  version: true,
  model: true,
  planning: true,
  guardrails: true,
  memory: true,
};

/** @param above - The rules of the agents that it is a tool of: theirs hold for it as well. */
function build(options: AgentOptions, name: string, above: readonly Rules[]): Agent {
  const { guardrails = {}, version, description, planning = "tools", model = {} } = options;
  assertName(name, "agent");
  assertOptions(options, optionNames, `agent ${name}`);
  assertChoice(planning, ["tools", "plan"], `planning of agent ${name}`);
  const all = toolSet(name, options.tools);
  const sets = namedSets(options.tools, name);
  for (const set of [all, ...sets.values()]) assertComplete(set);
  const { tools: given } = all;
  if (given.some((tool) => tool.name === finishTool.name)) {
    throw new ConfigurationError(
      `Expected the tools of agent ${name} to have other names than finish, got one: it ends the agent`,
    );
  }
  const rules = [rulesOf(guardrails, namesIn(given), name), ...above];
  const tools = given.map((tool) => bound(tool, name, rules));
  const budget = budgetOf(guardrails);
  const common = {
    name,
    planning,
    model: typeof model === "string" ? { model } : checkedModel(model, name),
    bounds: boundsOf(guardrails, name),
    rules,
    memory: memoryOf(options.memory ?? {}, name),
  };
  const specOf = (set: ToolSet): AgentSpec => {
    const mayCall = (tool: Tool) => set.get(tool.name) !== undefined && !isForbidden(tool, rules);
    const allowed = tools.filter(mayCall);
    const system = systemPrompt(options.instructions, planning, allowed);
    return { ...common, tools: allowed, forbidden: tools.filter((tool) => !mayCall(tool)), system };
  };
  const whole = specOf(all);
  const specs = new Map([...sets].map(([setName, set]) => [setName, specOf(set)]));
  const definition = orchestration<AgentInput, AgentResult>(
    name,
    {
      input: inputOf(name, [...sets.keys()]),
      ...(version !== undefined && { version }),
      ...(description !== undefined && { description }),
      ...(budget !== undefined && { budget }),
    },
    (ctx, input) => live(ctx, input.toolSet === undefined ? whole : (specs.get(input.toolSet) as AgentSpec), input),
  );
  return Object.freeze<Agent>({ ...definition, agent: options, tools });
}

/** @throws ConfigurationError when two sets have one name: nobody could say which. */
function namedSets(members: AgentOptions["tools"], agent: string): ReadonlyMap<string, ToolSet> {
  const sets = new Map<string, ToolSet>();
  for (const member of members) {
    if (member.kind !== "toolSet") continue;
    if ((sets.get(member.name) ?? member) !== member) {
      throw new ConfigurationError(
        `Expected the tool sets of agent ${agent} to differ in name, got two ${member.name}: rename one`,
      );
    }
    sets.set(member.name, member);
  }
  return sets;
}

function inputOf(agent: string, sets: readonly string[]): z.ZodType<AgentInput> {
  const known = sets.length === 0 ? "it has none" : sets.join(", ");
  const error = `Expected toolSet to be a tool set of agent ${agent} (${known})`;
  return z.object({
    goal: z.string().min(1),
    toolSet: z
      .string()
      .refine((name) => sets.includes(name), { error })
      .optional(),
  });
}

/** An agent as a tool is another one: it has a name of its own, and the rules of the one that calls it. */
function bound(tool: Tool, caller: string, rules: readonly Rules[]): Tool {
  const { definition } = tool;
  if (definition.kind !== "orchestration" || !isAgent(definition)) return tool;
  return Object.freeze({ ...tool, definition: build(definition.agent, `${caller}/${definition.name}`, rules) });
}

/** All names by which tools can be ruled, those of agents below included. */
function namesIn(tools: readonly Tool[]): Set<string> {
  const names = new Set<string>();
  for (const { name, definition } of tools) {
    names.add(name).add(definition.name);
    if (definition.kind !== "orchestration" || !isAgent(definition)) continue;
    for (const below of namesIn(definition.tools)) names.add(below);
  }
  return names;
}

function isAgent(definition: AnyOrchestration): definition is Agent & AnyOrchestration {
  return "agent" in definition;
}

const modelNames: NamesOf<ModelOptions> = {
  model: true,
  temperature: true,
  maxTokens: true,
  vendor: true,
  timeout: true,
  priority: true,
  stream: true,
};

function checkedModel(model: ModelOptions, name: string): ModelOptions {
  assertOptions(model, modelNames, `model of agent ${name}`);
  return model;
}

const memoryNames: NamesOf<MemoryOptions> = { maxTokens: true, keepLast: true, maxResultLength: true };

function memoryOf(memory: MemoryOptions, name: string): Required<MemoryOptions> {
  assertOptions(memory, memoryNames, `memory of agent ${name}`);
  const whole = { maxTokens: 32_000, keepLast: 3, maxResultLength: 16_000, ...memory };
  for (const [member, value] of Object.entries(whole)) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new ConfigurationError(
      `Expected ${member} of the memory of agent ${name} to be a whole number from 1, got ${shown(value)}`,
    );
  }
  return whole;
}
