/**
 * A job: one work item in the hands of this worker, from the moment it is taken to the moment its answer is recorded or
 * nobody wants it any more.
 */
import type { Failure } from "./errors.ts";
import type { Asking } from "./llm/model-gate.ts";
import type { WastedUsage } from "./llm/usage.ts";
import type { Payload } from "./payload.ts";
import { idempotencyKeyOf, type WorkItem } from "./messages.ts";
import type { InstanceKey, WorkKey } from "./storage.ts";

/** The failure of an attempt, with what a model call has used in vain up to then: a row keeps it for the next attempt. */
export type AttemptFailure = Failure & { readonly wasted?: readonly WastedUsage[] };

const nothing: readonly WastedUsage[] = [];

/** See the head of the file. */
export class Job {
  readonly item: WorkItem;
  readonly instance: InstanceKey;
  /** The same for all attempts of one request. */
  readonly key: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly lastHeartbeat: Payload | undefined;
  /** Of a model call: how the attempt before failed. */
  lastFailure: AttemptFailure | undefined;
  /** Its row in the store. Absent while it only runs here. */
  row: WorkKey | undefined;
  /** The row being written for it, while it is. */
  saving: Promise<void> | undefined;
  /** A row being written for whoever may take it, while it is. */
  leaving: Promise<void> | undefined;
  /** Why nobody wants its answer any more, once nobody does. */
  abandoned: Error | undefined;
  /** Of a model call: the line in which it stands or stood, once it had to, and the model that it has been let through to. */
  line: string | undefined;
  asking: Asking | undefined;
  /** Whether a model of its chain that failed before may do better later. */
  mayPass = false;
  /** What this attempt of a model call has used, when it came to nothing. */
  spent: WastedUsage | undefined;
  #controller: AbortController | undefined;

  constructor(item: WorkItem, instance: InstanceKey, attempt: number, row?: WorkKey, lastHeartbeat?: Payload) {
    this.item = item;
    this.instance = instance;
    this.key = idempotencyKeyOf(item);
    this.attempt = attempt;
    this.row = row;
    this.lastHeartbeat = lastHeartbeat;
  }

  /** What this attempt and those before it have used in vain. */
  get wasted(): readonly WastedUsage[] {
    const before = this.lastFailure?.wasted ?? nothing;
    return this.spent === undefined ? before : [...before, this.spent];
  }

  /** A failure of this attempt as the next one gets it. */
  failedBy(failure: Failure): AttemptFailure {
    const { wasted } = this;
    return wasted.length === 0 ? failure : { ...failure, wasted };
  }

  /** Made when somebody asks for it: most activities never do. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.abandoned !== undefined) this.#controller.abort(this.abandoned);
    }
    return this.#controller.signal;
  }

  /** Ends this attempt for whoever listens to its signal. */
  abort(reason: Error): void {
    this.#controller?.abort(reason);
  }

  /** Nobody wants the answer any more. */
  abandon(reason: Error): void {
    this.abandoned = reason;
    this.abort(reason);
  }
}
