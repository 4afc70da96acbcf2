/** Times, durations, money and standings in words for people. */
import type { InstanceState, MissingHandlers } from "@stet/core";
import type { Colors } from "./output.ts";

/** An instant, in UTC so that everybody reads the same and may paste it back: `2026-11-21 10:00:00Z`. */
export function instantInWords(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace("T", " ")}Z`;
}

/** A duration in its two largest units: `340ms`, `2.4s`, `3m 20s`, `2d 4h`. */
export function durationInWords(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))}ms`;
  if (ms < 60_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)}s`;
  const [large, small] = units.find(([[, size]]) => ms >= size) ?? units[units.length - 1]!;
  const whole = Math.floor(ms / large[1]);
  const rest = Math.floor((ms % large[1]) / small[1]);
  return rest === 0 ? `${whole}${large[0]}` : `${whole}${large[0]} ${rest}${small[0]}`;
}

/** Dollars, as exact as small sums need: `$1.25`, `$0.0031`. */
export function usdInWords(usd: number): string {
  return `$${usd === 0 || usd >= 1 ? usd.toFixed(2) : usd.toPrecision(2)}`;
}

/** `1 call`, `3 calls`, `3 activities`. */
export function countOf(count: number, one: string, many: string = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** What a worker owns. */
export function ownedInWords({ instances, work }: { readonly instances: number; readonly work: number }): string {
  if (instances + work === 0) return "owns nothing";
  return `owns ${countOf(instances, "instance")} and ${countOf(work, "piece")} of work`;
}

/** What waits for something that no living worker has, one phrase for each kind of it. */
export function missingInWords({ orchestrations, activities, tags, modelCalls }: MissingHandlers): string[] {
  const lists = {
    orchestrations,
    activities,
    tags: tags.map(({ activity, tag }) => `${tag} (of ${activity})`),
  };
  const named = Object.entries(lists)
    .filter(([, names]) => names.length > 0)
    .map(([kind, names]) => `${kind} that no worker has: ${names.join(", ")}`);
  return modelCalls === 0 ? named : [...named, `an llm: ${countOf(modelCalls, "model call")} and no worker has one`];
}

/** A standing in its colour. */
export function statusInColor(status: InstanceState["status"], colors: Colors): string {
  switch (status) {
    case "completed":
      return colors.green(status);
    case "failed":
    case "blocked":
      return colors.red(status);
    case "cancelled":
    case "terminated":
      return colors.yellow(status);
    default:
      return colors.cyan(status);
  }
}

/** One value on one line, cut where it gets long. */
export function brief(value: unknown, columns = 80): string {
  if (value === undefined) return "";
  const text = typeof value === "string" ? value.replace(/\s+/g, " ") : JSON.stringify(value);
  return text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 1))}…`;
}

type Unit = readonly [word: string, ms: number];
const [day, hour, minute, second]: readonly [Unit, Unit, Unit, Unit] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
];
const units: readonly (readonly [large: Unit, small: Unit])[] = [
  [day, hour],
  [hour, minute],
  [minute, second],
];
