/** Which recorded question comes nearest to one that was not recorded, and how the two differ. */
import type { LlmRequest } from "@stet/core";
import type { CassetteEntry } from "./cassette-file.ts";

/** Lines of agreement shown around a difference, and of difference shown at most on either side. */
const context = 2;
const longest = 12;

/** The difference to the nearest question, line by line. Nothing when there is none to compare with. */
export function nearestTo(asked: LlmRequest, entries: readonly CassetteEntry[]): string | undefined {
  const text = textOf(asked);
  let nearest: { readonly recorded: string; readonly distance: number } | undefined;
  for (const entry of entries) {
    const recorded = textOf(entry.asked);
    const distance = distanceOf(recorded, text);
    if (nearest === undefined || distance < nearest.distance) nearest = { recorded, distance };
  }
  return nearest && differenceOf(nearest.recorded.split("\n"), text.split("\n"));
}

/** How much stands between the beginning and the end that two texts share. */
function distanceOf(a: string, b: string): number {
  const { before, after } = shared(a, b);
  return Math.max(a.length, b.length) - before - after;
}

function differenceOf(recorded: readonly string[], asked: readonly string[]): string {
  const { before, after } = shared(recorded, asked);
  const gone = recorded.slice(before, recorded.length - after);
  const come = asked.slice(before, asked.length - after);
  const at = shared(gone[0] ?? "", come[0] ?? "").before;
  return [
    ...asked.slice(Math.max(0, before - context), before).map((line) => `  ${shortened(line, 0)}`),
    ...some(gone).map((line, i) => `- ${shortened(line, i === 0 ? at : 0)}`),
    ...some(come).map((line, i) => `+ ${shortened(line, i === 0 ? at : 0)}`),
    ...asked
      .slice(asked.length - after)
      .slice(0, context)
      .map((line) => `  ${shortened(line, 0)}`),
  ].join("\n");
}

function shared(a: ArrayLike<string>, b: ArrayLike<string>): { readonly before: number; readonly after: number } {
  const most = Math.min(a.length, b.length);
  let before = 0;
  while (before < most && a[before] === b[before]) before++;
  let after = 0;
  while (after < most - before && a[a.length - 1 - after] === b[b.length - 1 - after]) after++;
  return { before, after };
}

function some(lines: readonly string[]): readonly string[] {
  return lines.length <= longest ? lines : [...lines.slice(0, longest), `(${lines.length - longest} more lines)`];
}

/** The part of a line around a place. */
function shortened(line: string, around: number): string {
  const from = Math.max(0, around - 60);
  const part = line.slice(from, from + 160);
  return `${from > 0 ? "..." : ""}${part}${from + 160 < line.length ? "..." : ""}`;
}

/** A question as a text: what was said first, and its settings below. */
function textOf({ messages, ...settings }: LlmRequest): string {
  const said = messages.flatMap(({ role, content, ...rest }) => [`${role}: ${content}`, ...membersOf(rest)]);
  return [...said, ...membersOf(settings)].join("\n");
}

function membersOf(members: object): string[] {
  return Object.entries(members)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}: ${JSON.stringify(value, null, 2)}`);
}
