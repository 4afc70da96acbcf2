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
  "claimTurns",
  "commitTurns",
  "releaseInstances",
  "saveWork",
  "claimWork",
  "completeWork",
  "retryWork",
  "abandonWork",
  "saveHeartbeats",
  "startInstances",
  "sendMessages",
]);

type ModelCall = Pick<LlmCallOptions, "operation" | "idempotencyKey">;

const never = new Promise<never>(() => undefined);

/** One life of the process: what it comes by, and whether it is over. */
interface Life {
  readonly points: string[];
  readonly counts: Map<string, number>;
  isOver: boolean;
}

/** Leads a process past its crash points, and lets it die at those of the plan. */
export class CrashPoints {
  /** Deaths so far. */
  crashes = 0;
  readonly #plan: readonly string[];
  readonly #die: () => void;
  readonly #answers = new Map<string, unknown>();
  #life: Life | undefined;

  /**
   * @param plan - Where to die in the first life, where in the second, and so on.
   * @param die - Cuts the process off and starts the next one.
   */
  constructor(plan: readonly string[], die: () => void) {
    this.#plan = plan;
    this.#die = die;
  }

  /** From here on points count: another life begins. */
  begin(): void {
    this.#life = { points: [], counts: new Map(), isOver: false };
  }

  /** From here on nothing counts any more. */
  end(): void {
    this.#life = undefined;
  }

  /** What the life of the moment has come by. */
  get points(): readonly string[] {
    return this.#life?.points ?? [];
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

  /** Activities that may die before they start and after they have ended, and whose starts are written down. */
  activities(activities: readonly AnyActivity[], ledger: StartLedger): AnyActivity[] {
    return activities.map((definition) => {
      const what = `activity ${definition.name}`;
      const run: AnyActivity["run"] = async (ctx, input) => {
        const life = this.#life;
        if (this.#dies(life, "before", what)) return never;
        try {
          return await ledger.run(definition, ctx, () => definition.run(ctx, input));
        } finally {
          if (this.#dies(life, "after", what)) await never;
        }
      };
      return { ...definition, run };
    });
  }

  /**
   * Models that may die before they are asked and after they have answered. Asked again with the same idempotency key
   * they say what they said before, so that a script is not used up by crashes.
   */
  models(llm: LlmProvider | LlmTable): LlmProvider | LlmTable {
    if (typeof llm.complete === "function") return this.#model(llm as LlmProvider);
    return Object.fromEntries(Object.entries(llm as LlmTable).map(([name, model]) => [name, this.#model(model)]));
  }

  #model(model: LlmProvider): LlmProvider {
    return new Proxy(model, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        const invoke: unknown = member.bind(target);
        if (name !== "complete" && name !== "embed") return invoke;
        const ask = invoke as (question: unknown, options: ModelCall) => Promise<unknown>;
        return (question: unknown, options: ModelCall) => this.#ask(options, () => ask(question, options));
      },
    });
  }

  async #ask({ operation, idempotencyKey }: ModelCall, ask: () => Promise<unknown>): Promise<unknown> {
    const life = this.#life;
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
  #dies(life: Life | undefined, when: "before" | "after", what: string): boolean {
    if (life === undefined) return false;
    if (life.isOver) return true;
    const kind = `${when} ${what}`;
    const count = (life.counts.get(kind) ?? 0) + 1;
    life.counts.set(kind, count);
    const point = `${kind} #${count}`;
    life.points.push(point);
    if (this.#plan[this.crashes] !== point) return false;
    life.isOver = true;
    this.crashes++;
    this.begin();
    this.#die();
    return true;
  }
}
