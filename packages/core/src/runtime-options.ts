/**
 * What a runtime can be told, and the checks of it: whatever is wrong is said before anything is opened.
 */
import type { AnyActivity, AnyOrchestration } from "./context.ts";
import { assertShort } from "./definitions.ts";
import { ConfigurationError } from "./errors.ts";
import type { ModelLimits } from "./llm/model-limits.ts";
import type { LlmTable } from "./llm/model-table.ts";
import type { Prices } from "./llm/prices.ts";
import type { PromptRecording } from "./llm/prompt-recording.ts";
import type { LlmProvider } from "./llm/provider.ts";
import { assertChoice, assertOptions, type NamesOf, shown, shownWithoutKeys } from "./options.ts";
import type { Clock, Logger, PayloadCodec } from "./ports.ts";
import type { StorageProvider } from "./storage.ts";

/** Options of a runtime. Only `storage` is needed. */
export interface RuntimeOptions {
  readonly storage: StorageProvider;
  readonly orchestrations?: readonly AnyOrchestration[];
  readonly activities?: readonly AnyActivity[];
  /**
   * A provider, or several by the names that `{ model }` uses; the default is `default`, or else the first. A list of names
   * is a fallback chain: the next is asked when one fails.
   */
  readonly llm?: LlmProvider | LlmTable;
  /** How much may be asked of models, by names of the `llm` table or `"provider/model"`. @default no limits */
  readonly modelLimits?: { readonly [model: string]: ModelLimits };
  /**
   * What model calls cost, where the packaged prices do not know or you pay others. It is asked once for each answer,
   * and its answer recorded. @default `packagedPrices()`
   */
  readonly prices?: Prices;
  /** How much runs at once. @default `{ activities: 256, models: 16 }` */
  readonly concurrency?: { readonly activities?: number; readonly models?: number };
  /** Tags of activities that this worker runs besides untagged ones. */
  readonly tags?: readonly string[];
  /** Live executions kept in memory between turns. @default 10000 */
  readonly cacheSize?: number;
  /** Encrypts payloads on their way to the store. Clients must be given the same. */
  readonly codec?: PayloadCodec;
  /** Largest payload in bytes, after long texts have been put aside. @default 4 MiB */
  readonly payloadLimit?: number;
  /**
   * `"off"` leaves the globals alone (`Date`, `Math.random`, timers and `fetch` are not guarded in orchestrations) and
   * starts no watchdog for code that holds the event loop. @default "guarded"
   */
  readonly determinism?: "guarded" | "off";
  /** `"error"` blocks an instance whose code would ask a recorded model call otherwise today. @default "report" */
  readonly promptDrift?: "report" | "error";
  /**
   * How much of what models are asked history keeps: all of it, only its hash, or each text as a function returns it.
   * Answers are always kept: a replay needs them. While a call waits for its turn, its work row holds the whole request.
   *
   * @default "full"
   */
  readonly recordPrompts?: PromptRecording;
  /** `"fail"` ends instances whose code does not match their history instead of blocking them. @default "block" */
  readonly onNondeterminism?: "block" | "fail";
  /** Names the deployed code: blocked instances are tried again by another build. @default a hash of the definitions */
  readonly buildId?: string;
  /** Shown in stats. @default "worker-" and the process id */
  readonly workerName?: string;
  /** @default warnings and errors as JSON lines on standard error */
  readonly logger?: Logger;
  /** @default the system's */
  readonly clock?: Clock;
}

const names: NamesOf<RuntimeOptions> = {
  storage: true,
  orchestrations: true,
  activities: true,
  llm: true,
  modelLimits: true,
  prices: true,
  concurrency: true,
  tags: true,
  cacheSize: true,
  codec: true,
  payloadLimit: true,
  determinism: true,
  promptDrift: true,
  recordPrompts: true,
  onNondeterminism: true,
  buildId: true,
  workerName: true,
  logger: true,
  clock: true,
};

/** @throws ConfigurationError naming the first option that is unknown or wrong. */
export function assertRuntimeOptions(options: RuntimeOptions): void {
  assertOptions(options, names, "Runtime.start");
  assertStorage(options.storage, "Runtime.start");
  const { orchestrations, activities, tags, concurrency = {}, cacheSize, payloadLimit, llm, codec } = options;
  assertOptions(concurrency, { activities: true, models: true }, "concurrency of Runtime.start");
  assertCount(concurrency.activities, "concurrency.activities");
  assertCount(concurrency.models, "concurrency.models");
  assertCount(cacheSize, "cacheSize");
  assertCount(payloadLimit, "payloadLimit");
  for (const [name, list] of Object.entries({ orchestrations, activities, tags })) {
    if (list !== undefined && !Array.isArray(list)) {
      throw new ConfigurationError(`Expected ${name} of Runtime.start to be an array, got ${shown(list)}`);
    }
  }
  for (const tag of tags ?? []) assertShort(tag, "tags of Runtime.start");
  assertChoice(options.determinism, ["guarded", "off"], "determinism of Runtime.start");
  assertChoice(options.promptDrift, ["report", "error"], "promptDrift of Runtime.start");
  if (typeof options.recordPrompts !== "function") {
    assertChoice(options.recordPrompts, ["full", "hash"], "recordPrompts of Runtime.start");
  }
  assertChoice(options.onNondeterminism, ["block", "fail"], "onNondeterminism of Runtime.start");
  if (llm !== undefined) assertModels(llm);
  if (options.modelLimits !== undefined) assertLimited(options.modelLimits, llm);
  if (options.prices !== undefined && typeof options.prices !== "function") {
    throw new ConfigurationError(`Expected prices of Runtime.start to be a function, got ${shown(options.prices)}`);
  }
  assertCodec(codec, "Runtime.start");
}

/** @throws ConfigurationError unless it is a storage provider. */
export function assertStorage(storage: unknown, what: string): asserts storage is StorageProvider {
  if (typeof (storage as Partial<StorageProvider> | undefined)?.commitTurns === "function") return;
  throw new ConfigurationError(
    `Expected ${what} to be given a storage provider, such as { storage: sqlite("app.db") }, got ${shownWithoutKeys(storage)}`,
  );
}

/** @throws ConfigurationError unless it is a codec, or none. */
export function assertCodec(codec: unknown, what: string): asserts codec is PayloadCodec | undefined {
  const { seal, open, digest } = (codec ?? {}) as Partial<PayloadCodec>;
  if (codec === undefined || [seal, open, digest].every((verb) => typeof verb === "function")) return;
  throw new ConfigurationError(
    `Expected codec of ${what} to be a payload codec, such as aesGcm({ key }), got ${shownWithoutKeys(codec)}`,
  );
}

function assertCount(count: unknown, name: string): void {
  if (count === undefined || (Number.isInteger(count) && (count as number) >= 1)) return;
  throw new ConfigurationError(`Expected ${name} of Runtime.start to be a whole number from 1, got ${shown(count)}`);
}

function assertModels(llm: unknown): void {
  if (isModel(llm)) return;
  const table = typeof llm === "object" && llm !== null ? Object.entries(llm) : [["llm", llm] as const];
  for (const [name, provider] of table) {
    if (isModel(provider) || (Array.isArray(provider) && provider.every((model) => typeof model === "string")))
      continue;
    throw new ConfigurationError(
      `Expected llm of Runtime.start to be a provider, such as openai({ model }), or a table of them and of lists of names, got ${shownWithoutKeys(provider)} for ${name}`,
    );
  }
}

function assertLimited(limits: unknown, llm: unknown): void {
  if (typeof limits !== "object" || limits === null || Array.isArray(limits)) {
    throw new ConfigurationError(
      `Expected modelLimits of Runtime.start to be limits by model, such as { fast: { requestsPerSecond: 5 } }, got ${shown(limits)}`,
    );
  }
  if (llm !== undefined) return;
  throw new ConfigurationError("Expected modelLimits of Runtime.start to come with llm, got limits and no models");
}

function isModel(llm: unknown): boolean {
  return typeof (llm as Partial<LlmProvider> | undefined)?.complete === "function";
}
