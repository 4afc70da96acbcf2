/** The public names of `@stet/core`, grouped by who needs them. */

// Authors of orchestrations and activities
export { activity, orchestration } from "./definitions.ts";
export type {
  Activity,
  ActivityCallOptions,
  ActivityContext,
  ActivityDefinitionOptions,
  ActivityOptions,
  AnyActivity,
  AnyOrchestration,
  CallArguments,
  ContinueAsNewOptions,
  Orchestration,
  OrchestrationClient,
  OrchestrationContext,
  OrchestrationOptions,
  OrchestrationState,
  StartOptions,
  SubOrchestrationOptions,
  WaitOptions,
} from "./context.ts";
export type { DiagramColor, DiagramOptions } from "./appearance.ts";
export type { DurablePromise, Winner } from "./durable-promise.ts";
export type {
  CacheScope,
  ChatOptions,
  EmbedOptions,
  IfTrueOptions,
  LlmOperations,
  LlmOptions,
  Prompt,
  Sentiment,
  SummaryLength,
  TextOptions,
  ValidatedOptions,
  Validation,
} from "./llm/operations.ts";
export type { ContextOptions } from "./llm/context-injection.ts";
export type { ChatTools, ToolSource } from "./llm/tools.ts";
export { fenced } from "./llm/prompts.ts";
export type { RetryPolicy } from "./retry.ts";
export type { Duration } from "./duration.ts";
export type { Schema, SchemaIssue, SchemaVerdict } from "./schema.ts";

// Services
export { Runtime, type ShutdownOptions } from "./runtime.ts";
export type { RuntimeOptions } from "./runtime-options.ts";
export {
  Client,
  type ClientStats,
  type InstancePage,
  type InstanceUsage,
  type PendingWait,
  type WorkerStats,
} from "./client.ts";
export type { MissingHandlers } from "./missing-handlers.ts";
export type { ClientOptions, ListOptions, PruneOptions } from "./client-options.ts";
export type { Budget, BudgetMember, RecordedBudget } from "./budget.ts";
export type { BudgetReport } from "./budget-report.ts";
export type { Capsule } from "./capsule.ts";
export { promote, type Promoted, type PromoteOptions } from "./promote.ts";
export type { ForkOptions } from "./fork.ts";
export type { ReplacedResult } from "./exchanged-result.ts";
export type {
  InstanceHandle,
  InstanceState,
  InstanceStatusReport,
  OutputRow,
  RaiseEventOptions,
  StartInstanceOptions,
  StreamMark,
  StreamOptions,
  StreamPiece,
  WaitingFor,
} from "./instance-handle.ts";
export type { PromptRecording } from "./llm/prompt-recording.ts";
export type { ModelLimits } from "./llm/model-limits.ts";
export type { LlmTable } from "./llm/model-table.ts";
export { packagedPrices, type PricedCall, type Prices } from "./llm/prices.ts";
export type { UsageRow, UsageSummary, UsageTotals, WastedUsage } from "./llm/usage.ts";
export { aesGcm, type AesGcmOptions } from "./aes-gcm.ts";

// Telemetry
export type { OwnershipDiagnostic, StorageDiagnostic, TurnDiagnostic, WorkDiagnostic } from "./diagnostics.ts";

// Errors
export * from "./errors.ts";

// History
export * from "./events.ts";
export {
  type AnswerBody,
  type AnswerMessage,
  idempotencyKeyOf,
  type Message,
  type StartMessage,
  type WorkItem,
} from "./messages.ts";
export { canonicalHash, canonicalJson, type Payload, samePayload } from "./payload.ts";
export type * from "./llm/conversation.ts";

// Seams
export type * from "./storage.ts";
export type * from "./storage-admin.ts";
export * from "./storage-budgets.ts";
export type * from "./storage-work.ts";
export type * from "./llm/provider.ts";
export type * from "./ports.ts";
