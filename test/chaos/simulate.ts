/**
 * One process of `npm run simulate -- [--minutes N] [--seed S]`: plays the scenarios that were kept and then new ones until the time is
 * over. Ends with 1 when a run is not sound, and prints the smallest scenario that shows it: to keep it, add that to
 * `kept-scenarios.ts`.
 */
import { parseArgs } from "node:util";
import { sqlite } from "@stet/sqlite";
import { simulatePrograms } from "@stet/testing";
import { keptScenarios } from "./kept-scenarios.ts";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "5" }, seed: { type: "string" } } });
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
if (!(minutes > 0) || !Number.isInteger(seed)) {
  console.error("npm run simulate -- [--minutes N] [--seed S]: N more than 0, S a whole number");
  process.exit(2);
}

console.log(`seed ${seed}, ${minutes} minutes`);
const startedAt = performance.now();
try {
  const { runs } = await simulatePrograms({
    storage: () => sqlite(":memory:"),
    scenarios: keptScenarios,
    time: minutes * 60_000,
    seed,
    onRun: show,
  });
  console.log(JSON.stringify({ seed, runs }));
} catch (error) {
  console.error(`\n${(error as Error).message}\nAgain: npm run simulate -- --minutes ${minutes} --seed ${seed}`);
  console.error((error as Error).cause);
  process.exitCode = 1;
}

/** A line now and then: others play at the same time, with seeds of their own. */
function show(runs: number): void {
  if (runs % 500 !== 0) return;
  const seconds = (performance.now() - startedAt) / 1_000;
  const rate = ((runs / seconds) * 60).toFixed(0);
  console.log(`seed ${seed}: ${runs} runs in ${seconds.toFixed(0)} s, ${rate} a minute`);
}
