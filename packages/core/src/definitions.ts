/**
 * Definitions: the values people register. A definition is its name, its options and its function, with the types of
 * input and output attached, so that calls through it are checked and inferred end to end.
 */
import type {
  Activity,
  ActivityContext,
  ActivityDefinitionOptions,
  ActivityOptions,
  Orchestration,
  OrchestrationContext,
  OrchestrationOptions,
} from "./context.ts";
import { assertAppearance } from "./appearance.ts";
import { assertBudget } from "./budget.ts";
import { durationMs } from "./duration.ts";
import { ConfigurationError } from "./errors.ts";
import type { RecordedActivityOptions } from "./events.ts";
import { assertChoice, assertOptions, type NamesOf, shown } from "./options.ts";
import { retryPolicy } from "./retry.ts";

/**
 * Defines an activity.
 *
 * @example
 * ```ts
 * const charge = activity("charge", { effect: "irreversible", timeout: "30s" }, async (ctx, order: Order) =>
 *   payments.charge(order, { idempotencyKey: ctx.idempotencyKey }));
 * ```
 * @throws ConfigurationError when the name or an option is wrong.
 */
export function activity<Input = void, Output = unknown>(
  name: string,
  run: (ctx: ActivityContext, input: Input) => Promise<Output> | Output,
): Activity<Input, Output>;
export function activity<Input = void, Output = unknown>(
  name: string,
  options: ActivityDefinitionOptions<Input>,
  run: (ctx: ActivityContext, input: Input) => Promise<Output> | Output,
): Activity<Input, Output>;
export function activity<Input, Output>(
  name: string,
  ...rest: Rest<ActivityDefinitionOptions<Input>, Activity<Input, Output>["run"]>
): Activity<Input, Output> {
  const [options, run] = split(rest, `activity ${name}`);
  assertName(name, "activity");
  const { effect } = options;
  assertOptions(options, activityOptions, `activity ${name}`);
  assertAppearance(options, `activity ${name}`);
  assertChoice(effect, ["pure", "idempotent", "compensable", "irreversible"], `effect of activity ${name}`);
  if (effect === "irreversible" && (options.retry?.maxAttempts ?? 1) > 1) {
    throw new ConfigurationError(
      `Expected the irreversible activity ${name} to have no retries, got retry.maxAttempts ${options.retry?.maxAttempts}: it is never started twice`,
    );
  }
  const recorded = { ...recordedOptions(options, `activity ${name}`), ...(effect !== undefined && { effect }) };
  return Object.freeze({ kind: "activity", name, options, recorded, run });
}

/**
 * Defines an orchestration.
 *
 * @example
 * ```ts
 * const greet = orchestration("greet", async (ctx, name: string) => `Hello, ${await ctx.activity(lookUp, name)}`);
 * ```
 * @throws ConfigurationError when the name or an option is wrong.
 */
export function orchestration<Input = void, Output = unknown>(
  name: string,
  run: (ctx: OrchestrationContext, input: Input) => Promise<Output> | Output,
): Orchestration<Input, Output>;
export function orchestration<Input = void, Output = unknown>(
  name: string,
  options: OrchestrationOptions<Input>,
  run: (ctx: OrchestrationContext, input: Input) => Promise<Output> | Output,
): Orchestration<Input, Output>;
export function orchestration<Input, Output>(
  name: string,
  ...rest: Rest<OrchestrationOptions<Input>, Orchestration<Input, Output>["run"]>
): Orchestration<Input, Output> {
  const [options, run] = split(rest, `orchestration ${name}`);
  assertName(name, "orchestration");
  assertOptions(options, orchestrationOptions, `orchestration ${name}`);
  assertAppearance(options, `orchestration ${name}`);
  const { version = "1", budget } = options;
  assertVersion(version, `orchestration ${name}`);
  if (budget !== undefined) assertBudget(budget, `the budget of orchestration ${name}`);
  return Object.freeze({ kind: "orchestration", name, version, options, run });
}

const activityOptions: NamesOf<ActivityDefinitionOptions<unknown>> = {
  input: true,
  effect: true,
  title: true,
  description: true,
  diagram: true,
  retry: true,
  timeout: true,
  totalTimeout: true,
  heartbeatTimeout: true,
  tag: true,
};

const orchestrationOptions: NamesOf<OrchestrationOptions<unknown>> = {
  version: true,
  input: true,
  title: true,
  description: true,
  diagram: true,
  budget: true,
};

/** The part of activity options that is recorded with a call. */
export function recordedOptions(
  options: ActivityOptions & { readonly session?: string },
  what: string,
): RecordedActivityOptions {
  const { retry, timeout, totalTimeout, heartbeatTimeout, tag, session } = options;
  if (tag !== undefined) assertShort(tag, `tag of ${what}`);
  if (session !== undefined) assertShort(session, `session of ${what}`);
  return {
    ...(retry !== undefined && { retry: retryPolicy(retry, what) }),
    ...(timeout !== undefined && { timeoutMs: durationMs(timeout, `timeout of ${what}`) }),
    ...(totalTimeout !== undefined && { totalTimeoutMs: durationMs(totalTimeout, `totalTimeout of ${what}`) }),
    ...(heartbeatTimeout !== undefined && {
      heartbeatTimeoutMs: durationMs(heartbeatTimeout, `heartbeatTimeout of ${what}`),
    }),
    ...(tag !== undefined && { tag }),
    ...(session !== undefined && { session }),
  };
}

/** @throws ConfigurationError unless `name` is a letter or underscore and then letters, digits or `_ . : / -`. */
export function assertName(name: unknown, what: string): asserts name is string {
  if (typeof name !== "string" || !/^[A-Za-z_][\w.:/-]{0,199}$/.test(name)) {
    throw new ConfigurationError(
      `Expected the name of the ${what} to start with a letter and hold only letters, digits and _ . : / - (at most 200), got ${shown(name)}`,
    );
  }
}

/** @throws ConfigurationError unless `version` is numbers with dots. */
export function assertVersion(version: unknown, what: string): asserts version is string {
  if (typeof version !== "string" || !/^\d{1,9}(\.\d{1,9}){0,3}$/.test(version)) {
    throw new ConfigurationError(
      `Expected the version of ${what} to be numbers with dots, such as "2" or "1.4.0", got ${shown(version)}`,
    );
  }
}

/** @throws ConfigurationError unless `id` is 1 to 500 characters without control characters. */
export function assertInstanceId(id: unknown): asserts id is string {
  if (
    typeof id !== "string" ||
    id.length === 0 ||
    id.length > 500 ||
    /[\u0000-\u001f\u007f]/.test(id) ||
    !isWellFormed(id)
  ) {
    throw new ConfigurationError(
      `Expected an instance id to be 1 to 500 characters without control characters, got ${shown(id)}`,
    );
  }
}

/** @throws ConfigurationError unless `text` is 1 to 200 characters. */
export function assertShort(text: unknown, what: string): asserts text is string {
  if (typeof text !== "string" || text.length === 0 || text.length > 200) {
    throw new ConfigurationError(`Expected the ${what} to be 1 to 200 characters, got ${shown(text)}`);
  }
}

/** Text whose UTF-8 form can be turned back: no lone surrogates. */
function isWellFormed(text: string): boolean {
  return !/[\ud800-\udfff]/u.test(text);
}

type Rest<Options, Run> = readonly [Run] | readonly [Options, Run];

function split<Options, Run>(rest: Rest<Options, Run>, what: string): readonly [Options, Run] {
  const [options, run] = rest.length === 1 ? [{} as Options, rest[0]] : rest;
  if (typeof run !== "function") {
    throw new ConfigurationError(`Expected ${what} to be given its function last, got ${shown(run)}`);
  }
  return [options, run];
}
