/**
 * What a client is asked, checked and turned into what the store is asked.
 */
import { durationMs, type Duration } from "./duration.ts";
import { ConfigurationError } from "./errors.ts";
import type { Labels } from "./events.ts";
import type { InstanceState } from "./instance-handle.ts";
import { assertChoice, assertOptions, type NamesOf, shown } from "./options.ts";
import type { Clock, PayloadCodec } from "./ports.ts";
import type { InstanceQuery, InstanceStatus, PruneQuery } from "./storage-admin.ts";
import type { StorageProvider } from "./storage.ts";

/** Options of a client. */
export interface ClientOptions {
  readonly storage: StorageProvider;
  /** The codec the runtimes use. */
  readonly codec?: PayloadCodec;
  /** @default the system's */
  readonly clock?: Clock;
  /** Largest payload in bytes. @default 4 MiB */
  readonly payloadLimit?: number;
}

/** Which instances to list. All conditions must hold. */
export interface ListOptions {
  readonly status?: InstanceState["status"] | readonly InstanceState["status"][];
  readonly name?: string;
  readonly version?: string;
  readonly labels?: Labels;
  readonly idPrefix?: string;
  readonly parentId?: string;
  readonly createdAfter?: Date | number;
  readonly createdBefore?: Date | number;
  /** Most rows of a page. @default 100, at most 1000 */
  readonly limit?: number;
  /** From the page before. */
  readonly cursor?: string;
}

/** Which old data to remove. At least one must be given. */
export interface PruneOptions {
  /** Remove whole trees whose root ended before this time. */
  readonly endedBefore?: Date | number;
  /** Remove whole trees whose root ended this long ago or longer. */
  readonly olderThan?: Duration;
  /** Keep this many executions of each instance that continued as new. */
  readonly keepExecutions?: number;
  /** Most trees in one call. @default 1000 */
  readonly limit?: number;
}

/** The rows that `client.list` looks at. @throws ConfigurationError when an option is unknown or wrong. */
export function instanceQuery(options: ListOptions): InstanceQuery {
  assertOptions(options, listOptions, "client.list");
  for (const status of [options.status].flat()) assertChoice(status, standings, "status of client.list");
  const { name, version, labels, idPrefix, parentId, createdAfter, createdBefore, cursor } = options;
  return {
    limit: limitOf(options.limit, 100, 1000),
    ...statusQuery(options.status),
    ...(name !== undefined && { name }),
    ...(version !== undefined && { version }),
    ...(labels !== undefined && { labels }),
    ...(idPrefix !== undefined && { idPrefix }),
    ...(parentId !== undefined && { parentId }),
    ...(createdAfter !== undefined && { createdAfter: instantOf(createdAfter, "createdAfter of list") }),
    ...(createdBefore !== undefined && { createdBefore: instantOf(createdBefore, "createdBefore of list") }),
    ...(cursor !== undefined && { cursor }),
  };
}

/** What `client.prune` removes. @throws ConfigurationError when an option is unknown or wrong. */
export function pruneQuery(options: PruneOptions, now: number): PruneQuery {
  assertOptions(options, pruneOptions, "client.prune");
  const { olderThan, endedBefore, keepExecutions } = options;
  const before =
    olderThan === undefined
      ? endedBefore === undefined
        ? undefined
        : instantOf(endedBefore, "endedBefore of prune")
      : now - durationMs(olderThan, "olderThan of prune");
  if (before === undefined && keepExecutions === undefined) {
    throw new ConfigurationError(
      "Expected prune to be given endedBefore, olderThan or keepExecutions, got none of them",
    );
  }
  if (keepExecutions !== undefined && !(Number.isInteger(keepExecutions) && keepExecutions >= 1)) {
    throw new ConfigurationError(
      `Expected keepExecutions of prune to be a whole number from 1, got ${shown(keepExecutions)}`,
    );
  }
  return {
    limit: limitOf(options.limit, 1000, 100_000),
    ...(before !== undefined && { endedBefore: before }),
    ...(keepExecutions !== undefined && { keepExecutions }),
  };
}

/** How many rows, when somebody says how many. @throws ConfigurationError when it is out of bounds. */
export function limitOf(limit: number | undefined, fallback: number, most: number): number {
  const given = limit ?? fallback;
  if (!(Number.isInteger(given) && given >= 1 && given <= most)) {
    throw new ConfigurationError(`Expected a limit to be a whole number from 1 to ${most}, got ${shown(given)}`);
  }
  return given;
}

/** The rows among which those of the given statuses are. A blocked instance is stored as pending or running. */
function statusQuery(status: ListOptions["status"]): Pick<InstanceQuery, "status" | "blocked"> {
  if (status === undefined) return {};
  const wanted = [status].flat();
  const stored = wanted.filter((each) => each !== "blocked");
  if (stored.length === wanted.length) return { status: stored, blocked: false };
  if (stored.length === 0) return { blocked: true };
  return { status: [...new Set<InstanceStatus>([...stored, "pending", "running"])] };
}

const pruneOptions: NamesOf<PruneOptions> = { endedBefore: true, olderThan: true, keepExecutions: true, limit: true };

const listOptions: NamesOf<ListOptions> = {
  status: true,
  name: true,
  version: true,
  labels: true,
  idPrefix: true,
  parentId: true,
  createdAfter: true,
  createdBefore: true,
  limit: true,
  cursor: true,
};

const standings: readonly InstanceState["status"][] = [
  "pending",
  "running",
  "blocked",
  "completed",
  "failed",
  "cancelled",
  "terminated",
];

function instantOf(instant: Date | number, what: string): number {
  const at = Number(instant);
  if (Number.isFinite(at)) return at;
  throw new ConfigurationError(`Expected ${what} to be a valid date or epoch milliseconds, got ${String(instant)}`);
}
