/**
 * `npm run chaos -- [--storage sqlite|postgres] [--minutes N] [--seed S]`: kills workers until the time is over, by turns
 * one and two on a file, or three on a server that is struck itself. Ends with 1 when anything was lost or recorded
 * twice, and says how to do the same again.
 */
import { parseArgs } from "node:util";
import { killAgainAndAgain, type KillPlan } from "./kill-run.ts";
import { storages } from "./worlds.ts";

const { values } = parseArgs({
  options: {
    storage: { type: "string", default: "sqlite" },
    minutes: { type: "string", default: "5" },
    seed: { type: "string" },
  },
});
const minutes = Number(values.minutes);
const firstSeed = Number(values.seed ?? Date.now() % 1_000_000_000);
const storage = storages.find((each) => each === values.storage);
if (!(minutes > 0) || !Number.isInteger(firstSeed) || storage === undefined) {
  console.error(
    "npm run chaos -- [--storage sqlite|postgres] [--minutes N] [--seed S]: N more than 0, S a whole number",
  );
  process.exit(2);
}

const endAt = performance.now() + minutes * 60_000;
const sum = { rounds: 0, instances: 0, events: 0, activityStarts: 0, startedAgain: 0, unknownOutcomes: 0 };
const struck: Record<string, number> = {};
console.log(`seed ${firstSeed}, ${minutes} minutes on ${storage}`);
for (let seed = firstSeed; performance.now() < endAt; seed++) {
  const plan = planOf(seed);
  const where = `round ${sum.rounds + 1}, seed ${seed}, ${plan.workers} worker${plan.workers === 1 ? "" : "s"}`;
  try {
    const report = await killAgainAndAgain({ ...plan, progress: (text) => show(`${where}: ${text}`) });
    sum.rounds++;
    sum.instances += plan.instances;
    sum.events += report.events;
    sum.activityStarts += report.activityStarts;
    sum.startedAgain += report.startedAgain;
    sum.unknownOutcomes += report.unknownOutcomes;
    for (const [what, times] of Object.entries(report.struck)) struck[what] = (struck[what] ?? 0) + times;
    show(`${where}: sound`, true);
  } catch (error) {
    show(`${where}: NOT SOUND`, true);
    console.error(error);
    console.error(`Again: npm run chaos -- --storage ${storage} --minutes 1 --seed ${seed}`);
    process.exit(1);
  }
}
console.log(JSON.stringify({ seed: firstSeed, storage, ...sum, struck }));

function planOf(seed: number): KillPlan & { readonly storage: string } {
  if (storage === "postgres") return { seed, storage, instances: 1_000, strikes: 60, workers: 3 };
  return { seed, storage: "sqlite", instances: 200, strikes: 50, workers: 1 + (seed % 2) };
}

/** One line that is written over where there is a terminal. */
function show(line: string, last = false): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\u001b[K${line}${last ? "\n" : ""}`);
  else if (last) console.log(line);
}
