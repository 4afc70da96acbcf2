/**
 * What people read: one block for each ticket, then the sums.
 */
import { styleText } from "node:util";
import type { BeforeAndAfter, CallAccount } from "./account.ts";
import type { Phase, Result } from "./results.ts";

const width = 100;
const inColour = process.stdout.isTTY && !process.env["NO_COLOR"];

type Style = "bold" | "dim" | "green" | "yellow" | "red";

/** The text in a style, where there is one. */
export function styled(style: Style, text: string): string {
  return inColour ? styleText(style, text) : text;
}

const phases: { readonly [P in Phase]: { readonly label: string; readonly style: Style } } = {
  before: { label: "before the kill", style: "dim" },
  again: { label: "made again", style: "yellow" },
  after: { label: "after the kill", style: "green" },
  whole: { label: "recorded", style: "dim" },
};

/** How to read the blocks. */
export const legend = [
  "Each line is one recorded result: its event id in the history, what was asked, what came of it.",
  "  before the kill  recorded by the first worker; the second one took it from the database",
  "  made again       asked for before the kill, but the answer died with the first worker",
  "  after the kill   made by the second worker",
].join("\n");

/** One instance: what became of it, and its results in order. */
export function timelineOf(instance: {
  readonly title: string;
  readonly outcome: string;
  /** What is printed whole. */
  readonly details: string | undefined;
  readonly results: readonly Result[];
}): string {
  const { title, outcome, details, results } = instance;
  const heading = `${styled("bold", onOneLine(title).padEnd(36))} ${onOneLine(outcome)}`;
  const rows = results.map((result, i) => rowOf(result, results[i - 1]?.phase));
  return [heading, ...(details === undefined ? [] : [wrapped(onOneLine(details), "  ", "  ")]), ...rows].join("\n");
}

function rowOf({ eventId, what, value, phase }: Result, before: Phase | undefined): string {
  const { label, style } = phases[phase];
  const start = `  ${(phase === before ? "" : label).padEnd(15)} ${String(eventId).padStart(4)}  ${what.padEnd(15)} `;
  return styled(style, start) + shortened(inWords(value), width - start.length);
}

/** The sums of all model calls. */
export function callTable({ made, recorded }: CallAccount): string {
  const row = (title: string, { before, after }: BeforeAndAfter) =>
    title.padEnd(30) + [before, after, before + after].map((count) => String(count).padStart(17)).join("");
  const head = ["before the kill", "after the kill", "in all"].map((title) => title.padStart(17)).join("");
  return [
    styled("bold", "Model calls".padEnd(30)) + head,
    row("  made, by the tally", made),
    row("  answers recorded in history", recorded),
  ].join("\n");
}

/** Any value on one line: the members of an object one after another, nothing as a dash. */
function inWords(value: unknown): string {
  if (typeof value === "object" && value !== null) return Object.values(value).map(inWords).join(", ") || "-";
  if (typeof value === "string" && value.startsWith("{")) return inWords(parsed(value));
  return value === undefined || value === null || value === "" ? "-" : onOneLine(String(value));
}

/** What models and customers write may hold anything, also what would steer a terminal. */
function onOneLine(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, " ").trim();
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return ` ${text}`; // it only looked like JSON
  }
}

function shortened(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 3).trimEnd()}...`;
}

/** A text broken into lines that fit, each after `indent`; the first line goes after `start`. */
export function wrapped(text: string, start: string, indent: string): string {
  const lines = [start];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) ?? "";
    if (line.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${line}${line.endsWith(" ") ? "" : " "}${word}`;
    else lines.push(indent + word);
  }
  return lines.join("\n");
}
