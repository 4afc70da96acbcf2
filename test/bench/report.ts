/** What comes out: rows with their verdicts, as JSON and as one aligned table. */
import type { Machine } from "./machine.ts";
import { median, rounded } from "./statistics.ts";
import type { RowDefinition, Sample } from "./workload.ts";

/** A measured row. */
export interface Row {
  readonly id: string;
  /** The median of the counted runs. */
  readonly value: number;
  readonly unit: string;
  /** A bare journal's value for the same rows and bytes. */
  readonly limit?: number;
  /** The value divided by the limit. */
  readonly ratio?: number;
  readonly p50?: number;
  readonly p99?: number;
  readonly floor?: number;
  readonly aim?: number;
  readonly floorMet?: boolean;
  readonly aimMet?: boolean;
}

/** The JSON. */
export interface Report {
  readonly machine: Machine;
  readonly date: string;
  /** Small counts: the figures say nothing. */
  readonly quick: boolean;
  readonly rows: readonly Row[];
}

/** The row that the samples of the counted runs make. */
export function rowOf({ id, unit, better, floor, aim }: RowDefinition, samples: readonly Sample[]): Row {
  const middle = (member: keyof Sample): number | undefined => {
    const values = samples.map((sample) => sample[member]).filter((value) => value !== undefined);
    return values.length === 0 ? undefined : rounded(median(values));
  };
  const value = middle("value") ?? NaN;
  const [limit, p50, p99] = [middle("limit"), middle("p50"), middle("p99")];
  const meets = (target: number): boolean => (better === "higher" ? value >= target : value <= target);
  return {
    id,
    value,
    unit,
    ...(limit !== undefined && { limit, ratio: rounded(value / limit) }),
    ...(p50 !== undefined && { p50 }),
    ...(p99 !== undefined && { p99 }),
    ...(floor !== undefined && { floor, floorMet: meets(floor) }),
    ...(aim !== undefined && { aim, aimMet: meets(aim) }),
  };
}

const heads = ["id", "value", "unit", "limit", "ratio", "p50", "p99", "floor", "aim", "met"] as const;
const left: ReadonlySet<string> = new Set(["id", "unit", "met"]);

/** Rows as lines of equal width, as Markdown reads them. */
export function tableOf(rows: readonly Row[]): string {
  const cells = rows.map(cellsOf);
  const widths = heads.map((head, i) => Math.max(head.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const pad = (cell: string, i: number): string => {
    const width = widths[i] ?? 0;
    return left.has(heads[i] ?? "") ? cell.padEnd(width) : cell.padStart(width);
  };
  const line = (row: readonly string[]): string => `| ${row.map(pad).join(" | ")} |`;
  const rule = heads.map((head, i) =>
    left.has(head) ? "-".repeat(widths[i] ?? 0) : `${"-".repeat((widths[i] ?? 1) - 1)}:`,
  );
  return [line(heads), line(rule), ...cells.map(line)].join("\n");
}

function cellsOf(row: Row): string[] {
  const met = row.aimMet === true ? "aim" : row.floorMet === true ? "floor" : row.floorMet === false ? "NO" : "";
  const numbers = [row.limit, row.ratio, row.p50, row.p99, row.floor, row.aim].map(written);
  return [row.id, written(row.value), row.unit, ...numbers, met];
}

function written(value: number | undefined): string {
  return value === undefined ? "" : value.toLocaleString("en-US", { maximumSignificantDigits: 4 });
}
