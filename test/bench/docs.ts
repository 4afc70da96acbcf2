/** Fills the blocks of documents that nobody writes by hand: what was measured, and what follows for who plans. */
import { readFileSync, writeFileSync } from "node:fs";
import { describeMachine } from "./machine.ts";
import type { Profile } from "./profile.ts";
import { type Report, tableOf } from "./report.ts";
import { sizingOf } from "./sizing.ts";

/** Writes what was measured on a kind of store between its markers. */
export function writeDocs(
  storage: "sqlite" | "postgres",
  report: Report,
  profiles: ReadonlyMap<string, Profile> = new Map(),
): void {
  const machine = `Machine: ${describeMachine(report.machine)}. Date: ${report.date.slice(0, 10)}.`;
  const told = [...profiles].map(([id, profile]) => profileText(id, profile));
  fill("benchmarks.md", `measured on ${storage}`, [machine, tableOf(report.rows), ...told]);
  fill("deployment.md", `sizes on ${storage}`, [machine, sizingOf(report.rows)]);
}

function fill(name: string, what: string, parts: readonly string[]): void {
  const page = new URL(`../../docs/${name}`, import.meta.url);
  const [begin, end] = [`<!-- ${what}: begin -->`, `<!-- ${what}: end -->`];
  const text = readFileSync(page, "utf8");
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`Expected docs/${name} to hold ${begin} and ${end}`);
  writeFileSync(page, `${text.slice(0, from)}${begin}\n\n${parts.join("\n\n")}\n\n${text.slice(to)}`);
}

/** A profile as Markdown. */
export function profileText(id: string, { areas, functions }: Profile): string {
  const lines = (shares: Profile["areas"]): string =>
    shares.map(({ what, percent }) => `- ${percent.toFixed(1)} % ${what}`).join("\n");
  return `Where the time of \`${id}\` goes, by area:\n\n${lines(areas)}\n\nand by function, its own time only:\n\n${lines(functions)}`;
}
