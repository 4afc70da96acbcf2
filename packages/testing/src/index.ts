export { type CrashExplorationOptions, type CrashReport, type CrashWorld, exploreCrashes } from "./crash-explorer.ts";
export { testLlmProvider } from "./conformance/llm/index.ts";
export type { LlmDialect, LlmSuiteServer, Said, SaidUsage, Unsayable } from "./conformance/llm/dialect.ts";
export type { QuestionName } from "./conformance/llm/questions.ts";
export { type StorageSuiteOptions, testStorageProvider } from "./conformance/storage/index.ts";
export {
  type ConcernedCalls,
  type Fault,
  type FaultPlan,
  faulty,
  type FaultyStorage,
  type InjectedFault,
} from "./faulty-storage.ts";
export { given, type Given, type GivenOptions, type TurnReport } from "./given-when-then.ts";
export type { StorageVerb } from "./intercepted-storage.ts";
export { answer, cancel, event, start, terminate, type TestMessage } from "./messages.ts";
export { replayHistory, type ReplayOptions, type ReplayReport } from "./replay-history.ts";
export { severable, type SeverableStorage } from "./severed-storage.ts";
export type { ActivityKind, Note, Operation, Program, Question, Receiver, Step } from "./simulation/program.ts";
export { type ProgramOptions, programs } from "./simulation/programs.ts";
export type { Move, OutsideMove, Schedule, WorkerMove } from "./simulation/schedule.ts";
export type { SearchOptions, SimulationReport } from "./simulation/search.ts";
export { simulate, type SimulationOptions } from "./simulation/simulate.ts";
export { type ProgramSimulationOptions, type Scenario, simulatePrograms } from "./simulation/simulated-programs.ts";
export type { Outcome } from "./simulation/soundness.ts";
export { TestEnvironment, type TestEnvironmentOptions } from "./test-environment.ts";
export { VirtualClock } from "./virtual-clock.ts";
