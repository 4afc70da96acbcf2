/** What would be written, before it is: so that writing and checking cannot differ. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { createTwoFilesPatch } from "diff";

/** A file that is not as it should be. */
export interface FileChange {
  /** Relative to the project, with forward slashes. */
  readonly file: string;
  /** Absent when there is none. */
  readonly before?: string;
  /** Absent when there should be none. */
  readonly after?: string;
}

/** What a file of the project should be, as a change; nothing when it is that already. */
export function changeOf(folder: string, file: string, after: string | undefined): FileChange[] {
  const before = readIfThere(resolve(folder, file));
  if (before?.replaceAll("\r\n", "\n") === after) return []; // however the checkout ends its lines
  return [{ file, ...(before !== undefined && { before }), ...(after !== undefined && { after }) }];
}

/** Writes files, and removes those that should not be there. */
export function applyChanges(folder: string, changes: readonly FileChange[]): void {
  for (const { file, after } of changes) {
    const path = resolve(folder, file);
    if (after === undefined) {
      rmSync(path);
      continue;
    }
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, after);
  }
}

/** Changes as a unified diff, for people. */
export function diffOfChanges(changes: readonly FileChange[]): string {
  return changes
    .map(({ file, before, after }) => {
      const from = before === undefined ? "nothing" : `${file} (as it is)`;
      const to = after === undefined ? "nothing" : `${file} (as the code is)`;
      const [, ...lines] = createTwoFilesPatch(from, to, before ?? "", after ?? "", "", "", { context: 2 }).split("\n");
      return lines.join("\n");
    })
    .join("");
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
