/**
 * Names for the house's own packages and test tools. They may change in any release.
 */
export { treeOf } from "./capsule.ts";
export { advance, Course } from "./course.ts";
export { Execution, type ExecutionEnvironment, type ExecutionHeader } from "./execution.ts";
export { type Operation, siteIn } from "./operation.ts";
export type { Question } from "./recorder.ts";
export { differenceOf, describe } from "./nondeterminism.ts";
export {
  foreknowledgeOf,
  HistoryFeed,
  type PromptDrift,
  replay,
  type ReplayJob,
  type ReplayOutcome,
  unrunOf,
} from "./replay.ts";
export { type Incoming, TurnEffects, TurnFeed, type TurnTerms } from "./turn.ts";
export { enterGuarded, installDeterminismGuard } from "./determinism-guard.ts";
export { Registry } from "./registry.ts";
export { PayloadSink, type PayloadSource, TextCodec } from "./text-codec.ts";
export { defaultPayloadLimit, toPayload } from "./to-payload.ts";
export { assertName } from "./definitions.ts";
export { durationMs } from "./duration.ts";
export { waitingForOf } from "./waiting-for.ts";
export { assertChoice, assertOptions, type NamesOf, shown } from "./options.ts";
export { check, type Checked, isSchema, jsonSchemaOf, schemaOfJson } from "./schema.ts";
export { none as noUsage, sumOf as sumOfUsage } from "./llm/usage.ts";
