/**
 * The operations that ask a model, over a recorder: each is an inquiry with its prompt, its form and its reader.
 */
import type { DurablePromise } from "../durable-promise.ts";
import { ConfigurationError } from "../errors.ts";
import type { Recorder } from "../recorder.ts";
import { shown } from "../options.ts";
import { isSchema, jsonSchemaOf, schemaOfJson, type Schema } from "../schema.ts";
import {
  bare,
  parseJson,
  readBoolean,
  readCategory,
  readFeatures,
  readJson,
  readSentiment,
  readSummary,
  type Reading,
  sentimentForm,
} from "./answers.ts";
import type { AssistantMessage, JsonSchema, LlmMessage, LlmTool } from "./conversation.ts";
import { type Inquiry, inquire } from "./inquiry.ts";
import type {
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
} from "./operations.ts";
import {
  classifyPrompt,
  extractPrompt,
  ifTruePrompt,
  sentimentPrompt,
  summarizePrompt,
  type SystemAndPrompt,
} from "./prompts.ts";
import { assertChatTools, type ChatTools, type ToolSource, toolsOf } from "./tools.ts";
import { unpackedVector } from "./vectors.ts";
import { trimmedTo } from "./words.ts";

/** Implements {@link LlmOperations}. */
export class LlmCalls implements LlmOperations {
  readonly #recorder: Recorder;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  generate(prompt: Prompt, options?: TextOptions): DurablePromise<string> {
    return this.#inquire({ operation: "generate", messages: messagesOf(prompt), options, read: asItIs });
  }

  generateWithSystem(system: string, prompt: string, options?: TextOptions): DurablePromise<string> {
    const messages = messagesOf({ system, prompt });
    return this.#inquire({ operation: "generateWithSystem", messages, options, read: asItIs });
  }

  generateWithContext(prompt: Prompt, options?: TextOptions): DurablePromise<string> {
    const told = { ...options, context: options?.context ?? {} };
    return this.#inquire({
      operation: "generateWithContext",
      messages: messagesOf(prompt),
      options: told,
      read: asItIs,
    });
  }

  generateStructured<Value>(
    prompt: Prompt,
    schema: Schema<Value> | JsonSchema,
    options?: TextOptions,
  ): DurablePromise<Value> {
    return this.#inquire(structured("generateStructured", messagesOf(prompt), schema, options));
  }

  generateValidated<Value>(
    prompt: Prompt,
    { schema, validate, maxAttempts }: Validation<Value> & { readonly schema?: Schema<Value> },
    options?: ValidatedOptions,
  ): DurablePromise<Value> {
    const operation = "generateValidated";
    const messages = messagesOf(prompt);
    const asking = { ...options, ...(maxAttempts !== undefined && { maxAsks: maxAttempts }) };
    const inquiry =
      schema === undefined
        ? { operation, messages, options: asking, read: asItIs as Inquiry<Value>["read"] }
        : structured(operation, messages, schema, asking);
    const { read, readAccepted = read } = inquiry;
    return this.#inquire({
      ...inquiry,
      read: (answer) => {
        const reading = read(answer);
        const problem = "value" in reading ? complaint(validate, reading.value) : reading.problem;
        return problem === undefined ? reading : { problem };
      },
      readAccepted: (answer) => {
        const reading = read(answer);
        return "value" in reading ? reading : readAccepted(answer);
      },
    });
  }

  ifTrue(question: string, options?: IfTrueOptions): DurablePromise<boolean> {
    const messages = messagesOf(ifTruePrompt(question, options?.about));
    return this.#inquire({ operation: "ifTrue", messages, options, read: ({ text }) => readBoolean(text) });
  }

  classify<const Category extends string>(
    text: string,
    categories: readonly Category[],
    options?: LlmOptions,
  ): DurablePromise<Category> {
    assertDistinct(categories, "categories of ctx.classify");
    return this.#inquire<Category>({
      operation: "classify",
      messages: messagesOf(classifyPrompt(text, categories)),
      options,
      read: (answer) => readCategory(answer.text, categories),
      readAccepted: (answer) => ({ value: bare(answer.text) as Category }),
    });
  }

  extract<Value>(text: string, wanted: readonly string[] | Schema<Value>, options?: LlmOptions): DurablePromise<Value> {
    if (isSchema(wanted)) {
      return this.#inquire(structured("extract", messagesOf(extractPrompt(text)), wanted, options));
    }
    assertDistinct(wanted, "features of ctx.extract");
    const properties = Object.fromEntries(wanted.map((feature) => [feature, { type: "string" }]));
    const schema = { type: "object", properties, required: wanted, additionalProperties: false };
    return this.#inquire<Value>({
      operation: "extract",
      messages: messagesOf(extractPrompt(text, wanted)),
      options,
      form: { format: { name: "features", schema } },
      read: (answer) => readFeatures(answer.text, wanted) as Reading<Value>,
    });
  }

  extractFeatures<const Feature extends string>(
    text: string,
    features: readonly Feature[],
    options?: LlmOptions,
  ): DurablePromise<Record<Feature, string>> {
    return this.extract<Record<Feature, string>>(text, features, options);
  }

  summarize(text: string, { maxWords }: SummaryLength, options?: TextOptions): DurablePromise<string> {
    if (!(Number.isInteger(maxWords) && maxWords >= 1)) {
      throw new ConfigurationError(`Expected maxWords of ctx.summarize to be a whole number from 1, got ${maxWords}`);
    }
    return this.#inquire<string>({
      operation: "summarize",
      messages: messagesOf(summarizePrompt(text, maxWords)),
      options,
      read: (answer) => readSummary(answer.text, maxWords),
      readAccepted: (answer) => ({ value: answer.text.trim() }),
      trim: (answer) => trimmedTo(maxWords, answer),
    });
  }

  sentiment(text: string, options?: LlmOptions): DurablePromise<Sentiment> {
    return this.#inquire<Sentiment>({
      operation: "sentiment",
      messages: messagesOf(sentimentPrompt(text)),
      options,
      form: { format: { name: "sentiment", schema: sentimentForm } },
      read: (answer) => readSentiment(answer.text),
      readAccepted: (answer) => parseJson(answer.text) as Reading<Sentiment>,
    });
  }

  chat(
    messages: readonly LlmMessage[],
    tools: ChatTools = {},
    options?: ChatOptions,
  ): DurablePromise<AssistantMessage> {
    if (messages.length === 0) throw new ConfigurationError("Expected ctx.chat to be given messages, got none");
    assertChatTools(tools);
    return this.#inquire<AssistantMessage>({
      operation: "chat",
      messages,
      options,
      form: { ...(tools.tools !== undefined && tools.tools.length > 0 && tools) },
      read: ({ text, toolCalls }) => ({
        value: { role: "assistant", content: text, ...(toolCalls !== undefined && { toolCalls }) },
      }),
    });
  }

  describeTools(activities: readonly ToolSource[]): LlmTool[] {
    return toolsOf(activities);
  }

  embed(texts: readonly string[], options?: EmbedOptions): DurablePromise<number[][]> {
    if (texts.length === 0) throw new ConfigurationError("Expected ctx.embed to be given texts, got none");
    return this.#inquire<number[][]>({
      operation: "embed",
      messages: [],
      options,
      form: { texts },
      read: ({ vectors = [] }) => ({ value: vectors.map(unpackedVector) }),
    });
  }

  #inquire<Value>(inquiry: Inquiry<Value>): DurablePromise<Value> {
    return inquire(this.#recorder, inquiry);
  }
}

function asItIs({ text }: { readonly text: string }): { readonly value: string } {
  return { value: text };
}

function structured<Value>(
  operation: string,
  messages: readonly LlmMessage[],
  given: Schema<Value> | JsonSchema,
  options: TextOptions | undefined,
): Inquiry<Value> {
  const schema = isSchema(given) ? given : (schemaOfJson(given) as Schema<Value>);
  return {
    operation,
    messages,
    options,
    form: { format: { name: "answer", schema: jsonSchemaOf(given) } },
    read: ({ text }) => readJson(text, schema, `the answer of ctx.${operation}`),
    readAccepted: ({ text }) => parseJson(text) as Reading<Value>,
  };
}

/** @throws ConfigurationError when the function answers with anything but words or nothing, a promise for example. */
function complaint<Value>(validate: Validation<Value>["validate"], value: Value): string | undefined {
  const said: unknown = validate(value);
  if (said === undefined || typeof said === "string") return said;
  throw new ConfigurationError(
    `Expected validate of ctx.generateValidated to answer with what is wrong or with undefined, got ${shown(said)}`,
  );
}

function messagesOf(prompt: Prompt | SystemAndPrompt): LlmMessage[] {
  if (typeof prompt === "string") return [{ role: "user", content: prompt }];
  const system: LlmMessage[] = prompt.system === undefined ? [] : [{ role: "system", content: prompt.system }];
  return "messages" in prompt ? [...system, ...prompt.messages] : [...system, { role: "user", content: prompt.prompt }];
}

function assertDistinct(items: readonly string[], what: string): void {
  if (items.length === 0 || new Set(items).size !== items.length || items.some((item) => typeof item !== "string")) {
    throw new ConfigurationError(`Expected ${what} to be at least one distinct string, got ${JSON.stringify(items)}`);
  }
}
