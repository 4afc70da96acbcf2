// `npm run clean`: removes what `tsc -b` wrote.

import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "./install.mjs";

for (const folder of ["packages", "providers/storage", "providers/llm"]) {
  for (const name of readdirSync(join(root, folder)))
    rmSync(join(root, folder, name, "dist"), { recursive: true, force: true });
}
for (const leaf of ["test", "samples"]) rmSync(join(root, leaf, "tsconfig.tsbuildinfo"), { force: true });
