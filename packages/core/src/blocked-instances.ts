/**
 * Instances that cannot go on: blocked with the reason, so that other code or `client.resume()` can try again, and ended
 * without their code where that was asked for.
 */
import { isStetError, type StetError, toFailure } from "./errors.ts";
import type { OrchestrationFailed, OrchestrationTerminated } from "./events.ts";
import type { Execution } from "./execution.ts";
import type { ExecutionLoader } from "./execution-loader.ts";
import type { Patience } from "./patience.ts";
import type { Clock, Logger } from "./ports.ts";
import type { WorkerKey } from "./storage-work.ts";
import type { ClaimedTurn, StorageProvider, TurnCommit } from "./storage.ts";
import { PayloadSink, type TextCodec } from "./text-codec.ts";
import { type Incoming, TurnFeed } from "./turn.ts";
import { commitOf, haltOf, type Position } from "./turn-commit.ts";

/** What blocking needs. */
export interface BlockingEnvironment {
  readonly storage: StorageProvider;
  readonly codec: TextCodec;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly patience: Patience;
  readonly worker: () => WorkerKey;
  readonly buildId: string;
  /** Whether code that does not match its history fails the instance instead of blocking it. */
  readonly failOnNondeterminism: boolean;
}

/** See the head of the file. */
export class BlockedInstances {
  readonly #environment: BlockingEnvironment;
  readonly #loader: ExecutionLoader;

  constructor(environment: BlockingEnvironment, loader: ExecutionLoader) {
    this.#environment = environment;
    this.#loader = loader;
  }

  /**
   * The commit that blocks an instance in the place of its turn, or suspends it when it is out of budget.
   *
   * @param consumed - The messages that led there: the refusals, when it is suspended.
   */
  commitOf(
    position: Position,
    rootId: string,
    reason: unknown,
    at: number,
    consumed: TurnCommit["consumed"] = [],
  ): TurnCommit {
    const error = this.#textOf(reason, rootId);
    if (isStetError(reason, "budget_exceeded"))
      return haltOf(position, { suspended: { error, refusals: consumed } }, at);
    return haltOf(position, { blocked: { error, buildId: this.#environment.buildId } }, at);
  }

  /** Blocks an instance that was claimed and cannot be brought to life. */
  async block(turn: ClaimedTurn, reason: unknown): Promise<void> {
    const { storage, worker, clock, patience } = this.#environment;
    if (patience.isStopped) return; // what this worker could not read before it stops is not the instance's fault
    const commit = this.commitOf(turn, turn.rootId, reason, clock.now());
    await patience.until("block an instance", () => storage.commitTurns(worker(), [commit]));
    this.report(turn.instanceId, reason);
  }

  /** An instance whose history does not fit its code: ended if it was to be, blocked otherwise. */
  async refuse(turn: ClaimedTurn, failure: StetError | undefined, incoming: readonly Incoming[]): Promise<void> {
    const { clock, codec, storage, worker, patience } = this.#environment;
    const end = this.#endOf(failure, incoming);
    const execution = end === undefined ? undefined : await this.#bystander(turn);
    if (end === undefined || execution === undefined) return this.block(turn, failure);
    const at = clock.now();
    const sink = new PayloadSink();
    const terms = { at, totalTimeoutMs: () => undefined, nextVersion: () => execution.version };
    const feed = new TurnFeed(execution, terms, []);
    feed.endWithoutCode(execution, end);
    const commit = commitOf(turn, execution, feed, { at, codec, sink, work: [], unsettled: false, keep: false });
    await patience.until("end an instance", () => storage.commitTurns(worker(), [commit]));
  }

  /** Tells people. */
  report(instanceId: string, reason: unknown): void {
    if (isStetError(reason, "budget_exceeded")) {
      const facts = { instanceId, error: reason.message };
      if (reason.retryable) this.#environment.logger.debug("An instance waits for room in a budget", facts);
      else this.#environment.logger.warn("An instance is suspended until client.topUp() lets it go on", facts);
      return;
    }
    this.#environment.logger.error("An instance is blocked until other code or client.resume() tries again", {
      instanceId,
      error: toFailure(reason).message,
    });
  }

  #endOf(
    failure: StetError | undefined,
    incoming: readonly Incoming[],
  ): OrchestrationTerminated | OrchestrationFailed | undefined {
    for (const { message } of incoming) if (message.kind === "OrchestrationTerminated") return message;
    if (!this.#environment.failOnNondeterminism || failure?.code !== "nondeterminism") return undefined;
    return { kind: "OrchestrationFailed", error: toFailure(failure) };
  }

  async #bystander(turn: ClaimedTurn): Promise<Execution | undefined> {
    try {
      return await this.#loader.loadWithoutCode(turn);
    } catch {
      return undefined; // its history cannot be read: that is why it was refused, and what blocks it
    }
  }

  /** A codec that cannot seal must not keep the instance from being blocked. */
  #textOf(reason: unknown, rootId: string): string {
    try {
      return this.#environment.codec.encode(toFailure(reason), rootId);
    } catch (error) {
      return JSON.stringify(toFailure(error));
    }
  }
}
