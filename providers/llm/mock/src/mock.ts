/**
 * A model that says what a script says. It has no opinions of its own: a call that no rule answers fails, and the
 * failure shows the question and the rules. Nothing is random and nothing takes time unless the script says so.
 */
import {
  ConfigurationError,
  LlmError,
  type LlmCallOptions,
  type LlmCapabilities,
  type LlmEmbedOptions,
  type LlmProvider,
  type LlmRequest,
  type LlmResponse,
  type LlmUsage,
  type Payload,
} from "@stet/core";
import { ExactAnswer, type AnswerDetails, type MockAnswer } from "./answers.ts";
import { promptOf, systemOf, type MockCall, type MockOutcome } from "./calls.ts";
import { embedding } from "./embedding.ts";
import { describeMatcher, matches, type CallMatcher } from "./matcher.ts";
import { describeRule, takeAnswer, unusedOf, type Rule } from "./rule.ts";
import { embeddingUsage, toResponse } from "./to-response.ts";
import { assertWanted, stream, systemDelay, whileWanted, type Delay } from "./waiting.ts";

/** How a mock differs from the usual one. */
export interface MockOptions {
  /** @default "mock" */
  readonly name?: string;
  /** @default "mock-1" */
  readonly model?: string;
  /** What the mock claims to be able to do. @default everything */
  readonly capabilities?: Partial<LlmCapabilities>;
  /** How long every answer takes. @default 0 */
  readonly latencyMs?: number;
  /** What waits for latencies: give one of virtual time, or one that only counts. @default the system's clock */
  readonly delay?: Delay;
}

/**
 * A scripted model.
 *
 * Rules are asked in the order in which they were written, and the first that wants a call answers it. A rule may have
 * several answers: they are given one after the other, and the last one stays. `reply` is the exception: it wants every
 * call, and each of its answers is given once.
 *
 * @example
 * ```ts
 * const llm = mock()
 *   .on("classify", "refund")
 *   .when(/entitled/, true)
 *   .when({ operation: "generate", label: "letter" }, new LlmError("unavailable", "overloaded"), "Dear customer, ...")
 *   .otherwise((request) => `You said: ${request.messages.at(-1)?.content}`);
 *
 * const runtime = await Runtime.start({ storage: sqlite(":memory:"), llm, orchestrations: [handleTicket] });
 * await (await runtime.startOrchestration(handleTicket, "T-17")).result();
 * assert.equal(llm.calls.length, 4);
 * assert.deepEqual(llm.unused, []);
 * ```
 * @example Answers by order
 * ```ts
 * const llm = mock(["first", { second: 2 }, new LlmError("refused", "I would rather not")]);
 * ```
 */
export function mock(answers: readonly MockAnswer[], options?: MockOptions): MockLlm;
export function mock(options?: MockOptions): MockLlm;
export function mock(first: readonly MockAnswer[] | MockOptions = {}, options: MockOptions = {}): MockLlm {
  return isList(first) ? new MockLlm(options).reply(...first) : new MockLlm(first);
}

/** What {@link mock} makes: a provider, its script, and what it has been asked. */
export class MockLlm implements LlmProvider {
  readonly name: string;
  readonly model: string;
  readonly capabilities: LlmCapabilities;
  readonly #latencyMs: number;
  readonly #delay: Delay;
  readonly #rules: Rule[] = [];
  readonly #last: Rule[] = [];
  readonly #calls: Writable<MockCall>[] = [];

  constructor(options: MockOptions) {
    this.name = options.name ?? "mock";
    this.model = options.model ?? "mock-1";
    this.capabilities = { structuredOutput: true, tools: true, streaming: true, ...options.capabilities };
    this.#latencyMs = options.latencyMs ?? 0;
    this.#delay = options.delay ?? systemDelay;
  }

  /** Every call so far, failed attempts and refused questions too, in the order in which they were made. */
  get calls(): readonly MockCall[] {
    return this.#calls;
  }

  /** The rules with answers that nobody has asked for, by name. A test that wants its script used up expects `[]`. */
  get unused(): readonly string[] {
    return [...this.#rules, ...this.#last].filter((rule) => unusedOf(rule) > 0).map(({ name }) => name);
  }

  /** Answers the next calls, whatever they ask, each answer once. */
  reply(...answers: readonly MockAnswer[]): this {
    return this.#add(this.#rules, { name: "reply()", use: "each once", answers, wants: () => true });
  }

  /** Answers the calls of an operation, such as `"classify"`. */
  on(operation: string, ...answers: readonly MockAnswer[]): this {
    const wants = (call: MockCall): boolean => call.operation === operation;
    return this.#add(this.#rules, { name: `on(${JSON.stringify(operation)})`, operation, answers, wants });
  }

  /**
   * Answers the calls that match: a string or an expression is looked for in the words of the user and the tools.
   *
   * @example
   * ```ts
   * mock().when({ operation: "ifTrue", prompt: /entitled/ }, false).when((request) => request.tools !== undefined, "no tools today");
   * ```
   */
  when(matcher: CallMatcher, ...answers: readonly MockAnswer[]): this {
    const operation =
      typeof matcher === "object" && !(matcher instanceof RegExp) && matcher.operation !== undefined
        ? { operation: matcher.operation }
        : {};
    const wants = (call: MockCall): boolean => matches(matcher, call);
    return this.#add(this.#rules, { name: `when(${describeMatcher(matcher)})`, ...operation, answers, wants });
  }

  /** Answers what no other rule answers, wherever it stands. */
  otherwise(...answers: readonly MockAnswer[]): this {
    return this.#add(this.#last, { name: "otherwise()", answers, wants: () => true });
  }

  async complete(request: LlmRequest, options: LlmCallOptions): Promise<LlmResponse> {
    const call = this.#record(request, options);
    return settle(call, async () => {
      const { value, details } = await this.#play(call, options.signal, [...this.#rules, ...this.#last]);
      const response = toResponse(value, details, call, this.model);
      if (options.onDelta) await stream(response.answer.text, options.onDelta, options.signal);
      if (details.thenFails) throw details.thenFails;
      return { result: response, outcome: { kind: "answered", response } };
    });
  }

  /** One vector for each text: equal for equal texts, near for texts that share words. Rules that name the operation may answer otherwise. */
  async embed(
    texts: readonly string[],
    options: LlmEmbedOptions,
  ): Promise<{ vectors: number[][]; model: string; usage: LlmUsage }> {
    const { model = this.model } = options;
    const messages = texts.map((content) => ({ role: "user" as const, content }));
    const call = this.#record({ messages, ...(options.model !== undefined && { model }) }, options);
    return settle(call, async () => {
      const rules = this.#rules.filter(({ operation }) => operation === call.operation);
      const vectors =
        rules.length === 0
          ? await this.#wait(this.#latencyMs, options.signal).then(() => texts.map(embedding))
          : toVectors((await this.#play(call, options.signal, rules)).value, texts.length);
      const result = { vectors, model, usage: embeddingUsage(texts) };
      return { result, outcome: { kind: "embedded", vectors } };
    });
  }

  #add(rules: Rule[], rule: Omit<Rule, "use" | "given"> & { readonly use?: Rule["use"] }): this {
    if (rule.answers.length === 0) {
      throw new ConfigurationError(`Expected ${rule.name} to be given an answer, got none`);
    }
    rules.push({ use: "last stays", ...rule, given: 0 });
    return this;
  }

  #record(
    request: LlmRequest,
    { operation, label, idempotencyKey, onDelta, signal }: LlmCallOptions,
  ): Writable<MockCall> {
    assertWanted(signal);
    const call: Writable<MockCall> = {
      order: this.#calls.length + 1,
      operation,
      ...(label !== undefined && { label }),
      request,
      prompt: promptOf(request.messages),
      system: systemOf(request.messages),
      idempotencyKey,
      streamed: onDelta !== undefined,
      outcome: { kind: "pending" },
    };
    this.#calls.push(call);
    return call;
  }

  /** The answer is taken before anything is awaited: calls made side by side get theirs in the order of the calls. */
  async #play(call: Writable<MockCall>, signal: AbortSignal, rules: readonly Rule[]): Promise<Played> {
    const taken = takeAnswer(rules, call);
    if (taken === undefined) throw unanswered(call, rules);
    call.rule = taken.rule.name;
    await this.#wait(this.#latencyMs, signal);

    let { answer } = taken;
    let details: AnswerDetails = {};
    for (;;) {
      if (answer instanceof Error) throw answer;
      if (typeof answer === "function") {
        answer = await whileWanted(Promise.resolve(answer(call.request, call)), signal);
      } else if (answer instanceof ExactAnswer) {
        await this.#wait(answer.afterMs, signal);
        details = { ...answer.details, ...details };
        answer = answer.answer;
      } else {
        return { value: answer, details };
      }
    }
  }

  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    if (ms > 0) await whileWanted(this.#delay(ms, signal), signal);
    assertWanted(signal);
  }
}

type Writable<T> = { -readonly [Member in keyof T]: T[Member] };

interface Played {
  readonly value: Payload;
  readonly details: AnswerDetails;
}

/** Runs a call and writes down what came of it. */
async function settle<T>(
  call: Writable<MockCall>,
  run: () => Promise<{ readonly result: T; readonly outcome: MockOutcome }>,
): Promise<T> {
  try {
    const { result, outcome } = await run();
    call.outcome = outcome;
    return result;
  } catch (error) {
    call.outcome = { kind: "failed", error };
    throw error;
  }
}

function unanswered(call: MockCall, rules: readonly Rule[]): LlmError {
  const label = call.label === undefined ? "" : ` (label ${call.label})`;
  const known = rules.length === 0 ? "it has no rules" : `its rules are ${rules.map(describeRule).join("; ")}`;
  return new LlmError(
    "bad_request",
    `Expected the mock to be told an answer to ${call.operation}${label} ${JSON.stringify(shortened(call.prompt))}, call ${call.order}, got none: ${known}`,
  );
}

function shortened(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 150)} ... ${text.slice(-45)}`;
}

function toVectors(value: Payload, count: number): number[][] {
  const vectors = isList(value) ? value.filter(isVector).map((vector) => [...vector]) : [];
  if (!isList(value) || value.length !== count || vectors.length !== count) {
    const found = isList(value) ? `${vectors.length} in a list of ${value.length}` : JSON.stringify(value);
    throw new LlmError("bad_request", `Expected the scripted answer to be ${count} vectors of numbers, got ${found}`);
  }
  return vectors;
}

function isVector(value: Payload): value is readonly number[] {
  return isList(value) && value.every((member) => typeof member === "number");
}

function isList<T>(value: readonly T[] | object | Payload): value is readonly T[] {
  return Array.isArray(value);
}
