/** `npm run bench`: measures, prints a table, and writes JSON and the page of the docs. `usage` says how it is called. */
import { writeFileSync } from "node:fs";
import { readArguments, usage } from "./arguments.ts";
import { askChild } from "./children/child.ts";
import type { Assignment, Measured } from "./children/measure.ts";
import { profileText, writeDocs } from "./docs.ts";
import { describeMachine, thisMachine } from "./machine.ts";
import type { Profile } from "./profile.ts";
import { benchServer } from "./postgres-site.ts";
import { type Report, type Row, rowOf, tableOf } from "./report.ts";
import type { Workload } from "./workload.ts";
import { workloadsOn } from "./workloads/index.ts";

const args = read();
const profiles = new Map<string, Profile>();
const rows: Row[] = [];
const failed: string[] = [];

const wanted = workloadsOn(args.storage).filter(({ rows: defined }) =>
  defined.some(({ id }) => id.startsWith(args.only)),
);
if (wanted.length === 0) leave(`Expected --only to begin a row's id, got ${args.only}`);
const server = args.storage === "postgres" ? await benchServer() : undefined;
const place = server === undefined ? {} : { url: server.url };
for (const workload of wanted) await measure(workload);

const report: Report = {
  machine: await thisMachine(server?.url),
  date: new Date().toISOString(),
  quick: args.quick,
  rows,
};
console.log(describeMachine(report.machine));
console.log(tableOf(rows));
for (const [id, profile] of profiles) console.log(`\n${profileText(id, profile)}`);
if (args.json !== undefined) writeFileSync(args.json, `${JSON.stringify(report, undefined, 2)}\n`);
if (failed.length > 0) leave(`Could not be measured: ${failed.join(", ")}`);
if (args.writeDocs) {
  for (const rowId of ["chain5x10k", "chain100x100"]) await profileOne(rowId);
  writeDocs(args.storage, report, profiles);
}
await server?.stop();

async function measure({ rows: defined }: Workload): Promise<void> {
  const rowId = defined[0]?.id ?? "";
  try {
    const measured = await ask({ rowId, quick: args.quick, profile: args.profile, ...place });
    for (const definition of defined.filter(({ id }) => id.startsWith(args.only))) {
      const samples = measured.samples.map((sample) => sample[definition.id]).filter((sample) => sample !== undefined);
      if (samples.length > 0) rows.push(rowOf(definition, samples)); // what no server counts has none
    }
    if (measured.profile !== undefined) profiles.set(rowId, measured.profile);
  } catch (error) {
    failed.push(rowId);
    console.error(error);
  }
}

/** A profiled run is slower, so its figures are not used. */
async function profileOne(rowId: string): Promise<void> {
  const { profile } = await ask({ rowId, quick: false, profile: true, ...place });
  if (profile !== undefined) profiles.set(rowId, profile);
}

function ask(assignment: Assignment): Promise<Measured> {
  return askChild<Measured>("measure.ts", assignment);
}

function read(): ReturnType<typeof readArguments> {
  try {
    return readArguments(process.argv.slice(2));
  } catch (error) {
    return leave(`${String(error)}\n\n${usage}`);
  }
}

function leave(why: string): never {
  console.error(why);
  process.exit(1);
}
