/**
 * `npm run chaos -- [--minutes N] [--seed S]`: kills one worker and two, by turns, until the time is over. Ends with 1 when
 * anything was lost or recorded twice, and says how to do the same again.
 */
import { parseArgs } from "node:util";
import { killAgainAndAgain } from "./kill-run.ts";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "5" }, seed: { type: "string" } } });
const minutes = Number(values.minutes);
const firstSeed = Number(values.seed ?? Date.now() % 1_000_000_000);
if (!(minutes > 0) || !Number.isInteger(firstSeed)) {
  console.error("npm run chaos -- [--minutes N] [--seed S]: N more than 0, S a whole number");
  process.exit(2);
}

const endAt = performance.now() + minutes * 60_000;
const sum = { rounds: 0, kills: 0, events: 0, activityStarts: 0, startedAgain: 0, unknownOutcomes: 0 };
console.log(`seed ${firstSeed}, ${minutes} minutes`);
for (let seed = firstSeed; performance.now() < endAt; seed++) {
  const workers = 1 + (seed % 2);
  const where = `round ${sum.rounds + 1}, seed ${seed}, ${workers} worker${workers === 1 ? "" : "s"}`;
  try {
    const progress = (text: string) => show(`${where}: ${text}`);
    const report = await killAgainAndAgain({ seed, instances: 200, kills: 50, workers, progress });
    sum.rounds++;
    sum.kills += report.underWayAtKill.length;
    sum.events += report.events;
    sum.activityStarts += report.activityStarts;
    sum.startedAgain += report.startedAgain;
    sum.unknownOutcomes += report.unknownOutcomes;
    show(`${where}: sound`, true);
  } catch (error) {
    show(`${where}: NOT SOUND`, true);
    console.error(error);
    console.error(`Again: npm run chaos -- --minutes 1 --seed ${seed}`);
    process.exit(1);
  }
}
console.log(JSON.stringify({ seed: firstSeed, ...sum }));

/** One line that is written over where there is a terminal. */
function show(line: string, last = false): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\u001b[K${line}${last ? "\n" : ""}`);
  else if (last) console.log(line);
}
