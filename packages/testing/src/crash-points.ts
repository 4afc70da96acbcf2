/**
 * Crash points: the places at which a process can die and leave something else behind than it would have left a moment
 * before. They are before and after each call that changes the store or takes something from it, and each start and end
 * of an activity or a model call.
 *
 * A point has a name that tells it from all others of the same life of the process, such as `after commitTurns #3`. Runs
 * of the same scenario come by the same points in the same order, because time and chance are the test's.
 */
import type { AnyActivity, LlmCallOptions, LlmProvider, LlmTable, StorageProvider } from "@stet/core";
import { intercepted, type StorageVerb } from "./intercepted-storage.ts";
import type { StartLedger } from "./start-ledger.ts";

/** Calls after which the store may be another than before. */
const verbs: ReadonlySet<PropertyKey> = new Set<StorageVerb>([
  "registerWorker",
  "heartbeat",
  "releaseWorker",
  "claimTurns",
  "commitTurns",
  "releaseInstances",
  "saveWork",
  "claimWork",
  "claimCalls",
  "closeModel",
  "completeWork",
  "retryWork",
  "abandonWork",
  "saveHeartbeats",
  "appendOutputs",
  "saveAnswers",
  "startInstances",
  "sendMessages",
]);

type ModelCall = Pick<LlmCallOptions, "operation" | "idempotencyKey">;

const never = new Promise<never>(() => undefined);

/** One life of the process: what it comes by, whether that counts, and whether it is over. */
interface Life {
  readonly points: string[];
  readonly counts: Map<string, number>;
  isCounting: boolean;
  isOver: boolean;
}

/** What a process is given that is its own: when it is dead, its activities start no more. */
export interface Equipment {
  readonly activities: readonly AnyActivity[];
  readonly llm?: LlmProvider | LlmTable;
}

/** Leads a process past its crash points, and lets it die at those of the plan. */
export class CrashPoints {
  /** Deaths so far. */
  crashes = 0;
  readonly #plan: readonly string[];
  readonly #world: Equipment;
  readonly #ledger: StartLedger;
  readonly #die: (next: Equipment) => void;
  readonly #answers = new Map<string, unknown>();
  #life: Life = { points: [], counts: new Map(), isCounting: false, isOver: false };

  /**
   * @param plan - Where to die in the first life, where in the second, and so on.
   * @param world - What the scenario brings.
   * @param ledger - Where starts are written down.
   * @param die - Cuts the process off and starts the next one.
   */
  constructor(plan: readonly string[], world: Equipment, ledger: StartLedger, die: (next: Equipment) => void) {
    this.#plan = plan;
    this.#world = world;
    this.#ledger = ledger;
    this.#die = die;
  }

  /** From here on points count. */
  begin(): void {
    this.#life.isCounting = true;
  }

  /** From here on nothing counts any more. */
  end(): void {
    this.#life.isCounting = false;
  }

  /** What the life of the moment has come by. */
  get points(): readonly string[] {
    return this.#life.points;
  }

  /** A store that is asked before and after each call whether the process dies there. */
  store(store: StorageProvider): StorageProvider {
    return intercepted(
      store,
      (verb) => verbs.has(verb),
      (verb, invoke) => {
        const life = this.#life;
        if (this.#dies(life, "before", verb)) return never;
        return invoke().then((answer) => {
          const nothing = Array.isArray(answer) && answer.length === 0; // as before the call
          return !nothing && this.#dies(life, "after", verb) ? never : answer;
        });
      },
    );
  }

  /**
   * What the process of the moment is given: activities and models that may die before they start and after they have
   * ended. Starts of activities are written down. A model that is asked again with the same idempotency key says what it
   * said before, so that a script is not used up by crashes.
   */
  get equipment(): Equipment {
    const life = this.#life;
    const { activities, llm } = this.#world;
    return {
      activities: activities.map((definition) => this.#activity(definition, life)),
      ...(llm !== undefined && { llm: this.#models(llm, life) }),
    };
  }

  #activity(definition: AnyActivity, life: Life): AnyActivity {
    const what = `activity ${definition.name}`;
    const run: AnyActivity["run"] = async (ctx, input) => {
      if (this.#dies(life, "before", what)) return never;
      try {
        return await this.#ledger.run(definition, ctx, () => definition.run(ctx, input));
      } finally {
        if (this.#dies(life, "after", what)) await never;
      }
    };
    return { ...definition, run };
  }

  #models(llm: LlmProvider | LlmTable, life: Life): LlmProvider | LlmTable {
    if (typeof llm.complete === "function") return this.#model(llm as LlmProvider, life);
    const table = Object.entries(llm as LlmTable);
    return Object.fromEntries(
      table.map(([name, model]) => [name, "complete" in model ? this.#model(model, life) : model]),
    );
  }

  #model(model: LlmProvider, life: Life): LlmProvider {
    return new Proxy(model, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        const invoke: unknown = member.bind(target);
        if (name !== "complete" && name !== "embed") return invoke;
        const ask = invoke as (question: unknown, options: ModelCall) => Promise<unknown>;
        return (question: unknown, options: ModelCall) => this.#ask(options, life, () => ask(question, options));
      },
    });
  }

  async #ask({ operation, idempotencyKey }: ModelCall, life: Life, ask: () => Promise<unknown>): Promise<unknown> {
    const what = `model ${operation}`;
    if (this.#dies(life, "before", what)) return never;
    try {
      const answer = this.#answers.get(idempotencyKey) ?? (await ask());
      this.#answers.set(idempotencyKey, answer);
      return answer;
    } finally {
      if (this.#dies(life, "after", what)) await never;
    }
  }

  /** Whether the process is dead, here or already. */
  #dies(life: Life, when: "before" | "after", what: string): boolean {
    if (life.isOver || !life.isCounting) return life.isOver;
    const kind = `${when} ${what}`;
    const count = (life.counts.get(kind) ?? 0) + 1;
    life.counts.set(kind, count);
    const point = `${kind} #${count}`;
    life.points.push(point);
    if (this.#plan[this.crashes] !== point) return false;
    life.isOver = true;
    this.crashes++;
    this.#life = { points: [], counts: new Map(), isCounting: true, isOver: false };
    this.#die(this.equipment);
    return true;
  }
}
