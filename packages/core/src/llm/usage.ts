/**
 * Usage of models in sum: tokens and money by model and by label. History keeps it for executions that are over, clients
 * read it.
 */
import type { LlmUsage } from "./conversation.ts";

/** What one attempt of a model call has used and came to nothing, as its provider was told. */
export type WastedUsage = {
  /** 1 for the first. */
  readonly attempt: number;
  /** The model that was asked. */
  readonly model: string;
  readonly usage: LlmUsage;
  /** Absent when nobody knows the price. */
  readonly costUsd?: number;
};

/** What a number of model calls came to. */
export type UsageTotals = {
  /** Calls that a model answered. */
  readonly calls: number;
  /** Answers that were there already and cost nothing. They are not among the calls. */
  readonly cacheHits: number;
  /**
   * Attempts that came to nothing and are known to have used something: a refusal, an answer that cannot be read, a stream
   * that broke off. They are not among the calls; what they used is in the sums.
   */
  readonly failedAttempts: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Those of the input that the vendor had cached. */
  readonly cachedTokens: number;
  /** Those of the output that were thoughts. */
  readonly reasoningTokens: number;
  /** What the calls cost whose price is known. */
  readonly usd: number;
  /** Calls and failed attempts whose price nobody knows: what they cost is not in `usd`. */
  readonly unpriced: number;
  /** Calls and failed attempts whose tokens were guessed from the length of the texts. */
  readonly estimated: number;
};

/** The calls of one model under one label. */
export type UsageRow = UsageTotals & { readonly model: string; readonly label?: string };

/** Usage in sum, by the model that answered, and by the label that the calls were given. */
export interface UsageSummary extends UsageTotals {
  readonly byModel: { readonly [model: string]: UsageTotals };
  /** Calls without a label are not in it. */
  readonly byLabel: { readonly [label: string]: UsageTotals };
}

/** What is counted of a model's answer, or of a failed call. */
interface Ended {
  readonly model?: string;
  readonly usage?: LlmUsage;
  readonly costUsd?: number;
  readonly cached?: boolean;
  readonly wasted?: readonly WastedUsage[];
}

/** No calls. */
export const none: UsageTotals = {
  calls: 0,
  cacheHits: 0,
  failedAttempts: 0,
  inputTokens: 0,
  outputTokens: 0,
  cachedTokens: 0,
  reasoningTokens: 0,
  usd: 0,
  unpriced: 0,
  estimated: 0,
};

/** Adds up. */
export class UsageTally {
  #rows: Map<string, UsageRow> | undefined;

  add({ model, usage, costUsd, cached = false, wasted = [] }: Ended, label: string | undefined): void {
    const named = label !== undefined && { label };
    for (const attempt of wasted) {
      this.addRow({ ...named, model: attempt.model, ...amountsOf(attempt), failedAttempts: 1 });
    }
    if (model === undefined || usage === undefined) return;
    this.addRow({
      ...named,
      model,
      ...(cached ? { ...none, cacheHits: 1 } : { ...amountsOf({ usage, costUsd }), calls: 1 }),
    });
  }

  addRow(row: UsageRow): void {
    const key = JSON.stringify([row.model, row.label]);
    this.#rows ??= new Map();
    this.#rows.set(key, { ...row, ...sumOf(this.#rows.get(key) ?? none, row) });
  }

  /** In the order in which models and labels were first used. */
  get rows(): readonly UsageRow[] {
    return [...(this.#rows?.values() ?? [])];
  }
}

/** The rows in sum, and by model and label. */
export function summaryOf(rows: readonly UsageRow[]): UsageSummary {
  const byModel = new Map<string, UsageTotals>();
  const byLabel = new Map<string, UsageTotals>();
  for (const { model, label, ...totals } of rows) {
    byModel.set(model, sumOf(byModel.get(model) ?? none, totals));
    if (label !== undefined) byLabel.set(label, sumOf(byLabel.get(label) ?? none, totals));
  }
  return {
    ...rows.reduce<UsageTotals>(sumOf, none),
    byModel: Object.fromEntries(byModel),
    byLabel: Object.fromEntries(byLabel),
  };
}

function amountsOf({
  usage,
  costUsd,
}: {
  readonly usage: LlmUsage;
  readonly costUsd?: number | undefined;
}): UsageTotals {
  return {
    ...none,
    inputTokens: usage.inputTokens,
    outputTokens: usage.outputTokens,
    cachedTokens: usage.cachedTokens ?? 0,
    reasoningTokens: usage.reasoningTokens ?? 0,
    usd: costUsd ?? 0,
    unpriced: costUsd === undefined ? 1 : 0,
    estimated: usage.estimated === true ? 1 : 0,
  };
}

/** Two sums in one. */
export function sumOf(a: UsageTotals, b: UsageTotals): UsageTotals {
  const sum: { -readonly [Member in keyof UsageTotals]: number } = { ...none };
  for (const member of Object.keys(none) as (keyof UsageTotals)[]) sum[member] = a[member] + b[member];
  return { ...sum, usd: Number(sum.usd.toFixed(12)) }; // the dust of adding floats
}
