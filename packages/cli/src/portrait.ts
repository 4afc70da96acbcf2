/** An instance in one picture: where it stands, what happened, what it costs, what it waits for, and how to help it. */
import type {
  BudgetReport,
  Client,
  ExecutionRecord,
  InstanceState,
  InstanceStatusReport,
  UsageSummary,
  WaitingFor,
} from "@stet/core";
import type { Colors, Look } from "./output.ts";
import { table } from "./table.ts";
import { type TimelineEntry, timelineOf } from "./timeline.ts";
import { brief, countOf, durationInWords, instantInWords, statusInColor, usdInWords } from "./words.ts";

/** All that `stet show` shows. */
export interface Portrait {
  readonly instance: InstanceStatusReport;
  /** The execution whose timeline it is. */
  readonly execution: number;
  readonly executions: readonly ExecutionRecord[];
  readonly timeline: readonly TimelineEntry[];
  /** Of the instance with all that it started. */
  readonly usage: UsageSummary;
  readonly budget?: BudgetReport;
  /** When it was looked at. */
  readonly at: number;
}

/** @throws InstanceError (`instance_not_found`) */
export async function portraitOf(client: Client, instanceId: string, execution?: number): Promise<Portrait> {
  const handle = client.instance(instanceId);
  const instance = await handle.status();
  const [executions, usage, budget, events] = await Promise.all([
    client.executions(instanceId),
    client.usage(instanceId),
    client.budget(instanceId),
    handle.history(execution ?? instance.execution),
  ]);
  return {
    instance,
    execution: execution ?? instance.execution,
    executions,
    timeline: timelineOf(events),
    usage: usage.tree,
    ...(budget !== undefined && { budget }),
    at: Date.now(),
  };
}

/** The picture as text. */
export function portrait(shown: Portrait, look: Look): string {
  return [heading(shown, look.colors), happenings(shown, look), openEnds(shown, look), trouble(shown, look.colors)]
    .filter((part) => part !== "")
    .join("\n\n");
}

function heading({ instance, executions, execution, usage, budget, at }: Portrait, colors: Colors): string {
  const { instanceId, name, version, status, createdAt, updatedAt, labels, customStatus, parentId } = instance;
  const ended = !["pending", "running", "blocked"].includes(status);
  const labelled = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  const facts: (readonly [string, string] | undefined)[] = [
    [
      "started",
      `${instantInWords(createdAt)}, ${ended ? `took ${durationInWords(updatedAt - createdAt)}` : `${durationInWords(at - createdAt)} ago`}`,
    ],
    parentId === undefined ? undefined : ["started by", parentId],
    executions.length > 1 || execution > 1
      ? [
          "execution",
          `${execution} of ${instance.execution}${execution === instance.execution ? "" : " (an earlier one)"}`,
        ]
      : undefined,
    labelled.length === 0 ? undefined : ["labels", labelled.join(" ")],
    customStatus === undefined ? undefined : ["says", brief(customStatus, 200)],
    usage.calls + usage.cacheHits === 0 ? undefined : ["models", usageInWords(usage)],
    budget === undefined ? undefined : ["budget", budgetInWords(budget)],
  ];
  const title = `${colors.bold(instanceId)}  ${version === undefined ? name : `${name}@${version}`}  ${statusInColor(status, colors)}`;
  return [
    title,
    ...facts.filter((fact) => fact !== undefined).map(([what, fact]) => `${colors.dim(what.padEnd(10))} ${fact}`),
  ].join("\n");
}

function happenings({ timeline, instance }: Portrait, look: Look): string {
  const { colors } = look;
  const began = timeline[0]?.at ?? instance.createdAt;
  if (timeline.length === 0) {
    const why =
      instance.status === "pending" ? "nothing has happened yet: no worker has taken it" : "nothing is recorded";
    return colors.dim(why);
  }
  const rows = timeline.map((entry) => [
    colors.dim(`+${durationInWords(entry.at - began)}`),
    whatOf(entry, colors),
    cameOutAs(entry, colors),
    costOf(entry, colors),
    detailsOf(entry, colors),
  ]);
  return table(["AT", "WHAT", "CAME OUT", "COST", "DETAILS"], rows, look);
}

/** One entry of a timeline on one line, for those who watch it grow. */
export function entryInWords(entry: TimelineEntry, colors: Colors): string {
  return [whatOf(entry, colors), cameOutAs(entry, colors), costOf(entry, colors), detailsOf(entry, colors)]
    .filter((part) => part !== "")
    .join("  ");
}

function whatOf({ kind, name, label }: TimelineEntry, colors: Colors): string {
  return [colors.dim(kind), name, label === undefined ? "" : `(${label})`].filter(Boolean).join(" ");
}

function cameOutAs({ outcome, tookMs = 0, attempts, cached }: TimelineEntry, colors: Colors): string {
  if (outcome === undefined) return "";
  if (outcome === "open") return colors.cyan("open");
  const paint = outcome === "done" ? colors.green : outcome === "cancelled" ? colors.yellow : colors.red;
  const often = attempts === undefined || attempts === 1 ? "" : `, ${attempts} attempts`;
  return paint(`${outcome} in ${durationInWords(tookMs)}${often}${cached === true ? ", cached" : ""}`);
}

function costOf({ usage, costUsd }: TimelineEntry, colors: Colors): string {
  if (usage === undefined) return "";
  const tokens = `${usage.inputTokens}+${usage.outputTokens} tokens`;
  return colors.magenta(costUsd === undefined ? tokens : `${usdInWords(costUsd)}, ${tokens}`);
}

function detailsOf(entry: TimelineEntry, colors: Colors): string {
  const { given, result, error, reason, dueAt, instanceId, outcome, model } = entry;
  const parts = [
    model,
    instanceId,
    entry.kind === "model" ? "" : brief(given, 60),
    result === undefined ? "" : `→ ${brief(result, 60)}`,
    error === undefined ? "" : colors.red(brief(error.message, 120)),
    reason === undefined ? "" : brief(reason, 80),
    dueAt !== undefined && outcome === "open" ? `until ${instantInWords(dueAt)}` : "",
  ];
  return parts.filter(Boolean).join("  ");
}

function openEnds({ instance, at }: Portrait, look: Look): string {
  const { instanceId } = instance;
  const waits = withoutTimeouts(instance.waitingFor);
  if (waits.length === 0) return "";
  const lines = waits.flatMap((wait) => [
    `  ${waitInWords(wait, at)}`,
    ...hintsOf(wait, instanceId).map((hint) => `    ${look.colors.dim(hint)}`),
  ]);
  return [look.colors.bold("waits for"), ...lines].join("\n");
}

/** The timer of a wait with a timeout is told with the wait. */
function withoutTimeouts(waits: readonly WaitingFor[]): readonly WaitingFor[] {
  return waits.filter((wait, at) => !(wait.kind === "timer" && timeoutOf(waits[at - 1]) === wait.fireAt));
}

function timeoutOf(wait: WaitingFor | undefined): number | undefined {
  return wait?.kind === "event" ? wait.timeoutAt : undefined;
}

function waitInWords(wait: WaitingFor, at: number): string {
  const since = `for ${durationInWords(at - wait.since)}`;
  switch (wait.kind) {
    case "activity":
      return `activity ${wait.name}, ${since}`;
    case "timer":
      return `a timer, until ${instantInWords(wait.fireAt)}${wait.fireAt > at ? `, ${durationInWords(wait.fireAt - at)} from now` : ""}`;
    case "event":
      return [
        `event ${wait.name}, ${since}`,
        ...(wait.timeoutAt === undefined ? [] : [`until ${instantInWords(wait.timeoutAt)}`]),
        ...(wait.details === undefined ? [] : [brief(wait.details, 100)]),
      ].join(", ");
    case "subOrchestration":
      return `sub-orchestration ${wait.name}, ${since}`;
    case "model":
      return [
        `a model, ${wait.operation}, ${since}`,
        ...(wait.retryAt === undefined ? [] : [`it failed and is tried again at ${instantInWords(wait.retryAt)}`]),
        ...(wait.capacityAt === undefined ? [] : [`no capacity before ${instantInWords(wait.capacityAt)}`]),
      ].join(", ");
  }
}

function hintsOf(wait: WaitingFor, instanceId: string): string[] {
  if (wait.kind === "event") {
    const isDecision = wait.name === "approval" || wait.name === "agent.inbox";
    if (isDecision) return [`stet approve ${instanceId}`, `stet reject ${instanceId} --reason TEXT`];
    return [`stet raise ${instanceId} ${wait.name} 'JSON'`];
  }
  if (wait.kind === "subOrchestration") return [`stet show ${wait.instanceId}`];
  return [];
}

function trouble({ instance, budget }: Portrait, colors: Colors): string {
  const { error, status, instanceId } = instance;
  if (error === undefined) return "";
  const fixes = status === "blocked" ? fixesOf(error.code, instanceId, budget) : endedFixes(status, instanceId);
  return [
    colors.red(colors.bold(status === "blocked" ? "blocked" : "error")),
    `  ${error.message}`,
    ...causesOf(error).map((cause) => `  because: ${cause}`),
    ...fixes.map((fix) => `  ${colors.dim("fix:")} ${fix}`),
  ].join("\n");
}

/** Without those that the message above them has said already. */
function causesOf(error: Error): string[] {
  if (!(error.cause instanceof Error)) return [];
  const { message } = error.cause;
  return [...(error.message.includes(message) ? [] : [message]), ...causesOf(error.cause)];
}

function endedFixes(status: InstanceState["status"], instanceId: string): string[] {
  if (status !== "failed") return [];
  return [`stet retry ${instanceId} begins again; stet fork ${instanceId} --at EVENT goes on from before the failure`];
}

/** What lets a blocked instance go on, by why it is blocked. */
function fixesOf(code: string, instanceId: string, budget: BudgetReport | undefined): string[] {
  const again = `then a worker with the new code tries it by itself, or: stet resume ${instanceId}`;
  switch (code) {
    case "nondeterminism":
      return [`run the code that began it, or guard the change with ctx.patched("ID") or a new version; ${again}`];
    case "determinism_violated":
      return [`do what the error says; ${again}`];
    case "budget_exceeded":
      return [
        budget === undefined
          ? "add to the budget of the instance that the error names: stet top-up ID --usd 5"
          : `add to its budget: stet top-up ${instanceId} --usd 5`,
      ];
    default:
      return [`mend what the error names; ${again}`];
  }
}

function usageInWords(usage: UsageSummary): string {
  const { calls, cacheHits, inputTokens, outputTokens, usd, unpriced, byModel } = usage;
  return [
    usdInWords(usd) + (unpriced === 0 ? "" : ` and ${countOf(unpriced, "call")} without a price`),
    `${countOf(calls, "call")}${cacheHits === 0 ? "" : ` and ${cacheHits} from the cache`}`,
    `${inputTokens}+${outputTokens} tokens`,
    Object.keys(byModel).join(" "),
  ].join(", ");
}

/** What is spent of what may be. */
export function budgetInWords({ limits, spent }: BudgetReport): string {
  const { tokens, usd, calls, timeMs } = limits;
  return [
    usd === undefined ? "" : `${usdInWords(spent.usd)} of ${usdInWords(usd)}`,
    tokens === undefined ? "" : `${spent.tokens} of ${tokens} tokens`,
    calls === undefined ? "" : `${spent.calls} of ${calls} calls`,
    timeMs === undefined ? "" : `${durationInWords(spent.timeMs)} of ${durationInWords(timeMs)}`,
  ]
    .filter(Boolean)
    .join(", ");
}
