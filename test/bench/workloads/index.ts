/** Everything that is measured, in the order of the table. */
import { onPostgres, withTraffic } from "../traffic.ts";
import { withFull, type Workload } from "../workload.ts";
import { agentLoops } from "./agents.ts";
import { chain5000 } from "./chain5000.ts";
import { coldResume } from "./cold-resume.ts";
import { disk } from "./disk.ts";
import { guardCost } from "./guard-cost.ts";
import { idleCpu } from "./idle-cpu.ts";
import { idleMemory } from "./idle-memory.ts";
import { llmCalls, llmOverhead } from "./model-calls.ts";
import { replay } from "./replay.ts";
import { startToResult } from "./start-to-result.ts";
import { streams } from "./streams.ts";
import { takeover } from "./takeover.ts";
import { chain100x100, chain5x10k, fanout10k } from "./throughput.ts";
import { transcript } from "./transcript.ts";
import { twoWorkers } from "./two-workers.ts";

const onSqlite: readonly Workload[] = [
  ...withFull(chain5x10k),
  ...withFull(chain100x100),
  ...withFull(fanout10k),
  ...withFull(chain5000),
  ...withFull(startToResult),
  coldResume,
  idleMemory,
  transcript,
  disk,
  llmOverhead,
  llmCalls,
  streams,
  agentLoops,
  takeover,
  idleCpu,
  guardCost,
  replay,
];

/** The same on a server, with its own targets. What asks only the worker's process is measured on SQLite. */
const onServer: readonly Workload[] = [
  onPostgres(withTraffic(chain5x10k), { chain5x10k: { floor: 15_000, aim: 30_000 } }),
  onPostgres(withTraffic(chain100x100), { chain100x100: { floor: 15_000, aim: 30_000 } }),
  onPostgres(withTraffic(fanout10k), {}),
  onPostgres(withTraffic(chain5000), { "chain5000.growth": { floor: 1.2 } }),
  onPostgres(withTraffic(startToResult), { startToResult: { floor: 1.5 } }),
  onPostgres(coldResume, { coldResume: { floor: 150 } }),
  onPostgres(idleMemory, { "idleMemory.wakeMs": { floor: 3_000 }, "idleMemory.wakeEvictedMs": { floor: 3_000 } }),
  disk,
  onPostgres(takeover, {}),
  twoWorkers,
];

/** What is measured on a kind of store. */
export function workloadsOn(storage: "sqlite" | "postgres"): readonly Workload[] {
  return storage === "sqlite" ? onSqlite : onServer;
}
