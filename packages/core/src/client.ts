/**
 * The client: starts, watches and manages instances through the store alone. Services that run no orchestrations
 * themselves need nothing else; a runtime has one too.
 */
import { randomUUID } from "node:crypto";
import { assertBudget, type Budget } from "./budget.ts";
import { type BudgetReport, reportOf, toppedUp } from "./budget-report.ts";
import { type Capsule, capsuleOf, treeOf } from "./capsule.ts";
import type { AnyOrchestration, Orchestration, OrchestrationClient } from "./context.ts";
import {
  type ClientOptions,
  instanceQuery,
  limitOf,
  type ListOptions,
  type PruneOptions,
  pruneQuery,
} from "./client-options.ts";
import { assertInstanceId, assertName, assertVersion } from "./definitions.ts";
import { ConfigurationError, InstanceError } from "./errors.ts";
import type { OrchestrationStarted } from "./events.ts";
import { assertForkOptions, type ForkOptions, forkedTree } from "./fork.ts";
import { type ClientMeans, Handle, stateOf, unknown } from "./handle.ts";
import type { InstanceHandle, InstanceState, StartInstanceOptions } from "./instance-handle.ts";
import { Gatherer } from "./gatherer.ts";
import { InstanceWatcher } from "./instance-watcher.ts";
import { summaryOf, type UsageRow, type UsageSummary } from "./llm/usage.ts";
import { type MissingHandlers, missingHandlers } from "./missing-handlers.ts";
import type { StartMessage } from "./messages.ts";
import { assertLabels } from "./orchestration-context.ts";
import { assertChoice, assertOptions, type NamesOf } from "./options.ts";
import type { Payload } from "./payload.ts";
import { assertKind } from "./registry.ts";
import { assertCodec, assertStorage } from "./runtime-options.ts";
import { assertValid } from "./schema.ts";
import type { ExecutionRecord, StorageStats, StoredTree } from "./storage-admin.ts";
import type {
  OutgoingMessage,
  OutgoingStart,
  SendOutcome,
  StartOutcome,
  StorageProvider,
  WorkerRecord,
} from "./storage.ts";
import { systemClock } from "./system-ports.ts";
import { TextCodec } from "./text-codec.ts";
import { defaultPayloadLimit, toPayload } from "./to-payload.ts";
import { usageOf } from "./usage-report.ts";

/**
 * A page of instances, newest first. Later writes move no instance to another page. It may hold fewer than `limit`
 * although others follow: only a missing `cursor` says that it is the last.
 */
export interface InstancePage {
  readonly instances: readonly InstanceState[];
  /** Absent on the last page. */
  readonly cursor?: string;
}

/** An open wait for an external event, anywhere. */
export interface PendingWait {
  readonly instanceId: string;
  readonly rootId: string;
  readonly orchestration: string;
  readonly execution: number;
  readonly eventId: number;
  readonly name: string;
  readonly details?: Payload;
  readonly since: number;
  readonly timeoutAt?: number;
}

/** What an instance has used of models. */
export interface InstanceUsage {
  readonly instance: UsageSummary;
  /** The instance and all that it started. */
  readonly tree: UsageSummary;
}

/** A worker that is alive, and how much it owns. */
export interface WorkerStats extends Pick<WorkerRecord, "name" | "host" | "pid" | "registeredAt" | "silentForMs"> {
  /** In which part of the time between its last two heartbeats its event loop was busy, from 0 to 1. */
  readonly busy: number;
  /** Instances that only it may run turns for: those that run there, and those that it keeps in its cache. */
  readonly instances: number;
  /** Work that it runs under a row. What it started at once, without one, is in `runtime.stats().runningWork` there. */
  readonly work: number;
}

/** Numbers about the whole store. */
export interface ClientStats extends Omit<
  StorageStats,
  "neededOrchestrations" | "neededActivities" | "readyModelCalls" | "owned"
> {
  /** Workers that are alive, by their heartbeat, and how much each owns. */
  readonly workers: readonly WorkerStats[];
  /** What instances and work wait for and no living worker has. */
  readonly missingHandlers: MissingHandlers;
}

/**
 * Starts, watches and manages instances through the store alone: for services that run no orchestrations themselves. A
 * runtime has one as `runtime.client`.
 *
 * @example
 * ```ts
 * const client = await Client.connect({ storage: sqlite("tickets.db") });
 * await client.instance("ticket-T-17").raiseEvent("approval", { approved: true });
 * await client.close();
 * ```
 */
export class Client implements OrchestrationClient {
  readonly #means: ClientMeans;
  readonly #storage: StorageProvider;
  readonly #starts: Gatherer<OutgoingStart, StartOutcome>;
  #closed = false;

  /**
   * Opens the store.
   *
   * @throws ConfigurationError when an option is wrong.
   * @throws StorageError when the store cannot be opened.
   */
  static async connect(options: ClientOptions): Promise<Client> {
    assertOptions(options, { storage: true, codec: true, clock: true, payloadLimit: true }, "Client.connect");
    assertStorage(options.storage, "Client.connect");
    assertCodec(options.codec, "Client.connect");
    await options.storage.open();
    return new Client(options);
  }

  private constructor({ storage, codec, clock = systemClock, payloadLimit = defaultPayloadLimit }: ClientOptions) {
    this.#storage = storage;
    this.#starts = new Gatherer((starts) => storage.startInstances(starts));
    const messages = new Gatherer<OutgoingMessage, SendOutcome>((sent) => storage.sendMessages(sent));
    const watcher = new InstanceWatcher(storage, clock);
    this.#means = { storage, codec: new TextCodec(codec), clock, payloadLimit, watcher, messages };
  }

  startOrchestration: OrchestrationClient["startOrchestration"] = async (
    callee: AnyOrchestration | string,
    input?: unknown,
    options: StartInstanceOptions = {},
  ) => {
    const start = this.#startOf(callee, input, options);
    const { moment } = this.#means.watcher.ends;
    const outcome = await this.#starts.ask(start);
    if (outcome === "started") return new Handle(start.instanceId, this.#means, moment) as InstanceHandle<never>;
    if (options.ifExists !== "attach") {
      throw new InstanceError(
        "instance_exists",
        `Expected instance ${start.instanceId} not to exist, got one: choose another id, or start with ifExists "attach"`,
      );
    }
    return new Handle(start.instanceId, this.#means) as InstanceHandle<never>;
  };

  instance<Input, Output>(instanceId: string, orchestration: Orchestration<Input, Output>): InstanceHandle<Output>;
  instance<Output = unknown>(instanceId: string): InstanceHandle<Output>;
  instance<Output>(instanceId: string): InstanceHandle<Output> {
    assertInstanceId(instanceId);
    return new Handle<Output>(instanceId, this.#means);
  }

  /** Instances by status, name, labels and time. */
  async list(options: ListOptions = {}): Promise<InstancePage> {
    const { rows, cursor: next } = await this.#storage.admin.listInstances(instanceQuery(options));
    const states = await Promise.all(rows.map((row) => stateOf(row, this.#means)));
    const wanted = options.status === undefined ? undefined : [options.status].flat();
    const instances = states.filter(({ status }) => wanted?.includes(status) !== false);
    return { instances, ...(next !== undefined && { cursor: next }) };
  }

  /** The instance and all that it started, parents first. @throws InstanceError (`instance_not_found`) */
  async tree(instanceId: string): Promise<InstanceState[]> {
    const rows = await this.#storage.admin.getTree(instanceId);
    if (rows.length === 0) throw unknown(instanceId);
    return Promise.all(rows.map((row) => stateOf(row, this.#means)));
  }

  /** The executions of an instance that are still stored. */
  executions(instanceId: string): Promise<ExecutionRecord[]> {
    return this.#storage.admin.listExecutions(instanceId);
  }

  /** What instances wait for, everywhere or in one instance. */
  async pendingWaits(
    options: {
      readonly instanceId?: string;
      readonly name?: string;
      readonly limit?: number;
      readonly cursor?: string;
    } = {},
  ): Promise<{ readonly waits: readonly PendingWait[]; readonly cursor?: string }> {
    const { rows, cursor } = await this.#storage.admin.listWaits({
      ...options,
      limit: limitOf(options.limit, 100, 1000),
    });
    const waits = rows.map(async ({ details, ...row }): Promise<PendingWait> => {
      if (details === undefined) return row;
      const source = (digests: readonly string[]) => this.#storage.readPayloads(row.rootId, digests);
      const what = `the details of a wait of instance ${row.instanceId}`;
      return { ...row, details: await this.#means.codec.decodeValue(details, row.rootId, source, what) };
    });
    return { waits: await Promise.all(waits), ...(cursor !== undefined && { cursor }) };
  }

  /** Counts, queue depths, living workers and missing handlers. */
  async stats(): Promise<ClientStats> {
    const now = this.#means.clock.now();
    const [{ neededOrchestrations, neededActivities, readyModelCalls, owned, ...stats }, records] = await Promise.all([
      this.#storage.admin.stats(now),
      this.#storage.listWorkers(now),
    ]);
    const workers = records.filter(({ silentForMs }) => silentForMs < deadAfterMs);
    const ownedBy = new Map(owned.map(({ worker, instances, work }) => [worker, { instances, work }]));
    const needed = { neededOrchestrations, neededActivities, readyModelCalls };
    const capabilities = workers.map((worker) => worker.capabilities);
    return {
      ...stats,
      workers: workers.map(({ key, name, host, pid, registeredAt, silentForMs, busy }) => ({
        name,
        host,
        pid,
        registeredAt,
        silentForMs,
        busy,
        ...(ownedBy.get(key) ?? { instances: 0, work: 0 }), // registered between the two
      })),
      missingHandlers: missingHandlers(needed, capabilities),
    };
  }

  /**
   * What an instance has used of models, alone and with all that it started: tokens and money, by model and by the label
   * of the calls. Read from its history, in all its executions; a call that is under way is not in it yet.
   *
   * @example
   * ```ts
   * const { tree } = await client.usage("ticket-T-17");
   * console.log(tree.usd, tree.unpriced, tree.byLabel["summary"]?.outputTokens);
   * ```
   * @throws InstanceError (`instance_not_found`)
   */
  async usage(instanceId: string): Promise<InstanceUsage> {
    const records = await this.#storage.admin.getTree(instanceId);
    if (records.length === 0) throw unknown(instanceId);
    const rows = await Promise.all(records.map((record) => usageOf(record, this.#storage.admin)));
    return { instance: summaryOf(rows[0] ?? []), tree: summaryOf(rows.flat()) };
  }

  /** {@link Client.usage} in sum over all instances that are found so, each with all that it started, counted once. */
  async totalUsage(options: Omit<ListOptions, "limit" | "cursor"> = {}): Promise<UsageSummary> {
    const { admin } = this.#storage;
    const counted = new Set<string>();
    const rows: UsageRow[] = [];
    let cursor: string | undefined;
    do {
      const page = await this.list({ ...options, limit: 1000, ...(cursor !== undefined && { cursor }) });
      for (const { instanceId } of page.instances) {
        const records = counted.has(instanceId) ? [] : await admin.getTree(instanceId);
        for (const record of records.filter((found) => !counted.has(found.instanceId))) {
          counted.add(record.instanceId);
          rows.push(...(await usageOf(record, admin)));
        }
      }
      cursor = page.cursor;
    } while (cursor !== undefined);
    return summaryOf(rows);
  }

  /**
   * The instance's own budget as it stands, over the instance and all that it started. `undefined` when it has none: then
   * its calls draw on those of the instances that it was started by, if they have one.
   *
   * @throws InstanceError (`instance_not_found`)
   */
  async budget(instanceId: string): Promise<BudgetReport | undefined> {
    const { admin } = this.#storage;
    const record = await admin.readBudget(instanceId);
    if (record !== undefined) return reportOf(record, this.#means.clock.now());
    if ((await admin.getInstances([instanceId])).length === 0) throw unknown(instanceId);
    return undefined;
  }

  /**
   * Adds to the limits of an instance's own budget, and lets it and all below it that are suspended go on: what was
   * refused is asked. Each call adds, also when it is repeated because its answer was lost: look at
   * {@link Client.budget} before.
   *
   * @example
   * ```ts
   * await client.topUp("ticket-T-17", { usd: 5 });
   * ```
   * @throws ConfigurationError when the instance has no budget, or one that does not limit what is added.
   * @throws InstanceError (`instance_not_found`)
   */
  async topUp(instanceId: string, amounts: Budget): Promise<void> {
    assertBudget(amounts, `client.topUp of instance ${instanceId}`);
    if ((await toppedUp(instanceId, amounts, this.#storage.admin)) === "unknown") throw unknown(instanceId);
  }

  /**
   * Lets a blocked instance be tried again, by any worker. Answers whether it was blocked. One that is suspended asks for
   * what it was refused again, and is suspended again where there is still no room.
   */
  async resume(instanceId: string): Promise<boolean> {
    const [record] = await this.#storage.admin.getInstances([instanceId]);
    if (record === undefined) throw unknown(instanceId);
    return (await this.#storage.admin.unblock([instanceId])).length > 0;
  }

  /**
   * Runs an ended instance again: its next execution starts from the beginning with the input of the last one, its
   * state, status and labels, and the newest registered version.
   *
   * @throws InstanceError (`instance_not_found`, `instance_running`)
   */
  async retry(instanceId: string): Promise<void> {
    const { codec, clock } = this.#means;
    const { admin } = this.#storage;
    const handle = this.instance(instanceId);
    const { name, customStatus } = await handle.status();
    const [record] = await admin.getInstances([instanceId]);
    const usage = record === undefined ? [] : await usageOf(record, admin);
    const state = Object.entries(await handle.state()).map(([key, value]) => ({ key, value }));
    const [first] = await handle.history();
    const { input, labels, budget } = (first ?? {}) as Partial<OrchestrationStarted>;
    const carried = {
      ...(state.length > 0 && { state }),
      ...(customStatus !== undefined && { status: customStatus }),
    };
    const start: StartMessage = {
      kind: "Start",
      name,
      ...(input !== undefined && { input }),
      ...(labels !== undefined && { labels }),
      ...(Object.keys(carried).length > 0 && { carried }),
      ...(usage.length > 0 && { usage }),
      ...(budget !== undefined && { budget }),
    };
    const outcome = await admin.restart({
      instanceId,
      body: codec.encode(start, instanceId),
      at: clock.now(),
    });
    if (outcome === "unknown") throw unknown(instanceId);
    if (outcome === "running") throw stillRunning(instanceId, "be tried again");
  }

  /**
   * Removes an instance with all that it started: histories, state, streams, messages, work.
   *
   * @param options - `force` also removes what is running.
   * @throws InstanceError (`instance_not_found`, `instance_running`)
   * @throws ConfigurationError when the instance was started by another one: delete that one's root.
   */
  async delete(instanceId: string, options: { readonly force?: boolean } = {}): Promise<void> {
    const outcome = await this.#storage.admin.deleteTree(instanceId, options.force === true);
    if (outcome === "unknown") throw unknown(instanceId);
    if (outcome === "running") throw stillRunning(instanceId, "be deleted without force");
    if (outcome === "notRoot") {
      throw new ConfigurationError(
        `Expected instance ${instanceId} to be the root of its tree to be deleted, got one with a parent`,
      );
    }
  }

  /** Removes old trees and old executions. Answers how many. */
  async prune(options: PruneOptions): Promise<{ readonly trees: number; readonly executions: number }> {
    return this.#storage.admin.prune(pruneQuery(options, this.#means.clock.now()));
  }

  /**
   * A new instance with the history of another up to an event, from where it goes on with the code of today. The origin
   * is not touched. What was outstanding there is asked for anew by the fork; see docs/capsules.md.
   *
   * @throws ConfigurationError when an option is wrong or a fork cannot begin at `atEvent`; the message names where it can.
   * @throws InstanceError (`instance_not_found`, `instance_exists`)
   */
  async fork<Output = unknown>(instanceId: string, options: ForkOptions): Promise<InstanceHandle<Output>> {
    assertForkOptions(options);
    const [record] = await this.#storage.admin.getInstances([instanceId]);
    if (record === undefined) throw unknown(instanceId);
    const { codec, payloadLimit, clock } = this.#means;
    const execution = options.execution ?? record.execution;
    const events = await this.instance(instanceId).history(execution);
    const means = { codec, payloadLimit, now: clock.now() };
    return this.#putIn(forkedTree({ instanceId, execution, events }, options, means));
  }

  /**
   * An instance with all that it started and all that belongs to them, as one JSON value for {@link Client.import}. It may
   * be running: then it goes on, and the capsule holds it as it stood.
   *
   * @throws InstanceError (`instance_not_found`)
   * @throws ConfigurationError when the instance was started by another one: export that one's root.
   */
  async export(instanceId: string): Promise<Capsule> {
    const { admin } = this.#storage;
    const tree = await admin.exportTree(instanceId);
    if (tree === "unknown") throw unknown(instanceId);
    if (tree === "notRoot") {
      const [record] = await admin.getInstances([instanceId]);
      throw new ConfigurationError(
        `Expected instance ${instanceId} to be the root of its tree to be exported, got one that was started by another: export ${record?.rootId}`,
      );
    }
    return capsuleOf(tree, this.#means.clock.now());
  }

  /**
   * Puts the instances of a capsule into this store, whole or not at all, and answers the root's handle. Those that were
   * running go on here, as after the death of their worker.
   *
   * @param capsule - What {@link Client.export} answered, or its JSON text.
   * @throws InputError naming the path of what is wrong in the capsule.
   * @throws InstanceError (`instance_exists`) when one of the instances is there.
   */
  async import<Output = unknown>(capsule: Capsule | string): Promise<InstanceHandle<Output>> {
    return this.#putIn(treeOf(capsule));
  }

  /** Ends all waiting and closes the store for this client. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#means.watcher.close();
    await this.#storage.close();
  }

  async #putIn<Output>(tree: StoredTree): Promise<InstanceHandle<Output>> {
    const { admin } = this.#storage;
    const ids = tree.instances.map(({ instanceId }) => instanceId);
    if ((await admin.importTree(tree)) === "imported") return new Handle(ids[0] as string, this.#means);
    const [there] = await admin.getInstances(ids);
    throw new InstanceError(
      "instance_exists",
      `Expected instance ${there?.instanceId ?? ids[0]} not to exist, got one: choose another id, or delete it first`,
    );
  }

  #startOf(callee: AnyOrchestration | string, input: unknown, options: StartInstanceOptions): OutgoingStart {
    if (typeof callee !== "string") assertKind(callee, "orchestration", "what is started");
    const name = typeof callee === "string" ? callee : callee.name;
    assertName(name, "orchestration");
    assertOptions(options, startOptions, `the start of orchestration ${name}`);
    assertChoice(options.ifExists, ["fail", "attach"], `ifExists of the start of orchestration ${name}`);
    const { version, labels, budget, instanceId = randomUUID() } = options;
    assertInstanceId(instanceId);
    if (version !== undefined) assertVersion(version, `orchestration ${name}`);
    if (labels !== undefined) assertLabels(labels);
    if (budget !== undefined) assertBudget(budget, `the budget of orchestration ${name}`);
    if (typeof callee !== "string" && callee.options.input !== undefined) {
      assertValid(callee.options.input, input, `the input of orchestration ${name}`);
    }
    const payload = toPayload(input, "input of orchestration", name, this.#means.payloadLimit);
    const routing = {
      ...(version !== undefined && { version }),
      ...(labels !== undefined && { labels: { ...labels } }),
    };
    const start: StartMessage = {
      kind: "Start",
      name,
      ...routing,
      ...(payload !== undefined && { input: payload }),
      ...(budget !== undefined && { budget: { limits: { ...budget } } }),
    };
    const { codec, clock } = this.#means;
    return { instanceId, name, ...routing, body: codec.encode(start, instanceId), at: clock.now() };
  }
}

/** A worker whose heartbeat is older than this is dead. */
export const deadAfterMs = 10_000;

const startOptions: NamesOf<StartInstanceOptions> = {
  instanceId: true,
  version: true,
  labels: true,
  budget: true,
  ifExists: true,
};

function stillRunning(instanceId: string, what: string): InstanceError {
  return new InstanceError(
    "instance_running",
    `Expected instance ${instanceId} to have ended to ${what}, got one that is running`,
  );
}
