/**
 * The store as clients and operators see it: instances, executions, streams and state, and what to do about them.
 * Bodies are text, sealed or with references where the engine made them so.
 */

/** Where an instance is in its life, as stored. A blocked instance is running. */
export type InstanceStatus = "pending" | "running" | "completed" | "failed" | "cancelled" | "terminated";

/** The row of an instance. */
export interface InstanceRecord {
  readonly instanceId: string;
  readonly rootId: string;
  readonly parentId?: string;
  readonly name: string;
  /** Absent until the first turn has pinned it. */
  readonly version?: string;
  readonly status: InstanceStatus;
  readonly execution: number;
  readonly lastEventId: number;
  readonly labels: { readonly [key: string]: string };
  readonly createdAt: number;
  /** Time of the last commit. */
  readonly updatedAt: number;
  readonly customStatus?: string;
  readonly output?: string;
  readonly error?: string;
  /** Why it cannot go on, while it cannot. */
  readonly blocked?: string;
}

/** Which instances to list. All conditions must hold; none means all instances. */
export interface InstanceQuery {
  readonly status?: readonly InstanceStatus[];
  readonly blocked?: boolean;
  readonly name?: string;
  readonly version?: string;
  readonly labels?: { readonly [key: string]: string };
  readonly idPrefix?: string;
  readonly parentId?: string;
  readonly createdAfter?: number;
  readonly createdBefore?: number;
  /** Most rows of a page. */
  readonly limit: number;
  /** Where the page before ended. Newest instances come first, and later writes move no row to another page. */
  readonly cursor?: string;
}

/** One page of a listing. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  /** Absent on the last page. */
  readonly cursor?: string;
}

/** One execution of an instance. */
export interface ExecutionRecord {
  readonly execution: number;
  readonly eventCount: number;
  readonly startedAt: number;
  readonly updatedAt: number;
}

/** An open wait for an external event. */
export interface WaitRecord {
  readonly instanceId: string;
  readonly rootId: string;
  readonly orchestration: string;
  readonly execution: number;
  readonly eventId: number;
  readonly name: string;
  readonly details?: string;
  readonly since: number;
  readonly timeoutAt?: number;
}

/** A row of an output stream. Offsets grow within an instance and may have gaps. */
export interface OutputRecord {
  readonly offset: number;
  readonly at: number;
  readonly body: string;
}

/** Numbers about the whole store. */
export interface StorageStats {
  readonly instances: { readonly [Status in InstanceStatus]: number };
  readonly blocked: number;
  /** Visible messages that no turn has taken, and those that wait for their time. */
  readonly messages: { readonly ready: number; readonly delayed: number };
  /** Work that nobody runs yet, work that waits for its time, and work that runs under a row. */
  readonly work: { readonly ready: number; readonly delayed: number; readonly running: number };
  /** Handlers (`name` or `name@version`) that running instances or ready work need. */
  readonly neededOrchestrations: readonly string[];
  readonly neededActivities: readonly string[];
}

/** Which old data to remove. */
export interface PruneQuery {
  /** Whole trees whose root ended before this time. */
  readonly endedBefore?: number;
  /** Executions older than the newest this many, of any instance. Current executions stay. At least 1. */
  readonly keepExecutions?: number;
  /** Most trees to remove in one call. */
  readonly limit: number;
}

/** What clients and operators ask of a store. */
export interface StorageAdmin {
  /** Rows of known instances, in any order; unknown ids are left out. */
  getInstances(ids: readonly string[]): Promise<InstanceRecord[]>;
  listInstances(query: InstanceQuery): Promise<Page<InstanceRecord>>;
  /** The instance and all below it, parents before children. Empty when unknown. */
  getTree(instanceId: string): Promise<InstanceRecord[]>;
  listExecutions(instanceId: string): Promise<ExecutionRecord[]>;
  /** Chunks of an execution, from the one that holds `fromEventId` on. */
  readHistory(instanceId: string, execution: number, fromEventId?: number): Promise<string[]>;
  listWaits(query: {
    readonly instanceId?: string;
    readonly name?: string;
    readonly limit: number;
    readonly cursor?: string;
  }): Promise<Page<WaitRecord>>;
  readState(instanceId: string, keys?: readonly string[]): Promise<{ readonly key: string; readonly value: string }[]>;
  readOutputs(instanceId: string, afterOffset: number, limit: number): Promise<OutputRecord[]>;
  stats(now: number): Promise<StorageStats>;
  /** Clears the block of instances so that any worker may try again. Answers which were blocked. */
  unblock(ids: readonly string[]): Promise<string[]>;
  /** Starts the next execution of an ended instance with `body` as its start message. Answers whether it had ended. */
  restart(restart: {
    readonly instanceId: string;
    readonly body: string;
    readonly at: number;
  }): Promise<"restarted" | "unknown" | "running">;
  /**
   * Removes a root instance with its whole tree, history, work, messages, payloads, streams and state. Nothing that is
   * still on its way can bring it back. `force` also removes what is running.
   */
  deleteTree(instanceId: string, force: boolean): Promise<"deleted" | "unknown" | "running" | "notRoot">;
  prune(query: PruneQuery): Promise<{ readonly trees: number; readonly executions: number }>;
}
