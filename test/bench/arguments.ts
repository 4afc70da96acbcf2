/** The command line. */
import { parseArgs } from "node:util";

/** See {@link usage}. */
export interface Arguments {
  readonly only: string;
  readonly json?: string;
  readonly quick: boolean;
  readonly profile: boolean;
  readonly writeDocs: boolean;
}

/** What is printed when the command line is not understood. */
export const usage = `npm run bench -- [--only ID] [--json FILE] [--storage sqlite] [--quick] [--profile] [--write-docs]

  --only ID       rows whose id begins with ID
  --json FILE     the rows as JSON
  --storage NAME  what to measure; sqlite is all there is
  --quick         one run with small counts: shows that it works, not how fast
  --profile       where the time of each workload goes; slows it, burdens idleCpu, and sees no further processes
  --write-docs    all rows and the profile of chain100x100, into docs/benchmarks.md`;

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
  if (storage !== "sqlite") throw new Error(`Expected --storage to be sqlite, got ${storage}`);
  if (writeDocs && (quick || profile || only !== ""))
    throw new Error("--write-docs measures everything: leave out --only, --quick and --profile");
  return { only, quick, profile, writeDocs, ...(json !== undefined && { json }) };
}
