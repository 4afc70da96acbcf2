/** Everything that is measured, in the order of the table. */
import { withFull, type Workload } from "../workload.ts";
import { chain5000 } from "./chain5000.ts";
import { coldResume } from "./cold-resume.ts";
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

/** See the head of the file. */
export const workloads: readonly Workload[] = [
  ...withFull(chain5x10k),
  ...withFull(chain100x100),
  ...withFull(fanout10k),
  ...withFull(chain5000),
  ...withFull(startToResult),
  coldResume,
  idleMemory,
  transcript,
  llmOverhead,
  llmCalls,
  streams,
  takeover,
  idleCpu,
  guardCost,
  replay,
];
