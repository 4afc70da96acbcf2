/**
 * The crash explorer: runs a scenario once undisturbed, and then once for each place at which the process could have
 * died, dying there. Whoever sees the outcome must not be able to tell.
 */
import { isDeepStrictEqual, inspect } from "node:util";
import type { Duration, Logger } from "@stet/core";
import { durationMs } from "@stet/core/internal";
import { chance } from "./chance.ts";
import { CrashPoints } from "./crash-points.ts";
import {
  answeredTwice,
  factsOf,
  hasUnknownOutcome,
  readRecorded,
  recordedAttempts,
  type RecordedInstance,
} from "./recorded-facts.ts";
import { StartLedger } from "./start-ledger.ts";
import { TestEnvironment, type TestEnvironmentOptions } from "./test-environment.ts";

/** Everything that one run needs, made afresh for each: the store, the code, and whatever its activities act upon. */
export interface CrashWorld<Result> extends Omit<TestEnvironmentOptions, "wire" | "replayOnClose"> {
  /**
   * What the world outside does, and what it sees in the end: start instances, send events, wait with `env.result()`,
   * and answer what must not depend on crashes: results, and the traces that activities left. It must not depend on
   * chance or on the time of day.
   */
  readonly scenario: (env: TestEnvironment) => Promise<Result>;
}

/** Options of a crash exploration. */
export interface CrashExplorationOptions<Result> {
  /** Only this: where to crash, and where in the process after that, and so on. As an error or a report names it. */
  readonly only?: readonly string[];
  /** How many pairs of crashes to explore besides: the second happens in the process that was started after the first. @default 0 */
  readonly pairs?: number;
  /** Which pairs, when there are more. @default 1 */
  readonly seed?: number;
  /** Compares a result with the undisturbed one and throws when it cannot be accepted. @default they must be deeply equal */
  readonly check?: (result: Result, undisturbed: Result) => void;
  /** How long one run may take, in real time. @default "10s" */
  readonly timeout?: Duration;
}

/** What an exploration did. */
export interface CrashReport {
  /** The crash points of the undisturbed run, in order. */
  readonly points: readonly string[];
  /** Runs with crashes. */
  readonly runs: number;
  /** Processes that died in them. */
  readonly crashes: number;
  /** How often activities were started more than undisturbed in all those runs together. */
  readonly startedAgain: { readonly [activity: string]: number };
  /** Plans whose points a run did not come by: the scenario depends on something that differs from run to run. */
  readonly unreached: readonly (readonly string[])[];
}

/**
 * Crashes a scenario at each of its crash points: before and after each call that changes the store or takes from it, and
 * each start and end of an activity or a model call. After each crash another process is started on the same store.
 *
 * It checks that
 * - `scenario` answers the same as undisturbed, or `check` accepts it;
 * - the same is recorded: the same requests with the same answers, children, events, state and outputs, whatever the
 *   order. Times, numbers of attempts and event ids may differ. When an irreversible activity was cut off, the code may
 *   go another way, and this is not compared;
 * - each request is answered once, and every history replays;
 * - an activity is started again only when its last start threw, was given up or died with its process, and not once it
 *   was recorded; an irreversible one is never started again.
 *
 * @example
 * ```ts
 * const report = await exploreCrashes(() => {
 *   const mails = new Map<string, string>();
 *   const send = activity("send", async (ctx, to: string) => void mails.set(ctx.idempotencyKey, to));
 *   const remindOnce = orchestration("remindOnce", async (ctx, to: string) => ctx.activity(send, to));
 *   return {
 *     storage: sqlite(":memory:"),
 *     orchestrations: [remindOnce],
 *     activities: [send],
 *     scenario: async (env) => {
 *       await env.result(await env.startOrchestration(remindOnce, "Ada"));
 *       return [...mails.values()];
 *     },
 *   };
 * });
 * ```
 * @throws Error that names the crash, what was expected and found, and how to run just that again.
 */
export async function exploreCrashes<Result>(
  world: () => CrashWorld<Result>,
  options: CrashExplorationOptions<Result> = {},
): Promise<CrashReport> {
  const exploration = new Exploration(world, options);
  const first = await exploration.run([]);
  const { points } = first;
  await exploration.explore([], first); // a scenario that is not the same twice is told apart from a crash
  const { only, pairs = 0, seed = 1 } = options;
  const plans = only === undefined ? points.map((point) => [point]) : [only];
  const second: string[][] = [];
  for (const plan of plans) {
    const { points: after } = await exploration.explore(plan, first);
    if (pairs > 0) second.push(...after.map((point) => [...plan, point]));
  }
  for (const plan of drawn(second, pairs, seed)) await exploration.explore(plan, first);
  return { points, ...exploration.report };
}

/** What one run left behind. */
interface Outcome<Result> {
  readonly result: Result;
  readonly recorded: readonly RecordedInstance[];
  readonly leftOver: object;
  /** What the last life of the process came by. */
  readonly points: readonly string[];
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

class Exploration<Result> {
  readonly #world: () => CrashWorld<Result>;
  readonly #check: (result: Result, undisturbed: Result) => void;
  readonly #timeoutMs: number;
  #undisturbedStarts: ReadonlyMap<string, number> = new Map();
  readonly #startedAgain = new Map<string, number>();
  readonly #unreached: (readonly string[])[] = [];
  #runs = 0;
  #crashes = 0;

  constructor(world: () => CrashWorld<Result>, options: CrashExplorationOptions<Result>) {
    this.#world = world;
    this.#check = options.check ?? assertSame;
    this.#timeoutMs = durationMs(options.timeout ?? "10s", "the timeout of exploreCrashes");
  }

  get report(): Omit<CrashReport, "points"> {
    return {
      runs: this.#runs,
      crashes: this.#crashes,
      startedAgain: Object.fromEntries(this.#startedAgain),
      unreached: this.#unreached,
    };
  }

  /** Runs a plan and compares. */
  async explore(plan: readonly string[], undisturbed: Outcome<Result>): Promise<Outcome<Result>> {
    const outcome = await this.run(plan);
    try {
      this.#check(outcome.result, undisturbed.result);
      if (!hasUnknownOutcome(outcome.recorded)) assertSameFacts(outcome, undisturbed);
    } catch (error) {
      throw failure(plan, error);
    }
    return outcome;
  }

  /** Runs the scenario once, dying where the plan says, and checks what must hold for any run. */
  async run(plan: readonly string[]): Promise<Outcome<Result>> {
    const { scenario, activities = [], llm, logger = silent, ...rest } = this.#world();
    const ledger = new StartLedger();
    let env: TestEnvironment | undefined;
    let stop = (_reason: unknown): void => undefined;
    const stopped = new Promise<never>((_, reject) => (stop = reject));
    const points = new CrashPoints(
      plan,
      { activities, ...(llm !== undefined && { llm }) },
      ledger,
      (next) => void env?.restart(next).catch(stop),
    );
    const limit = setTimeout(
      () => stop(new Error(`Expected the run to end, got none after ${this.#timeoutMs} ms`)),
      this.#timeoutMs,
    );
    try {
      env = await TestEnvironment.start({
        ...rest,
        logger,
        ...points.equipment,
        wire: (store) => points.store(store),
      });
      const running = env;
      points.begin();
      const outcome = await Promise.race([stopped, this.#play(running, scenario, points)]);
      await Promise.race([stopped, running.close()]);
      assertSound(outcome.recorded, ledger);
      if (plan.length > 0) this.#count(plan, points.crashes, ledger.startsByActivity);
      else this.#undisturbedStarts = ledger.startsByActivity;
      return outcome;
    } catch (error) {
      await env?.crash().catch(() => undefined); // what happened first is what there is to say
      await rest.storage.close().catch(() => undefined);
      throw failure(plan, error);
    } finally {
      clearTimeout(limit);
    }
  }

  async #play(
    env: TestEnvironment,
    scenario: CrashWorld<Result>["scenario"],
    points: CrashPoints,
  ): Promise<Outcome<Result>> {
    const result = await scenario(env);
    await env.settle();
    const come = points.points;
    points.end();
    const recorded = await readRecorded(env.client);
    const { messages, work } = await env.client.stats();
    return { result, recorded, leftOver: { messages, work }, points: come };
  }

  #count(plan: readonly string[], crashes: number, starts: ReadonlyMap<string, number>): void {
    this.#runs++;
    this.#crashes += crashes;
    if (crashes < plan.length) this.#unreached.push(plan);
    for (const [activity, times] of starts) {
      const more = times - (this.#undisturbedStarts.get(activity) ?? 0);
      if (more > 0) this.#startedAgain.set(activity, (this.#startedAgain.get(activity) ?? 0) + more);
    }
  }
}

function assertSame(result: unknown, undisturbed: unknown): void {
  if (isDeepStrictEqual(result, undisturbed)) return;
  throw new Error(`Expected the scenario to answer ${shown(undisturbed)}, got ${shown(result)}`);
}

function assertSameFacts(outcome: Outcome<unknown>, undisturbed: Outcome<unknown>): void {
  const expected = factsOf(undisturbed.recorded);
  const found = factsOf(outcome.recorded);
  const missing = without(expected, found);
  const extra = without(found, expected);
  if (missing.length > 0 || extra.length > 0) {
    throw new Error(
      `Expected the same to be recorded as undisturbed, got\n${[...missing.map((fact) => `- ${fact}`), ...extra.map((fact) => `+ ${fact}`)].join("\n")}`,
    );
  }
  if (!isDeepStrictEqual(outcome.leftOver, undisturbed.leftOver)) {
    throw new Error(
      `Expected as many messages and work items to be left in the store as undisturbed (${shown(undisturbed.leftOver)}), got ${shown(outcome.leftOver)}`,
    );
  }
}

/** What must hold for any run. */
function assertSound(recorded: readonly RecordedInstance[], ledger: StartLedger): void {
  const problems = [...ledger.violations, ...answeredTwice(recorded)];
  for (const { state } of recorded) {
    if (state.status === "blocked")
      problems.push(`Expected instance ${state.instanceId} to go on, got it blocked: ${state.error?.message}`);
  }
  const attempts = recordedAttempts(recorded);
  for (const [key, { activity, times }] of ledger.starts) {
    const known = attempts.get(key);
    if (known !== undefined && times > known) {
      problems.push(
        `Expected activity ${activity} (${key}) to be started as often as recorded (${known}), got ${times} starts`,
      );
    }
  }
  if (problems.length > 0) throw new Error(problems.join("\n"));
}

/** The members of a sorted list that another has not, or not as often. */
function without(list: readonly string[], other: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const item of other) left.set(item, (left.get(item) ?? 0) + 1);
  return list.filter((item) => {
    const count = left.get(item) ?? 0;
    left.set(item, count - 1);
    return count <= 0;
  });
}

function failure(plan: readonly string[], cause: unknown): Error {
  if (cause instanceof ExplorationError) return cause;
  return new ExplorationError(plan, cause);
}

/** What a scenario did not survive. */
class ExplorationError extends Error {
  override name = "CrashExplorationError";
  constructor(plan: readonly string[], cause: unknown) {
    const where = plan.length === 0 ? "Without a crash" : `After a crash ${plan.join(", and then one ")}`;
    const why = cause instanceof Error ? cause.message : String(cause);
    const again =
      plan.length === 0 ? "" : `\nTo run just this again: exploreCrashes(world, { only: ${JSON.stringify(plan)} })`;
    super(`${where}: ${why}${again}`, { cause });
  }
}

/** Some of the plans, the same for the same seed. */
function drawn(plans: readonly string[][], count: number, seed: number): string[][] {
  const left = [...plans];
  if (left.length <= count) return left;
  const random = chance(seed);
  return Array.from({ length: count }, () => left.splice(Math.floor(random() * left.length), 1)[0] ?? []);
}

function shown(value: unknown): string {
  return inspect(value, { depth: 6, breakLength: Infinity });
}
