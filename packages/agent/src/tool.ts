/**
 * Tools: what a model may call. A tool is an activity, an orchestration or another agent, with what the model is told about
 * it and the conditions under which it runs.
 */
import type {
  Activity,
  ActivityCallOptions,
  AnyActivity,
  AnyOrchestration,
  Duration,
  Effect,
  JsonSchema,
  Orchestration,
  Payload,
  RetryPolicy,
  Schema,
} from "@stet/core";
import { ConfigurationError } from "@stet/core";
import {
  assertChoice,
  assertOptions,
  check,
  type Checked,
  durationMs,
  isSchema,
  jsonSchemaOf,
  type NamesOf,
  schemaOfJson,
  shown,
} from "@stet/core/internal";
import { z } from "zod";

/** How a tool is called, for the model to learn from. */
export interface ToolExample<Arguments = unknown, Answer = unknown> {
  readonly description: string;
  readonly input: Arguments;
  /** What it answers. */
  readonly output?: Answer;
}

/** What is said about a tool besides what its definition says. */
export interface ToolOptions<Arguments = unknown, Answer = unknown> {
  /** How the model calls it: a letter, then letters, digits, `_` and `-`, at most 64. @default the name of the definition */
  readonly name?: string;
  /** What it does and when to use it. @default the description of the definition */
  readonly description?: string;
  /**
   * What it takes: an object, as a Zod schema or a JSON Schema document. Arguments that do not satisfy it never reach the
   * tool. @default the input schema of the definition; without one it takes nothing
   */
  readonly parameters?: Schema<Arguments> | JsonSchema;
  /** What it answers. An answer that does not satisfy it counts as a failure. @default anything */
  readonly returns?: Schema<Answer> | JsonSchema;
  /** Checked against `parameters` and `returns` when the tool is made. */
  readonly examples?: readonly ToolExample<Arguments, Answer>[];
  /** Whether a person must approve of each call. @default false */
  readonly approval?: boolean;
  /**
   * What running it twice would mean. That of an activity is said with the activity, because the engine heeds it.
   * @default the activity's; `"idempotent"` for an orchestration
   */
  readonly effect?: Effect;
  /** Longest time of one call, attempts and waits included. @default none */
  readonly timeout?: Duration;
  /** How failures of an activity are retried before the model hears of them. @default the activity's */
  readonly retry?: RetryPolicy;
  /**
   * The name of another tool of the agent, which is called with the same arguments when this one has failed for good. Rules
   * and the chosen tool set hold for it as well. It has no fallback itself then. @default none
   */
  readonly fallback?: string;
  /** Which tool of this name it is, for `requires` of others. @default none */
  readonly version?: string;
  /** Tools without which it is of no use, as `name`, or as `name@version`. An agent that lacks one is refused. @default none */
  readonly requires?: readonly string[];
}

/** What runs when a tool is called that every agent may be given: a timer, a question, a note. */
export interface BuiltIn {
  readonly kind: "builtIn";
  readonly name: "wait" | "ask_human" | "note";
}

/** A tool, made by {@link tool}. */
export interface Tool {
  readonly kind: "tool";
  readonly name: string;
  readonly description: string;
  readonly parameters: JsonSchema;
  readonly returns?: JsonSchema;
  readonly examples: readonly ToolExample[];
  readonly approval: boolean;
  readonly effect: Effect;
  readonly timeoutMs?: number;
  readonly callOptions: ActivityCallOptions;
  readonly fallback?: string;
  readonly version?: string;
  readonly requires: readonly string[];
  readonly definition: AnyActivity | AnyOrchestration | BuiltIn;
  /** The arguments as the definition takes them, or what is wrong with them. */
  readonly read: (args: Payload) => Checked<unknown>;
  /** The answer, or what is wrong with it. */
  readonly readAnswer: (answer: unknown) => Checked<unknown>;
}

/**
 * Makes a tool of an activity, an orchestration or an agent.
 *
 * @example
 * ```ts
 * import { z } from "zod";
 *
 * const restart = activity(
 *   "restart_vm",
 *   { effect: "irreversible", input: z.object({ vmId: z.string() }) },
 *   async (_ctx, { vmId }) => `restarting ${vmId}`,
 * );
 *
 * const restartTool = tool(restart, {
 *   description: "Restarts a virtual machine. It takes two to three minutes.",
 *   approval: true,
 *   timeout: "5m",
 *   examples: [{ description: "a web server that hangs", input: { vmId: "web-1" } }],
 * });
 * ```
 * @throws ConfigurationError when a name, a schema, an example or an option is wrong.
 */
export function tool<Input, Output>(
  definition: Activity<Input, Output> | Orchestration<Input, Output>,
  options: ToolOptions<Input, Output> = {},
): Tool {
  const { name = definition.name } = options;
  const what = `tool ${name}`;
  const callee = definition as AnyActivity | AnyOrchestration;
  assertOptions(options, optionNames, what);
  assertToolName(name, what);
  const { description = definition.options.description, approval = false, returns, timeout, retry } = options;
  const { fallback, version, requires = [] } = options;
  if (description === undefined || description === "") {
    throw new ConfigurationError(`Expected ${what} to have a description, got none: a model chooses by it`);
  }
  if (retry !== undefined && definition.kind !== "activity") {
    throw new ConfigurationError(
      `Expected retry of ${what} to be given to an activity, got the orchestration ${definition.name}`,
    );
  }
  const effect = effectOf(callee, options.effect, what);
  if (effect === "irreversible" && (retry?.maxAttempts ?? 1) > 1) {
    throw new ConfigurationError(
      `Expected the irreversible ${what} to have no retries, got retry.maxAttempts ${retry?.maxAttempts}: it is never started twice`,
    );
  }
  if (fallback !== undefined) assertToolName(fallback, `the fallback of ${what}`);
  const given = options.parameters ?? ownParameters(callee);
  const parameters = objectSchema(given, what);
  const made: Tool = {
    kind: "tool",
    name,
    description,
    parameters,
    ...(returns !== undefined && { returns: jsonSchemaOf(returns) }),
    examples: options.examples ?? [],
    approval,
    effect,
    ...(timeout !== undefined && { timeoutMs: durationMs(timeout, `timeout of ${what}`) }),
    callOptions: {
      ...(timeout !== undefined && { totalTimeout: timeout }),
      ...(retry !== undefined && { retry }),
    },
    ...(fallback !== undefined && { fallback }),
    ...(version !== undefined && { version }),
    requires,
    definition: callee,
    read: reader(given, `the arguments of ${what}`, options.parameters === undefined),
    readAnswer: returns === undefined ? (value) => ({ value }) : reader(returns, `the answer of ${what}`, true),
  };
  for (const example of made.examples) assertExample(example, made);
  return Object.freeze(made);
}

const optionNames: NamesOf<ToolOptions> = {
  name: true,
  description: true,
  parameters: true,
  returns: true,
  examples: true,
  approval: true,
  effect: true,
  timeout: true,
  retry: true,
  fallback: true,
  version: true,
  requires: true,
};

/** What an agent takes when another one calls it. */
const goalParameters: z.ZodType<{ goal: string }> = z.object({
  goal: z.string().min(1).describe("what it shall reach, with all that it must know"),
});

/** @throws ConfigurationError when a name is not one that all vendors take. */
function assertToolName(name: unknown, what: string): asserts name is string {
  if (typeof name === "string" && /^[A-Za-z][\w-]{0,63}$/.test(name)) return;
  throw new ConfigurationError(
    `Expected the name of ${what} to start with a letter and hold only letters, digits, _ and - (at most 64), got ${shown(name)}: give the tool a name`,
  );
}

function ownParameters(definition: AnyActivity | AnyOrchestration): Schema | JsonSchema {
  if ("agent" in definition) return goalParameters;
  return definition.options.input ?? { type: "object", properties: {}, additionalProperties: false };
}

function objectSchema(given: Schema | JsonSchema, what: string): JsonSchema {
  const document = jsonSchemaOf(given);
  if (document["type"] === "object") return document;
  throw new ConfigurationError(
    `Expected the parameters of ${what} to be an object, got ${shown(document)}: give them names, as in z.object({ id: z.string() })`,
  );
}

/** @param asWritten - Whether what satisfies the schema is passed on as it was, because its definition reads it again. */
function reader(given: Schema | JsonSchema, what: string, asWritten: boolean): (value: unknown) => Checked<unknown> {
  const schema = isSchema(given) ? given : schemaOfJson(given);
  return (value) => {
    const checked = check(schema, value, what);
    return asWritten && "value" in checked ? { value } : checked;
  };
}

function effectOf(definition: AnyActivity | AnyOrchestration, said: Effect | undefined, what: string): Effect {
  assertChoice(said, ["pure", "idempotent", "compensable", "irreversible"], `effect of ${what}`);
  if (definition.kind === "orchestration") return said ?? "idempotent";
  const { effect = "idempotent" } = definition.options;
  if (said === undefined || said === effect) return effect;
  throw new ConfigurationError(
    `Expected effect of ${what} to be that of its activity (${effect}), got ${said}: say it where the activity is defined`,
  );
}

function assertExample({ description, input, output }: ToolExample, { name, read, readAnswer }: Tool): void {
  const asked = read(input as Payload);
  const answered = output === undefined ? { value: output } : readAnswer(output);
  for (const [what, checked] of [
    ["input", asked],
    ["output", answered],
  ] as const) {
    if ("value" in checked) continue;
    throw new ConfigurationError(
      `Expected the ${what} of the example ${shown(description)} of tool ${name} to satisfy its schema, got: ${checked.problem}`,
    );
  }
}
