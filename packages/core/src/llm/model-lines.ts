/**
 * The lines in which model calls wait, and the gates before the models. A line is named by the models that may still answer
 * a call, the next to be asked first: `"openai/gpt-5, anthropic/claude-sonnet-4-5"`. A call whose model failed moves to the line of
 * those that are left; when none is left it is tried again, in the first line, as often as its policy allows.
 *
 * Invariants
 *   M1  A model whose gate is guarded is asked only by calls that were claimed for it, with capacity.
 *   M2  A closed model is passed over while its chain has an open one.
 */
import { ConfigurationError, type Failure, type LlmErrorKind } from "../errors.ts";
import type { LlmRequested, RecordedRetryPolicy } from "../events.ts";
import type { Job } from "../job.ts";
import { mayRetry, retryDelayMs } from "../retry.ts";
import type { OutgoingWork } from "../storage-work.ts";
import { ModelGate } from "./model-gate.ts";
import { assertLimits, type ModelLimits } from "./model-limits.ts";
import type { ModelTable, Route } from "./model-table.ts";

/** Model calls fail in passing more often than not, so they are tried again unless it cannot help. */
const retryPolicy: RecordedRetryPolicy = {
  maxAttempts: 4,
  initialIntervalMs: 500,
  backoff: 2,
  maxIntervalMs: 30_000,
  jitter: 0.2,
};

/** A model that has no capacity lets nobody through, so a call has to knock more often than at one that fails. */
const mostRefusals = 30;

/** After so many refusals the wait of a call grows no more: its model is paused as long as it refuses everybody. */
const growingRefusals = 3;

/** Failures of one model that say nothing about the next. The others would come again, or are an answer. */
const fallbackKinds: ReadonlySet<unknown> = new Set<LlmErrorKind>([
  "rate_limited",
  "quota_exceeded",
  "unavailable",
  "timeout",
  "connection",
  "auth",
  "not_found",
]);

const separator = ", ";

/** The models that may answer a call, by the name of their line. */
export function modelsOf(line: string): string[] {
  return line.split(separator);
}

/** What becomes of a call that failed: it goes on in a line, at once or later, or it has failed. */
export type Sequel = { readonly line: string; readonly delayMs: number } | "failed";

/** Calls that may be claimed for a model. */
export interface Offer {
  readonly gate: ModelGate;
  readonly lines: readonly string[];
}

type Gates = readonly ModelGate[];

/** See the head of the file. */
export class ModelLines {
  readonly #table: ModelTable;
  readonly #slots: number;
  readonly #gates = new Map<string, ModelGate>();
  readonly #lines = new Map<string, Gates>();
  readonly #asked = new Map<string | undefined, Gates>();

  /**
   * @param limits - By names of the table, or `"provider/model"`.
   * @param slots - Most model calls at once in this runtime.
   * @throws ConfigurationError when a limit is wrong, or not of one model.
   */
  constructor(table: ModelTable, limits: { readonly [model: string]: ModelLimits }, slots: number) {
    this.#table = table;
    this.#slots = slots;
    for (const [model, limit] of Object.entries(limits)) {
      assertLimits(limit, model);
      const route = this.#limited(model);
      this.#gates.set(route.name, new ModelGate(route, limit, slots));
      this.#lineOf([this.#gateOf(route)]);
    }
    for (const chain of table.chains) this.#lineOf(chain.map((route) => this.#gateOf(route)));
  }

  /** The whole chain of a request. @throws LlmError `not_found` */
  chainOf(asked: string | undefined): Gates {
    const known = this.#asked.get(asked);
    if (known !== undefined) return known;
    const gates = this.#table.routes(asked).map((route) => this.#gateOf(route));
    this.#lineOf(gates);
    this.#asked.set(asked, gates);
    return gates;
  }

  /** The first model of a request. @throws LlmError `not_found` */
  nextOf(asked: string | undefined): ModelGate {
    return this.chainOf(asked)[0] as ModelGate;
  }

  /** Whether a new call may start without waiting for anything but a slot, or may need nobody to be asked. */
  isFree(request: LlmRequested, now: number): boolean {
    return request.options?.cache !== undefined || this.#next(request, undefined, now)?.isGuarded(now) !== true;
  }

  /** Where a call stands that has no line yet, or whose line is not known here. */
  lineOf({ request }: LlmRequested, line?: string): string {
    if (line !== undefined && this.#lines.has(line)) return line;
    try {
      return nameOf(this.chainOf(request.model));
    } catch {
      return request.model ?? ""; // the call itself will say so
    }
  }

  /** Lets a job through to its next model, or not when that one is guarded and the job has no capacity in hand. */
  admits(job: Job, now: number): boolean {
    if (job.asking !== undefined) return true;
    const gate = this.nextFor(job, now);
    if (gate === undefined) return true; // the call itself will say why
    if (gate.isGuarded(now)) return false;
    job.asking = { gate, begun: gate.begin() };
    return true;
  }

  /** The model that a job asks next, if there is one. */
  nextFor({ item, line }: Job, now: number): ModelGate | undefined {
    return this.#next(item.request as LlmRequested, line, now);
  }

  /** What may be claimed now: for each guarded model the lines in which it is next. */
  offers(now: number): Offer[] {
    const offers = new Map<ModelGate, string[]>();
    for (const [line, gates] of this.#lines) {
      const gate = nextOf(gates, now);
      if (!gate.isGuarded(now)) continue;
      const lines = offers.get(gate);
      if (lines === undefined) offers.set(gate, [line]);
      else lines.push(line);
    }
    return [...offers].map(([gate, lines]) => ({ gate, lines }));
  }

  /** What to do about a call that failed at the model it asked. */
  sequelOf(job: Job, failure: Failure, now: number): Sequel {
    const chain = this.#chainOrNothing((job.item.request as LlmRequested).request.model);
    const { kind, retryAfterMs } = (failure.details ?? {}) as { kind?: LlmErrorKind; retryAfterMs?: number };
    const asked = job.asking?.gate;
    const gates = this.#lines.get(job.line ?? "") ?? chain;
    const left = asked === undefined ? [] : gates.slice(gates.indexOf(asked) + 1);
    if (fallbackKinds.has(kind) && left.some((gate) => gate.closedUntil <= now)) {
      return { line: this.#lineOf(left), delayMs: 0 };
    }
    const length = Math.max(1, chain.length);
    const rounds = Math.min(Math.ceil(job.attempt / length), kind === "rate_limited" ? growingRefusals : Infinity);
    const policy = {
      ...retryPolicy,
      maxAttempts: length * (kind === "rate_limited" ? mostRefusals : retryPolicy.maxAttempts),
    };
    const passes = { ...failure, retryable: failure.retryable || job.mayPass };
    if (!mayRetry(policy, job.attempt, passes)) return "failed";
    const asksFor = length === 1 ? (retryAfterMs ?? 0) : 0;
    return {
      line: chain.length === 0 ? (job.line ?? "") : nameOf(chain),
      delayMs: Math.max(retryDelayMs(retryPolicy, rounds, Math.random()), asksFor),
    };
  }

  /** How often a call may be started for reasons of its own. */
  mostStartsOf({ request }: LlmRequested): number {
    return Math.max(1, this.#chainOrNothing(request.model).length) * mostRefusals;
  }

  /** Where the row of a call stands, and how much it is expected to take. */
  placeOf(requested: LlmRequested, rank: number): Pick<OutgoingWork, "name" | "rank" | "tokens"> & { kind: "model" } {
    const name = this.lineOf(requested);
    const counts = this.#lines.get(name)?.some((gate) => gate.countsTokens) === true;
    return { kind: "model", name, rank, ...(counts && { tokens: expectedTokens(requested) }) };
  }

  #chainOrNothing(asked: string | undefined): Gates {
    try {
      return this.chainOf(asked);
    } catch {
      return [];
    }
  }

  #next({ request }: LlmRequested, line: string | undefined, now: number): ModelGate | undefined {
    const gates = (line === undefined ? undefined : this.#lines.get(line)) ?? this.#chainOrNothing(request.model);
    return gates.length === 0 ? undefined : nextOf(gates, now);
  }

  /** The model of which a limit is said. */
  #limited(model: string): Route {
    const [route, next] = this.#table.configured(model, "modelLimits");
    if (route === undefined || next !== undefined) {
      throw new ConfigurationError(
        `Expected modelLimits of ${model} to be of one model, got a chain: limit its models`,
      );
    }
    if (this.#gates.has(route.name)) {
      throw new ConfigurationError(`Expected modelLimits to name ${route.name} once, got it again as ${model}`);
    }
    return route;
  }

  #gateOf(route: Route): ModelGate {
    const known = this.#gates.get(route.name);
    if (known !== undefined) return known;
    const gate = new ModelGate(route, undefined, this.#slots);
    this.#gates.set(route.name, gate);
    return gate;
  }

  #lineOf(gates: Gates): string {
    const line = nameOf(gates);
    for (let rest = gates; rest.length > 0 && !this.#lines.has(nameOf(rest)); rest = rest.slice(1)) {
      this.#lines.set(nameOf(rest), rest);
    }
    return line;
  }
}

/** Four characters are a token; of the answer all that it may have. */
function expectedTokens({ request }: LlmRequested): number {
  return Math.ceil(JSON.stringify(request).length / 4) + (request.maxTokens ?? 0);
}

function nameOf(gates: Gates): string {
  return gates.map(({ name }) => name).join(separator);
}

/** The first that is open, or else the first to open. */
function nextOf(gates: Gates, now: number): ModelGate {
  const open = gates.find((gate) => gate.closedUntil <= now);
  return open ?? gates.reduce((first, gate) => (gate.closedUntil < first.closedUntil ? gate : first));
}
