/** What a sample takes for `@stet/sqlite`: each path is a schema, and what would be in memory is one that nobody knows. */
import { createHash, randomUUID } from "node:crypto";
import type { StorageProvider } from "@stet/core";
import { postgres } from "@stet/postgres";

/** Opens it. */
export function sqlite(path: string): StorageProvider {
  return postgres({
    url: process.env["DATABASE_URL"] ?? "",
    schema: schemaOf(path === ":memory:" ? randomUUID() : path),
  });
}

/** The schema of a path. `STET_SAMPLE` begins the schemas of one test. */
export function schemaOf(path: string): string {
  const digest = createHash("sha256").update(path).digest("hex").slice(0, 16);
  return `${process.env["STET_SAMPLE"] ?? ""}_${digest}`;
}
