/** The roof: the options, and every verb of the seam on one store. */
import { ConfigurationError, type StorageAdmin, type StorageProvider } from "@stet/core";
import type pg from "pg";
import { schemaOf } from "./address.ts";
import { Connection } from "./connection.ts";

/** So that the worker and the server both have something to do. More only make smaller batches. */
const commitsAtOnce = 2;

/** Where the store is, and how it is used. */
export interface PostgresOptions {
  /** Where the database is: `postgres://user:password@host:5432/database`. `?schema=NAME` after it names the schema. */
  readonly url?: string;
  /**
   * What the `pg` package takes besides, or instead of, a url: TLS, a password callback, the size of the pool (`max`, 10
   * by default), timeouts. Only host, port, user and database of a url go before what is said here.
   */
  readonly connection?: pg.PoolConfig;
  /** A pool that is open already, instead. It is not closed, and one of its connections is kept for listening. */
  readonly pool?: pg.Pool;
  /**
   * The schema that holds the store. It is made when it is not there; several stores may share a database.
   * @default what the url says, or "stet"
   */
  readonly schema?: string;
  /**
   * Whether processes wake each other by `LISTEN` and `NOTIFY`. With `false` they look once a second. Behind a pooler
   * that exchanges connections between transactions, give the url of the server itself: listening needs a connection
   * that stays. What `connection` says of TLS and the password holds for it too.
   * @default true
   */
  readonly notify?: boolean | string;
  /**
   * How long a statement may take before its connection is given up and it fails as retryable, in milliseconds.
   * @default 30000
   */
  readonly statementTimeoutMs?: number;
  /**
   * Whose clock says what is due and which worker is silent. With `"database"` the clocks of the workers' hosts may
   * differ; `"runtime"` is for tests that own the time.
   * @default "database"
   */
  readonly clock?: "database" | "runtime";
}

/**
 * A store in PostgreSQL, for many processes and machines.
 *
 * @example
 * ```ts fragment
 * const storage = postgres({ url: "postgres://localhost/tickets" });
 * const runtime = await Runtime.start({ storage, orchestrations: [handleTicket] });
 * ```
 */
export function postgres(options: PostgresOptions): StorageProvider {
  const { url, connection, pool, notify = true, statementTimeoutMs = 30_000, clock = "database" } = options;
  const { schema = schemaOf(url ?? connection?.connectionString) ?? "stet" } = options;
  if (pool === undefined && url === undefined && connection === undefined) {
    throw new ConfigurationError("Expected postgres() to be given a url, a connection or a pool, got none");
  }
  if (pool !== undefined && (url !== undefined || connection !== undefined)) {
    throw new ConfigurationError("Expected postgres() to be given either a pool or a url and connection, got both");
  }
  if (typeof schema !== "string" || schema === "" || Buffer.byteLength(schema) > 63) {
    throw new ConfigurationError(`Expected schema to be a name of 1 to 63 bytes, got ${JSON.stringify(schema)}`);
  }
  if (!Number.isFinite(statementTimeoutMs) || statementTimeoutMs <= 0) {
    throw new ConfigurationError(
      `Expected statementTimeoutMs to be a number of milliseconds above 0, got ${String(statementTimeoutMs)}`,
    );
  }
  if (clock !== "database" && clock !== "runtime") {
    throw new ConfigurationError(`Expected clock to be "database" or "runtime", got ${String(clock)}`);
  }
  const size = (pool?.options ?? connection)?.max;
  if (notify === true && size !== undefined && size < 2) {
    throw new ConfigurationError(
      `Expected postgres() to have at least 2 connections, one of them to listen on, got ${size}: set max, or notify: false`,
    );
  }
  const given = pool ?? { ...connection, ...(url !== undefined && { connectionString: url }) };
  return provide(new Connection({ pool: given, schema, notify, statementTimeoutMs, clock }));
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
    name: "postgres",
    commitsAtOnce,
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
