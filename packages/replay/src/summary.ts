/** How many histories fared how. */
import type { HistoryVerdict, Verdict } from "./verdict.ts";

/** One orchestration in one version. */
export type SummaryRow = {
  /** Absent for histories that cannot be read. */
  readonly orchestration?: string;
  readonly version?: string;
} & { readonly [Outcome in Verdict["verdict"]]: number };

/** Rows in the order of names and versions. */
export function summaryOf(histories: readonly HistoryVerdict[]): SummaryRow[] {
  const rows = new Map<string, { -readonly [Member in keyof SummaryRow]: SummaryRow[Member] }>();
  for (const { orchestration, version, verdict } of histories) {
    const key = `${orchestration ?? ""}\n${version ?? ""}`;
    const row = rows.get(key) ?? {
      ...(orchestration !== undefined && { orchestration }),
      ...(version !== undefined && { version }),
      identical: 0,
      drifted: 0,
      diverged: 0,
      missing: 0,
      unreadable: 0,
    };
    row[verdict]++;
    rows.set(key, row);
  }
  return [...rows.entries()].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true })).map(([, row]) => row);
}
