/**
 * Tools: what a model may ask for in a conversation, described from definitions, and the checks of what it is offered.
 */
import { ConfigurationError } from "../errors.ts";
import { shown } from "../options.ts";
import { copyOfJson } from "../payload.ts";
import { jsonSchemaOf, type Schema } from "../schema.ts";
import type { LlmRequest, LlmTool } from "./conversation.ts";

/** What can be described as a tool: an activity, or anything else with a name, a description and an input. */
export interface ToolSource {
  readonly name: string;
  readonly options: { readonly description?: string; readonly input?: Schema };
}

/** What a model may call, and whether it must. */
export interface ChatTools {
  readonly tools?: readonly LlmTool[];
  /** @default "auto" where there are tools */
  readonly toolChoice?: NonNullable<LlmRequest["toolChoice"]>;
}

/**
 * Tools by name, in the order of their names, so that a request is the same wherever they were registered first.
 *
 * @throws ConfigurationError when two have one name, or an input is not an object: the arguments of tools have names.
 */
export function toolsOf(sources: readonly ToolSource[]): LlmTool[] {
  const tools = sources.map(({ name, options: { description, input } }) => ({
    name,
    ...(description !== undefined && { description }),
    parameters: parametersOf(name, input),
  }));
  assertDistinctTools(tools, "ctx.describeTools");
  return tools.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @throws ConfigurationError when two tools have one name, or the choice is none of them. */
export function assertChatTools({ tools = [], toolChoice }: ChatTools): void {
  assertDistinctTools(tools, "ctx.chat");
  const mustCall = toolChoice !== undefined && toolChoice !== "auto" && toolChoice !== "none";
  const fits = toolChoice === "required" ? tools.length > 0 : tools.some(({ name }) => name === nameOf(toolChoice));
  if (mustCall && !fits) {
    const names = tools.map(({ name }) => name).join(", ") || "none";
    throw new ConfigurationError(
      `Expected toolChoice of ctx.chat to ask for one of its tools (${names}), got ${shown(toolChoice)}`,
    );
  }
}

function nameOf(choice: ChatTools["toolChoice"]): string | undefined {
  return typeof choice === "object" ? choice.name : undefined;
}

function parametersOf(name: string, input: Schema | undefined): LlmTool["parameters"] {
  if (input === undefined) return { type: "object", properties: {}, additionalProperties: false };
  const parameters = jsonSchemaOf(input);
  if (parameters["type"] === "object") return copyOfJson(parameters);
  throw new ConfigurationError(
    `Expected the input of ${name} to be an object to be described as a tool, got ${shown(parameters)}: give its input names, as in z.object({ id: z.string() })`,
  );
}

function assertDistinctTools(tools: readonly LlmTool[], what: string): void {
  const names = tools.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new ConfigurationError(`Expected the tools of ${what} to differ in name, got two ${twice}`);
}
