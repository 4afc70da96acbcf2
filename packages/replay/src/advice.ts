/** What to do about a divergence. */
import type { Change, Divergence } from "./divergence.ts";

/** Ways to let old instances and new code live together. */
export interface Advice {
  /** Keeping the old code for the old instances. */
  readonly pin: string;
}

/** See the head of the file. */
export function adviceOn(
  { orchestration = "", version = "1" }: Divergence & { readonly orchestration?: string; readonly version?: string },
  _change: Change,
): Advice {
  const next = nextVersion(version);
  return {
    pin: `Keep the code of before registered as orchestration("${orchestration}", { version: "${version}" }, ...), and give today's code version "${next}".`,
  };
}

function nextVersion(version: string): string {
  const numbers = version.split(".");
  return [...numbers.slice(0, -1), Number(numbers.at(-1)) + 1].join(".");
}
