/**
 * The conformance suite of the storage seam: what a `StorageProvider` promises, stated as tests. Whoever writes a
 * provider runs it; `docs/conformance.md` maps it to what other runtimes check.
 */
import { describe } from "node:test";
import type { StorageProvider } from "@stet/core";
import type { Bench, Chapter } from "./bench.ts";
import { answers } from "./answers.ts";
import { appendedOutputs } from "./appended-outputs.ts";
import { atomicity } from "./atomicity.ts";
import { blocking } from "./blocking.ts";
import { budgets } from "./budgets.ts";
import { capabilities } from "./capabilities.ts";
import { carriedTrees } from "./carried-trees.ts";
import { changes } from "./changes.ts";
import { claims } from "./claims.ts";
import { customStatus } from "./custom-status.ts";
import { deletion } from "./deletion.ts";
import { endings } from "./endings.ts";
import { executions } from "./executions.ts";
import { idempotency } from "./idempotency.ts";
import { instances } from "./instances.ts";
import { life } from "./life.ts";
import { capacity } from "./capacity.ts";
import { limits } from "./limits.ts";
import { listing } from "./listing.ts";
import { messages } from "./messages.ts";
import { outputs } from "./outputs.ts";
import { overlapping } from "./overlapping.ts";
import { ownership } from "./ownership.ts";
import { payloads } from "./payloads.ts";
import { prune } from "./prune.ts";
import { restart } from "./restart.ts";
import { retries } from "./retries.ts";
import { savedWork } from "./saved-work.ts";
import { sessions } from "./sessions.ts";
import { starts } from "./starts.ts";
import { state } from "./state.ts";
import { stats } from "./stats.ts";
import { tags } from "./tags.ts";
import { takeover } from "./takeover.ts";
import { timers } from "./timers.ts";
import { tree } from "./tree.ts";
import { twoHandles } from "./two-handles.ts";
import { waits } from "./waits.ts";
import { waking } from "./waking.ts";
import { workItems } from "./work.ts";
import { workers } from "./workers.ts";

/** What the suite must know about a provider besides how to open a store. */
export interface StorageSuiteOptions {
  /** Another handle of the store that `first` is a handle of, as another process would have it. Not opened. */
  readonly openSecond?: (first: StorageProvider) => Promise<StorageProvider> | StorageProvider;
  /**
   * How long a handle may take to notice what another has changed.
   * @default 5000
   */
  readonly noticeMs?: number;
  /**
   * Whether the store measures the silence of workers by a clock of its own instead of by `now`.
   * @default false
   */
  readonly ownClock?: boolean;
  /**
   * Whether tests run side by side, and how many.
   * @default false
   */
  readonly concurrency?: boolean | number;
}

const chapters: readonly Chapter[] = [
  life,
  workers,
  ownership,
  claims,
  capabilities,
  blocking,
  budgets,
  starts,
  messages,
  idempotency,
  timers,
  waking,
  executions,
  endings,
  atomicity,
  workItems,
  capacity,
  retries,
  savedWork,
  sessions,
  tags,
  takeover,
  payloads,
  state,
  outputs,
  appendedOutputs,
  answers,
  waits,
  customStatus,
  instances,
  listing,
  tree,
  deletion,
  prune,
  restart,
  carriedTrees,
  stats,
  changes,
  limits,
  overlapping,
  twoHandles,
];

/**
 * Registers the suite with `node:test`. `open` answers a handle of a store that nobody has used before; each test opens
 * one, uses it and closes it. The suite leaves no other trace, so what lies under the stores is the caller's to remove.
 *
 * @example
 * ```ts
 * testStorageProvider("sqlite in memory", () => sqlite(":memory:"));
 * ```
 */
export function testStorageProvider(
  name: string,
  open: () => Promise<StorageProvider> | StorageProvider,
  options: StorageSuiteOptions = {},
): void {
  const { openSecond, noticeMs = 5_000, ownClock = false, concurrency = false } = options;
  const bench: Bench = {
    fresh: async () => open(),
    ...(openSecond && { another: async (first) => openSecond(first) }),
    noticeMs,
    ownClock,
  };
  describe(`storage provider: ${name}`, { concurrency }, () => {
    for (const chapter of chapters) chapter(bench);
  });
}
