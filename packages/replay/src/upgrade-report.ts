/**
 * The upgrade report: what would become of recorded histories if this code took over now. Nothing is written, no activity
 * runs and no model is asked.
 *
 * Each history is replayed once; those that do not fit, and those with changed prompts, once more to find the lines of
 * source. What differs in the same way at the same place is one finding, however many histories show it.
 */
import {
  type AnyOrchestration,
  type HistoryEvent,
  isStetError,
  type OrchestrationStarted,
  type StetError,
} from "@stet/core";
import { defaultPayloadLimit, installDeterminismGuard, Registry } from "@stet/core/internal";
import { changeOf, divergenceOf, tracedFrom } from "./divergence.ts";
import { type Finding, Findings } from "./findings.ts";
import { promptChangeOf } from "./prompt-change.ts";
import { isOpen, type RecordedHistory } from "./recorded-histories.ts";
import { type SummaryRow, summaryOf } from "./summary.ts";
import type { HistoryVerdict, Verdict } from "./verdict.ts";
import { type Watched, type WatchedJob, watchedReplay } from "./watched-replay.ts";

/** What to replay, and against what. */
export interface UpgradeOptions {
  /** Today's code, in all versions that a worker would register. */
  readonly orchestrations: readonly AnyOrchestration[];
  /** From {@link historiesOf} or {@link historiesIn}. */
  readonly histories: Iterable<RecordedHistory> | AsyncIterable<RecordedHistory>;
  /** Whether a changed prompt makes the report fail, as with the runtime's option. @default "report" */
  readonly promptDrift?: "report" | "error";
  /** The limit that the runtime has, in bytes. @default 4 MiB */
  readonly payloadLimit?: number;
  /** Told after each batch. */
  readonly onProgress?: (progress: { readonly histories: number; readonly events: number }) => void;
}

/** What today's code makes of recorded histories. */
export interface UpgradeReport {
  /** Whether nothing diverges, everything can be read, and no open instance is without its code. */
  readonly ok: boolean;
  /** By orchestration and version. */
  readonly summary: readonly SummaryRow[];
  /** What differs, most frequent first, with what to do about it. */
  readonly findings: readonly Finding[];
  readonly histories: readonly HistoryVerdict[];
}

/**
 * Replays recorded histories against today's code, and says for each whether it fits, and if not where and what to do.
 *
 * @example
 * ```ts
 * const report = await upgradeReport({ orchestrations: [handleTicket], histories: historiesOf(client) });
 * for (const { finding, orchestration, count } of report.findings) console.log(finding, orchestration, count);
 * if (!report.ok) process.exitCode = 1;
 * ```
 * @throws ConfigurationError when two orchestrations share name and version.
 */
export async function upgradeReport(options: UpgradeOptions): Promise<UpgradeReport> {
  const replaying: Replaying = {
    registry: new Registry(options.orchestrations, []),
    payloadLimit: options.payloadLimit ?? defaultPayloadLimit,
    findings: new Findings(),
  };
  const histories: HistoryVerdict[] = [];
  let events = 0;
  const restore = installDeterminismGuard();
  try {
    for await (const batch of batches(options.histories)) {
      histories.push(...(await verdictsOn(batch, replaying)));
      events += batch.reduce((sum, history) => sum + lengthOf(history), 0);
      options.onProgress?.({ histories: histories.length, events });
    }
  } finally {
    restore();
  }
  return {
    ok: histories.every((verdict) => isFine(verdict, options.promptDrift ?? "report")),
    summary: summaryOf(histories),
    findings: replaying.findings.list,
    histories,
  };
}

interface Replaying {
  readonly registry: Registry;
  readonly payloadLimit: number;
  readonly findings: Findings;
}

function isFine({ verdict, isOpen: goesOn }: HistoryVerdict, promptDrift: "report" | "error"): boolean {
  switch (verdict) {
    case "identical":
      return true;
    case "drifted":
      return promptDrift === "report";
    case "missing":
      return !goesOn;
    case "diverged":
    case "unreadable":
      return false;
  }
}

/** Large enough to share their hops, small enough to be held at once. */
const batchOf = { histories: 200, events: 50_000 };

async function* batches(histories: UpgradeOptions["histories"]): AsyncGenerator<RecordedHistory[]> {
  let batch: RecordedHistory[] = [];
  let events = 0;
  for await (const history of histories) {
    batch.push(history);
    events += lengthOf(history);
    if (batch.length < batchOf.histories && events < batchOf.events) continue;
    yield batch;
    batch = [];
    events = 0;
  }
  if (batch.length > 0) yield batch;
}

async function verdictsOn(batch: readonly RecordedHistory[], replaying: Replaying): Promise<HistoryVerdict[]> {
  const jobs = new Map<RecordedHistory, WatchedJob>();
  for (const history of batch) {
    const job = jobOf(history, replaying);
    if (job !== undefined) jobs.set(history, job);
  }
  const outcomes = new Map<WatchedJob, Watched>();
  const first = await watchedReplay([...jobs.values()]);
  const differing = Array.from(jobs.values()).flatMap((job, i) => {
    const from = tracedFrom(job.events, first[i] as Watched);
    return from === undefined ? [] : [{ job, traced: { ...job, tracedFrom: from } }];
  });
  const again = await watchedReplay(differing.map(({ traced }) => traced));
  differing.forEach(({ job }, i) => outcomes.set(job, again[i] as Watched));
  const verdicts: HistoryVerdict[] = [];
  for (const history of batch) {
    const job = jobs.get(history);
    const watched = job && outcomes.get(job);
    const verdict = { ...headOf(history), ...verdictOf(history, job, watched) };
    await replaying.findings.add(verdict, () => changeOf(job as WatchedJob, watched as Watched));
    verdicts.push(verdict);
  }
  return verdicts;
}

function jobOf(history: RecordedHistory, { registry, payloadLimit }: Replaying): WatchedJob | undefined {
  const started = startOf(history);
  const orchestration = started && registry.orchestration(started.name, started.version);
  if (orchestration === undefined) return undefined;
  return { history, events: history.events as readonly HistoryEvent[], orchestration, payloadLimit };
}

function verdictOf(history: RecordedHistory, job: WatchedJob | undefined, watched: Watched | undefined): Verdict {
  const { events } = history;
  if (isFailure(events)) return { verdict: "unreadable", error: events.message };
  if (job === undefined) {
    if (startOf(history) !== undefined) return { verdict: "missing" };
    const error = `Expected a history to begin with OrchestrationStarted, got ${events[0]?.kind ?? "nothing"}`;
    return { verdict: "unreadable", error };
  }
  if (watched === undefined) return { verdict: "identical" };
  const { failure, drift } = watched;
  if (isStetError(failure, "history_corrupt")) return { verdict: "unreadable", error: failure.message };
  if (failure !== undefined) return { verdict: "diverged", divergence: divergenceOf(failure, watched) };
  return { verdict: "drifted", prompts: drift.map(promptChangeOf) };
}

function headOf(history: RecordedHistory): Omit<HistoryVerdict, keyof Verdict> {
  const { instanceId, execution, events } = history;
  const started = startOf(history);
  return {
    instanceId,
    execution,
    ...(started !== undefined && { orchestration: started.name, version: started.version }),
    isOpen: isFailure(events) || isOpen(events),
  };
}

function startOf({ events }: RecordedHistory): OrchestrationStarted | undefined {
  const started = isFailure(events) ? undefined : events[0];
  return started?.kind === "OrchestrationStarted" ? started : undefined;
}

function lengthOf({ events }: RecordedHistory): number {
  return isFailure(events) ? 0 : events.length;
}

function isFailure(events: readonly HistoryEvent[] | StetError): events is StetError {
  return !Array.isArray(events);
}
