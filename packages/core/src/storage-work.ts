/** The seam to the store, on work: an item on its way to whoever executes it. */

/** A worker's registration. A worker that was declared dead and registers again gets a new one. */
export type WorkerKey = number | string;

/** A work item as the provider routes it. */
export interface OutgoingWork {
  readonly instanceId: string;
  readonly execution: number;
  readonly eventId: number;
  readonly kind: "activity" | "model";
  /** The activity; of a model call the line in which it stands, named by the models that may answer it. */
  readonly name: string;
  readonly tag?: string;
  readonly session?: string;
  readonly body: string;
  /** Not before. Absent means at once. */
  readonly visibleAt?: number;
  /** How often it has been started already. */
  readonly attempts: number;
  /** The last heartbeat details of an earlier attempt. */
  readonly heartbeat?: string;
  /** The failure of the last attempt. */
  readonly failure?: string;
  /** Model calls are handed out in this order, and in that of their rows where it is the same. @default 0 */
  readonly rank?: number;
  /** Tokens that a model call is expected to use. @default 0 */
  readonly tokens?: number;
}
