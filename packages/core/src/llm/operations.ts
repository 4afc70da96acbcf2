/**
 * The operations that ask a model, as authors of orchestrations see them. `llm-calls.ts` implements them.
 */
import type { Duration } from "../duration.ts";
import type { DurablePromise } from "../durable-promise.ts";
import type { Payload } from "../payload.ts";
import type { Schema } from "../schema.ts";
import type { ContextOptions } from "./context-injection.ts";
import type { AssistantMessage, JsonSchema, LlmMessage, LlmTool } from "./conversation.ts";
import type { ChatTools, ToolSource } from "./tools.ts";

/** What to ask: a text, a text with a system prompt, or a whole conversation. */
export type Prompt =
  | string
  | { readonly system?: string; readonly prompt: string }
  | { readonly system?: string; readonly messages: readonly LlmMessage[] };

/**
 * For whom answers are kept, and whose are looked up: those of this execution, of the instance with all its executions, or
 * of everybody who uses this store, for as long as `ttl`.
 */
export type CacheScope = "off" | "execution" | "instance" | { readonly scope: "global"; readonly ttl: Duration };

/** Options of one model call. */
export interface LlmOptions {
  /**
   * A name from the runtime's model table (`"fast"`), a provider and its name of the model (`"openai/gpt-5"`), or that
   * name alone: `gpt-*` and `o*` go to OpenAI, `claude-*` to Anthropic, others to the default provider.
   *
   * @default the runtime's `default` model, or its first
   */
  readonly model?: string;
  readonly temperature?: number;
  /** Most tokens of the answer. An answer cut off there is `LlmError` of kind `truncated`. */
  readonly maxTokens?: number;
  /** What else the vendor understands, as it spells it: `{ top_p: 0.9, stop: ["\n"] }`. Sent as it stands. */
  readonly vendor?: { readonly [parameter: string]: Payload };
  /** Longest time of one attempt. @default "10m" */
  readonly timeout?: Duration;
  /**
   * A whole number. Where calls wait for their model, one of priority 1 counts as asked 30 seconds earlier, one of 2 as a
   * minute earlier, one of -1 as 30 seconds later: so it goes first, and nothing waits for ever. @default 0
   */
  readonly priority?: number;
  /** How often a question may be asked in all when its answers do not parse or validate. @default 3 */
  readonly maxAsks?: number;
  /**
   * Gives the answer that was given before to the same question, and keeps the answer for those who ask it later. The
   * same is a question to the same model, in the same words, with the same options. It costs nothing, and history says
   * `cached`. The last question that an operation may ask is never answered so when it refuses an answer.
   *
   * @default "off"
   */
  readonly cache?: CacheScope;
  /** A name under which usage and answers of this call are summed and found. */
  readonly label?: string;
  /** Tells the model where the orchestration stands and what has happened to it. @default nothing is told */
  readonly context?: ContextOptions;
}

/** Options of operations that answer with a text, or with what is written as one. */
export interface TextOptions extends LlmOptions {
  /**
   * Hands on what the model says while it speaks, to `handle.stream()` and `handle.outputs()`; with a name, so that a
   * reader can choose. Each question of an operation that asks again is a call of its own.
   *
   * @default false
   */
  readonly stream?: boolean | string;
}

/** Options of `ctx.ifTrue`. */
export interface IfTrueOptions extends LlmOptions {
  /**
   * The text that the question is about, when it comes from somebody else: it is fenced, so that what it says cannot
   * take the place of the question. Without it the whole question is fenced.
   */
  readonly about?: string;
}

/** What `ctx.generateValidated` takes for an answer. */
export interface Validation<Value> {
  /**
   * What is wrong with a value, in words that go back to the model, or `undefined` when nothing is. It runs again on
   * replay, so it must depend on nothing but the value.
   */
  readonly validate: (value: Value) => string | undefined;
  /** How often the model may be asked in all. @default 3 */
  readonly maxAttempts?: number;
}

/** Options of `ctx.generateValidated`: how often it asks is said with the validation. */
export type ValidatedOptions = Omit<TextOptions, "maxAsks">;

/** Options of `ctx.chat`, which takes whatever the model says and adds nothing to the messages. */
export type ChatOptions = Omit<TextOptions, "maxAsks" | "context">;

/** Options of `ctx.embed`. */
export type EmbedOptions = Pick<LlmOptions, "model" | "timeout" | "cache" | "label" | "priority">;

/** How long a summary may be. */
export interface SummaryLength {
  /** Most words. What is longer is asked for again, and in the end cut after a sentence. */
  readonly maxWords: number;
}

/** How the writer of a text feels, and how certain that is. */
export type Sentiment = {
  readonly label: "positive" | "negative" | "neutral";
  /** From 0, a guess, to 1, certain. */
  readonly confidence: number;
};

/** The operations of `ctx` that ask a model. Their answers are recorded; a replay asks nobody. */
export interface LlmOperations {
  /** A text. */
  generate(prompt: Prompt, options?: TextOptions): DurablePromise<string>;
  generateWithSystem(system: string, prompt: string, options?: TextOptions): DurablePromise<string>;

  /**
   * A text by a model that is told where the orchestration stands: name, version and execution, state, and what has
   * happened lately. What is told is part of the recorded request, and the same on every replay.
   *
   * @example
   * ```ts
   * const next = await ctx.generateWithContext("What should we do next?", {
   *   context: { customContext: "The customer is waiting on the phone.", maxContextTokens: 1000 },
   * });
   * ```
   */
  generateWithContext(prompt: Prompt, options?: TextOptions): DurablePromise<string>;

  /**
   * A value that satisfies a schema: typed by a Zod schema, `unknown` by a JSON Schema document.
   *
   * @throws LlmOutputError when the model did not manage in `maxAsks` questions.
   */
  generateStructured<Value>(prompt: Prompt, schema: Schema<Value>, options?: TextOptions): DurablePromise<Value>;
  generateStructured(prompt: Prompt, schema: JsonSchema, options?: TextOptions): DurablePromise<unknown>;

  /**
   * A text, or a value that satisfies a schema, that a function of yours has nothing against. What it has against an
   * answer goes back to the model, which answers again.
   *
   * @example
   * ```ts
   * const slogan = await ctx.generateValidated("A slogan for a bakery.", {
   *   validate: (text) => (text.length > 40 ? `expected at most 40 characters, got ${text.length}` : undefined),
   * });
   * ```
   * @throws LlmOutputError when the model did not manage in `maxAttempts` questions.
   */
  generateValidated<Value>(
    prompt: Prompt,
    validation: Validation<Value> & { readonly schema: Schema<Value> },
    options?: ValidatedOptions,
  ): DurablePromise<Value>;
  generateValidated(prompt: Prompt, validation: Validation<string>, options?: ValidatedOptions): DurablePromise<string>;

  /** Whether something is true. @throws LlmOutputError rather than guess. */
  ifTrue(question: string, options?: IfTrueOptions): DurablePromise<boolean>;

  /** One of the categories, typed as their union. */
  classify<const Category extends string>(
    text: string,
    categories: readonly Category[],
    options?: LlmOptions,
  ): DurablePromise<Category>;

  /** Named features as strings, `""` where the text does not say; or a typed object by a Zod schema. */
  extract<const Feature extends string>(
    text: string,
    features: readonly Feature[],
    options?: LlmOptions,
  ): DurablePromise<Record<Feature, string>>;
  extract<Value>(text: string, schema: Schema<Value>, options?: LlmOptions): DurablePromise<Value>;

  /** {@link LlmOperations.extract} with a list of features. */
  extractFeatures<const Feature extends string>(
    text: string,
    features: readonly Feature[],
    options?: LlmOptions,
  ): DurablePromise<Record<Feature, string>>;

  /**
   * The text in at most `maxWords` words, in its own language. When the model keeps saying more, its last answer is cut
   * after the last sentence that fits, and history says so (`LlmAnswerTrimmed`).
   */
  summarize(text: string, length: SummaryLength, options?: TextOptions): DurablePromise<string>;

  /**
   * The next message of a conversation, with the tools that the model wants called. Add it to the messages, and for each
   * of its `toolCalls` a message `{ role: "tool", toolCallId, content }` with what came of it.
   *
   * A conversation that is sent again with every call is stored once; each call adds its new messages.
   *
   * @example
   * ```ts
   * const messages: LlmMessage[] = [{ role: "user", content: "Where is order A-100?" }];
   * const said = await ctx.chat(messages, { tools: ctx.describeTools([lookUp]) });
   * messages.push(said);
   * for (const { id, arguments: input } of said.toolCalls ?? []) {
   *   const content = await ctx.activity<string>("lookUp", input);
   *   messages.push({ role: "tool", toolCallId: id, content });
   * }
   * ```
   */
  chat(messages: readonly LlmMessage[], tools?: ChatTools, options?: ChatOptions): DurablePromise<AssistantMessage>;

  /**
   * Activities as tools: name, description, and the JSON Schema of their input, in the order of their names.
   *
   * @throws ConfigurationError when two have one name, or an input is not an object.
   */
  describeTools(activities: readonly ToolSource[]): LlmTool[];

  /**
   * A vector for each text, in their order: near ones for texts that mean similar things. Their numbers are 32-bit
   * floats.
   */
  embed(texts: readonly string[], options?: EmbedOptions): DurablePromise<number[][]>;

  /** How the writer of a text feels. */
  sentiment(text: string, options?: LlmOptions): DurablePromise<Sentiment>;
}
