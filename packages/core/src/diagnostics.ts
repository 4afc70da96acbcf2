/**
 * What a worker does, told as it happens on `node:diagnostics_channel`. Telemetry and dashboards subscribe; when nobody
 * listens nothing is made and nothing is sent.
 *
 * @example
 * ```ts
 * import { subscribe } from "node:diagnostics_channel";
 * import type { TurnDiagnostic } from "@stet/core";
 * subscribe("stet:turn", (message) => count((message as TurnDiagnostic).events));
 * ```
 */
import { channel } from "node:diagnostics_channel";
import type { Failure } from "./errors.ts";
import type { LlmUsage } from "./llm/conversation.ts";

/** `stet:turn`: a turn was committed, refused because another worker owns the instance, or blocked. */
export interface TurnDiagnostic {
  readonly instanceId: string;
  readonly execution: number;
  readonly orchestration: string;
  /** Events it appended. */
  readonly events: number;
  readonly outcome: "committed" | "notOwner" | "blocked";
}

/** `stet:work`: an attempt of an activity or a model call has ended. */
export interface WorkDiagnostic {
  readonly instanceId: string;
  readonly execution: number;
  readonly eventId: number;
  readonly kind: "activity" | "model";
  /** The activity, or the operation. */
  readonly name: string;
  readonly attempt: number;
  readonly durationMs: number;
  readonly failure?: Failure;
  readonly model?: string;
  readonly usage?: LlmUsage;
}

/**
 * `stet:ownership`: a worker came (`registered`), found another one dead (`buried`, whose name it is), was declared dead
 * itself, or gave instances back (`released`): those that it had no room for, that others have more time for, or all, at
 * its end.
 */
export interface OwnershipDiagnostic {
  readonly change: "registered" | "buried" | "declaredDead" | "released";
  readonly worker: string;
  /** How many were released. Absent at its end. */
  readonly instances?: number;
}

/** `stet:storage`: the store failed to do something that is tried again. */
export interface StorageDiagnostic {
  readonly what: string;
  readonly error: string;
  readonly pauseMs: number;
}

/** One kind of diagnostics. */
export class DiagnosticChannel<Message extends object> {
  readonly #channel: ReturnType<typeof channel>;

  constructor(name: string) {
    this.#channel = channel(name);
  }

  get isHeard(): boolean {
    return this.#channel.hasSubscribers;
  }

  /** `make` is called only when somebody listens. */
  publish(make: () => Message): void {
    if (this.#channel.hasSubscribers) this.#channel.publish(make());
  }
}

export const turnDiagnostics: DiagnosticChannel<TurnDiagnostic> = new DiagnosticChannel("stet:turn");
export const workDiagnostics: DiagnosticChannel<WorkDiagnostic> = new DiagnosticChannel("stet:work");
export const ownershipDiagnostics: DiagnosticChannel<OwnershipDiagnostic> = new DiagnosticChannel("stet:ownership");
export const storageDiagnostics: DiagnosticChannel<StorageDiagnostic> = new DiagnosticChannel("stet:storage");
