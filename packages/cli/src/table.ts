/** Rows under headings, without frames: what people read, and `awk` too. */
import { stripVTControlCharacters } from "node:util";
import Table from "cli-table3";
import type { Look } from "./output.ts";

/** Aligned columns, without those that nothing is in. The last one is cut at the edge of a terminal. */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  { colors, columns }: Look,
): string {
  const filled = headings.map((_, at) => rows.some((cells) => cells[at] !== ""));
  const lines = [headings.map((heading) => colors.dim(heading)), ...rows].map((cells) =>
    cells.filter((_, at) => filled[at]),
  );
  const drawn = new Table({
    chars: noFrame,
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
    ...(columns !== undefined && { colWidths: widthsWithin(columns, lines) }),
  });
  drawn.push(...lines);
  return drawn
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

const gap = "  ";

/** Each column as wide as it needs to be, and the last one as wide as there is room. */
function widthsWithin(columns: number, lines: readonly (readonly string[])[]): (number | null)[] {
  const last = (lines[0]?.length ?? 1) - 1;
  const widthOf = (at: number) =>
    Math.max(0, ...lines.map((cells) => stripVTControlCharacters(cells[at] ?? "").length));
  const before = Array.from({ length: last }, (_, at) => widthOf(at) + gap.length).reduce((sum, each) => sum + each, 0);
  const room = Math.max(columns - before, 10);
  return [...Array.from({ length: last }, () => null), widthOf(last) > room ? room : null];
}

const noFrame = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: gap,
};
