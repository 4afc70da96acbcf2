/**
 * The simulation of somebody's own orchestrations: many runs under random schedules, each held against an undisturbed one.
 */
import { isDeepStrictEqual } from "node:util";
import type { AnyActivity, AnyOrchestration, LlmProvider, Payload, PendingWait, StorageProvider } from "@stet/core";
import fc from "fast-check";
import { type Move, type Schedule, schedules, type WorkerMove, workerMoves } from "./schedule.ts";
import { type SearchOptions, type SimulationReport, search } from "./search.ts";
import type { Stores } from "./stores.ts";
import { assertNothingLost, assertSound, broken, type Outcome, outcomeOf } from "./soundness.ts";
import { type Inhabitants, World } from "./world.ts";

/** Options of {@link simulate}. */
export interface SimulationOptions extends SearchOptions {
  /** The first one is started in each run. */
  readonly orchestrations: readonly [AnyOrchestration, ...AnyOrchestration[]];
  /** Made afresh for each run when given as a function: so what they act upon can be made afresh too. */
  readonly activities?: readonly AnyActivity[] | (() => readonly AnyActivity[]);
  readonly llm?: LlmProvider;
  /** What to start it with: values to choose from, or a fast-check arbitrary. @default nothing */
  readonly inputs?: readonly Payload[] | fc.Arbitrary<Payload>;
  /** What to send to an instance that waits for an event and has nothing else to do. @default the event without data */
  readonly answerWait?: (wait: PendingWait) => unknown;
  /**
   * Compares how a run ended with how it ends undisturbed, and throws when that cannot be accepted. Irreversible activities
   * that were cut off fail with `OutcomeUnknownError`, and code may answer that. @default they must be deeply equal
   */
  readonly check?: (outcome: Outcome, undisturbed: Outcome) => void;
}

/**
 * Runs an orchestration many times on two workers that crash, are shut down, forget their live executions, are declared
 * dead while they live, and whose store is slow and fails. Activities and model calls answer in any order; time is virtual
 * and passes only while none runs.
 *
 * It checks that
 * - the instance ends as it does undisturbed, or `check` accepts how;
 * - every history replays, and a single live execution that is never interrupted brings forth the same events;
 * - each request is answered once, no timer fires early, no irreversible activity starts twice, and no other one starts
 *   again as long as nothing happened but evictions;
 * - state, status and output stream are what the histories say, and neither messages nor work are left over;
 * - whenever the workers rest, each open request is run by one of them or waits in the store.
 *
 * @example
 * ```ts
 * const { runs } = await simulate({
 *   storage: () => sqlite(":memory:"),
 *   orchestrations: [checkout],
 *   activities: [charge, ship],
 *   inputs: [{ id: "O-1", amount: 1 }, { id: "O-2", amount: 2 }],
 *   runs: 200,
 * });
 * ```
 * @throws Error with the seed and the smallest schedule that was found to fail.
 */
export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  const { inputs = [null] } = options;
  const input = inputs instanceof fc.Arbitrary ? inputs : fc.constantFrom(...inputs);
  const cases = fc.record({ input, schedule: schedules(workerMoves()) });
  const undisturbed = new Undisturbed(options);
  return search<Case>(cases, (example, stores) => play(example, options, undisturbed, stores), options);
}

/** One run. */
interface Case {
  readonly input: Payload;
  readonly schedule: Schedule & { readonly moves: readonly (WorkerMove & Move)[] };
}

const instanceId = "simulated";

/** How runs end undisturbed, found out once for each input. */
class Undisturbed {
  readonly #options: SimulationOptions;
  readonly #outcomes = new Map<string, Outcome>();

  constructor(options: SimulationOptions) {
    this.#options = options;
  }

  async of(input: Payload, stores: Stores): Promise<Outcome> {
    const key = JSON.stringify(input);
    const known = this.#outcomes.get(key);
    if (known !== undefined) return known;
    const schedule = { seed: 0, moves: [] };
    const outcome = await stores.use((store) => run({ input, schedule }, this.#options, store));
    this.#outcomes.set(key, outcome);
    return outcome;
  }
}

async function play(
  example: Case,
  options: SimulationOptions,
  undisturbed: Undisturbed,
  stores: Stores,
): Promise<void> {
  const expected = await undisturbed.of(example.input, stores);
  const outcome = await stores.use((store) => run(example, options, store));
  if (options.check !== undefined) return options.check(outcome, expected);
  if (!isDeepStrictEqual(outcome, expected)) {
    broken(`the outcome of the undisturbed run, ${JSON.stringify(expected)}`, JSON.stringify(outcome));
  }
}

async function run({ input, schedule }: Case, options: SimulationOptions, store: StorageProvider): Promise<Outcome> {
  const { orchestrations, activities = [], llm, answerWait = () => undefined } = options;
  const inhabitants: Inhabitants = {
    orchestrations,
    activities: typeof activities === "function" ? activities() : activities,
    answerWait,
    ...(llm !== undefined && { llm }),
  };
  const { seed } = schedule;
  const world = await World.open(inhabitants, {
    store,
    seed,
    timePassesDuringWork: false,
    whenQuiet: assertNothingLost,
  });
  try {
    await world.client.startOrchestration(orchestrations[0].name, input ?? undefined, { instanceId });
    for (const move of schedule.moves) {
      await world.play(move);
      await world.pass(move.hops);
    }
    await world.comeToEnd();
    await assertSound(world, orchestrations);
    return await outcomeOf(world, instanceId);
  } finally {
    await world.close();
  }
}
