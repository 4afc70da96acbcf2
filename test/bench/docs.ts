/** Fills the block of docs/benchmarks.md that nobody writes by hand. */
import { readFileSync, writeFileSync } from "node:fs";
import { describeMachine } from "./machine.ts";
import type { Profile } from "./profile.ts";
import { type Report, tableOf } from "./report.ts";

const page = new URL("../../docs/benchmarks.md", import.meta.url);
const begin = "<!-- measured: begin -->";
const end = "<!-- measured: end -->";

/** Writes what was measured between the markers. */
export function writeDocs(report: Report, profiles: ReadonlyMap<string, Profile>): void {
  const text = readFileSync(page, "utf8");
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`Expected docs/benchmarks.md to hold ${begin} and ${end}`);
  const block = [
    `Machine: ${describeMachine(report.machine)}. Date: ${report.date.slice(0, 10)}.`,
    tableOf(report.rows),
    ...[...profiles].map(([id, profile]) => profileText(id, profile)),
  ].join("\n\n");
  writeFileSync(page, `${text.slice(0, from)}${begin}\n\n${block}\n\n${text.slice(to)}`);
}

/** A profile as Markdown. */
export function profileText(id: string, { areas, functions }: Profile): string {
  const lines = (shares: Profile["areas"]): string =>
    shares.map(({ what, percent }) => `- ${percent.toFixed(1)} % ${what}`).join("\n");
  return `Where the time of \`${id}\` goes, by area:\n\n${lines(areas)}\n\nand by function, its own time only:\n\n${lines(functions)}`;
}
