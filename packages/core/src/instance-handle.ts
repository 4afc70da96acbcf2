/**
 * What callers hold of an instance, and what they learn through it.
 */
import type { Budget } from "./budget.ts";
import type { Duration } from "./duration.ts";
import type { StetError } from "./errors.ts";
import type { HistoryEvent, Labels } from "./events.ts";
import type { Payload } from "./payload.ts";

/** Options of a start. */
export interface StartInstanceOptions {
  /** The caller's own id, so that starting twice is noticed. @default a random UUID */
  readonly instanceId?: string;
  /** Pin a version. @default the newest that the worker of the first turn has registered */
  readonly version?: string;
  readonly labels?: Labels;
  /** What it may use of models, with all that it starts. Goes before the definition's, member by member. @default no limit */
  readonly budget?: Budget;
  /**
   * What to do when the instance exists: `"fail"` rejects with `InstanceError` (`instance_exists`), `"attach"` answers
   * its handle and changes nothing. @default "fail"
   */
  readonly ifExists?: "fail" | "attach";
}

/** What a running instance is waiting for. */
export type WaitingFor =
  | { readonly kind: "activity"; readonly name: string; readonly eventId: number; readonly since: number }
  | { readonly kind: "timer"; readonly eventId: number; readonly since: number; readonly fireAt: number }
  | {
      readonly kind: "event";
      readonly name: string;
      readonly eventId: number;
      readonly since: number;
      readonly details?: Payload;
      readonly timeoutAt?: number;
    }
  | {
      readonly kind: "subOrchestration";
      readonly name: string;
      readonly instanceId: string;
      readonly eventId: number;
      readonly since: number;
    }
  | {
      readonly kind: "model";
      readonly operation: string;
      readonly eventId: number;
      readonly since: number;
      /** The call failed and is tried again at this time. */
      readonly retryAt?: number;
      /**
       * No model that may answer it has capacity before this time: its limits are used up, it asked to be left alone, or it
       * failed too often.
       */
      readonly capacityAt?: number;
    };

/** Where an instance stands. */
export interface InstanceState {
  readonly instanceId: string;
  readonly rootId: string;
  readonly parentId?: string;
  readonly name: string;
  /** Absent until the first turn has pinned it. */
  readonly version?: string;
  /** `blocked`: it cannot go on until other code or `client.resume()` tries again; `error` says why. */
  readonly status: "pending" | "running" | "blocked" | "completed" | "failed" | "cancelled" | "terminated";
  readonly execution: number;
  readonly labels: Labels;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** What the orchestration said with `ctx.setStatus()`. */
  readonly customStatus?: Payload;
  readonly output?: Payload;
  readonly error?: StetError;
}

/** {@link InstanceState} with what the instance waits for. */
export interface InstanceStatusReport extends InstanceState {
  readonly waitingFor: readonly WaitingFor[];
}

/** One row of an output stream. Go on from `offset`. */
export interface OutputRow {
  readonly offset: number;
  readonly at: number;
  /** What the code emitted; in the stream of a model call, what the model said, or `""`. */
  readonly data: Payload;
  /** Set on what comes from the stream of a model call. */
  readonly stream?: StreamMark;
}

/**
 * Which model call a row belongs to, and what it means.
 *
 * - `delta`: the model said a little more.
 * - `superseded`: what came before of this call does not count, because its attempt failed or its worker died. The text
 *   begins anew.
 * - `end`: the model has said all of it. Should its worker die before it could record the answer, `superseded` follows.
 */
export interface StreamMark {
  readonly kind: "delta" | "superseded" | "end";
  readonly execution: number;
  /** The `LlmRequested` that asked. */
  readonly eventId: number;
  readonly attempt: number;
  /** What the call named it in `stream`. Absent with `stream: true`. */
  readonly channel?: string;
}

/** A row of the stream of a model call: what it means, and what the model said. Go on from `offset`. */
export interface StreamPiece extends StreamMark {
  readonly offset: number;
  readonly at: number;
  /** Empty unless it is a `delta`. */
  readonly text: string;
}

/** Which streams of model calls to read, and from where. */
export interface StreamOptions {
  /** @default every call of the instance */
  readonly channel?: string;
  /** The offset of the last row that was read. @default the beginning */
  readonly from?: number;
  /** Ends the reading. */
  readonly signal?: AbortSignal;
}

/** Options of an event sent to an instance. */
export interface RaiseEventOptions {
  /** A second event with the same key to the same instance is dropped. */
  readonly idempotencyKey?: string;
}

/** A started orchestration, by its id. */
export interface InstanceHandle<Output = unknown> {
  readonly instanceId: string;

  /**
   * Waits for the end and answers the output.
   *
   * @throws OrchestrationError when it failed, was cancelled or terminated; `cause` is the failure.
   * @throws TimeoutError when it is still running after `timeout`; the instance goes on.
   * @throws InstanceError (`instance_not_found`) when it does not exist, or no longer.
   */
  result(options?: { readonly timeout?: Duration }): Promise<Output>;

  /** @throws InstanceError (`instance_not_found`). */
  status(): Promise<InstanceStatusReport>;

  /** @throws InstanceError (`instance_not_found`, `instance_ended`). */
  raiseEvent(name: string, data?: unknown, options?: RaiseEventOptions): Promise<void>;

  /** Asks it to stop: its code sees `CancelledError` and may clean up. An ended instance stays as it is. */
  cancel(reason?: string): Promise<void>;

  /** Stops it without running its code. An ended instance stays as it is. */
  terminate(reason?: string): Promise<void>;

  /** The events of one execution. @default the current one */
  history(execution?: number): Promise<HistoryEvent[]>;

  /** Its state (`ctx.state`) as last committed. */
  state(): Promise<{ readonly [key: string]: Payload }>;

  /** Its output stream from after `from` on, live, across executions, until it has ended. */
  outputs(options?: { readonly from?: number; readonly signal?: AbortSignal }): AsyncIterableIterator<OutputRow>;

  /**
   * What models say to it while they speak, of calls with the option `stream`, until the instance has ended. Whoever comes
   * back with the offset that was read last misses nothing and reads nothing twice.
   *
   * @example
   * ```ts
   * for await (const { kind, text } of handle.stream()) {
   *   if (kind === "superseded") process.stdout.write("\n(again)\n");
   *   process.stdout.write(text);
   * }
   * ```
   */
  stream(options?: StreamOptions): AsyncIterableIterator<StreamPiece>;

  /** Its standing now and after each change, until it has ended. Changes in quick succession may come as one. */
  changes(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<InstanceState>;
}
