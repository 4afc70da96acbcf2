/** The roof: the options, and every verb of the seam on one connection. */
import { ConfigurationError, type StorageAdmin, type StorageProvider } from "@stet/core";
import { Connection } from "./connection.ts";

/** How the file is used. */
export interface SqliteOptions {
  /**
   * What a commit waits for. All survive the death of the process. `full` keeps every commit through a loss of power;
   * `normal` may lose the last ones, never a part of one; `off` may lose the file.
   * @default "normal"
   */
  readonly synchronous?: "normal" | "full" | "off";
  /**
   * How long a verb waits for another process that holds the lock before it fails as retryable.
   * @default 5000
   */
  readonly busyTimeoutMs?: number;
}

/**
 * A store in one SQLite file, or in memory (`":memory:"`). Several processes may use one file; each call makes a
 * connection of its own.
 *
 * @example
 * ```ts
 * const runtime = await Runtime.start({ storage: sqlite("tickets.db"), orchestrations: [handleTicket] });
 * ```
 */
export function sqlite(path: string, options: SqliteOptions = {}): StorageProvider {
  const { synchronous = "normal", busyTimeoutMs = 5000 } = options;
  if (typeof path !== "string" || path === "") {
    throw new ConfigurationError(`Expected the path to be a file name or ":memory:", got ${JSON.stringify(path)}`);
  }
  if (!["normal", "full", "off"].includes(synchronous)) {
    throw new ConfigurationError(`Expected synchronous to be "normal", "full" or "off", got ${String(synchronous)}`);
  }
  if (!Number.isFinite(busyTimeoutMs) || busyTimeoutMs < 0) {
    throw new ConfigurationError(`Expected busyTimeoutMs to be a number of milliseconds, got ${String(busyTimeoutMs)}`);
  }
  return provide(new Connection(path, { synchronous, busyTimeoutMs }));
}

function provide(connection: Connection): StorageProvider {
  const run: Connection["run"] = (verb) => connection.run(verb);
  const admin: StorageAdmin = {
    getInstances: (ids) => run((store) => store.reads.getInstances(ids)),
    listInstances: (query) => run((store) => store.reads.listInstances(query)),
    getTree: (instanceId) => run((store) => store.reads.getTree(instanceId)),
    listExecutions: (instanceId) => run((store) => store.reads.listExecutions(instanceId)),
    readHistory: (instanceId, execution, from) => run((store) => store.reads.readHistory(instanceId, execution, from)),
    listWaits: (query) => run((store) => store.reads.listWaits(query)),
    listWaitingCalls: (instanceId, now) => run((store) => store.reads.listWaitingCalls(instanceId, now)),
    readState: (instanceId, keys) => run((store) => store.reads.readState(instanceId, keys)),
    readOutputs: (instanceId, after, limit) => run((store) => store.reads.readOutputs(instanceId, after, limit)),
    stats: (now) => run((store) => store.reads.stats(now)),
    readBudget: (instanceId) => run((store) => store.readBudget(instanceId)),
    topUp: (topUp) => run((store, change) => store.topUp(topUp, change)),
    unblock: (ids) => run((store, change) => store.unblock(ids, change)),
    restart: (restart) => run((store, change) => store.restart(restart, change)),
    deleteTree: (instanceId, force) => run((store, change) => store.deleteTree(instanceId, force, change)),
    prune: (query) => run((store, change) => store.prune(query, change)),
    exportTree: (instanceId) => run((store) => store.exportTree(instanceId)),
    importTree: (tree) => run((store, change) => store.importTree(tree, change)),
    exportAnswers: (query) => run((store) => store.exportAnswers(query)),
    importAnswers: (answers) => run((store) => store.importAnswers(answers)),
  };
  return {
    name: "sqlite",
    open: () => connection.open(),
    close: () => connection.close(),

    registerWorker: (registration) => run((store) => store.registerWorker(registration)),
    heartbeat: (beat) => run((store) => store.heartbeat(beat)),
    listWorkers: (now) => run((store) => store.listWorkers(now)),
    releaseWorker: (worker) => run((store, change) => store.releaseWorker(worker, change)),

    claimTurns: (claim) => run((store) => store.claimTurns(claim)),
    readHistory: (executions) => run((store) => store.readHistory(executions)),
    readPayloads: (rootId, digests) => run((store) => store.readPayloads(rootId, digests)),
    readWork: (executions) => run((store) => store.readWork(executions)),
    commitTurns: (worker, commits) => run((store, change) => store.commitTurns(worker, commits, change)),
    releaseInstances: (worker, keys) => run((store, change) => store.releaseInstances(worker, keys, change)),

    saveWork: (worker, work) => run((store, change) => store.saveWork(worker, work, change)),
    claimWork: (claim) => run((store) => store.claimWork(claim)),
    claimCalls: (claim) => run((store) => store.claimCalls(claim)),
    closeModel: (model, until) => run((store, change) => store.closeModel(model, until, change)),
    completeWork: (worker, completions) => run((store, change) => store.completeWork(worker, completions, change)),
    retryWork: (worker, retries) => run((store, change) => store.retryWork(worker, retries, change)),
    abandonWork: (worker, keys) => run((store, change) => store.abandonWork(worker, keys, change)),
    saveHeartbeats: (worker, beats) => run((store) => store.saveHeartbeats(worker, beats)),

    appendOutputs: (worker, outputs) => run((store, change) => store.appendOutputs(worker, outputs, change)),
    readAnswers: (keys, now) => run((store) => store.readAnswers(keys, now)),
    saveAnswers: (answers, now) => run((store) => store.saveAnswers(answers, now)),

    startInstances: (starts) => run((store, change) => store.startInstances(starts, change)),
    sendMessages: (messages) => run((store, change) => store.sendMessages(messages, change)),

    nextWakeAt: (now) => run((store) => store.nextWakeAt(now)),
    onChange: (listener) => connection.changes.listen(listener),
    admin,
  };
}
