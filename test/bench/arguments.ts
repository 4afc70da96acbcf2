/** The command line. */
import { parseArgs } from "node:util";

/** See {@link usage}. */
export interface Arguments {
  readonly only: string;
  readonly storage: "sqlite" | "postgres";
  readonly json?: string;
  readonly quick: boolean;
  readonly profile: boolean;
  readonly writeDocs: boolean;
}

/** What is printed when the command line is not understood. */
export const usage = `npm run bench -- [--only ID] [--json FILE] [--storage sqlite|postgres] [--quick] [--profile] [--write-docs]

  --only ID       rows whose id begins with ID
  --json FILE     the rows as JSON
  --storage NAME  sqlite, or postgres: a server that is started for it, or that DATABASE_URL names
  --quick         one run with small counts: shows that it works, not how fast
  --profile       where the time of each workload goes; slows it, burdens idleCpu, and sees no further processes
  --write-docs    all rows and the profile of chain100x100, into docs/benchmarks.md and docs/deployment.md`;

/** Reads the command line. @throws when it is not understood */
export function readArguments(args: readonly string[]): Arguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string", default: "" },
      json: { type: "string" },
      storage: { type: "string", default: "sqlite" },
      quick: { type: "boolean", default: false },
      profile: { type: "boolean", default: false },
      "write-docs": { type: "boolean", default: false },
    },
  });
  const { only, json, storage, quick, profile, "write-docs": writeDocs } = values;
  if (storage !== "sqlite" && storage !== "postgres")
    throw new Error(`Expected --storage to be sqlite or postgres, got ${storage}`);
  if (writeDocs && (quick || profile || only !== ""))
    throw new Error("--write-docs measures everything: leave out --only, --quick and --profile");
  return { only, storage, quick, profile, writeDocs, ...(json !== undefined && { json }) };
}
