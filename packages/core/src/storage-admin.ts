/**
 * The store as clients and operators see it: instances, executions, streams and state, and what to do about them.
 * Bodies are text, sealed or with references where the engine made them so.
 */
import type { Amounts, BudgetLimits, BudgetRecord } from "./storage-budgets.ts";
import type { OutgoingWork, WorkerKey } from "./storage-work.ts";

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
  /** Handlers (`name` or `name@version`) that running instances need. */
  readonly neededOrchestrations: readonly string[];
  /** Activities that ready work needs, each with each tag that it needs it with. */
  readonly neededActivities: readonly { readonly name: string; readonly tag?: string }[];
  /** How many of the ready work are model calls. */
  readonly readyModelCalls: number;
  /** What each registered worker owns, living or not, in the order of registration. */
  readonly owned: readonly OwnedByWorker[];
}

/** What a worker owns. */
export interface OwnedByWorker {
  readonly worker: WorkerKey;
  readonly instances: number;
  /** Work that it runs under a row. */
  readonly work: number;
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

/** A root instance and all below it, as data that another store can put back. */
export interface StoredTree {
  /** Parents before their children, the root first. */
  readonly instances: readonly StoredInstance[];
  /** The payloads of the whole tree. */
  readonly payloads: readonly { readonly digest: string; readonly body: string }[];
}

/** All that a store keeps of an instance, except who owns it and by which keys the store knows it. */
export interface StoredInstance {
  readonly instanceId: string;
  /** Absent at the top of the tree. */
  readonly parentId?: string;
  readonly name: string;
  /** Absent until the first turn has pinned it. */
  readonly version?: string;
  readonly status: InstanceStatus;
  readonly labels: { readonly [key: string]: string };
  readonly createdAt: number;
  /** Time of the last commit, which for an ended instance is its end. */
  readonly updatedAt: number;
  readonly customStatus?: string;
  readonly output?: string;
  readonly error?: string;
  /** Why it could not go on. Which builds could not is not kept: whoever has the tree now may try. */
  readonly blocked?: string;
  /** The number of the current execution. It is missing in `executions` before its first turn. */
  readonly execution: number;
  /** Those that are still stored, in order. */
  readonly executions: readonly StoredExecution[];
  /** The inbox, in the order in which it was sent. */
  readonly messages: readonly {
    readonly body: string;
    readonly at: number;
    /** The request that it answers, as it was sent with. */
    readonly answers?: { readonly execution: number; readonly eventId: number };
  }[];
  /** Idempotency keys of messages that it was sent. */
  readonly messageKeys: readonly string[];
  /** Timers, work and waits are those of the current execution. */
  readonly timers: readonly { readonly eventId: number; readonly fireAt: number; readonly body: string }[];
  readonly work: readonly StoredWork[];
  readonly waits: readonly StoredWait[];
  readonly state: readonly { readonly key: string; readonly value: string }[];
  /** In order. Offsets are the store's own and are given anew. */
  readonly outputs: readonly { readonly body: string; readonly at: number }[];
  /** Absent when it has none of its own. What is reserved follows from the bookings of the tree. */
  readonly budget?: Omit<BudgetRecord, "reserved">;
  /** Those of the current execution. What was refused and not taken yet is not carried: it is booked anew. Absent: none. */
  readonly bookings?: readonly StoredBooking[];
}

/** Room in budgets that a request of the current execution has. */
export interface StoredBooking extends Amounts {
  readonly eventId: number;
}

/** One execution with its history. */
export interface StoredExecution {
  readonly execution: number;
  readonly startedAt: number;
  readonly updatedAt: number;
  /** Chunks whose events follow on each other from 1. */
  readonly history: readonly { readonly firstEventId: number; readonly lastEventId: number; readonly body: string }[];
}

/** A work item that nobody owns. A start that was under way counts among its attempts. */
export type StoredWork = Omit<OutgoingWork, "instanceId" | "execution">;

/** An answer that is kept, as another store takes it. Whose it is has the words of its instance. */
export interface StoredAnswer {
  readonly digest: string;
  /** Absent: everybody's. */
  readonly instanceId?: string;
  /** For this execution of the instance only. */
  readonly execution?: number;
  readonly body: string;
  readonly expiresAt?: number;
}

/** A model call that nobody makes at the moment. */
export interface WaitingCall {
  readonly eventId: number;
  /** The line in which it stands. */
  readonly line: string;
  /** Not before. Absent means as soon as there is capacity. */
  readonly visibleAt?: number;
}

/** A model that was left without capacity, or closed. */
export interface ModelRecord {
  readonly model: string;
  /** When it is expected to answer calls again. */
  readonly opensAt: number;
}

/** An open wait for an external event, as stored. */
export interface StoredWait {
  readonly eventId: number;
  readonly name: string;
  readonly details?: string;
  readonly since: number;
  readonly timeoutAt?: number;
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
  /** The model calls of an instance that wait for their turn, and the models that answer none before a time to come. */
  listWaitingCalls(
    instanceId: string,
    now: number,
  ): Promise<{ readonly calls: WaitingCall[]; readonly models: ModelRecord[] }>;
  readState(instanceId: string, keys?: readonly string[]): Promise<{ readonly key: string; readonly value: string }[]>;
  readOutputs(instanceId: string, afterOffset: number, limit: number): Promise<OutputRecord[]>;
  stats(now: number): Promise<StorageStats>;
  /**
   * Clears the block of instances so that any worker may try again. Answers which were blocked. A suspended one loses the
   * refusals that it was suspended for, so that what they refused is booked anew.
   */
  unblock(ids: readonly string[]): Promise<string[]>;
  /** The budget of an instance's own, if it has one. */
  readBudget(instanceId: string): Promise<BudgetRecord | undefined>;
  /**
   * Raises limits that the budget of an instance has; others stay as they are. The instance and those below it that are
   * suspended go on as after {@link StorageAdmin.unblock}, and those that have refusals in their inboxes are not
   * suspended for these any more. Each call adds.
   */
  topUp(topUp: {
    readonly instanceId: string;
    readonly amounts: BudgetLimits;
  }): Promise<"toppedUp" | "unknown" | "noBudget">;
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
  /** The tree of a root instance as it stands at one moment, whether or not something in it runs. */
  exportTree(instanceId: string): Promise<StoredTree | "unknown" | "notRoot">;
  /**
   * Puts a tree in, whole or not at all. Nobody owns its instances; those that are running are unsettled, so that any
   * worker takes them over. Nothing is changed when one of their ids is there.
   */
  importTree(tree: StoredTree): Promise<"imported" | "exists">;
  /** The answers that are kept, those that have expired perhaps among them. What comes meanwhile may be left out. */
  exportAnswers(query: { readonly limit: number; readonly cursor?: string }): Promise<Page<StoredAnswer>>;
  /** Keeps answers for instances that are there; where one is kept already, that one stays. */
  importAnswers(answers: readonly StoredAnswer[]): Promise<void>;
}
