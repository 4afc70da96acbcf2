/**
 * Durations as people write them. Inside the engine every duration is a number of milliseconds whose name ends in `Ms`;
 * only public options accept the forms below.
 */
import { ConfigurationError } from "./errors.ts";
import { shown } from "./options.ts";

type Unit = "ms" | "s" | "m" | "h" | "d";

/** A length of time: milliseconds as a number, or a string such as `"500ms"`, `"10s"`, `"5m"`, `"2h"`, `"1d"`. */
export type Duration = number | `${number}${Unit}`;

const unitMs: Record<Unit, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A hundred years: longer is a slip of the keyboard, and still far from what a date can hold. */
const longestMs = 36_525 * unitMs.d;

/**
 * Whole milliseconds of a {@link Duration}.
 *
 * @param duration - What the caller gave.
 * @param what - How the error names it, e.g. `"timeout of activity charge"`.
 * @throws ConfigurationError when it is not a duration, negative, or longer than a hundred years.
 */
export function durationMs(duration: Duration, what: string): number {
  const ms = typeof duration === "number" ? duration : parse(duration);
  if (!(ms >= 0 && ms <= longestMs)) {
    throw new ConfigurationError(
      `Expected ${what} to be milliseconds or a string like "500ms", "10s", "5m", "2h", "1d" (at most 100 years), got ${shown(duration)}`,
    );
  }
  return Math.round(ms) + 0;
}

function parse(text: unknown): number {
  const match = typeof text === "string" ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) : null;
  return match ? Number(match[1]) * unitMs[match[2] as Unit] : Number.NaN;
}
