/**
 * The seam to the store. A provider keeps what the engine hands it and hands it back; it never interprets history,
 * messages or payloads, which reach it as text, and it never makes an id that the engine relies on.
 *
 * Promises every provider gives, each stated as tests in the conformance suite of `@stet/testing`:
 *   S1  A commit checks owner and expected last event id in the statement that writes. A stale commit changes nothing
 *       and spoils none of its batch.
 *   S2  A commit is atomic: history, consumed messages, work, timers, messages for others, payloads, state, outputs and
 *       the next execution become visible together or not at all.
 *   S3  Messages of one instance are handed out in the order in which they were sent; a timer when it is due.
 *   S4  At most one worker owns an instance or a work item.
 *   S5  Nothing becomes ready by anything but its inbox, its work, the release of its owner, or an import.
 *   S6  Trouble is an error thrown; a lost ownership is an outcome returned.
 *   S7  What is booked fits: no commit brings spent and reserved of a budget above its limit by booking.
 */
import type { StorageAdmin } from "./storage-admin.ts";
import type { BudgetChanges } from "./storage-budgets.ts";
import type { OutgoingWork, WorkerKey } from "./storage-work.ts";

/** The provider's own handle of an instance, as cheap to look up as it has. Opaque to everybody else. */
export type InstanceKey = number | string;

/** One execution of an instance. */
export interface ExecutionKey {
  readonly key: InstanceKey;
  readonly execution: number;
}

/** The provider's own handle of a work item. */
export type WorkKey = number | string;

/** What a worker tells about itself, for others to see and to recognise its death by. */
export interface WorkerRegistration {
  readonly name: string;
  /** Two workers with the same host can see each other's processes. */
  readonly host: string;
  readonly pid: number;
  /** Tells a process from a later one with the same pid, where the system says. */
  readonly processStart?: string;
  readonly capabilities: Capabilities;
  readonly now: number;
}

/** What a worker can run. */
export interface Capabilities {
  /** `name` for an instance whose version is still open, `name@version` for one that is pinned. */
  readonly orchestrations: readonly string[];
  readonly activities: readonly string[];
  /** Whether it makes model calls. */
  readonly models: boolean;
  /** Tags of work it takes besides untagged work. */
  readonly tags: readonly string[];
}

/** A registered worker as others see it. */
export interface WorkerRecord {
  readonly key: WorkerKey;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly processStart?: string;
  readonly capabilities: Capabilities;
  readonly registeredAt: number;
  readonly silentForMs: number;
  /** What it said last, and 0 before it said anything. */
  readonly busy: number;
}

/** A worker lives. */
export interface WorkerHeartbeat {
  readonly worker: WorkerKey;
  readonly now: number;
  /** The items that it runs. */
  readonly work: readonly WorkKey[];
  /** In which part of its time it was busy lately, from 0 to 1. For others to see. @default 0 */
  readonly busy?: number;
}

/** What a worker wants to run turns for. */
export interface TurnClaim {
  readonly worker: WorkerKey;
  readonly now: number;
  /** Most messages to hand out. Instances cut off here come again with the next claim. */
  readonly max: number;
  readonly orchestrations: readonly string[];
  /** Those of them whose instances are left alone while nobody owns them: other workers have more time for these. */
  readonly leave?: readonly string[];
  /** Instances blocked by this very build are left alone. */
  readonly buildId: string;
  /**
   * Given after a claim whose answer may have been lost: all instances that the worker knows to be its own. Unsettled
   * ones that it owns and does not name are handed out again, as that claim handed them out.
   */
  readonly held?: readonly InstanceKey[];
}

/** An instance that this worker owns from now on, with what its inbox holds. */
export interface ClaimedTurn {
  readonly key: InstanceKey;
  readonly instanceId: string;
  readonly rootId: string;
  readonly name: string;
  /** Absent until the first turn has pinned it. */
  readonly version?: string;
  readonly execution: number;
  readonly lastEventId: number;
  /**
   * Claims since the last commit (a block is one), this one included. Counted are those that changed the owner and were
   * not given back by it: what is left are workers that died with the instance in their hands.
   */
  readonly attempts: number;
  /** Whether something must be done even without a message. */
  readonly unsettled: boolean;
  readonly messages: readonly StoredMessage[];
}

/** A message in the inbox. */
export interface StoredMessage {
  readonly key: number | string;
  readonly body: string;
  /** When it was sent; for a timer, when it was due. */
  readonly at: number;
  readonly timer: boolean;
}

/** A message on its way. */
export interface OutgoingMessage {
  readonly instanceId: string;
  /** For this very instance only: one that was made anew under the same id is `unknown` to it. */
  readonly instance?: InstanceKey;
  readonly body: string;
  readonly at: number;
  /** A second message with the same key to the same instance is dropped. */
  readonly idempotencyKey?: string;
  /** The request that it answers: it need not be asked again, see {@link StorageProvider.readWork}. */
  readonly answers?: { readonly execution: number; readonly eventId: number };
}

/** Asks for an instance that must not exist yet. */
export interface OutgoingStart {
  readonly instanceId: string;
  readonly name: string;
  /** Absent: any version of the name may run the first turn. */
  readonly version?: string;
  readonly parentId?: string;
  readonly labels?: { readonly [key: string]: string };
  /** The message that starts it. */
  readonly body: string;
  readonly at: number;
  /** Sent instead when the instance exists: how a parent learns it. */
  readonly ifExists?: OutgoingMessage;
}

/** What became of a message. Only `sent` and `duplicate` mean that the instance has it. */
export type SendOutcome = "sent" | "duplicate" | "unknown" | "ended";

/** What became of a start. */
export type StartOutcome = "started" | "exists";

/** A work item written outside a turn, by the owner of its instance. */
export interface SavedWork extends OutgoingWork {
  readonly instance: InstanceKey;
  /** Whether the worker runs it already: then the item is owned by it. */
  readonly owned: boolean;
}

/**
 * All that one turn changes. Timers, work and waits belong to the execution of the last chunk of history; a commit
 * without history (outstanding work found by a new owner, a block) leaves the position where it was.
 */
export interface TurnCommit {
  readonly key: InstanceKey;
  /** The execution the claim or the last commit left. */
  readonly execution: number;
  /** The last event id the claim or the last commit left. */
  readonly expectedEventId: number;
  /** Histories of this turn in order: the current execution's and, after continue-as-new, those of the next ones. */
  readonly history: readonly HistoryChunk[];
  /** Keys of the messages that the turn took from the inbox. */
  readonly consumed: readonly StoredMessage["key"][];
  readonly payloads: readonly StoredPayload[];
  readonly timers: readonly OutgoingTimer[];
  /**
   * Requests of `execution` that need no timer, work row or wait any more. When the commit closes that execution, all
   * that are left are dropped unnamed.
   */
  readonly settled: readonly number[];
  readonly work: readonly OutgoingWork[];
  readonly messages: readonly OutgoingMessage[];
  readonly starts: readonly OutgoingStart[];
  readonly state: readonly StateChange[];
  readonly outputs: readonly { readonly body: string; readonly at: number }[];
  readonly waits: readonly OpenWait[];
  /** Pins the version, in the first turn of an execution. */
  readonly version?: string;
  /** Replaces the custom status. */
  readonly customStatus?: string;
  /** Set when the instance has ended: its whole inbox is dropped too, and nothing can be sent to it any more. */
  readonly ended?: Ending;
  /** Set when the turn could not be run. Nothing is consumed or appended; the instance is left unowned. */
  readonly blocked?: { readonly error: string; readonly buildId: string };
  /**
   * Set when the code would have ended because of these refusals (keys of messages). Like a block, but for every build,
   * and messages that are no refusals still wake the instance. When one of the refusals is there no more, or does not stand
   * any more (it was decided before a top-up, or what others had reserved was in its way), all of them are dropped and the instance is left free instead.
   */
  readonly suspended?: { readonly error: string; readonly refusals: readonly StoredMessage["key"][] };
  /** Absent where no budget is drawn on: then none is looked for. */
  readonly budget?: BudgetChanges;
  /** Whether somebody must take the instance over without a message if this worker dies. */
  readonly unsettled: boolean;
  /** Whether the worker goes on owning the instance. */
  readonly keep: boolean;
  readonly at: number;
}

/** Consecutive events of one execution as one JSON array. */
export interface HistoryChunk {
  readonly execution: number;
  readonly firstEventId: number;
  readonly lastEventId: number;
  readonly body: string;
}

/** A text that events refer to by its digest, stored once under the top of the tree. */
export interface StoredPayload {
  readonly digest: string;
  readonly body: string;
}

/** A message to the instance itself, to be handed out at `fireAt`. */
export interface OutgoingTimer {
  readonly eventId: number;
  readonly fireAt: number;
  readonly body: string;
}

/** A new value of a key, or its removal when `value` is absent. */
export interface StateChange {
  readonly key: string;
  readonly value?: string;
}

/** What an instance waits for, for clients to list. */
export interface OpenWait {
  readonly eventId: number;
  readonly name: string;
  readonly details?: string;
  readonly since: number;
  readonly timeoutAt?: number;
}

/** How an instance ended, as clients see it. */
export interface Ending {
  readonly status: "completed" | "failed" | "cancelled" | "terminated";
  readonly output?: string;
  readonly error?: string;
}

/** What became of a commit or a completion. */
export type CommitOutcome = "committed" | "notOwner";

/** What became of a turn: `refused` means that it was committed, and which bookings there was no room for. */
export type TurnOutcome = CommitOutcome | { readonly refused: readonly number[] };

/** What a worker wants to execute. */
export interface WorkClaim {
  readonly worker: WorkerKey;
  readonly now: number;
  readonly max: number;
  readonly activities: readonly string[];
  readonly models: boolean;
  /** Model calls in these lines are left alone: they wait for capacity, see {@link CallClaim}. */
  readonly exceptLines?: readonly string[];
  readonly tags: readonly string[];
  /** A session that was not used for this long may move to another worker. */
  readonly sessionIdleMs: number;
  /**
   * Given after a claim whose answer may have been lost: all items that the worker knows to be its own. Those that it
   * owns and does not name are handed out again, as that claim handed them out: it is the same start.
   */
  readonly held?: readonly WorkKey[];
}

/** What a worker wants to ask of one model whose capacity is limited. */
export interface CallClaim {
  readonly worker: WorkerKey;
  readonly now: number;
  readonly max: number;
  readonly model: string;
  /** The lines whose first calls the model is to answer. */
  readonly lines: readonly string[];
  readonly windows: readonly CapacityWindow[];
  /** As in {@link WorkClaim}. What is handed out again takes no capacity again. */
  readonly held?: readonly WorkKey[];
}

/**
 * A limit of a model. Counted are the calls that were claimed less than `ms` ago, by any worker: a call is handed out only
 * while they are fewer than `requests`, and have not used up `tokens`.
 */
export interface CapacityWindow {
  readonly ms: number;
  readonly requests?: number;
  readonly tokens?: number;
}

/** Calls that this worker owns from now on. */
export interface ClaimedCalls {
  readonly calls: ClaimedWork[];
  /** When the next could be claimed; given when some had to be left that only time lets go on. */
  readonly nextAt?: number;
}

/** What a model call has really used, which takes the place of what was expected when it was claimed. */
export interface UsedCapacity {
  readonly model: string;
  /** `now` of its claim. */
  readonly claimedAt: number;
  readonly tokens: number;
}

/** A work item that this worker owns from now on. */
export interface ClaimedWork {
  readonly key: WorkKey;
  readonly instance: InstanceKey;
  readonly instanceId: string;
  readonly rootId: string;
  readonly execution: number;
  readonly eventId: number;
  readonly body: string;
  readonly kind: "activity" | "model";
  readonly name: string;
  /** How often it has been started, this time included. */
  readonly attempts: number;
  readonly heartbeat?: string;
  readonly failure?: string;
}

/** The answer to a work item: the item goes, the message comes, together. */
export interface WorkCompletion {
  readonly key: WorkKey;
  readonly message: OutgoingMessage;
  readonly used?: UsedCapacity;
}

/** Another attempt later. */
export interface WorkRetry {
  readonly key: WorkKey;
  readonly visibleAt: number;
  /** Why. @default why it was put off before, if it was */
  readonly failure?: string;
  /** The line in which a model call stands from now on. @default where it stood */
  readonly name?: string;
  /** How often it has been started. @default as counted */
  readonly attempts?: number;
  readonly used?: UsedCapacity;
}

/** A row of the output stream written outside a turn, by whoever runs the model call that it comes from. */
export interface AppendedOutput {
  readonly instanceId: string;
  readonly instance: InstanceKey;
  readonly execution: number;
  /** The item under which the call runs: it must be the worker's. Absent: the instance must be. */
  readonly work?: WorkKey;
  readonly body: string;
  readonly at: number;
}

/** A question to a model that may have been answered before, by its digest. */
export interface AnswerKey {
  readonly digest: string;
  /** Whose answer it is. Absent: everybody's. */
  readonly instance?: InstanceKey;
  /** For this execution of the instance only. */
  readonly execution?: number;
}

/** An answer to be kept for whoever asks the same again. */
export interface SavedAnswer extends AnswerKey {
  readonly body: string;
  /** From then on it is nobody's answer any more. Absent: it goes with its instance. */
  readonly expiresAt?: number;
}

/** What changed in the store. Absent `instances` means any may have. */
export interface StorageChange {
  readonly turns: boolean;
  readonly work: boolean;
  readonly instances?: readonly string[];
  /** Those of `instances` that have ended or were deleted. Absent means any of them may have. */
  readonly ended?: readonly string[];
  /** What those of `ended` put out that completed just now, as it is stored. A provider tells what it has at hand. */
  readonly completed?: ReadonlyMap<string, string | undefined>;
}

/** The store. Every verb takes many. */
export interface StorageProvider {
  readonly name: string;
  /**
   * How many calls of `commitTurns` a worker has under way at once, for different instances. More than one gains where
   * commits are written somewhere else, while this process can do other things.
   * @default 1
   */
  readonly commitsAtOnce?: number;

  // Life: opens are counted, the last close closes.

  /** Opens and migrates. @throws StorageError when the store is not ours, newer than this code, or cannot be written. */
  open(): Promise<void>;
  close(): Promise<void>;

  // Workers

  registerWorker(registration: WorkerRegistration): Promise<WorkerKey>;
  /** One heartbeat for all a worker owns. `lost` are those of its work items that are no longer its own. */
  heartbeat(beat: WorkerHeartbeat): Promise<{ stands: boolean; lost: WorkKey[] }>;
  listWorkers(now: number): Promise<WorkerRecord[]>;
  /** Ends a registration, one's own or a dead worker's: all it owns may be taken over. */
  releaseWorker(worker: WorkerKey): Promise<void>;

  // Turns

  claimTurns(claim: TurnClaim): Promise<ClaimedTurn[]>;
  /** The chunks of each execution, in order. Nothing of what is not there. */
  readHistory(executions: readonly ExecutionKey[]): Promise<string[][]>;
  readPayloads(rootId: string, digests: readonly string[]): Promise<StoredPayload[]>;
  /** Event ids of the requests of each execution that have a work row, or an answer in the inbox. */
  readWork(executions: readonly ExecutionKey[]): Promise<number[][]>;
  commitTurns(worker: WorkerKey, commits: readonly TurnCommit[]): Promise<TurnOutcome[]>;
  /** Gives instances back that have nothing running here. A claim that has led to no commit then does not count. */
  releaseInstances(worker: WorkerKey, keys: readonly InstanceKey[]): Promise<void>;

  // Work

  /** Writes items that run here or must wait, replacing earlier rows of the same request. No key: not the owner. */
  saveWork(worker: WorkerKey, work: readonly SavedWork[]): Promise<(WorkKey | undefined)[]>;
  claimWork(claim: WorkClaim): Promise<ClaimedWork[]>;
  /** Hands out model calls and takes the capacity for them, both or neither. */
  claimCalls(claim: CallClaim): Promise<ClaimedCalls>;
  /** No call of the model is handed out by `claimCalls` before `until`, to anybody. An earlier time changes nothing. */
  closeModel(model: string, until: number): Promise<void>;
  completeWork(worker: WorkerKey, completions: readonly WorkCompletion[]): Promise<CommitOutcome[]>;
  retryWork(worker: WorkerKey, retries: readonly WorkRetry[]): Promise<CommitOutcome[]>;
  /** Gives items back unstarted: the attempt does not count. */
  abandonWork(worker: WorkerKey, keys: readonly WorkKey[]): Promise<void>;
  /** Keeps the details of a running attempt for the next one. */
  saveHeartbeats(
    worker: WorkerKey,
    beats: readonly { readonly key: WorkKey; readonly details: string; readonly now: number }[],
  ): Promise<void>;

  // Model calls

  /**
   * Appends to output streams, in order: `notOwner` where neither the instance nor the item is the worker's any more, or
   * where the execution is over. Rows that become visible later have higher offsets, whoever writes them.
   */
  appendOutputs(worker: WorkerKey, outputs: readonly AppendedOutput[]): Promise<CommitOutcome[]>;
  /** The body that was saved last under each key, unless it has expired. */
  readAnswers(keys: readonly AnswerKey[], now: number): Promise<(string | undefined)[]>;
  /** Those of an instance that is gone are dropped, and so are those of executions before the one they are saved for. */
  saveAnswers(answers: readonly SavedAnswer[], now: number): Promise<void>;

  // Messages

  startInstances(starts: readonly OutgoingStart[]): Promise<StartOutcome[]>;
  sendMessages(messages: readonly OutgoingMessage[]): Promise<SendOutcome[]>;

  // Waking up

  /** When the next timer or delayed work item becomes visible, if any will. */
  nextWakeAt(now: number): Promise<number | undefined>;
  /** Calls back after changes: at once for one's own process, soon for others. Returns what ends it. */
  onChange(listener: (change: StorageChange) => void): () => void;

  readonly admin: StorageAdmin;
}
