/** Stack frames, read back to places in files. */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { SourcePosition } from "@stet/diagram";

/** Where a frame stands. A file below the working directory is named from there, others by their whole path. */
export function placeOf(frame: string | undefined): SourcePosition | undefined {
  const [, where, line, column] = /(?:\(|^at (?:async )?)([^()]+):(\d+):(\d+)\)?$/.exec(frame?.trim() ?? "") ?? [];
  if (where === undefined) return undefined;
  const file = (where.startsWith("file:") ? fileURLToPath(where) : where).replace(/\?[^/\\]*$/, "");
  const near = relative(process.cwd(), file);
  return {
    file: (near.startsWith("..") ? file : near).replaceAll("\\", "/"),
    line: Number(line),
    column: Number(column),
  };
}
