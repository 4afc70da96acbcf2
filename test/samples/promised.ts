/** What a sample says that it prints. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

/** The lines below ` * Prints:` in the first comment of a sample, without their margin. */
export function promisedBy(file: string): string {
  const lines = /^\/\*\*[\s\S]*?\n \* Prints:\n([\s\S]*?)\n \*\//.exec(readFileSync(file, "utf8"))?.[1];
  assert.ok(lines !== undefined, "Expected the first comment to end with the lines below Prints:, got no such lines.");
  return lines.replaceAll(/^ \* {3}/gm, "") + "\n";
}
