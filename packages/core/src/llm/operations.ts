/**
 * Model operations as orchestration code calls them. Each is one recorded question; an answer that does not parse or
 * validate is refused with the reason and asked again, a bounded number of times, each time as a question of its own in
 * history. So a crash between two of them pays for neither twice.
 */
import { durationMs, type Duration } from "../duration.ts";
import type { DurablePromise } from "../durable-promise.ts";
import { ConfigurationError, LlmError, LlmOutputError } from "../errors.ts";
import type { LlmCompleted, LlmRequested } from "../events.ts";
import { canonicalHash } from "../payload.ts";
import type { Recorder, Verdict } from "../recorder.ts";
import { isSchema, jsonSchemaOf, schemaOfJson, type Schema } from "../schema.ts";
import { toPayload } from "../to-payload.ts";
import { bare, parseJson, readBoolean, readCategory, readFeatures, readJson, type Reading } from "./answers.ts";
import type { JsonSchema, LlmMessage, LlmRequest } from "./conversation.ts";
import { classifyPrompt, extractPrompt, ifTruePrompt, refusal } from "./prompts.ts";

/** What to ask: a text, a text with a system prompt, or a whole conversation. */
export type Prompt =
  | string
  | { readonly system?: string; readonly prompt: string }
  | { readonly system?: string; readonly messages: readonly LlmMessage[] };

/** Options of one model call. */
export interface LlmOptions {
  /** A name from the runtime's model table. @default the runtime's first model */
  readonly model?: string;
  readonly temperature?: number;
  /** Most tokens of the answer. An answer cut off there is `LlmError` of kind `truncated`. */
  readonly maxTokens?: number;
  /** Longest time of one attempt. @default "10m" */
  readonly timeout?: Duration;
  /** How often a question may be asked in all when its answers do not parse or validate. @default 3 */
  readonly maxAsks?: number;
  /** A name under which usage and answers of this call are summed and found. */
  readonly label?: string;
}

/** Options of `ctx.ifTrue`. */
export interface IfTrueOptions extends LlmOptions {
  /**
   * The text that the question is about, when it comes from somebody else: it is fenced, so that what it says cannot
   * take the place of the question. Without it the whole question is fenced.
   */
  readonly about?: string;
}

/** The operations of `ctx` that ask a model. Their answers are recorded; a replay asks nobody. */
export interface LlmOperations {
  /** A text. */
  generate(prompt: Prompt, options?: LlmOptions): DurablePromise<string>;
  generateWithSystem(system: string, prompt: string, options?: LlmOptions): DurablePromise<string>;

  /**
   * A value that satisfies a schema: typed by a Zod schema, `unknown` by a JSON Schema document.
   *
   * @throws LlmOutputError when the model did not manage in `maxAsks` questions.
   */
  generateStructured<Value>(prompt: Prompt, schema: Schema<Value>, options?: LlmOptions): DurablePromise<Value>;
  generateStructured(prompt: Prompt, schema: JsonSchema, options?: LlmOptions): DurablePromise<unknown>;

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
}

interface Inquiry<Value> {
  readonly operation: string;
  readonly messages: readonly LlmMessage[];
  readonly options: LlmOptions | undefined;
  readonly format?: { readonly name: string; readonly schema: JsonSchema };
  readonly read: (text: string) => Reading<Value>;
  /** Reads an answer that history shows to have been accepted, though today's code would refuse it. */
  readonly readAccepted?: (text: string) => Reading<Value>;
}

/** Implements {@link LlmOperations} over a recorder. */
export class LlmCalls implements LlmOperations {
  readonly #recorder: Recorder;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  generate(prompt: Prompt, options?: LlmOptions): DurablePromise<string> {
    const read = (text: string) => ({ value: text });
    return this.#inquire({ operation: "generate", messages: messagesOf(prompt), options, read });
  }

  generateWithSystem(system: string, prompt: string, options?: LlmOptions): DurablePromise<string> {
    const read = (text: string) => ({ value: text });
    return this.#inquire({ operation: "generateWithSystem", messages: messagesOf({ system, prompt }), options, read });
  }

  generateStructured<Value>(
    prompt: Prompt,
    schema: Schema<Value> | JsonSchema,
    options?: LlmOptions,
  ): DurablePromise<Value> {
    return this.#structured("generateStructured", messagesOf(prompt), schema, options);
  }

  ifTrue(question: string, options?: IfTrueOptions): DurablePromise<boolean> {
    const messages = messagesOf(ifTruePrompt(question, options?.about));
    return this.#inquire({ operation: "ifTrue", messages, options, read: readBoolean });
  }

  classify<const Category extends string>(
    text: string,
    categories: readonly Category[],
    options?: LlmOptions,
  ): DurablePromise<Category> {
    assertDistinct(categories, "categories of ctx.classify");
    const messages = messagesOf(classifyPrompt(text, categories));
    const read = (answer: string) => readCategory(answer, categories);
    const readAccepted = (answer: string) => ({ value: bare(answer) as Category });
    return this.#inquire({ operation: "classify", messages, options, read, readAccepted });
  }

  extract<Value>(text: string, wanted: readonly string[] | Schema<Value>, options?: LlmOptions): DurablePromise<Value> {
    if (isSchema(wanted)) return this.#structured("extract", messagesOf(extractPrompt(text)), wanted, options);
    assertDistinct(wanted, "features of ctx.extract");
    const properties = Object.fromEntries(wanted.map((feature) => [feature, { type: "string" }]));
    return this.#inquire<Value>({
      operation: "extract",
      messages: messagesOf(extractPrompt(text, wanted)),
      options,
      format: {
        name: "features",
        schema: { type: "object", properties, required: wanted, additionalProperties: false },
      },
      read: (answer) => readFeatures(answer, wanted) as Reading<Value>,
    });
  }

  extractFeatures<const Feature extends string>(
    text: string,
    features: readonly Feature[],
    options?: LlmOptions,
  ): DurablePromise<Record<Feature, string>> {
    return this.extract<Record<Feature, string>>(text, features, options);
  }

  #structured<Value>(
    operation: string,
    messages: readonly LlmMessage[],
    given: Schema<Value> | JsonSchema,
    options: LlmOptions | undefined,
  ): DurablePromise<Value> {
    const schema = isSchema(given) ? given : (schemaOfJson(given) as Schema<Value>);
    return this.#inquire<Value>({
      operation,
      messages,
      options,
      format: { name: "answer", schema: jsonSchemaOf(given) },
      read: (text) => readJson(text, schema, `the answer of ctx.${operation}`),
      readAccepted: (text) => parseJson(text) as Reading<Value>,
    });
  }

  #inquire<Value>(inquiry: Inquiry<Value>): DurablePromise<Value> {
    let asked: DurablePromise<unknown> | undefined;
    const ask = (request: LlmRequest, refines: number | undefined) => {
      const question = this.#question(inquiry, request, refines);
      asked = question;
      return question;
    };
    const outcome = untilAccepted(this.#recorder, inquiry, ask);
    outcome.catch(() => undefined);
    return Object.assign(outcome, { cancel: (reason?: string) => asked?.cancel(reason) });
  }

  #question(inquiry: Inquiry<unknown>, request: LlmRequest, refines: number | undefined): DurablePromise<Said> {
    const { operation, options = {} } = inquiry;
    const timeoutMs =
      options.timeout === undefined ? undefined : durationMs(options.timeout, `timeout of ctx.${operation}`);
    const body: LlmRequested = {
      kind: "LlmRequested",
      operation,
      promptHash: canonicalHash(request),
      request,
      ...(timeoutMs !== undefined && { options: { timeoutMs } }),
      ...(options.label !== undefined && { label: options.label }),
      ...(refines !== undefined && { refines }),
    };
    return this.#recorder.ask<Said>({
      body,
      read: (event) => {
        const { source, result, finishReason } = event as LlmCompleted;
        return { eventId: source, text: result.text, cutOff: finishReason === "length" };
      },
    });
  }
}

interface Said {
  readonly eventId: number;
  readonly text: string;
  readonly cutOff: boolean;
}

async function untilAccepted<Value>(
  recorder: Recorder,
  inquiry: Inquiry<Value>,
  ask: (request: LlmRequest, refines: number | undefined) => Promise<Said>,
): Promise<Value> {
  const { operation, options = {}, format } = inquiry;
  const maxAsks = options.maxAsks ?? 3;
  if (!(Number.isInteger(maxAsks) && maxAsks >= 1)) {
    throw new ConfigurationError(`Expected maxAsks of ctx.${operation} to be a whole number from 1, got ${maxAsks}`);
  }
  let messages = inquiry.messages;
  let refines: number | undefined;
  for (let asks = 1; ; asks++) {
    const said = await ask(requestOf(messages, format, options, recorder), refines);
    if (said.cutOff) {
      throw new LlmError("truncated", `Expected the whole answer to ctx.${operation}, got one cut off at maxTokens`, {
        details: { kind: "truncated", text: said.text },
      });
    }
    const reading = inquiry.read(said.text);
    // What was recorded stands: a schema of today neither refuses what was accepted nor accepts what was refused.
    const verdict = recorder.verdictOn(said.eventId) ?? verdictOf(reading, asks < maxAsks);
    if (verdict === "accepted") {
      const accepted = "value" in reading ? reading : (inquiry.readAccepted?.(said.text) ?? reading);
      if ("value" in accepted) return accepted.value;
    }
    const problem = "problem" in reading ? reading.problem : "it was refused when it was recorded";
    if (verdict !== "refined") {
      recorder.note({ kind: "LlmAnswerRefused", source: said.eventId, problem });
      throw new LlmOutputError(
        `Expected a usable answer to ctx.${operation} in ${asks} question${asks === 1 ? "" : "s"}, got none: ${problem}`,
        said.text,
      );
    }
    refines = said.eventId;
    messages = [...messages, { role: "assistant", content: said.text }, { role: "user", content: refusal(problem) }];
  }
}

function verdictOf(reading: Reading<unknown>, mayAskAgain: boolean): Verdict {
  if ("value" in reading) return "accepted";
  return mayAskAgain ? "refined" : "givenUp";
}

function requestOf(
  messages: readonly LlmMessage[],
  format: LlmRequest["format"],
  { model, temperature, maxTokens }: LlmOptions,
  recorder: Recorder,
): LlmRequest {
  const request = {
    messages,
    ...(model !== undefined && { model }),
    ...(format !== undefined && { format }),
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { maxTokens }),
  };
  return toPayload(request, "request to the model of", recorder.name, recorder.payloadLimit) as LlmRequest;
}

function messagesOf(prompt: Prompt): LlmMessage[] {
  if (typeof prompt === "string") return [{ role: "user", content: prompt }];
  const system: LlmMessage[] = prompt.system === undefined ? [] : [{ role: "system", content: prompt.system }];
  return "messages" in prompt ? [...system, ...prompt.messages] : [...system, { role: "user", content: prompt.prompt }];
}

function assertDistinct(items: readonly string[], what: string): void {
  if (items.length === 0 || new Set(items).size !== items.length || items.some((item) => typeof item !== "string")) {
    throw new ConfigurationError(`Expected ${what} to be at least one distinct string, got ${JSON.stringify(items)}`);
  }
}
