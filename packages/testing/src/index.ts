export { type CrashExplorationOptions, type CrashReport, type CrashWorld, exploreCrashes } from "./crash-explorer.ts";
export { type StorageSuiteOptions, testStorageProvider } from "./conformance/storage/index.ts";
export { given, type Given, type GivenOptions, type TurnReport } from "./given-when-then.ts";
export { answer, cancel, event, start, terminate, type TestMessage } from "./messages.ts";
export { replayHistory, type ReplayOptions, type ReplayReport } from "./replay-history.ts";
export { severable, type SeverableStorage } from "./severed-storage.ts";
export { TestEnvironment, type TestEnvironmentOptions } from "./test-environment.ts";
export { VirtualClock } from "./virtual-clock.ts";
