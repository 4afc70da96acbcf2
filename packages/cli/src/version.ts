/** Which release this is. All packages are released together. */
import { readFileSync } from "node:fs";

/** The version of this package. */
export function versionOfThis(): string {
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };
  return manifest.version;
}
