/** Folders that do not stay. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inSchema } from "./postgres-site.ts";
import type { Run } from "./workload.ts";

/** Where databases are put: a disk, or `synchronous` says nothing. `STET_BENCH_FOLDER` names another place. */
export const scratchRoot: string = process.env["STET_BENCH_FOLDER"] ?? tmpdir();

/** Runs `body` with a fresh folder and removes it. */
export async function inScratch<Result>(body: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = mkdtempSync(join(scratchRoot, "stet-bench-"));
  try {
    return await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs `body` with a store of its own in the same place as that of another run. */
export async function beside<Result>(run: Run, body: (run: Run) => Promise<Result>): Promise<Result> {
  const { postgres } = run;
  if (postgres === undefined) return inScratch((folder) => body({ ...run, folder }));
  return inSchema(postgres.url, (place) => body({ ...run, postgres: place }));
}
