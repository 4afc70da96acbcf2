/**
 * Activities and model calls under way in a simulation. Each does what it does when it is started, and then holds its
 * answer back until the simulation lets it go: so answers come in any order, and workers die with answers in their hands.
 */
import type { AnyActivity, LlmProvider, LlmResponse } from "@stet/core";

interface Held {
  readonly worker: number;
  readonly key: string;
  readonly release: () => void;
}

/** See the head of the file. */
export class HeldWork {
  /** Set once a worker or its store was disturbed: from then on activities may be started again without having failed. */
  isDisturbed = false;
  /** Activities that were started again although nothing was wrong. */
  readonly startedNeedlessly: string[] = [];
  readonly #failures = new Map<string, number>();
  readonly #held: Held[] = [];
  readonly #running = new Map<string, number>();
  /** How often irreversible activities were started, by idempotency key and input: ids may be used again. */
  readonly #irreversibleStarts = new Map<string, number>();

  /** How many answers are held back. */
  get size(): number {
    return this.#held.length;
  }

  /** How many answers of a worker are held back. */
  heldBy(worker: number): number {
    return this.#held.filter((held) => held.worker === worker).length;
  }

  /** Whether a request runs in a worker, held back or not. */
  isRunning(worker: number, key: string): boolean {
    return this.#running.has(`${worker} ${key}`);
  }

  /** How often irreversible activities were started until now. */
  get irreversibleStarts(): ReadonlyMap<string, number> {
    return new Map(this.#irreversibleStarts);
  }

  /** Those that were started meanwhile may be started again. */
  forgiveSince(before: ReadonlyMap<string, number>): void {
    for (const call of this.#irreversibleStarts.keys()) if (!before.has(call)) this.#irreversibleStarts.delete(call);
  }

  /** Irreversible activities that were started twice. */
  get startedTwice(): string[] {
    return [...this.#irreversibleStarts].filter(([, starts]) => starts > 1).map(([call]) => call);
  }

  /** Lets an answer go, modulo their number. Answers whether there was one. */
  release(pick: number): boolean {
    const [held] = this.#held.splice(pick % Math.max(1, this.#held.length), 1);
    held?.release();
    return held !== undefined;
  }

  /** The worker is dead, and its answers with it. */
  forget(worker: number): void {
    for (const held of [...this.#held]) if (held.worker === worker) this.#remove(held);
    for (const name of [...this.#running.keys()]) if (name.startsWith(`${worker} `)) this.#running.delete(name);
  }

  activity(worker: number, definition: AnyActivity): AnyActivity {
    return {
      ...definition,
      run: (ctx, input) => {
        const { idempotencyKey: key, signal, attempt } = ctx;
        if (!this.isDisturbed && attempt > 1 + (this.#failures.get(key) ?? 0)) {
          this.startedNeedlessly.push(`${key} attempt ${attempt}`);
        }
        if (definition.options.effect === "irreversible") {
          const call = `${key} ${JSON.stringify(input)}`;
          this.#irreversibleStarts.set(call, (this.#irreversibleStarts.get(call) ?? 0) + 1);
        }
        return this.#hold(worker, key, signal, async () => {
          try {
            return await definition.run(ctx, input);
          } catch (error) {
            this.#failures.set(key, attempt);
            throw error;
          }
        });
      },
    };
  }

  model(worker: number, provider: LlmProvider): LlmProvider {
    const held: LlmProvider = {
      name: provider.name,
      model: provider.model,
      capabilities: provider.capabilities,
      complete: (request, options) =>
        this.#hold<LlmResponse>(worker, options.idempotencyKey, options.signal, () =>
          provider.complete(request, options),
        ),
    };
    return held;
  }

  async #hold<Answer>(worker: number, key: string, signal: AbortSignal, run: () => Promise<Answer>): Promise<Answer> {
    const name = `${worker} ${key}`;
    this.#running.set(name, (this.#running.get(name) ?? 0) + 1);
    try {
      const answer = run();
      await answer.catch(() => undefined);
      await this.#released(worker, key, signal);
      return await answer;
    } finally {
      const left = (this.#running.get(name) ?? 1) - 1;
      if (left > 0) this.#running.set(name, left);
      else this.#running.delete(name);
    }
  }

  #released(worker: number, key: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const held: Held = { worker, key, release: resolve };
      this.#held.push(held);
      signal.addEventListener("abort", () => {
        this.#remove(held);
        resolve();
      });
    });
  }

  #remove(held: Held): void {
    const at = this.#held.indexOf(held);
    if (at >= 0) this.#held.splice(at, 1);
    held.release();
  }
}
