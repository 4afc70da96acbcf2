/** The conformance suite of the storage seam on SQLite: in memory, and on a file with a second connection to it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import type { StorageProvider } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { testStorageProvider } from "@stet/testing";

const folder = mkdtempSync(join(tmpdir(), "stet-conformance-"));
const paths = new WeakMap<StorageProvider, string>();
let files = 0;

after(() => rmSync(folder, { recursive: true, force: true }));

function onFile(path: string): StorageProvider {
  const store = sqlite(path);
  paths.set(store, path);
  return store;
}

testStorageProvider("sqlite in memory", () => sqlite(":memory:"));

testStorageProvider("sqlite on a file", () => onFile(join(folder, `${++files}.db`)), {
  openSecond: (first) => onFile(paths.get(first)!),
});
