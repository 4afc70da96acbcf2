/**
 * A store in trouble, by plan: calls that fail before they reach it or whose answer is lost, calls that take their time
 * or arrive twice, and a store that is away for a while.
 */
import { type Clock, ConfigurationError, type Duration, StorageError, type StorageProvider } from "@stet/core";
import { durationMs } from "@stet/core/internal";
import { chance } from "./chance.ts";
import { intercepted, type StorageVerb } from "./intercepted-storage.ts";

/** Which calls a fault concerns. */
export interface ConcernedCalls {
  /** @default all but those of a registration: `registerWorker`, `heartbeat`, `listWorkers`, `releaseWorker` */
  readonly verbs?: readonly StorageVerb[];
  /** Every so many of them, all verbs counted together. @default 1, which is each */
  readonly every?: number;
  /** Of those, this share, drawn with the plan's seed. @default 1, which is all */
  readonly share?: number;
}

/** One kind of trouble. */
export type Fault =
  /**
   * The call throws a `StorageError` that says it may be tried again. `"before"`: it never reached the store. `"after"`: it
   * was done, and its answer got lost.
   */
  | (ConcernedCalls & { readonly kind: "fail"; readonly when: "before" | "after" })
  /** The call reaches the store later, by the plan's clock. */
  | (ConcernedCalls & { readonly kind: "delay"; readonly by: Duration })
  /** The call reaches the store twice, one right after the other, and the caller gets the first answer. */
  | (ConcernedCalls & { readonly kind: "duplicate" })
  /** `onChange` tells of a change later, by the plan's clock, as where a notification is lost and found by polling. */
  | (Omit<ConcernedCalls, "verbs"> & { readonly kind: "late"; readonly by: Duration })
  /** Nothing reaches the store, whatever the verb, from so long after it was made faulty and for so long. */
  | { readonly kind: "away"; readonly after?: Duration; readonly lasts: Duration };

/** What befalls a store. Faults are asked in their order; each call meets every one that concerns it. */
export interface FaultPlan {
  readonly faults: readonly Fault[];
  /** Measures delays and absences: the clock of the runtime. */
  readonly clock: Clock;
  /** Draws what `share` leaves to chance: a whole number from 1. @default 1 */
  readonly seed?: number;
}

/** A fault that came to pass. */
export interface InjectedFault {
  readonly kind: Fault["kind"];
  readonly verb: string;
  readonly at: number;
}

/** A store in trouble, and what it has done. */
export interface FaultyStorage extends StorageProvider {
  /** The faults so far. A test that expects some looks here whether there were. */
  readonly injected: readonly InjectedFault[];
  /** Until when somebody may wait for time to pass: a call is held up, or one failed and is to be made again. */
  readonly waitsUntil: number;
}

/**
 * Puts trouble in front of a store.
 *
 * What the seam promises about calls that arrive twice or whose answer is lost, by verb:
 * - `commitTurns`, `completeWork`, `retryWork`: the second is answered `notOwner` and changes nothing.
 * - `startInstances`: the second is answered `exists`. `releaseInstances`, `saveHeartbeats`, `saveAnswers`: no difference.
 * - `claimTurns`, `claimWork`, `claimCalls`: what the first took comes again when the worker claims again, which it does when the first
 *   answer was lost. When the first answer arrived, the second call takes more, and nobody knows of it: do not duplicate
 *   claims of work.
 * - `saveWork`: the second replaces the rows of the first, so that the answer of the first names rows that are gone: do
 *   not duplicate it. After a lost answer, work may be started once more than its history counts; what is irreversible
 *   may not.
 * - `abandonWork`: given back, the items may be taken before the second call. It changes nothing about items of others.
 * - `appendOutputs`: the rows of the first come again. The engine takes back what it does not know to be there and writes it
 *   anew, so it is only for calls that come twice without its knowing that readers see something twice: do not duplicate it.
 * - `sendMessages`: the second is another message, unless it has an idempotency key. The engine drops answers to requests
 *   that were answered; an external event without a key arrives twice.
 *
 * @example
 * ```ts
 * const env = await TestEnvironment.start({
 *   storage: sqlite(":memory:"),
 *   wire: (storage, clock) => faulty(storage, { clock, faults: [{ kind: "fail", when: "before", every: 3 }] }),
 *   orchestrations: [remind],
 *   activities: [mail],
 * });
 * ```
 * @throws ConfigurationError when `every`, `share` or a duration is wrong.
 */
export function faulty(storage: StorageProvider, plan: FaultPlan): FaultyStorage {
  return new Trouble(plan).of(storage);
}

/** After a failure a worker makes its call again within this time. */
const longestPauseMs = 1_000;

type Invoke = () => Promise<unknown>;

class Trouble {
  readonly #clock: Clock;
  readonly #faults: readonly FaultState[];
  readonly #injected: InjectedFault[] = [];
  #waitsUntil = -Infinity;

  constructor({ faults, clock, seed = 1 }: FaultPlan) {
    this.#clock = clock;
    assertWhole(seed, "seed");
    this.#faults = faults.map((fault, i) => faultState(fault, clock.now(), chance(seed + i)));
  }

  of(storage: StorageProvider): FaultyStorage {
    const through = (verb: string, invoke: Invoke): Promise<unknown> => this.#call(verb, invoke);
    const wired = intercepted(storage, (verb) => verb !== "open" && verb !== "close" && verb !== "onChange", through);
    const admin = intercepted(storage.admin, () => true, through);
    const own = Object.defineProperties(Object.create(null) as object, {
      admin: { value: admin },
      onChange: { value: this.#telling(storage) },
      injected: { value: this.#injected },
      waitsUntil: { get: () => this.#waitsUntil },
    });
    return new Proxy(wired, {
      get: (target, name) => (name in own ? Reflect.get(own, name) : Reflect.get(target, name)) as unknown,
    }) as FaultyStorage;
  }

  async #call(verb: string, invoke: Invoke): Promise<unknown> {
    const befallen = this.#faults.filter((fault) => fault.befalls(verb, this.#clock.now()));
    return befallen.reduceRight(
      (call: Invoke, { fault }) =>
        () =>
          this.#inject(fault, verb, call),
      invoke,
    )();
  }

  #telling(storage: StorageProvider): StorageProvider["onChange"] {
    return (listener) => {
      let heeded = true;
      const end = storage.onChange((change) => {
        const tell = () => (heeded ? listener(change) : undefined);
        const befallen = this.#faults.filter((fault) => fault.befalls(telling, this.#clock.now()));
        if (befallen.length === 0) return tell();
        for (const { fault } of befallen) void this.#inject(fault, telling, async () => tell());
      });
      return () => {
        heeded = false;
        end();
      };
    };
  }

  async #inject(fault: Fault, verb: string, call: Invoke): Promise<unknown> {
    this.#injected.push({ kind: fault.kind, verb, at: this.#clock.now() });
    switch (fault.kind) {
      case "away":
        throw this.#failure(`Expected ${verb} to reach the store, got no connection`);
      case "fail":
        if (fault.when === "after") await call();
        throw this.#failure(
          fault.when === "before"
            ? `Expected ${verb} to be done, got trouble that passes`
            : `Expected an answer to ${verb}, got a broken connection`,
        );
      case "delay":
      case "late":
        await this.#passing(delayOf(fault));
        return call();
      case "duplicate": {
        const answer = await call();
        await call();
        return answer;
      }
    }
  }

  #failure(message: string): StorageError {
    this.#wait(longestPauseMs);
    return new StorageError(message, true);
  }

  #passing(ms: number): Promise<void> {
    this.#wait(ms);
    return new Promise((resolve) => this.#clock.setTimer(this.#clock.now() + ms, resolve));
  }

  #wait(ms: number): void {
    this.#waitsUntil = Math.max(this.#waitsUntil, this.#clock.now() + ms);
  }
}

/** A fault and what it remembers. */
interface FaultState {
  readonly fault: Fault;
  befalls(verb: string, now: number): boolean;
}

/** The only call of the store to its workers. */
const telling = "onChange";

const registration: ReadonlySet<string> = new Set<StorageVerb>([
  "registerWorker",
  "heartbeat",
  "listWorkers",
  "releaseWorker",
]);

function faultState(fault: Fault, madeAt: number, random: () => number): FaultState {
  if (fault.kind === "away") {
    const from = madeAt + durationMs(fault.after ?? 0, "the beginning of an absence");
    const until = from + durationMs(fault.lasts, "the length of an absence");
    return { fault, befalls: (verb, now) => verb !== telling && now >= from && now < until };
  }
  const { every = 1, share = 1 } = fault;
  assertWhole(every, "every");
  if (fault.kind === "delay" || fault.kind === "late") delayOf(fault);
  if (!(share > 0 && share <= 1)) {
    throw new ConfigurationError(`Expected share of a fault to be above 0 and at most 1, got ${share}`);
  }
  const concerns = concernOf(fault);
  let calls = 0;
  return {
    fault,
    befalls: (verb) => concerns(verb) && ++calls % every === 0 && (share === 1 || random() < share),
  };
}

function concernOf(fault: Exclude<Fault, { kind: "away" }>): (verb: string) => boolean {
  if (fault.kind === "late") return (verb) => verb === telling;
  if (fault.verbs === undefined) return (verb) => verb !== telling && !registration.has(verb);
  const verbs = new Set<string>(fault.verbs);
  return (verb) => verbs.has(verb);
}

function delayOf({ by }: Extract<Fault, { kind: "delay" | "late" }>): number {
  return durationMs(by, "the delay of a fault");
}

function assertWhole(count: number, name: string): void {
  if (Number.isInteger(count) && count >= 1) return;
  throw new ConfigurationError(`Expected ${name} of faulty() to be a whole number from 1, got ${count}`);
}
